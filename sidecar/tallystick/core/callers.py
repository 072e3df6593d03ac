"""Who calls over gRPC: a tenant, roles, and subject values that the caller can't override.

A token is `tallytoken-SECRET`; of the secret's 256 random bits only the SHA-256 is kept
(`core.consumer_keys`). It is found by that digest in a dict: what the time of a look-up tells is
about digests, and nobody can make a token whose digest begins as another's does.
"""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from tallystick.core.consumer_keys import make_secret
from tallystick.core.errors import InvalidArgument
from tallystick.core.identity import subject_from
from tallystick.core.packing import compact
from tallystick.core.subject import DIMENSIONS, LABEL_PREFIX, TENANT, check_subject

EVERY_TENANT = "*"
TOKEN_PREFIX = "tallytoken-"  # noqa: S105 - it is no token yet
MOST_TOKENS = 1_000
"""In one store."""
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class Role(StrEnum):
    """What a caller may do; one does not include another."""

    DECIDE = "decide"
    """Reserve, settle, charge: what a gateway does."""
    READ = "read"
    """See policies, wallets and budgets."""
    ADMIN = "admin"
    """Change them, and make tokens."""


class Caller(NamedTuple):
    """Who is calling, and what that allows."""

    name: str
    """For messages and logs, as `token acme/gateway`."""
    tenant: str
    """Or `EVERY_TENANT`."""
    roles: frozenset[Role]
    bound: tuple[tuple[str, str], ...] = ()
    """(dimension or `label.NAME`, value) that every subject of its calls has."""
    expires_ms: int = 0
    """0: never."""

    def may_touch(self, tenant: str) -> bool:
        """Whether it may see and change what is this tenant's."""
        return self.tenant in (tenant, EVERY_TENANT)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept, without its secret."""

    tenant: str
    name: str
    digest: bytes
    roles: tuple[Role, ...]
    bound: tuple[tuple[str, str], ...] = ()
    expires_ms: int = 0
    """Unix milliseconds; 0: never."""
    created_ms: int = 0

    @property
    def field(self) -> str:
        """Its place in the store."""
        return f"{self.tenant}:{self.name}"

    def record(self) -> str:
        """What the store keeps in that place."""
        roles = [str(role) for role in self.roles]
        return compact([self.digest.hex(), roles, dict(self.bound), self.expires_ms, self.created_ms])

    @property
    def told(self) -> dict[str, str]:
        """What the ledger tells of it."""
        bound = ",".join(f"{name}={value}" for name, value in self.bound)
        return {"roles": ",".join(self.roles), "subject": bound, "expires": str(self.expires_ms)}

    def caller(self) -> Caller:
        """Whom it stands for."""
        name = f"token {self.tenant}/{self.name}"
        return Caller(name, self.tenant, frozenset(self.roles), self.bound, self.expires_ms)


class CertificateRule(NamedTuple):
    """Whom a client certificate stands for."""

    match: tuple[str, ...]
    """Patterns with `*` and `?`, of which one must fit one of its names."""
    caller: Caller


def read_token(field: str, record: str) -> Token:
    """A token out of its `field` and `record`."""
    tenant, _, name = field.partition(":")
    digest, roles, bound, expires_ms, created_ms = json.loads(record)
    return Token(
        tenant,
        name,
        bytes.fromhex(digest),
        tuple(Role(role) for role in roles),
        tuple(bound.items()),
        expires_ms,
        created_ms,
    )


def make_token() -> str:
    """Makes a token of 256 random bits."""
    return TOKEN_PREFIX + make_secret()


def new_stamp() -> str:
    """What tells one state of the tokens from every other one, also after a backup was restored."""
    return secrets.token_hex(8)


def check_token(token: Token) -> None:
    """Refuses a token that nobody could use, or that would allow more than it says.

    Raises:
        InvalidArgument: names the field.
    """
    if token.tenant != EVERY_TENANT and not TENANT.fullmatch(token.tenant):
        raise InvalidArgument("tenant", f"expected 1 to 64 of [a-z0-9_.-], or {EVERY_TENANT} for every one")
    if not NAME.fullmatch(token.name):
        raise InvalidArgument("name", "expected 1 to 64 of [a-z0-9_.-] that begin with a letter or digit")
    check_rights(token.roles, token.bound)


def check_rights(roles: Sequence[Role], bound: Sequence[tuple[str, str]]) -> None:
    """Refuses roles and subject values that don't go together. Raises InvalidArgument."""
    if not roles or len(set(roles)) < len(roles):
        raise InvalidArgument("roles", f"expected one or more of {', '.join(Role)}, each once")
    for name, value in bound:
        if name not in DIMENSIONS and not name.startswith(LABEL_PREFIX):
            known = ", ".join(DIMENSIONS)
            raise InvalidArgument("subject", f"expected dimensions among {known}, {LABEL_PREFIX}NAME")
        if not value:
            raise InvalidArgument("subject", f"expected a value of {name}")
    check_subject(subject_from(dict(bound)))
    if bound and Role.ADMIN in roles:
        raise InvalidArgument("subject", "expected none with the role admin, which is of a whole tenant")


def certified(rules: Sequence[CertificateRule], names: Sequence[str]) -> Caller | None:
    """Whom a certificate with these names stands for: the first rule that fits."""
    for rule in rules:
        if any(fnmatchcase(name, pattern) for name in names for pattern in rule.match):
            return rule.caller
    return None
