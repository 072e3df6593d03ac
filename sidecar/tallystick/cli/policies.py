"""`tallystick policy`: check a policy, put it in force, show the one in force."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.connection import admin_service
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.files import read_text
from tallystick.cli.options import AdminConnection, Json, Tenant
from tallystick.cli.output import print_json, print_message, show

if TYPE_CHECKING:
    from tallystick.core.errors import InvalidPolicy
    from tallystick.core.policy import Policy

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Policies, YAML; - is standard input.")]


def validate(files: Files, as_json: Json = False) -> None:
    """Check policies without a sidecar, and show all that is wrong in them.

    Problems are printed as FILE:LINE:COLUMN: path: what was expected. Exits with 1 if there are any.
    """
    from tallystick.policyfile import find_problems, load_policy

    found: dict[str, tuple[Policy | None, list[InvalidPolicy]]] = {}
    for file in files:
        text = read_text(file)
        problems = find_problems(text)
        found[file] = (None if problems else load_policy(text), problems)
    bad = any(problems for _, problems in found.values())
    if as_json:
        reports = [_report(file, policy, problems) for file, (policy, problems) in found.items()]
        print_json({"valid": not bad, "files": reports})
    else:
        _show_found(found)
    if bad:
        raise typer.Exit(ExitCode.REFUSED)


def apply(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The policy, YAML; - is standard input.")],
    expected_version: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Only if this version is in force; 0 is none.", show_default=False
        ),
    ] = None,
    connection: AdminConnection,
) -> None:
    """Put a policy in force, on every sidecar, from the next call on.

    A bad one is refused with all that is wrong in it, and the one in force stays.
    """
    import grpc

    from tallystick.v1 import admin_pb2

    document = read_text(file)
    request = admin_pb2.ApplyPolicyRequest(document=document, expected_version=expected_version)
    with admin_service(connection) as service:
        try:
            applied = service.ApplyPolicy(request, timeout=connection.timeout_s)
        except grpc.RpcError as error:
            lines = problem_lines(file, document)
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT or not lines:
                raise
            raise CommandError(ExitCode.REFUSED, f"{file} is refused", *lines) from None
    if connection.as_json:
        print_message(applied)
    else:
        state = "is in force" if applied.changed else "was in force already, and has not changed"
        show(f"{applied.tenant}: version {applied.version} {state}")


def show_policy(tenant: Tenant, connection: AdminConnection) -> None:
    """Show the policy in force, as it was applied."""
    from tallystick.v1 import admin_pb2

    with admin_service(connection) as service:
        found = service.GetPolicy(admin_pb2.GetPolicyRequest(tenant=tenant), timeout=connection.timeout_s)
    if connection.as_json:
        print_message(found)
        return
    # Only the document goes to standard output, so that it can be edited and applied again.
    sys.stderr.write(f"version {found.version}\n")
    sys.stdout.write(found.document if found.document.endswith("\n") else found.document + "\n")


def problem_lines(file: str, document: str) -> list[str]:
    """Write every problem of a document as `FILE:LINE:COLUMN: path: expected …`."""
    from tallystick.policyfile import find_problems

    return [_line(file, problem) for problem in find_problems(document)]


def _line(file: str, problem: "InvalidPolicy") -> str:
    path = f"{problem.field}: " if problem.field else ""
    return f"{file}:{problem.line or 1}:{problem.column or 1}: {path}{problem.expected}"


def _report(file: str, policy: "Policy | None", problems: "list[InvalidPolicy]") -> dict[str, Any]:
    return {
        "file": file,
        "tenant": policy.tenant if policy else "",
        "problems": [
            {"line": each.line, "column": each.column, "path": each.field, "expected": each.expected}
            for each in problems
        ],
    }


def _show_found(found: "dict[str, tuple[Policy | None, list[InvalidPolicy]]]") -> None:
    from tallystick.cli.summaries import show_summary

    for number, (file, (policy, problems)) in enumerate(found.items()):
        if number:
            show("")
        if policy:
            show_summary(file, policy)
        for problem in problems:
            sys.stdout.write(_line(file, problem) + "\n")
