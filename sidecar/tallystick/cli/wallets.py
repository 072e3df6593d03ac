"""`tallystick wallet`: prepaid funds."""

from typing import Annotated

import typer

from tallystick.cli.amounts import read_amount
from tallystick.cli.connection import admin_service
from tallystick.cli.options import AdminConnection, Tenant, read_pairs
from tallystick.cli.output import print_message, show

Wallet = Annotated[str, typer.Argument(metavar="WALLET", help="The wallet's name in the policy.")]
AmountText = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="As in '25 USD', 0.5USD, '2M tokens'; in the wallet's unit.")
]
GroupPairs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIMENSION=VALUE",
        help="Which of the wallets: a value for each dimension of its per.",
        show_default=False,
    ),
]
CreditId = Annotated[
    str,
    typer.Option(
        "--id", metavar="ID", help="Its idempotency key: the same credit counts once.", show_default=False
    ),
]
CreditReason = Annotated[
    str, typer.Option(metavar="TEXT", help="For the ledger: who, why.", show_default=False)
]


def credit(
    *,
    tenant: Tenant,
    wallet: Wallet,
    amount: AmountText,
    group: GroupPairs = None,
    credit_id: CreditId = "",
    reason: CreditReason = "",
    connection: AdminConnection,
) -> None:
    """Add paid funds to a wallet."""
    from tallystick.services.writing_states import UNITS
    from tallystick.v1 import admin_pb2

    paid = read_amount("AMOUNT", amount)
    request = admin_pb2.CreditWalletRequest(
        tenant=tenant,
        wallet=wallet,
        group=read_pairs("--group", group),
        amount=paid.value,
        unit=UNITS[paid.unit],
        credit_id=credit_id,
        reason=reason,
    )
    with admin_service(connection) as service:
        answer = service.CreditWallet(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
        return
    from tallystick.cli.tables import named, wallet_table
    from tallystick.core.decision import amount_text

    credited = f"{amount_text(paid.value, paid.unit)} credited to"
    show(f"{credited} {named(answer.wallet.name, answer.wallet.group)}, as {answer.credit_id}")
    show("", wallet_table([answer.wallet]))


def show_wallets(tenant: Tenant, connection: AdminConnection) -> None:
    """List the wallets of a tenant that ever had funds or spend.

    What is available is funds less spent and held; below zero it is debt.
    """
    from tallystick.v1 import admin_pb2

    with admin_service(connection) as service:
        found = service.ListWallets(admin_pb2.ListWalletsRequest(tenant=tenant), timeout=connection.timeout_s)
    if connection.as_json:
        print_message(found)
        return
    from tallystick.cli.tables import wallet_table

    show(wallet_table(found.wallets) if found.wallets else f"{tenant}: no wallet has had funds or spend yet")
