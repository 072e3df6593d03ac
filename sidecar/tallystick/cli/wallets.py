"""`tallystick wallet`: prepaid funds."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.amounts import read_amount, read_expiry
from tallystick.cli.connection import admin_service
from tallystick.cli.options import AdminConnection, Tenant, read_pairs
from tallystick.cli.output import print_message, show

if TYPE_CHECKING:
    from tallystick.v1 import admin_pb2

ALL = "all"


def _wallet(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text, show_default=False)


def _group(text: str, name: str = "--group") -> Any:
    return typer.Option(name, metavar="DIMENSION=VALUE", help=text, show_default=False)


Wallet = Annotated[str, _wallet("WALLET", "The wallet's name in the policy.")]
FromWallet = Annotated[str, _wallet("FROM", "The wallet to take from, by its name in the policy.")]
ToWallet = Annotated[str, _wallet("TO", "The wallet to put into.")]
AmountText = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="As in '25 USD', 0.5USD, '2M tokens'; in the wallet's unit.")
]
AmountOrAll = Annotated[
    str, typer.Argument(metavar="AMOUNT", help=f"As in '25 USD', '2M tokens'; or {ALL} that can be.")
]
GroupPairs = Annotated[
    list[str] | None, _group("Which of the wallets: a value for each dimension of its per.")
]
FromGroup = Annotated[list[str] | None, _group("Which of the wallets FROM.", "--from-group")]
ToGroup = Annotated[list[str] | None, _group("Which of the wallets TO.", "--to-group")]
NewId = Annotated[
    str,
    typer.Option(
        "--id", metavar="ID", help="Its idempotency key: the same again counts once.", show_default=False
    ),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="For the ledger: who, why.", show_default=False)]
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
    new_id: NewId = "",
    reason: Reason = "",
    connection: AdminConnection,
) -> None:
    """Add a lot of paid or earned funds to a wallet.

    A debt is paid off first.
    """
    from tallystick.services.writing_states import UNITS
    from tallystick.v1 import admin_pb2

    given = read_amount("AMOUNT", amount)
    request = admin_pb2.CreditWalletRequest(
        tenant=tenant,
        wallet=wallet,
        group=read_pairs("--group", group),
        amount=given.value,
        unit=UNITS[given.unit],
        credit_id=new_id,
        reason=reason,
        kind=f"LOT_KIND_{kind.name}",
        expires_at=read_expiry(expires) if expires else None,
    )
    with admin_service(connection) as service:
        answer = service.CreditWallet(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
        return
    from tallystick.cli.tables import named, wallet_table
    from tallystick.core.decision import amount_text

    credited = f"{amount_text(given.value, given.unit)} credited to"
    show(f"{credited} {named(answer.wallet.name, answer.wallet.group)}, as {answer.credit_id}")
    show("", wallet_table([answer.wallet]))


def debit(
    *,
    tenant: Tenant,
    wallet: Wallet,
    amount: AmountText,
    group: GroupPairs = None,
    new_id: NewId = "",
    reason: Reason = "",
    connection: AdminConnection,
) -> None:
    """Take available funds out of a wallet.

    More than is available is refused.
    """
    from tallystick.services.writing_states import UNITS
    from tallystick.v1 import admin_pb2

    given = read_amount("AMOUNT", amount)
    request = admin_pb2.DebitWalletRequest(
        tenant=tenant,
        wallet=_ref(wallet, "--group", group),
        amount=given.value,
        unit=UNITS[given.unit],
        debit_id=new_id,
        reason=reason,
    )
    with admin_service(connection) as service:
        answer = service.DebitWallet(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
        return
    from tallystick.cli.tables import draws_text, named, wallet_table
    from tallystick.core.decision import amount_text

    debited = f"{amount_text(given.value, given.unit)} debited from"
    show(f"{debited} {named(answer.wallet.name, answer.wallet.group)}, as {answer.debit_id}")
    if answer.drawn:
        show(f"drawn from {draws_text(answer.drawn, answer.wallet.unit)}")
    show("", wallet_table([answer.wallet]))


def allocate(
    *,
    tenant: Tenant,
    source: FromWallet,
    target: ToWallet,
    amount: AmountText,
    from_group: FromGroup = None,
    to_group: ToGroup = None,
    new_id: NewId = "",
    reason: Reason = "",
    connection: AdminConnection,
) -> None:
    """Move available funds from one wallet to another.

    They keep their kind and expiry, and can be taken back with wallet reclaim as long as they are available.
    """
    from tallystick.services.writing_states import UNITS
    from tallystick.v1 import admin_pb2

    given = read_amount("AMOUNT", amount)
    request = admin_pb2.AllocateFundsRequest(
        tenant=tenant,
        to=_ref(target, "--to-group", to_group),
        amount=given.value,
        unit=UNITS[given.unit],
        transfer_id=new_id,
        reason=reason,
        **{"from": _ref(source, "--from-group", from_group)},
    )
    with admin_service(connection) as service:
        answer = service.AllocateFunds(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        _show_transfer("allocated", given.value, answer)


def reclaim(
    *,
    tenant: Tenant,
    source: FromWallet,
    target: ToWallet,
    amount: AmountOrAll,
    from_group: FromGroup = None,
    to_group: ToGroup = None,
    new_id: NewId = "",
    reason: Reason = "",
    connection: AdminConnection,
) -> None:
    """Take back from a wallet what another one allocated to it and is still available."""
    from tallystick.services.writing_states import UNITS
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ReclaimFundsRequest(tenant=tenant, transfer_id=new_id, reason=reason)
    getattr(request, "from").CopyFrom(_ref(source, "--from-group", from_group))
    request.to.CopyFrom(_ref(target, "--to-group", to_group))
    if amount != ALL:
        given = read_amount("AMOUNT", amount)
        request.amount, request.unit = given.value, UNITS[given.unit]
    with admin_service(connection) as service:
        answer = service.ReclaimFunds(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        _show_transfer("reclaimed", answer.reclaimed, answer)


def _ref(wallet: str, option: str, group: list[str] | None) -> "admin_pb2.WalletRef":
    from tallystick.v1 import admin_pb2

    return admin_pb2.WalletRef(wallet=wallet, group=read_pairs(option, group))


def _show_transfer(
    done: str, amount: int, answer: "admin_pb2.AllocateFundsResponse | admin_pb2.ReclaimFundsResponse"
) -> None:
    from tallystick.cli.tables import amount_of, named, wallet_table

    source, target = getattr(answer, "from"), answer.to
    ends = f"from {named(source.name, source.group)} to {named(target.name, target.group)}"
    show(f"{amount_of(amount, source.unit)} {done} {ends}, as {answer.transfer_id}")
    show("", wallet_table([source, target]))


def show_wallets(tenant: Tenant, connection: AdminConnection) -> None:
    """List the wallets of a tenant that ever had funds or spend, and their lots.

    What is available is funds less spent and held; below zero it is debt. Lots stand in the order in which
    they are drawn.
    """
    from tallystick.v1 import admin_pb2

    with admin_service(connection) as service:
        found = service.ListWallets(admin_pb2.ListWalletsRequest(tenant=tenant), timeout=connection.timeout_s)
    if connection.as_json:
        print_message(found)
        return
    from tallystick.cli.tables import lot_table, wallet_table

    if not found.wallets:
        show(f"{tenant}: no wallet has had funds or spend yet")
        return
    show(wallet_table(found.wallets))
    if any(wallet.lots for wallet in found.wallets):
        show("", lot_table(found.wallets))
