"""`tallystick wallet`: prepaid funds."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.amounts import read_amount, read_expiry
from tallystick.cli.connection import admin_service, pages_of
from tallystick.cli.options import AdminConnection, Tenant, read_pairs
from tallystick.cli.output import print_message, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tallystick.v1 import admin_pb2
    from tallystick.v1 import budget_pb2 as pb

ALL = "all"
_BETWEEN_VALUES = re.compile(r",(?=[^,=\s]+=)")
"""Values may have commas themselves."""


def _wallet(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text, show_default=False)


def _group(text: str, name: str = "--group") -> Any:
    return typer.Option(name, metavar="DIMENSION=VALUE", help=text, show_default=False)


Wallet = Annotated[str, _wallet("WALLET", "The wallet's name in the policy.")]
AmountText = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="As in '25 USD', 0.5USD, '2M tokens'; in the wallet's unit.")
]
AmountOrAll = Annotated[
    str, typer.Argument(metavar="AMOUNT", help=f"As in '25 USD', '2M tokens'; or {ALL} that can be.")
]
GroupPairs = Annotated[
    list[str] | None, _group("Which of the wallets: a value for each dimension of its per.")
]
Expires = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="When the rest of it lapses: a date, an RFC 3339 time, or 30d from now. Default: never.",
        show_default=False,
    ),
]


class Kind(StrEnum):
    """What kind of lot is credited."""

    PAID = "paid"
    EARNED = "earned"


@dataclass(frozen=True, slots=True)
class Ends:
    """The wallets of a transfer."""

    source: Annotated[str, _wallet("FROM", "The wallet to take from, by its name in the policy.")]
    target: Annotated[str, _wallet("TO", "The wallet to put into.")]
    from_group: Annotated[list[str] | None, _group("Which of the wallets FROM.", "--from-group")] = None
    to_group: Annotated[list[str] | None, _group("Which of the wallets TO.", "--to-group")] = None

    def put(self, request: "admin_pb2.AllocateFundsRequest | admin_pb2.ReclaimFundsRequest") -> None:
        """Name them in a request."""
        source, target = getattr(request, "from"), request.to
        source.wallet, target.wallet = self.source, self.target
        source.group.update(read_pairs("--from-group", self.from_group))
        target.group.update(read_pairs("--to-group", self.to_group))


@dataclass(frozen=True, slots=True)
class Record:
    """How a move is known."""

    new_id: Annotated[
        str,
        typer.Option(
            "--id", metavar="ID", help="Its idempotency key: the same again counts once.", show_default=False
        ),
    ] = ""
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="For the ledger: who, why.", show_default=False)
    ] = ""


def credit(
    *,
    tenant: Tenant,
    wallet: Wallet,
    amount: AmountText,
    group: GroupPairs = None,
    kind: Annotated[
        Kind, typer.Option(metavar="KIND", help="paid, drawn last; or earned, drawn before it.")
    ] = Kind.PAID,
    expires: Expires = "",
    record: Record,
    connection: AdminConnection,
) -> None:
    """Add a lot of paid or earned funds to a wallet.

    A debt is paid off first.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.CreditWalletRequest(
        tenant=tenant,
        wallet=wallet,
        group=read_pairs("--group", group),
        credit_id=record.new_id,
        reason=record.reason,
        kind=f"LOT_KIND_{kind.name}",
        expires_at=read_expiry(expires) if expires else None,
    )
    _put_amount(request, amount)
    with admin_service(connection) as service:
        answer = service.CreditWallet(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        _show_moved("credited to", request.amount, answer.credit_id, [answer.wallet])


def debit(
    *,
    tenant: Tenant,
    wallet: Wallet,
    amount: AmountText,
    group: GroupPairs = None,
    record: Record,
    connection: AdminConnection,
) -> None:
    """Take available funds out of a wallet.

    More than is available is refused.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.DebitWalletRequest(
        tenant=tenant,
        wallet=admin_pb2.WalletRef(wallet=wallet, group=read_pairs("--group", group)),
        debit_id=record.new_id,
        reason=record.reason,
    )
    _put_amount(request, amount)
    with admin_service(connection) as service:
        answer = service.DebitWallet(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        _show_moved("debited from", request.amount, answer.debit_id, [answer.wallet], answer.drawn)


def allocate(
    *,
    tenant: Tenant,
    ends: Ends,
    amount: AmountText,
    record: Record,
    connection: AdminConnection,
) -> None:
    """Move available funds from one wallet to another.

    They keep their kind and expiry, and can be taken back with wallet reclaim as long as they are available.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.AllocateFundsRequest(tenant=tenant, transfer_id=record.new_id, reason=record.reason)
    ends.put(request)
    _put_amount(request, amount)
    with admin_service(connection) as service:
        answer = service.AllocateFunds(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        wallets = [getattr(answer, "from"), answer.to]
        _show_moved("allocated from", request.amount, answer.transfer_id, wallets)


def reclaim(
    *,
    tenant: Tenant,
    ends: Ends,
    amount: AmountOrAll,
    record: Record,
    connection: AdminConnection,
) -> None:
    """Take back from a wallet what another one allocated to it and is still available."""
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ReclaimFundsRequest(tenant=tenant, transfer_id=record.new_id, reason=record.reason)
    ends.put(request)
    if amount != ALL:
        _put_amount(request, amount)
    with admin_service(connection) as service:
        answer = service.ReclaimFunds(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        wallets = [getattr(answer, "from"), answer.to]
        _show_moved("reclaimed from", answer.reclaimed, answer.transfer_id, wallets)


def _put_amount(request: Any, text: str) -> None:
    from tallystick.services.writing_states import UNITS

    amount = read_amount("AMOUNT", text)
    request.amount, request.unit = amount.value, UNITS[amount.unit]


def _show_moved(
    done: str,
    amount: int,
    move_id: str,
    wallets: "Sequence[pb.WalletState]",
    drawn: "Sequence[pb.Draw]" = (),
) -> None:
    """Say what was moved, and show the wallets of it as they are now."""
    from tallystick.cli.tables import amount_of, draws_text, named, wallet_table

    unit, names = wallets[0].unit, " to ".join(named(wallet.name, wallet.group) for wallet in wallets)
    show(f"{amount_of(amount, unit)} {done} {names}, as {move_id}")
    if drawn:
        show(f"drawn from {draws_text(drawn, unit)}")
    show("", wallet_table(wallets))


def list_wallets(tenant: Tenant, connection: AdminConnection) -> None:
    """List the wallets of a tenant that ever had funds or spend.

    What is available is funds less spent and held; below zero it is debt.
    """
    from tallystick.cli.tables import wallet_table

    found = _find_wallets(tenant, connection)
    if connection.as_json:
        print_message(found)
    elif found.wallets:
        show(wallet_table(found.wallets))
    else:
        show(f"{tenant}: no wallet has had funds or spend yet")


def show_wallets(
    tenant: Tenant,
    wallet: Annotated[
        str, typer.Argument(metavar="WALLET", help="Only this one, by its name.", show_default=False)
    ] = "",
    group: Annotated[list[str] | None, _group("Only those with this value of their per.")] = None,
    *,
    connection: AdminConnection,
) -> None:
    """Show wallets that ever had funds or spend, and their lots: one, or all of a tenant.

    What is available is funds less spent and held; below zero it is debt. Lots stand in the order in which
    they are drawn.
    """
    from tallystick.cli.tables import lot_table, wallet_table

    values = read_pairs("--group", group)
    found = _find_wallets(tenant, connection)
    chosen = [each for each in found.wallets if wallet in ("", each.name) and _has(each.group, values)]
    del found.wallets[:]
    found.wallets.extend(chosen)
    if connection.as_json:
        print_message(found)
        return
    if not chosen:
        which = "no wallet" if not (wallet or values) else "no such wallet"
        show(f"{tenant}: {which} has had funds or spend yet")
        return
    show(wallet_table(chosen))
    if any(each.lots for each in chosen):
        show("", lot_table(chosen))


def _find_wallets(tenant: str, connection: AdminConnection) -> Any:
    from tallystick.v1 import admin_pb2

    with admin_service(connection) as service:
        request = admin_pb2.ListWalletsRequest(tenant=tenant)
        return pages_of(service.ListWallets, request, "wallets", connection.timeout_s)


def _has(group: str, values: dict[str, str]) -> bool:
    """Whether a group, as text, has these values."""
    return {f"{name}={value}" for name, value in values.items()} <= set(_BETWEEN_VALUES.split(group))
