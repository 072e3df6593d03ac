"""`tallystick policy`: compare a policy, put it in force, show those that are kept, and go back."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.connection import admin_service, pages_of
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.files import read_text
from tallystick.cli.options import AdminConnection, Author, Tenant
from tallystick.cli.output import print_message, show
from tallystick.cli.policies import problem_lines

if TYPE_CHECKING:
    from tallystick.v1 import admin_pb2

File = Annotated[str, typer.Argument(metavar="FILE", help="The policy, YAML; - is standard input.")]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect",
        "--expected-version",
        min=0,
        metavar="N",
        help="Only if this version is in force; 0 is none.",
        show_default=False,
    ),
]


def apply(
    *,
    file: File,
    expected_version: Expect = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing, and show what would change.")
    ] = False,
    author: Author,
    connection: AdminConnection,
) -> None:
    """Put a policy in force, on every sidecar, from the next call on.

    A bad one is refused with all that is wrong in it, and the one in force stays.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ApplyPolicyRequest(
        document=read_text(file),
        expected_version=expected_version,
        dry_run=dry_run,
        by=author.name,
        comment=author.comment,
    )
    applied = ask(file, request, connection, ExitCode.REFUSED)
    if connection.as_json:
        print_message(applied)
    elif dry_run:
        _show_preview(applied)
    else:
        state = "is in force" if applied.changed else "was in force already, and has not changed"
        show(f"{applied.tenant}: version {applied.version} {state}")


def diff(*, file: File, connection: AdminConnection) -> None:
    """Show in words what a policy says otherwise than the one in force; nothing is changed.

    Exits with 0 where they mean the same, with 1 where they don't, and with 2 for a bad policy.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ApplyPolicyRequest(document=read_text(file), dry_run=True)
    found = ask(file, request, connection, ExitCode.USAGE)
    if connection.as_json:
        print_message(found)
    else:
        _show_preview(found)
    if found.differences:
        raise typer.Exit(ExitCode.REFUSED)


def ask(
    file: str, request: "admin_pb2.ApplyPolicyRequest", connection: AdminConnection, bad: ExitCode
) -> "admin_pb2.ApplyPolicyResponse":
    """Ask for it; a policy that is refused ends the command as `bad`, with all its problems."""
    import grpc

    with admin_service(connection) as service:
        try:
            answer: admin_pb2.ApplyPolicyResponse = service.ApplyPolicy(request, timeout=connection.timeout_s)
        except grpc.RpcError as error:
            lines = problem_lines(file, request.document)
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT or not lines:
                raise
            raise CommandError(bad, f"{file} is refused", *lines) from None
        return answer


def _show_preview(found: "admin_pb2.ApplyPolicyResponse") -> None:
    from tallystick.cli.policy_tables import differences_table, over_table

    before = f"version {found.version}" if found.version else "no policy"
    if not found.differences:
        show(f"{found.tenant}: means the same as {before}")
        return
    show(f"{found.tenant}: what changes from {before}", "", differences_table(found.differences))
    if found.over:
        more = ", and more" if found.more_over else ""
        show("", f"Over the limit at once{more}:", "", over_table(found.over))


def show_policy(
    *,
    tenant: Tenant,
    version: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Another version. Default: the one in force.", show_default=False
        ),
    ] = None,
    connection: AdminConnection,
) -> None:
    """Show the policy in force, or another version that is kept, as it was applied."""
    from tallystick.v1 import admin_pb2

    request = admin_pb2.GetPolicyRequest(tenant=tenant, version=version or 0)
    with admin_service(connection) as service:
        found = service.GetPolicy(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(found)
        return
    write_document(found.version, found.document)


def write_document(version: int, document: str) -> None:
    """Only the document goes to standard output, so that it can be edited and applied again."""
    sys.stderr.write(f"version {version}\n")
    sys.stdout.write(document if document.endswith("\n") else document + "\n")


def history(
    *,
    tenant: Tenant,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many at the most.")] = 100,
    connection: AdminConnection,
) -> None:
    """List the versions of a policy that are kept, the newest first: who applied them, when and why."""
    from tallystick.cli.policy_tables import history_table
    from tallystick.v1 import policy_pb2

    request = policy_pb2.GetPolicyHistoryRequest(tenant=tenant, page_size=min(limit, 1_000))
    with admin_service(connection) as service:
        found: Any = pages_of(service.GetPolicyHistory, request, "versions", connection.timeout_s, most=limit)
    if connection.as_json:
        print_message(found)
    else:
        show(history_table(found.versions))


def rollback(
    *,
    tenant: Tenant,
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            min=1,
            metavar="N",
            help="The version to go back to. Default: the one before the one in force.",
            show_default=False,
        ),
    ] = None,
    expected_version: Expect = None,
    author: Author,
    connection: AdminConnection,
) -> None:
    """Put an earlier policy in force again, as a new version, on every sidecar, from the next call on."""
    from tallystick.v1 import policy_pb2

    request = policy_pb2.RollbackPolicyRequest(
        tenant=tenant,
        to_version=to or 0,
        expected_version=expected_version,
        by=author.name,
        comment=author.comment,
    )
    with admin_service(connection) as service:
        answer = service.RollbackPolicy(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        words = "is in force, with" if answer.changed else "is in force already, and has"
        show(f"{tenant}: version {answer.version} {words} the document of version {answer.rolled_back_to}")
