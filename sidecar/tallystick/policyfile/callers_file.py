"""The file of callers (`TALLYSTICK_CALLERS_FILE`): whom tokens, certificates and the socket stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationError

from tallystick.core.callers import EVERY_TENANT, Caller, CertificateRule, Role, check_rights
from tallystick.core.errors import InvalidArgument, InvalidPolicy
from tallystick.policyfile import fields
from tallystick.policyfile.identity_fields import KeyHash, Subject
from tallystick.policyfile.problems import in_order, problem, schema_problems
from tallystick.policyfile.section import Section, Sections
from tallystick.policyfile.tree import Node, read_tree
from tallystick.policyfile.values import check_tenant, described, refuse


def _check_tenant(value: Any) -> str:
    return EVERY_TENANT if value == EVERY_TENANT else check_tenant(value)


def _check_role(value: Any) -> Role:
    if value not in tuple(Role):
        refuse(f"expected one of {', '.join(Role)}, got {described(value)}")
    return Role(value)


def _check_expiry(value: Any) -> int:
    """Take an instant as Unix milliseconds."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        refuse(f"expected a time with its zone, such as 2027-01-31T00:00:00Z, got {described(value)}")
    return int(at.timestamp() * 1000)


_Roles = Annotated[
    list[Annotated[Role, PlainValidator(_check_role)]],
    BeforeValidator(fields.listed),
    AfterValidator(fields.at_least_one),
    AfterValidator(fields.unique),
]


class Rights(Section):
    """What a caller may do."""

    tenant: Annotated[str, PlainValidator(_check_tenant)]
    roles: _Roles
    subject: Subject = Field(default_factory=dict)


class TokenRights(Rights):
    """Of a token."""

    hash: KeyHash
    expires: Annotated[int, PlainValidator(_check_expiry)] = 0


class CertificateRights(Rights):
    """Of a client certificate."""

    match: fields.Patterns


class CallersDocument(Section):
    """The whole file."""

    tokens: dict[fields.Name, TokenRights] = Field(default_factory=dict)
    certificates: list[CertificateRights] = Field(default_factory=list)
    socket: Annotated[Rights | None, BeforeValidator(fields.no_null)] = None


_SECTIONS: Sections = (
    ((), CallersDocument),
    (("tokens", "*"), TokenRights),
    (("certificates", "*"), CertificateRights),
    (("socket",), Rights),
)


@dataclass(frozen=True, slots=True)
class FileOfCallers:
    """What such a file says."""

    tokens: Mapping[bytes, Caller] = field(default_factory=dict)
    """By digest."""
    certificates: tuple[CertificateRule, ...] = ()
    """The first that fits counts."""
    socket: Caller | None = None
    """Who calls over the Unix socket without a token."""


def load_callers(text: str) -> FileOfCallers:
    """Read the file.

    Raises:
        InvalidPolicy: the first problem, with its line and column. No token is quoted.

    """
    if not text.strip():
        expected = f"expected a mapping with {', '.join(CallersDocument.model_fields)}, got nothing"
        raise InvalidPolicy("document", expected, 1, 1)
    root = read_tree(text)
    try:
        document = CallersDocument.model_validate(root.plain())
    except ValidationError as error:
        raise schema_problems(error, root, _SECTIONS)[0] from None
    if broken := _broken(document, root):
        raise in_order(broken)[0]
    return FileOfCallers(
        {each.hash: _caller(f"token {name}", each, each.expires) for name, each in document.tokens.items()},
        tuple(
            CertificateRule(tuple(each.match), _caller(f"certificate {' or '.join(each.match)}", each))
            for each in document.certificates
        ),
        _caller("the Unix socket's caller", document.socket) if document.socket else None,
    )


def _broken(document: CallersDocument, root: Node) -> list[InvalidPolicy]:
    """Rules between the parts."""
    places: list[tuple[tuple[str | int, ...], Rights]] = []
    places += [(("tokens", name), each) for name, each in document.tokens.items()]
    places += [(("certificates", i), each) for i, each in enumerate(document.certificates)]
    places += [(("socket",), document.socket)] if document.socket else []
    broken = []
    for place, rights in places:
        try:
            check_rights(rights.roles, tuple(rights.subject.items()))
        except InvalidArgument as error:
            broken.append(problem(root, (*place, error.field), error.expected))
    seen: dict[bytes, str] = {}
    for name, token in document.tokens.items():
        if seen.setdefault(token.hash, name) != name:
            expected = f"expected another hash than that of {seen[token.hash]}"
            broken.append(problem(root, ("tokens", name, "hash"), expected))
    return broken


def _caller(name: str, rights: Rights, expires_ms: int = 0) -> Caller:
    bound = tuple(sorted(rights.subject.items()))
    return Caller(name, rights.tenant, frozenset(rights.roles), bound, expires_ms)
