"""`tallystick policy shadow`: a second policy, decided beside the live one and never enforced."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.connection import admin_service, pages_of
from tallystick.cli.exits import ExitCode
from tallystick.cli.files import read_text
from tallystick.cli.options import AdminConnection, Author, Tenant
from tallystick.cli.output import print_message, show
from tallystick.cli.policy_life import Expect, File, ask, write_document

if TYPE_CHECKING:
    from tallystick.v1 import policy_pb2


def apply_shadow(
    *, file: File, expected_version: Expect = None, author: Author, connection: AdminConnection
) -> None:
    """Decide by this policy, too, on every sidecar, within a second; callers are told nothing of it.

    It counts from 0, or goes on with what the shadow before it has counted.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ApplyPolicyRequest(
        document=read_text(file),
        expected_version=expected_version,
        by=author.name,
        comment=author.comment,
        shadow=True,
    )
    applied = ask(file, request, connection, ExitCode.REFUSED)
    if connection.as_json:
        print_message(applied)
        return
    state = "decides beside the live one" if applied.changed else "did already, and has not changed"
    show(f"{applied.tenant}: version {applied.version} of the shadow {state}")


def show_shadow(*, tenant: Tenant, connection: AdminConnection) -> None:
    """Show the shadow policy, as it was applied."""
    from tallystick.v1 import admin_pb2

    request = admin_pb2.GetPolicyRequest(tenant=tenant, shadow=True)
    with admin_service(connection) as service:
        found = service.GetPolicy(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(found)
    else:
        write_document(found.version, found.document)


def clear(*, tenant: Tenant, author: Author, connection: AdminConnection) -> None:
    """End the shadow of a tenant; what it would have spent is forgotten."""
    from tallystick.v1 import policy_pb2

    request = policy_pb2.ClearShadowRequest(tenant=tenant, by=author.name, comment=author.comment)
    with admin_service(connection) as service:
        answer = service.ClearShadow(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        show(f"{tenant}: {'the shadow has ended' if answer.changed else 'there was no shadow'}")


def report(
    *,
    tenant: Tenant,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many calls at the most.")] = 20,
    connection: AdminConnection,
) -> None:
    """Show what the shadow would have decided otherwise, as far as this sidecar saw it."""
    from tallystick.v1 import policy_pb2

    request = policy_pb2.ListShadowDifferencesRequest(tenant=tenant, page_size=min(limit, 1_000))
    with admin_service(connection) as service:
        found: Any = pages_of(
            service.ListShadowDifferences, request, "differences", connection.timeout_s, most=limit
        )
    if connection.as_json:
        print_message(found)
    else:
        _show_report(tenant, found)


def _show_report(tenant: str, found: "policy_pb2.ListShadowDifferencesResponse") -> None:
    from tallystick.cli.shadow_tables import calls_table, counts_table

    differ = sum(each.count for each in found.counts)
    show(
        f"{tenant}: version {found.version} of the shadow decided {found.decided} calls, "
        f"{differ} of them otherwise"
    )
    if found.counts:
        show("", counts_table(found.counts), "", calls_table(found.differences))
