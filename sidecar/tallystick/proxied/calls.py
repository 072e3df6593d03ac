"""A call as a proxy sees it, what it is told, and how it ended: plain values, of no proxy's protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tallystick.core.usage import Usage
from tallystick.providers import Api


@dataclass(slots=True, eq=False)
class ProxiedRequest:
    """A request before it is sent. Holds the prompt and the caller's key: never log it."""

    method: str
    path: str = field(repr=False)
    """The provider's own, with its query: what the proxy puts before it is in `prefix`."""
    headers: Mapping[str, str] = field(repr=False)
    """By lower-case name."""
    body: bytes = field(default=b"", repr=False)
    body_bytes: int = 0
    """The length of the whole body; of `body` there may be less."""
    read: Mapping[str, Any] = field(default_factory=dict)
    """What the proxy read of the whole body, by dotted name (`envoy.metering.READ`); numbers as doubles."""
    provider: str = ""
    """The name of the upstream in the proxy's configuration."""
    kind: str = ""
    """What it speaks, a `Kind` of `tallystick.envoy`; empty: as the path says."""
    prefix: str = ""
    """What the proxy puts before the provider's own path."""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    principal: str = ""
    context: Mapping[str, str] = field(default_factory=dict)
    """What the route says, with names `tallystick.…`; trusted."""
    request_id: str = ""
    """The proxy's own; a client can't choose it."""


class HeldCall(NamedTuple):
    """What must be known of a call at its end; all of it fits into a proxy's metadata."""

    tenant: str
    reservation_id: str
    tally: bytes
    api: Api
    model: str
    """The model to use."""
    held: Usage = Usage()
    """The tokens that it was held for, for an end that tells of none."""


class Allowed(NamedTuple):
    """It may be sent, as this says."""

    call: HeldCall
    patch: Mapping[str, Any]
    """Fields to merge into the JSON body, each as a whole; empty: the body passes as it is."""
    path: str = ""
    """With the prefix; empty: as it is."""
    remove_headers: tuple[str, ...] = ()
    """With credentials that the provider must not get."""
    headers: tuple[tuple[str, str], ...] = ()
    """For the client, beside the answer's own."""


class Passed(NamedTuple):
    """It may be sent, and nothing is held: it costs nothing, or the policy lets it through unmetered."""

    why: str
    """`free` or `unmetered`, for the metric."""
    remove_headers: tuple[str, ...] = ()
    path: str = ""


class Turned(NamedTuple):
    """It is refused, in the words of the provider's own errors."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    reason: str
    """For metrics: a `Reason`, or `UNAUTHENTICATED`, `BAD_REQUEST`, `UNMETERED_ROUTE`."""


class Ending(NamedTuple):
    """How a call ended, as far as the proxy knows."""

    sent: bool
    """Whether it was handed to the provider at all."""
    status: int = 0
    """Of the provider's answer; 0: there was none."""
    client_left: bool = False
    provider_broke_off: bool = False
    """After the answer had begun; before it, it is `sent` without a status."""
    usage: Usage | None = None
    """As the provider reported it."""
    complete: bool = False
    """Whether the usage is of the whole answer."""
    tier: str = ""
    """The processing tier that the provider says it used."""
    output_bytes: int | None = None
    """Bytes of the answer that passed: of its text where `text_seen`, else of the body. None: they say
    nothing, as of a compressed body."""
    text_seen: bool = False
    streamed: bool = False
    """Whether the answer came as a stream, in pace with its making."""
