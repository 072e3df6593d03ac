"""One past call, out of one row of a usage file."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import NamedTuple

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import NANO_PER_USD
from tallystick.core.subject import DIMENSIONS, LABEL_PREFIX, Subject, check_subject, check_text
from tallystick.core.usage import Usage

COLUMNS = frozenset(
    {"time", "model", "provider", "max_output", "duration_ms", "cost_usd", *DIMENSIONS, *Usage._fields}
)
"""Those that are read, besides `label.NAME`."""
REQUIRED = ("time", "model")

MAX_TOKENS = 1_000_000_000
"""Of one class: at the highest price, all of them together are still an amount."""
MAX_DURATION_MS = 86_400_000
MAX_BILL_USD = 1_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_MS = 253_370_764_800_000
"""The year 9999: windows beyond it have no end."""
_FIRST_MS = 100_000_000_000
"""A Unix time from here on is in milliseconds (1973), below it in seconds (5138)."""
_NUMBER = re.compile(r"[0-9]{1,30}(\.[0-9]{0,30})?([eE][-+]?[0-9]{1,2})?")

Row = Mapping[str, object]
"""By column; None or empty text is a value that is not given."""


class PastCall(NamedTuple):
    """A call as it was made."""

    time_ms: int
    subject: Subject
    model: str
    provider: str
    usage: Usage
    max_output: int | None
    """What the request asked for, if it did."""
    duration_ms: int
    billed_nano_usd: int | None
    """What the provider billed, if it is known."""


def read_call(row: Row) -> PastCall:
    """The call of a row.

    Raises:
        InvalidArgument: names the column and what was expected.
    """
    usage = Usage._make([_whole(row, name, MAX_TOKENS) for name in Usage._fields])
    if usage.reasoning > usage.output:
        raise InvalidArgument("reasoning", "expected at most output, which includes it")
    return PastCall(
        _read_time(row.get("time")),
        _read_subject(row),
        _checked(*_required(row, "model")),
        _text(row, "provider"),
        usage,
        _whole(row, "max_output", MAX_TOKENS) or None,
        _whole(row, "duration_ms", MAX_DURATION_MS, cut=True),
        _read_bill(row),
    )


def _read_time(value: object) -> int:
    """Unix milliseconds."""
    time_ms = -1
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
        if at is not None and at.tzinfo is not None:
            time_ms = (at - _EPOCH) // timedelta(milliseconds=1)
    elif isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        time_ms = int(number if number >= _FIRST_MS else number * 1000) if number < _END_MS else -1
    if not 0 <= time_ms < _END_MS:
        expected = "expected RFC 3339 with an offset (2026-05-01T09:30:00Z), or Unix seconds or milliseconds"
        raise InvalidArgument("time", f"{expected}, {_got(value)}")
    return time_ms


def _read_subject(row: Row) -> Subject:
    values = tuple([_text(row, name) for name in DIMENSIONS])
    labels = [(name, _text(row, name)) for name in row if name.startswith(LABEL_PREFIX)]
    return _subject(values, tuple([each for each in labels if each[1]]))


@lru_cache(maxsize=8192)
def _subject(values: tuple[str, ...], labels: tuple[tuple[str, str], ...]) -> Subject:
    """The same few subjects come again and again."""
    named = tuple(sorted((name[len(LABEL_PREFIX) :], value) for name, value in labels))
    subject = Subject._make((*values, named))
    try:
        check_subject(subject)
    except InvalidArgument as error:
        raise InvalidArgument(error.field.removeprefix("subject."), error.expected) from None
    return subject


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        raise InvalidArgument(name, f"expected text, {_got(value)}")
    if not value.isprintable():  # so are bytes that are not UTF-8
        raise InvalidArgument(name, "expected printable text in UTF-8, without control characters")
    return value


def _required(row: Row, name: str) -> tuple[str, str]:
    if text := _text(row, name):
        return name, text
    raise InvalidArgument(name, "expected text, got none")


@lru_cache(maxsize=4096)
def _checked(name: str, text: str) -> str:
    check_text(name, text)
    return text


def _whole(row: Row, name: str, most: int, *, cut: bool = False) -> int:
    """A whole number; `cut` takes others, without their decimals. 0 where it is not given."""
    value = row.get(name)
    if value is None or value == "":
        return 0
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        number: int | Decimal | None = int(value)
    else:
        number = _number(value)
    if number is None or not 0 <= number <= most or (int(number) != number and not cut):
        raise InvalidArgument(name, f"expected a whole number from 0 to {most}, {_got(value)}")
    return int(number)


def _number(value: object) -> int | Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return Decimal(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, int | Decimal) else None


def _read_bill(row: Row) -> int | None:
    """Nano-dollars; bills have finer ones, which are rounded."""
    value = row.get("cost_usd")
    if value is None or value == "":
        return None
    number = _number(value)
    if number is None or not 0 <= number <= MAX_BILL_USD:
        raise InvalidArgument("cost_usd", f"expected US dollars as a plain number, {_got(value)}")
    return int((Decimal(number) * NANO_PER_USD).to_integral_value(ROUND_HALF_EVEN))


def _got(value: object) -> str:
    if value is None or value == "":
        return "got none"
    return f"got {str(value)[:40]!a}"
