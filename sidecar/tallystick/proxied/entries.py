"""An entry of Envoy's access log, over gRPC or of a file, to how its call ended.

`docs/reference/envoy.md` has what each field says. Providers write some of them: nothing here trusts a
number's type or size.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.providers.usage import parse_usage
from tallystick.proxied.calls import Ending

ANSWERED = "via_upstream"
STREAM_TYPES = ("text/event-stream", "application/vnd.amazon.eventstream")

_BEFORE, _AFTER = "upstream_reset_before_response_started{", "upstream_reset_after_response_started{"
_NOT_SENT = (
    "no_healthy_upstream",
    "cluster_not_found",
    *(
        _BEFORE + reason
        for reason in (
            "local_connection_failure",
            "remote_connection_failure",
            "connection_timeout",
            "overflow",
            "local_refused_stream_reset",
            "remote_refused_stream_reset",
        )
    ),
)
_CLIENT_LEFT = ("downstream_", "http1.", "http2.", "http3.")
_COUNTS = ("input_tokens", "output_tokens", "provider_total_tokens")


NOTHING_USED = Usage()


class Entry(NamedTuple):
    """What of an entry tells how its call ended."""

    details: str
    """Its `response_code_details`."""
    code: int
    attempts: int
    """To reach the provider."""
    body_bytes: int
    """Of the answer, as far as it was sent to the client."""
    content_type: str
    content_encoding: str
    counts: Mapping[str, Any]
    """Envoy's record of usage, by the names of its fields; those within others stand beside them."""
    complete: bool
    """Whether the record is of the whole answer."""
    answer: Mapping[str, Any]
    """What was read beside the record."""


def ending_of(entry: Entry, api: Api, held: Usage = NOTHING_USED) -> Ending:
    """Tell how a call ended; `held` is what it was expected to use."""
    details, code = entry.details, entry.code
    via, left = details == ANSWERED, details.startswith(_CLIENT_LEFT)
    # Else the status is one of Envoy's own, and the provider's is not known.
    answered = via or left or details.startswith(_AFTER) or 0 < code < 400
    usage, complete = _usage(entry, api, held)
    compressed = entry.content_encoding not in ("", "identity")
    tier = entry.answer.get("service_tier")
    return Ending(
        sent=entry.attempts > 0 and not details.startswith(_NOT_SENT),
        status=code if answered else 0,
        client_left=left,
        provider_broke_off=answered and not via and not left,
        usage=usage,
        complete=complete,
        tier=tier if isinstance(tier, str) else "",
        output_bytes=None if compressed else entry.body_bytes,
        streamed=entry.content_type.partition(";")[0].strip().lower() in STREAM_TYPES,
    )


def _usage(entry: Entry, api: Api, held: Usage) -> tuple[Usage | None, bool]:
    """The usage, and whether it is of the whole answer. None at all is no usage, and never free."""
    if entry.counts:
        usage, complete = _recorded(entry.counts, entry.answer, held), entry.complete
    elif api is Api.BEDROCK_CONVERSE:
        usage, complete = _of_bedrock(entry.answer), True
    elif isinstance(said := entry.answer.get("usage"), str):
        usage, complete = _said(said), True
    else:
        return None, False
    return (usage, complete) if usage.total else (None, False)


def _recorded(counts: Mapping[str, Any], answer: Mapping[str, Any], held: Usage) -> Usage:
    """Disjoint classes of a record, whose input includes what was cached and written.

    Of streams nobody tells for how long it was written: for an hour, where the request asked for that.
    """
    given, output, total = (_count(counts, name) for name in _COUNTS)
    read, written = _count(counts, "cached_tokens"), _count(counts, "cache_creation_tokens")
    told = any(name in answer for name in ("cache_write_5m", "cache_write_1h"))
    long = written if held.cache_write_1h and not told else min(_count(answer, "cache_write_1h"), written)
    output = max(output, total - given)
    return Usage(
        input=max(0, given - read - written),
        cache_read=read,
        cache_write_5m=written - long,
        cache_write_1h=long,
        output=output,
        reasoning=min(_count(counts, "reasoning_tokens"), output),
    )


def _said(text: str) -> Usage:
    """The usage object of a chat that was done; the client had left before Envoy made its record."""
    try:
        return parse_usage(text.encode()) or NOTHING_USED
    except (InvalidArgument, UnicodeError):
        return NOTHING_USED


def _of_bedrock(answer: Mapping[str, Any]) -> Usage:
    return Usage(
        input=_count(answer, "input"),
        cache_read=_count(answer, "cache_read"),
        cache_write_5m=_count(answer, "cache_write"),
        output=_count(answer, "output"),
    )


def _count(values: Mapping[str, Any], name: str) -> int:
    """A number of tokens; 0 for what can't be one. Metadata has all numbers as doubles, JSON as texts."""
    value: Any = values.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if type(value) not in (int, float) or not 0 <= value <= MAX_AMOUNT:
        return 0
    return int(value)
