"""`tallystick charge`: a cost that nothing was held for."""

import secrets
from typing import Annotated

import typer

from tallystick.cli.connection import budget_service
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import Connection, SubjectOptions, Tenant
from tallystick.cli.output import print_message, show
from tallystick.cli.requests import ActualOptions, put_used, subject_message
from tallystick.cli.reservations import Model, Provider

ChargeId = Annotated[
    str,
    typer.Option(
        "--id", metavar="ID", help="Its idempotency key; without it each run charges.", show_default=False
    ),
]


def charge(
    *,
    tenant: Tenant,
    model: Model = "",
    provider: Provider = "",
    actual: ActualOptions,
    subject: SubjectOptions,
    new_id: ChargeId = "",
    connection: Connection,
) -> None:
    """Charge what a call took that was not reserved: of a batch, or after the fact.

    It is recorded whatever is left: the last wallet may go into debt by it, and budgets above their
    limits.
    """
    from tallystick.v1 import budget_pb2 as pb

    request = pb.ChargeRequest(
        tenant=tenant,
        charge_id=new_id or f"c-{secrets.token_hex(12)}",
        subject=subject_message(subject),
        model=model,
        provider=provider,
    )
    put_used(request, actual)
    if request.WhichOneof("used") != "cost" and not model:
        raise CommandError(ExitCode.USAGE, "--model: expected the model that the tokens are priced for")
    with budget_service(connection) as service:
        charged = service.Charge(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(charged)
        return
    from tallystick.cli.tables import cost_text, payment_lines

    show(f"{charged.charge_id}: charged {cost_text(charged.charged)}", *payment_lines(charged))
