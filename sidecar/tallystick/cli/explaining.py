"""`tallystick explain`: what a reservation would be told, and why."""

from tallystick.cli.connection import budget_service
from tallystick.cli.options import Connection, SubjectOptions, Tenant
from tallystick.cli.output import print_message
from tallystick.cli.requests import EstimateOptions, put_estimate, subject_message
from tallystick.cli.reservations import Model, Provider, exit_if_denied


def explain(
    *,
    tenant: Tenant,
    model: Model = "",
    provider: Provider = "",
    estimate: EstimateOptions,
    subject: SubjectOptions,
    connection: Connection,
) -> None:
    """Show what reserve would answer now, and why; nothing is held.

    Of each model that is considered it lists the budgets, then the wallets, and marks what decides.
    Exits with 0 for ALLOW and with 10 for DENY.
    """
    from tallystick.v1 import budget_pb2 as pb

    call = pb.ReserveRequest(tenant=tenant, subject=subject_message(subject), model=model, provider=provider)
    put_estimate(call, estimate)
    with budget_service(connection) as service:
        told = service.Explain(pb.ExplainRequest(call=call), timeout=connection.timeout_s)
    if connection.as_json:
        print_message(told)
    else:
        from tallystick.cli.decisions import show_explanation

        show_explanation(told)
    exit_if_denied(told.result)
