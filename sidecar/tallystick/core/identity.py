"""Who is calling over HTTP: which sources may name which dimension of the subject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.core.subject import (
    DIMENSIONS,
    LABEL_PREFIX,
    MAX_LABELS,
    Subject,
    check_text,
)

NOBODY = Subject()

CALLER_DIMENSIONS = DIMENSIONS[:5]
"""org, team, user, service, repository: a call without a key must come with one of them."""

Path = tuple[str | int, ...]
"""The way to a claim: names of mappings, places in lists from 0 on."""

CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
"""Where the official SDKs put the key. None of them may name a dimension: it would be in the ledger."""


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who a key stands for."""

    name: str
    digests: tuple[bytes, ...]
    """SHA-256 of its keys: several while one replaces another."""
    subject: Subject = NOBODY
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class PrincipalRule:
    """Who a client certificate stands for."""

    match: tuple[str, ...]
    """Patterns with `*` and `?`, of which one must fit."""
    subject: Subject


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """What is believed of whom. Whatever is not named here has no effect."""

    claims: tuple[tuple[str, Path], ...] = ()
    """(dimension, claim): of a JWT that the listener verified."""
    headers: tuple[tuple[str, str], ...] = ()
    """(dimension, header): only where the listener says that it authenticated this header."""
    principals: tuple[PrincipalRule, ...] = ()
    """The first that fits counts."""
    self_declared: tuple[tuple[str, str], ...] = ()
    """(dimension, header): what clients may say of themselves, where nobody else said it."""
    anonymous: Subject | None = None
    """Who calls without any identity; None where they may not."""
    ignore_unknown_keys: bool = False
    """A key that is neither ours nor of a consumer: as if it were not there, for the provider to judge."""


@dataclass(frozen=True, slots=True)
class RouteRules:
    """What happens to routes that nobody meters."""

    unmetered: tuple[str, ...] = ()
    """Patterns with `*` of paths that are let through."""
    without_usage: tuple[str, ...] = ()
    """Providers, by their names in the proxy, that don't know `stream_options.include_usage`."""

    def let_through(self, path: str) -> bool:
        """Whether this path, its query aside, may go to the provider unmetered.

        A path that a provider may read as another one (`//`, `..`, `%2f`) fits no pattern but `*`.
        """
        if self.unmetered == ("*",):
            return True
        path = path.partition("?")[0]
        return _is_plain(path) and any(fnmatchcase(path, pattern) for pattern in self.unmetered)


def _is_plain(path: str) -> bool:
    """Whether there are no two ways to read a path."""
    segments = path.removesuffix("/").split("/")[1:]
    return (
        path.startswith("/")
        and path.isascii()
        and path.isprintable()
        and not any(character in path for character in "%\\;# ")
        and all(segment.strip(".") for segment in segments)
    )


def claimed(rules: IdentityRules, claims: Mapping[str, Any]) -> Subject:
    """What verified claims say. Raises InvalidArgument for a value that can't be a dimension's."""
    if not (rules.claims and claims):
        return NOBODY
    found: dict[str, str] = {}
    for dimension, path in rules.claims:
        value = _text(_claim(claims, path))
        if value:
            check_text(f"claim {'.'.join(map(str, path))}", value)
            found[dimension] = value
    return subject_from(found)


def _claim(claims: Any, path: Path) -> Any:
    """Follows a path; None where it leads nowhere."""
    at = claims
    for part in path:
        if isinstance(at, Mapping):
            at = at.get(str(part))
        elif isinstance(at, Sequence) and not isinstance(at, str | bytes) and isinstance(part, int):
            at = at[part] if part < len(at) else None
        else:
            return None
    return at


def _text(value: Any) -> str:
    """A claim as a dimension's value; empty if it is none. Envoy has all numbers as doubles."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return str(int(value))
    return str(value) if isinstance(value, str | int) else ""


def said_by_headers(
    rules: Sequence[tuple[str, str]], headers: Mapping[str, str], among: frozenset[str] | None = None
) -> Subject:
    """What headers say, those in `among` alone if it is given. Raises InvalidArgument."""
    found: dict[str, str] = {}
    for dimension, header in rules:
        value = headers.get(header)
        if value and (among is None or header in among):
            check_text(header, value)
            found[dimension] = value
    return subject_from(found)


def stood_for(rules: IdentityRules, principal: str) -> Subject:
    """Who a certificate's principal stands for; nobody, if no rule fits."""
    for rule in rules.principals if principal else ():
        if any(fnmatchcase(principal, pattern) for pattern in rule.match):
            return rule.subject
    return NOBODY


def names_caller(subject: Subject) -> bool:
    """Whether it says whose call it is, and not only under which circumstances it is made."""
    return any(subject[: len(CALLER_DIMENSIONS)])


def subject_from(values: Mapping[str, str]) -> Subject:
    """A subject from values by dimension or `label.NAME`."""
    if not values:
        return NOBODY
    given = [values.get(dimension, "") for dimension in DIMENSIONS]
    if len(given) - given.count("") == len(values):
        return Subject._make((*given, ()))
    cut = len(LABEL_PREFIX)
    labels = tuple(sorted((name[cut:], v) for name, v in values.items() if name.startswith(LABEL_PREFIX)))
    return Subject._make((*given, labels))


def over(strong: Subject, weak: Subject) -> Subject:
    """What `strong` does not give is taken from `weak`.

    Raises:
        InvalidArgument: together they have too many labels.
    """
    if weak == NOBODY:
        return strong
    if strong == NOBODY:
        return weak
    *values, labels = strong
    *others, more = weak
    if more:
        labels = tuple(sorted((dict(more) | dict(labels)).items()))
        if len(labels) > MAX_LABELS:
            raise InvalidArgument("subject.labels", f"expected at most {MAX_LABELS}, got {len(labels)}")
    return Subject._make((*[value or other for value, other in zip(values, others, strict=True)], labels))
