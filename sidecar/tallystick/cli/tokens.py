"""`tallystick token`: how callers over gRPC say who they are."""

import sys
from dataclasses import fields
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.amounts import read_expiry
from tallystick.cli.connection import admin_service, pages_of
from tallystick.cli.options import AdminConnection, SubjectOptions, read_pairs
from tallystick.cli.output import message_document, print_json, print_message, show, time_text

if TYPE_CHECKING:
    from tallystick.v1 import token_pb2 as pb

EVERY = "*"
ONCE = "The token is shown this once: give it to the caller, and keep it nowhere else."

_EVERY_HELP = "The tenant's name; '*' for every tenant."
TokenTenant = Annotated[str, typer.Argument(metavar="TENANT", help=_EVERY_HELP, show_default=False)]
TokenName = Annotated[
    str, typer.Argument(metavar="NAME", help="The token's name, once in its tenant.", show_default=False)
]


class RoleName(StrEnum):
    """What a caller may do."""

    DECIDE = "decide"
    READ = "read"
    ADMIN = "admin"


def create(
    *,
    tenant: TokenTenant,
    name: TokenName,
    can: Annotated[
        list[RoleName], typer.Option("--can", help="What it may do; may be repeated.", show_default=False)
    ],
    expires: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="When it ends: a date, a time or a length such as 90d.", show_default=False
        ),
    ] = "",
    subject: SubjectOptions,
    connection: AdminConnection,
) -> None:
    """Make a token for a caller over gRPC, and show it once.

    A token with --team, --user and so on is bound to them: its calls can name no others, and get these
    where they name none.
    """
    from tallystick.v1 import token_pb2 as pb

    given = {each.name: getattr(subject, each.name) for each in fields(subject) if each.name != "label"}
    bound = {dimension: value for dimension, value in given.items() if value}
    bound |= {f"label.{label}": value for label, value in read_pairs("--label", subject.label).items()}
    request = pb.CreateTokenRequest(
        tenant=tenant,
        name=name,
        roles=[f"ROLE_{each.name}" for each in can],
        subject=bound,
        expires_at=read_expiry(expires) if expires else None,
    )
    with admin_service(connection) as service:
        made = service.CreateToken(request, timeout=connection.timeout_s)
    if connection.as_json:
        document = message_document(made)
        print_json({"token": document["secret"], **document["token"]})
    else:
        sys.stdout.write(f"{made.secret}\n\n{ONCE}\n{_summary(made.token)}\n")


def list_tokens(
    *,
    tenant: Annotated[
        str, typer.Argument(metavar="[TENANT]", help=f"{_EVERY_HELP} Default: all.", show_default=False)
    ] = "",
    connection: AdminConnection,
) -> None:
    """List the tokens that the store keeps, without what they are."""
    from tallystick.v1 import token_pb2 as pb

    with admin_service(connection) as service:
        request = pb.ListTokensRequest(tenant=tenant)
        found = pages_of(service.ListTokens, request, "tokens", connection.timeout_s)
    if connection.as_json:
        print_message(found)
        return
    if not found.tokens:
        show(f"{tenant}: no tokens" if tenant else "no tokens")
        return
    from tallystick.cli.tables import make_table

    table = make_table(("tenant", "name", "roles", "bound to", "expires", "made"))
    for token in found.tokens:
        expires = time_text(token.expires_at) if token.HasField("expires_at") else "never"
        table.add_row(
            token.tenant, token.name, _roles(token), _bound(token), expires, time_text(token.created_at)
        )
    show(table)


def revoke(*, tenant: TokenTenant, name: TokenName, connection: AdminConnection) -> None:
    """Revoke a token: every sidecar refuses it within a second."""
    from tallystick.v1 import token_pb2 as pb

    with admin_service(connection) as service:
        service.RevokeToken(pb.RevokeTokenRequest(tenant=tenant, name=name), timeout=connection.timeout_s)
    if connection.as_json:
        print_json({"tenant": tenant, "name": name, "revoked": True})
    else:
        show(f"{tenant}: token {name} is revoked")


def _summary(token: "pb.Token") -> str:
    whose = "every tenant" if token.tenant == EVERY else f"tenant {token.tenant}"
    bound = f", bound to {_bound(token)}" if token.subject else ""
    until = f", until {time_text(token.expires_at)}" if token.HasField("expires_at") else ""
    return f"{token.name}: {_roles(token)} for {whose}{bound}{until}"


def _roles(token: "pb.Token") -> str:
    from tallystick.v1 import token_pb2 as pb

    return ", ".join(pb.Role.Name(role).removeprefix("ROLE_").lower() for role in token.roles)


def _bound(token: "pb.Token") -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(token.subject.items()))
