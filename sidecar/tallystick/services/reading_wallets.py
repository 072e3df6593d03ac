"""From requests about wallets to calls, as `reading` does."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.core.errors import InvalidArgument
from tallystick.core.lots import GRANT_ID, NEVER, REFUND_PREFIX, LotKind
from tallystick.core.policy import Unit
from tallystick.core.subject import check_text
from tallystick.engine.calls import CreditCall, MoveCall, WalletRef
from tallystick.services.reading import MAX_ID_BYTES, read_tenant
from tallystick.store.asks import MoveKind
from tallystick.v1 import admin_pb2, budget_pb2

WALLET_UNITS = {budget_pb2.UNIT_NANO_USD: Unit.NANO_USD, budget_pb2.UNIT_TOKENS: Unit.TOKENS}
CREDIT_KINDS = {
    budget_pb2.LOT_KIND_UNSPECIFIED: LotKind.PAID,
    budget_pb2.LOT_KIND_PAID: LotKind.PAID,
    budget_pb2.LOT_KIND_EARNED: LotKind.EARNED,
}
LAST_MS = 95_617_583_999_000
"""The last second before the year 5000: scripts keep times of at most 14 digits."""


def read_credit(request: admin_pb2.CreditWalletRequest) -> CreditCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant)
    _check_amount(request.amount, 1)
    unit = _read_unit(request.unit)
    check_text("wallet", request.wallet)
    _check_id("credit_id", request.credit_id)
    check_text("reason", request.reason)
    group = read_group("group", request.group)
    kind = CREDIT_KINDS.get(request.kind)
    if kind is None:
        raise InvalidArgument("kind", "expected LOT_KIND_PAID or LOT_KIND_EARNED")
    expires_ms = read_expiry(request.expires_at) if request.HasField("expires_at") else NEVER
    wallet, amount, credit_id = request.wallet, request.amount, request.credit_id
    return CreditCall(tenant, wallet, group, amount, unit, credit_id, request.reason, kind, expires_ms)


def read_debit(request: admin_pb2.DebitWalletRequest) -> MoveCall:
    """Checks and translates. Raises InvalidArgument."""
    return _read_move(MoveKind.DEBIT, request, "debit_id")


def read_allocate(request: admin_pb2.AllocateFundsRequest) -> MoveCall:
    """Checks and translates. Raises InvalidArgument."""
    return _read_move(MoveKind.ALLOCATE, request, "transfer_id")


def read_reclaim(request: admin_pb2.ReclaimFundsRequest) -> MoveCall:
    """Checks and translates. Raises InvalidArgument."""
    return _read_move(MoveKind.RECLAIM, request, "transfer_id")


def _read_move(kind: MoveKind, request: Any, id_field: str) -> MoveCall:
    tenant, amount, move_id = read_tenant(request.tenant), request.amount, getattr(request, id_field)
    _check_amount(amount, 0 if kind is MoveKind.RECLAIM else 1)
    unit = _read_unit(request.unit) if amount or request.unit else None
    if kind is MoveKind.DEBIT:
        source, target = _read_ref("wallet", request.wallet), None
    else:
        source, target = _read_ref("from", getattr(request, "from")), _read_ref("to", request.to)
    _check_id(id_field, move_id)
    check_text("reason", request.reason)
    return MoveCall(tenant, kind, source, target, amount, unit, move_id, request.reason)


def _read_ref(field: str, ref: admin_pb2.WalletRef) -> WalletRef:
    check_text(f"{field}.wallet", ref.wallet)
    return WalletRef(ref.wallet, read_group(f"{field}.group", ref.group))


def read_group(field: str, values: Mapping[str, str]) -> dict[str, str]:
    """Checks the values of a group. Raises InvalidArgument."""
    group = dict(values)
    for name, value in group.items():
        check_text(f"{field}[{name[:64]!a}]", value)
    return group


def _read_unit(unit: "budget_pb2.Unit") -> Unit:
    if unit not in WALLET_UNITS:
        raise InvalidArgument("unit", "expected UNIT_NANO_USD or UNIT_TOKENS")
    return WALLET_UNITS[unit]


def read_expiry(time: Timestamp) -> int:
    """Unix milliseconds. Raises InvalidArgument."""
    expires_ms = time.seconds * 1_000 + time.nanos // 1_000_000
    if not (0 < expires_ms <= LAST_MS and 0 <= time.nanos < 10**9):
        raise InvalidArgument("expires_at", "expected a time in the future, before the year 5000")
    return expires_ms


def _check_amount(amount: int, least: int) -> None:
    if amount < least:
        raise InvalidArgument("amount", f"expected at least {least}")


def _check_id(field: str, given: str) -> None:
    """Lots have the id that they came by, so those that lots have already are refused."""
    check_text(field, given, MAX_ID_BYTES)
    if given == GRANT_ID or given.startswith(REFUND_PREFIX):
        raise InvalidArgument(
            field, f"expected neither {GRANT_ID} nor {REFUND_PREFIX}…: they name other lots"
        )
