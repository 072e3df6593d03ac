"""What an HTTP request brings along to tell who is calling: its keys, and what the listener says of it."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from tallystick.core.errors import InvalidArgument
from tallystick.core.identity import CREDENTIAL_HEADERS, subject_from
from tallystick.core.subject import DIMENSIONS, LABEL_PREFIX, TENANT, Subject, check_subject

NOTHING: Mapping[str, Any] = MappingProxyType({})
QUERY_KEY = "key"
"""The parameter in which Gemini's clients send the key."""
IN_QUERY = f"?{QUERY_KEY}="
"""The place of a key in the query, beside the names of headers."""
PLACES = (
    f"`authorization: Bearer`, {', '.join(f'`{name}`' for name in CREDENTIAL_HEADERS[1:])} or `{IN_QUERY}`"
)

CONTEXT_PREFIX = "tallystick."
TENANT_CONTEXT = f"{CONTEXT_PREFIX}tenant"
AUTHENTICATED_CONTEXT = f"{CONTEXT_PREFIX}authenticated_headers"
"""The headers, separated by commas, that the listener authenticated, and overwrites or removes otherwise."""


class HttpRequest(NamedTuple):
    """A request as the listener has it. Holds keys: its text shows none of it."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """By name in lower case."""
    claims: Mapping[str, Any] = NOTHING
    """The payload of the JWT that the listener verified; nothing else may be handed over here."""
    principal: str = ""
    """Of the client certificate that the listener verified."""
    context: Mapping[str, str] = NOTHING
    """What the route's configuration says."""

    def __repr__(self) -> str:
        return f"HttpRequest({self.method})"


class FoundKey(NamedTuple):
    """A key, and where it was. Its text does not show it."""

    place: str
    """The name of a header, or `IN_QUERY`."""
    key: str

    def __repr__(self) -> str:
        return f"FoundKey({self.place})"


class Route(NamedTuple):
    """What the route's configuration says of its callers."""

    tenant: str
    """Empty: nothing."""
    subject: Subject
    authenticated: frozenset[str]
    """Names of headers."""


def find_keys(request: HttpRequest) -> list[FoundKey]:
    """Every key of a request, and where it is."""
    found = []
    headers = request.headers
    for name in CREDENTIAL_HEADERS:
        value = headers.get(name)
        if value:
            key = _bearer(value) if name == "authorization" else value.strip()
            if key:
                found.append(FoundKey(name, key))
    if "?" in request.path:
        found += [FoundKey(IN_QUERY, key) for key in _in_query(request.path)]
    return found


def without_key(path: str) -> str:
    """The path without the parameter that holds the key; all else as it was."""
    before, mark, query = path.partition("?")
    kept = [part for part in query.split("&") if not _is_key(part)]
    return before + (mark + "&".join(kept) if kept else "") if mark else path


def _bearer(value: str) -> str:
    scheme, _, key = value.strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _in_query(path: str) -> list[str]:
    parts = path.partition("?")[2].partition("#")[0].split("&")
    keys = [unquote_plus(part.partition("=")[2]) for part in parts if _is_key(part)]
    return [key for key in keys if key]


def _is_key(part: str) -> bool:
    return unquote_plus(part.partition("=")[0]) == QUERY_KEY


def is_token(found: FoundKey) -> bool:
    """Whether it is a JWT, as the listener verifies them."""
    return found.place == "authorization" and found.key.startswith("eyJ") and found.key.count(".") == 2


def read_route(context: Mapping[str, str]) -> Route:
    """What `context_extensions` say, those that begin with `tallystick.`; others are not for us.

    Raises:
        InvalidArgument: names the one that is wrong.
    """
    return _read_route(tuple(context.items()))


@lru_cache(maxsize=1024)
def _read_route(context: tuple[tuple[str, str], ...]) -> Route:
    """The same few routes come again and again."""
    said = {name[len(CONTEXT_PREFIX) :]: v for name, v in context if name.startswith(CONTEXT_PREFIX) and v}
    tenant = said.get("tenant", "")
    if tenant and not TENANT.fullmatch(tenant):
        raise InvalidArgument(TENANT_CONTEXT, "expected 1 to 64 of [a-z0-9_.-]")
    named = {n: v for n, v in said.items() if n in DIMENSIONS or n.startswith(LABEL_PREFIX)}
    subject = subject_from(named)
    check_subject(subject)
    headers = said.get("authenticated_headers", "").split(",")
    return Route(tenant, subject, frozenset(name.strip().lower() for name in headers if name.strip()))
