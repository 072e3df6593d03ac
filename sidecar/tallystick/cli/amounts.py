"""Amounts and lengths of time of the command line, as policies write them."""

import contextlib
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from tallystick.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    from tallystick.policyfile.values import Amount
    from tallystick.v1 import budget_pb2

_NO_SPACE = re.compile(r"([0-9_.]+[kMG]?)([A-Za-z]+)")
"""`0.5USD`, which the shell takes without quotes. `5Mtokens` is five million of them."""

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)
"""A date, or a time as in RFC 3339."""

Parsed = TypeVar("Parsed")


def read_amount(option: str, text: str, *, requests: bool = False) -> "Amount":
    """Read `25 USD`, `0.5USD`, `2M tokens`; `50 requests`, where there may be such.

    Raises:
        CommandError: it is not an amount of these.

    """
    from tallystick.core.policy import Unit
    from tallystick.policyfile.values import parse_amount

    joined = _NO_SPACE.fullmatch(text.strip())
    amount = _read(option, parse_amount, " ".join(joined.groups()) if joined else text.strip())
    if amount.unit not in (Unit.NANO_USD, Unit.TOKENS, *((Unit.REQUESTS,) if requests else ())):
        raise CommandError(ExitCode.USAGE, f"{option}: expected USD or tokens, not {text!r}")
    return amount


def read_cost(option: str, texts: list[str]) -> "budget_pb2.Cost":
    """Read a cost: dollars, tokens, or one of each.

    Raises:
        CommandError: one is not an amount, or both are of one unit.

    """
    from tallystick.core.policy import Unit
    from tallystick.v1 import budget_pb2

    amounts = [read_amount(option, text) for text in texts]
    by_unit = {amount.unit: amount.value for amount in amounts}
    if len(by_unit) < len(amounts):
        raise CommandError(ExitCode.USAGE, f"{option}: expected one amount in USD and one in tokens at most")
    return budget_pb2.Cost(nano_usd=by_unit.get(Unit.NANO_USD, 0), tokens=by_unit.get(Unit.TOKENS, 0))


def read_ttl(text: str, option: str = "--ttl") -> "Duration":
    """Read `30s`, `10m`, `2h`.

    Raises:
        CommandError: it is not a length of time.

    """
    from google.protobuf.duration_pb2 import Duration

    from tallystick.policyfile.values import parse_length

    return Duration(seconds=_read(option, parse_length, text) // 1000)


def read_expiry(text: str) -> "Timestamp":
    """Read a date (its first moment, in the local time zone), an RFC 3339 time, or `30d`: from now on.

    Raises:
        CommandError: it is none of them.

    """
    from google.protobuf.timestamp_pb2 import Timestamp

    from tallystick.policyfile.values import parse_length

    expiry = Timestamp()
    if re.fullmatch(r"[0-9]+[a-z]", text):
        expiry.FromMilliseconds(time.time_ns() // 1_000_000 + _read("--expires", parse_length, text))
        return expiry
    return _read_time("--expires", text, "30d")


def read_past(option: str, text: str) -> "Timestamp":
    """Read a date, an RFC 3339 time, or a length such as `10m`: so long ago.

    Raises:
        CommandError: it is none of them.

    """
    from google.protobuf.timestamp_pb2 import Timestamp

    from tallystick.policyfile.values import parse_length

    if not re.fullmatch(r"[0-9]+[a-z]", text):
        return _read_time(option, text, "10m")
    past = Timestamp()
    past.FromMilliseconds(max(0, time.time_ns() // 1_000_000 - _read(option, parse_length, text)))
    return past


def _read_time(option: str, text: str, length: str) -> "Timestamp":
    from google.protobuf.timestamp_pb2 import Timestamp

    with contextlib.suppress(ValueError, OverflowError):
        if _TIME.fullmatch(text):
            found = Timestamp()
            found.FromDatetime(datetime.fromisoformat(text.upper()).astimezone(UTC))
            return found
    wanted = f"a date such as 2026-12-31, an RFC 3339 time, or a length such as {length}"
    raise CommandError(ExitCode.USAGE, f"{option}: expected {wanted}, not {text!r}")


def _read(option: str, parse: Callable[[Any], Parsed], text: str) -> Parsed:
    from pydantic_core import PydanticCustomError

    try:
        return parse(text)
    except PydanticCustomError as error:
        raise CommandError(ExitCode.USAGE, f"{option}: {error}".replace("`", "'")) from None
