"""`tallystick balance`: what a subject's next call would meet."""

from tallystick.cli.connection import budget_service
from tallystick.cli.options import Connection, SubjectOptions, Tenant
from tallystick.cli.output import print_message, show
from tallystick.cli.requests import subject_message
from tallystick.cli.reservations import Model, Provider


def balance(
    *,
    tenant: Tenant,
    model: Model = "",
    provider: Provider = "",
    subject: SubjectOptions,
    connection: Connection,
) -> None:
    """Show the wallets and budgets that a subject's next call would meet.

    Wallets stand in the order of the cascade; the first with anything available pays.
    """
    from tallystick.v1 import budget_pb2 as pb

    request = pb.BalanceRequest(
        tenant=tenant, subject=subject_message(subject), model=model, provider=provider
    )
    with budget_service(connection) as service:
        found = service.Balance(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(found)
        return
    from tallystick.cli.tables import budget_table, wallet_table

    version = found.policy_version
    show(f"{tenant}: policy version {version}" if version else f"{tenant}: no policy is in force")
    if found.suspended:
        show("The tenant is suspended: every reservation is refused.")
    if found.wallets:
        show("", wallet_table(found.wallets, found.effective_wallet))
        if not found.effective_wallet:
            show("No wallet has anything available.")
    if found.budgets:
        show("", budget_table(found.budgets))
    if not found.wallets and not found.budgets:
        show("No wallet and no budget is for this subject.")
