"""`tallystick tenant`: switch tenants off and on."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.connection import admin_service, pages_of
from tallystick.cli.options import Actor, AdminConnection, Tenant
from tallystick.cli.output import print_message, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tallystick.v1 import admin_pb2

Suspended = Annotated[bool, typer.Option("--suspended", help="Only those that are suspended.")]


def suspend(*, tenant: Tenant, actor: Actor, connection: AdminConnection) -> None:
    """Switch a tenant off: from the next call on, on every sidecar.

    Its reservations are refused with TENANT_SUSPENDED, and so are extensions by money and checks of rate
    limits. What is under way can still be settled, released and charged.
    """
    from tallystick.cli.output import time_text
    from tallystick.v1 import admin_pb2

    request = admin_pb2.SuspendTenantRequest(tenant=tenant, by=actor.name, reason=actor.reason)
    with admin_service(connection) as service:
        answer = service.SuspendTenant(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
        return
    told = answer.suspension
    words = "suspended from now on" if answer.changed else "suspended already"
    show(f"{tenant}: {words}, since {time_text(told.since)}{_who(told)}")


def resume(*, tenant: Tenant, actor: Actor, connection: AdminConnection) -> None:
    """Switch a tenant on again: from the next call on, on every sidecar."""
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ResumeTenantRequest(tenant=tenant, by=actor.name, reason=actor.reason)
    with admin_service(connection) as service:
        answer = service.ResumeTenant(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        show(f"{tenant}: {'resumed' if answer.changed else 'was not suspended'}")


def list_tenants(*, suspended: Suspended = False, connection: AdminConnection) -> None:
    """List the tenants that have a policy, with who suspended them and why."""
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ListTenantsRequest(suspended=suspended)
    with admin_service(connection) as service:
        found = pages_of(service.ListTenants, request, "tenants", connection.timeout_s)
    if connection.as_json:
        print_message(found)
    elif found.tenants:
        show(_table(found.tenants))
    else:
        show("no tenant is suspended" if suspended else "no tenant has a policy yet")


def _who(suspension: "admin_pb2.Suspension") -> str:
    by = f" by {suspension.by}" if suspension.by else ""
    return f"{by}: {suspension.reason}" if suspension.reason else by


def _table(tenants: "Sequence[admin_pb2.Tenant]") -> "Table":
    from rich.text import Text

    from tallystick.cli.output import time_text
    from tallystick.cli.tables import make_table

    rows: list[list[Any]] = [[Text(str(tenant.policy_version))] for tenant in tenants]
    table = make_table(("Tenant", "State"), ("Policy",), rows)
    for tenant, cells in zip(tenants, rows, strict=True):
        state = Text("on", style="green")
        if tenant.HasField("suspension"):
            told = tenant.suspension
            state = Text(f"suspended since {time_text(told.since)}{_who(told)}", style="bold red")
        table.add_row(Text(tenant.name, style="bold"), state, *cells)
    return table
