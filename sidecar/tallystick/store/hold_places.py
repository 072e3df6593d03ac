"""Holds as a store lists them, and what administrators do with them, as plain values."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from tallystick.core.hold import Hold, State, read_hold


class Place(NamedTuple):
    """A place in the due queue of a partition."""

    due_ms: int
    member: bytes


START = Place(0, b"")


class ListedHold(NamedTuple):
    """A hold, and where it stands: open ones by their expiry, ended ones by when they are forgotten."""

    place: Place
    reservation_id: str
    hold: Hold


class HoldsSeen(NamedTuple):
    """What a look at a part of the queue found."""

    found: list[ListedHold]
    following: Place | None
    """Where to look on; None: that was all."""


class ResolveKind(StrEnum):
    """What an administrator does with a hold; the value is its kind in the ledger."""

    SETTLE = "settle"
    RELEASE = "release"
    EXTEND = "extend"


class ResolveAsk(NamedTuple):
    """The word of an administrator on a hold."""

    reservation_id: str
    kind: ResolveKind
    by: str
    reason: str
    nano_usd: int | None = None
    """Of a settle; None: not said, so as held."""
    tokens: int | None = None
    """Of a settle; None: not said, so as held."""
    ttl_ms: int = 0
    """Of an extension: from now on."""

    @property
    def content(self) -> str:
        """How a settle is known that was made."""
        nano_usd, tokens = ("" if amount is None else str(amount) for amount in (self.nano_usd, self.tokens))
        return f"resolved {nano_usd}/{tokens}"


def prefix_of(tenant: str) -> bytes:
    """How the members of the due queue begin that are reservations of a tenant."""
    return f"r:{tenant}:r:".encode()


def listed(tenant: str, places: Iterable[Place], records: Mapping[bytes, str]) -> list[ListedHold]:
    """The holds at these places; `records` by member. Neither charges nor ids that were never reserved."""
    prefix, found = prefix_of(tenant), []
    for place in places:
        text = records.get(place.member, "")
        if text and not text.startswith(f'["{State.REFUSED}"'):
            hold = read_hold(text)
            if hold.was_reserved:
                found.append(ListedHold(place, place.member.removeprefix(prefix).decode(), hold))
    return found
