"""One tenant's callers and its administrator, who speak gRPC to a sidecar, in a line of code each."""

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1.admin_pb2_grpc import AdminServiceStub
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub
from tests.servers import SidecarProcess

LONG_S = 30.0
"""No call takes so long, unless it hangs."""

MOMENT_S = 0.1
STREAMS = {
    f"/{service.full_name}/{method.name}"
    for service in apb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if method.server_streaming
}

ALLOW, DENY = pb.RESULT_ALLOW, pb.RESULT_DENY
COMPLETED = pb.OUTCOME_COMPLETED

_numbers = itertools.count(1)


def new_tenant() -> str:
    """A name that no other test has."""
    return f"t{os.getpid()}-{next(_numbers)}"


def seconds(number: float) -> Duration:
    return Duration(seconds=int(number), nanos=round(number % 1 * 1e9))


def subject_of(values: Mapping[str, str]) -> pb.Subject:
    """These dimensions; alice, if there are none."""
    subject = pb.Subject()
    for name, value in (values or {"user": "alice"}).items():
        setattr(subject, name, value)
    return subject


def ref(wallet: str, **group: str) -> apb.WalletRef:
    """A wallet, to an administrator."""
    return apb.WalletRef(wallet=wallet, group=group)


class Caller:
    """Asks one sidecar on behalf of one tenant. `place`: `tcp` or `unix`."""

    def __init__(self, sidecar: SidecarProcess, place: str = "unix", tenant: str = "") -> None:
        self.sidecar = sidecar
        self.tenant = tenant or new_tenant()
        self._ending = ExitStack()
        self.target = f"127.0.0.1:{sidecar.port}" if place == "tcp" else sidecar.socket
        self.channel = self._channel(self.target)
        self.budgets = BudgetServiceStub(self.channel)
        self.admin_channel = self._channel(f"unix:{sidecar.directory}/admin.sock")
        self.administration = AdminServiceStub(self.admin_channel)

    def _channel(self, target: str) -> grpc.Channel:
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 1 << 25))
        return self._ending.enter_context(grpc.insecure_channel(target, options))

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def apply(self, rules: str, expected: int | None = None) -> Any:
        """Puts a policy in force; `rules` is the document without its tenant."""
        document = f"tenant: {self.tenant}\n{rules}"
        request = apb.ApplyPolicyRequest(document=document, expected_version=expected)
        return self.administration.ApplyPolicy(request, timeout=LONG_S)

    def credit(self, amount: int, wallet: str = "org", credit_id: str = "", **group: str) -> Any:
        return self.credit_lot(amount, ref(wallet, **group), credit_id=credit_id).wallet

    def credit_lot(self, amount: int, wallet: apb.WalletRef | None = None, **fields: Any) -> Any:
        """A credit with whatever else it may have: `kind`, `expires` in Unix ms, `credit_id`."""
        wallet, expires_ms = wallet or ref("org"), fields.pop("expires", None)
        fields.setdefault("tenant", self.tenant)
        fields.setdefault("unit", pb.UNIT_NANO_USD)
        expires_at = None if expires_ms is None else Timestamp(seconds=expires_ms // 1000)
        request = apb.CreditWalletRequest(
            wallet=wallet.wallet, group=wallet.group, amount=amount, expires_at=expires_at, **fields
        )
        return self.administration.CreditWallet(request, timeout=LONG_S)

    def debit(self, amount: int, wallet: apb.WalletRef | None = None, **fields: Any) -> Any:
        request = apb.DebitWalletRequest(wallet=wallet or ref("org"), **self._moving(amount, fields))
        return self.administration.DebitWallet(request, timeout=LONG_S)

    def allocate(self, amount: int, source: apb.WalletRef, target: apb.WalletRef, **fields: Any) -> Any:
        given = self._moving(amount, fields) | {"from": source, "to": target}
        return self.administration.AllocateFunds(apb.AllocateFundsRequest(**given), timeout=LONG_S)

    def reclaim(self, amount: int, source: apb.WalletRef, target: apb.WalletRef, **fields: Any) -> Any:
        given = self._moving(amount, fields) | {"from": source, "to": target}
        return self.administration.ReclaimFunds(apb.ReclaimFundsRequest(**given), timeout=LONG_S)

    def _moving(self, amount: int, fields: dict[str, Any]) -> dict[str, Any]:
        return {"tenant": self.tenant, "amount": amount, "unit": pb.UNIT_NANO_USD, **fields}

    def wallets(self) -> dict[str, Any]:
        """Every wallet with counters, by its group, or its name where it has none."""
        request = apb.ListWalletsRequest(tenant=self.tenant)
        found = self.administration.ListWallets(request, timeout=LONG_S).wallets
        return {wallet.group or wallet.name: wallet for wallet in found}

    def list_budgets(self, budget: str = "", **group: str) -> Any:
        """The budgets of the policy in force, with all their groups."""
        request = apb.ListBudgetsRequest(tenant=self.tenant, budget=budget, group=group)
        return self.administration.ListBudgets(request, timeout=LONG_S)

    def hold(self, reservation_id: str, **chosen: Any) -> Any:
        """A reservation as administrators see it."""
        holds = self.list_holds(**chosen).holds
        return next(hold for hold in holds if hold.reservation_id == reservation_id)

    def list_holds(self, **fields: Any) -> Any:
        """Reservations; `older_than` in seconds."""
        if "older_than" in fields:
            fields["older_than"] = seconds(fields["older_than"])
        request = apb.ListHoldsRequest(**{"tenant": self.tenant, **fields})
        return self.administration.ListHolds(request, timeout=LONG_S)

    def resolve(self, reservation_id: str, **fields: Any) -> Any:
        """An administrator's word; `settle` in nano-dollars, `extend` in seconds."""
        if "settle" in fields:
            fields["settle"] = pb.Cost(nano_usd=fields["settle"])
        if "extend" in fields:
            fields["extend"] = seconds(fields["extend"])
        request = apb.ResolveHoldRequest(
            **{"tenant": self.tenant, "reservation_id": reservation_id, "by": "ann", **fields}
        )
        return self.administration.ResolveHold(request, timeout=LONG_S)

    def send_bytes(self, method: str, content: bytes) -> Any:
        """Any bytes to any method, as `/package.Service/Method`; of a stream what comes within a moment."""
        channel: Any = self.admin_channel if "AdminService" in method else self.channel
        if method in STREAMS:
            return next(channel.unary_stream(method)(content, timeout=MOMENT_S), None)
        return channel.unary_unary(method)(content, timeout=LONG_S)

    def ask(self, nano_usd: int = 0, tokens: int = 0, *, ttl: float = 0, **fields: Any) -> pb.ReserveRequest:
        """A Reserve by cost, if neither `request` nor `estimate` is given; of alice, if no subject is."""
        if "estimate" in fields:
            fields["tokens"] = fields.pop("estimate")
        elif "request" not in fields:
            fields["cost"] = pb.Cost(nano_usd=nano_usd, tokens=tokens)
        fields.setdefault("subject", pb.Subject(user="alice"))
        fields.setdefault("tenant", self.tenant)
        return pb.ReserveRequest(ttl=seconds(ttl) if ttl else None, **fields)

    def send(self, request: pb.ReserveRequest) -> Any:
        return self.budgets.Reserve(request, timeout=LONG_S)

    def reserve(self, nano_usd: int = 0, tokens: int = 0, **more: Any) -> Any:
        return self.send(self.ask(nano_usd, tokens, **more))

    def allowed(self, nano_usd: int = 0, tokens: int = 0, **more: Any) -> Any:
        """A Reserve that finds room."""
        response = self.reserve(nano_usd, tokens, **more)
        assert response.result == ALLOW, response
        return response

    def refused(self, nano_usd: int = 0, tokens: int = 0, **more: Any) -> Any:
        """Why a Reserve finds none."""
        response = self.reserve(nano_usd, tokens, **more)
        assert response.result == DENY, response
        assert not response.tally
        return response.refusal

    def end(self, reservation_id: str, nano_usd: int | None = None, **fields: Any) -> pb.SettleRequest:
        """A Settle; COMPLETED, if no other outcome is given."""
        if nano_usd is not None:
            fields["cost"] = pb.Cost(nano_usd=nano_usd)
        fields.setdefault("outcome", COMPLETED)
        fields.setdefault("tenant", self.tenant)
        return pb.SettleRequest(reservation_id=reservation_id, **fields)

    def settle(self, reservation_id: str, nano_usd: int | None = None, **fields: Any) -> Any:
        return self.budgets.Settle(self.end(reservation_id, nano_usd, **fields), timeout=LONG_S)

    def release(self, reservation_id: str) -> Any:
        request = pb.ReleaseRequest(tenant=self.tenant, reservation_id=reservation_id)
        return self.budgets.Release(request, timeout=LONG_S)

    def extend(self, reservation_id: str, more: int | None = None, *, ttl: float = 0, **fields: Any) -> Any:
        if more is not None:
            fields["more"] = pb.Cost(nano_usd=more)
        request = pb.ExtendRequest(
            tenant=self.tenant, reservation_id=reservation_id, ttl=seconds(ttl) if ttl else None, **fields
        )
        return self.budgets.Extend(request, timeout=LONG_S)

    def balance(self, **subject: str) -> Any:
        request = pb.BalanceRequest(tenant=self.tenant, subject=subject_of(subject))
        return self.budgets.Balance(request, timeout=LONG_S)

    def wallet(self, name: str = "org", **subject: str) -> Any:
        return next(wallet for wallet in self.balance(**subject).wallets if wallet.name == name)

    def budget(self, name: str, **subject: str) -> Any:
        return next(budget for budget in self.balance(**subject).budgets if budget.name == name)


@contextmanager
def fails(code: grpc.StatusCode, *texts: str) -> Iterator[None]:
    """Expects a status whose message has these texts."""
    with pytest.raises(grpc.RpcError) as caught:
        yield
    error = caught.value
    assert isinstance(error, grpc.Call)
    assert error.code() is code, error.details()
    for text in texts:
        assert text in error.details()
