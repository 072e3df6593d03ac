"""From requests about tokens to tokens, and back."""

from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.core.callers import Role, Token
from tallystick.core.errors import InvalidArgument
from tallystick.services.reading_wallets import read_expiry
from tallystick.services.writing_states import timestamp
from tallystick.v1 import token_pb2 as pb

ROLES = {pb.ROLE_DECIDE: Role.DECIDE, pb.ROLE_READ: Role.READ, pb.ROLE_ADMIN: Role.ADMIN}
_NUMBERS: dict[Role, Any] = {role: number for number, role in ROLES.items()}


def read_new_token(request: pb.CreateTokenRequest) -> Token:
    """A token that has no digest yet. Raises InvalidArgument."""
    unknown = [number for number in request.roles if number not in ROLES]
    if unknown or not request.roles:
        raise InvalidArgument("roles", "expected one or more of ROLE_DECIDE, ROLE_READ, ROLE_ADMIN")
    return Token(
        request.tenant,
        request.name,
        b"",
        tuple(ROLES[number] for number in request.roles),
        tuple(sorted(request.subject.items())),
        read_expiry(request.expires_at) if request.HasField("expires_at") else 0,
    )


def token_place(token: Token) -> str:
    """Where a token stands in a list."""
    return token.field


def write_token(token: Token) -> pb.Token:
    """A token without its digest."""
    return pb.Token(
        name=token.name,
        tenant=token.tenant,
        roles=[_NUMBERS[role] for role in token.roles],
        subject=dict(token.bound),
        expires_at=_time(token.expires_ms),
        created_at=_time(token.created_ms),
    )


def _time(at_ms: int) -> Timestamp | None:
    return timestamp(at_ms) if at_ms else None
