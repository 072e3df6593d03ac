"""The texts and numbers of a policy: amounts, prices, windows, lengths of time, names.

Every function takes what stands in the document, whatever its type, and returns
what it means, exactly, or raises `PydanticCustomError` with what was expected.
"""

import re
from decimal import Decimal, localcontext
from difflib import get_close_matches
from typing import Any, NamedTuple, NoReturn

from pydantic_core import PydanticCustomError

from tallystick.core.money import MAX_AMOUNT, NANO_PER_USD
from tallystick.core.policy import Unit
from tallystick.core.subject import CALL_DIMENSIONS, DIMENSIONS, LABEL_PREFIX, MAX_VALUE_BYTES
from tallystick.core.windows import (
    MAX_LENGTH_MS,
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_MINUTE,
    MS_PER_SECOND,
    Span,
    find_zone,
)
from tallystick.policyfile.tree import short

UNITS = {
    "USD": Unit.NANO_USD,
    "tokens": Unit.TOKENS,
    "requests": Unit.REQUESTS,
    "concurrent": Unit.CONCURRENT,
}
_SUFFIXES = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_LENGTH_UNITS = {"s": MS_PER_SECOND, "m": MS_PER_MINUTE, "h": MS_PER_HOUR, "d": MS_PER_DAY}

_NUMBER_PATTERN = r"^(?=[^A-Za-z]*[1-9])[0-9]+(_[0-9]+)*(\.[0-9]+)?[kMG]? +"
AMOUNT_PATTERN = rf"{_NUMBER_PATTERN}({'|'.join(UNITS)})$"
FUNDS_PATTERN = rf"{_NUMBER_PATTERN}(USD|tokens)$"
LENGTH_PATTERN = r"^[1-9][0-9]{0,8}[smhd]$"
WINDOW_NAMES = tuple(span.value for span in Span if span not in (Span.FIXED, Span.ROLLING))
WINDOW_PATTERN = rf"^({'|'.join(WINDOW_NAMES)}|(rolling +)?[1-9][0-9]{{0,8}}[smhd])$"
SHARE_PATTERN = r"^([1-9][0-9]?|100)%$"
NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
TENANT_PATTERN = r"^[a-z0-9_.-]{1,64}$"
LABEL_PATTERN = r"^label\.[a-z0-9_.-]{1,64}$"

_AMOUNT = re.compile(r"([0-9]+(?:_[0-9]+)*)(?:\.([0-9]+))?([kMG]?) +([A-Za-z]+)")
_AMOUNT_EXPECTED = (
    "expected an amount and its unit, such as `25 USD`, `2M tokens`, `60 requests`, `32 concurrent`"
)
_WINDOW_EXPECTED = (
    f"expected one of {', '.join(WINDOW_NAMES)}, or a length such as 30s, 10m, 6h, 2d, or `rolling 1h`"
)

FEMTO_PER_USD_PER_MILLION_TOKENS = 1_000_000_000
MAX_USD_PER_MILLION_TOKENS = 1_000_000
"""The highest price of tokens: a dollar a token."""


class Amount(NamedTuple):
    """A limit: how much, in its unit (nano-dollars for USD)."""

    value: int
    unit: Unit


class Share(NamedTuple):
    """A percentage of an amount."""

    percent: int

    def of(self, amount: int) -> int:
        """That part of the amount, rounded down."""
        return amount * self.percent // 100


class WindowText(NamedTuple):
    """What `window` says, before the time zone is known."""

    span: Span
    length_ms: int = 0
    """Of a fixed or rolling length only."""


def refuse(expected: str) -> NoReturn:
    """Raise an error that says what was expected."""
    # The message is a template: braces in what people wrote must not be taken for fields.
    raise PydanticCustomError("expected", "{text}", {"text": expected})


def described(value: Any) -> str:
    """Describe a value of the document, for a message."""
    if isinstance(value, str):
        return short(value) if value else "empty text"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return f"the number {value:d}" if isinstance(value, int) else f"the number {value:f}"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing"


def suggestion(text: str, known: tuple[str, ...]) -> str:
    """Name the known word nearest to what was written, if one is near."""
    near = get_close_matches(text[:64], known[:64], n=1)  # it compares with each: slow for many
    return f"; did you mean `{near[0]}`?" if near else ""


def unit_text(unit: Unit) -> str:
    """Name a unit as documents do."""
    return next(name for name, known in UNITS.items() if known is unit)


def text_value(value: Any) -> str:
    """Take text; a number or a word that YAML reads as something else needs quotes."""
    if isinstance(value, str):
        return value
    hint = "; put it in quotes" if isinstance(value, int | Decimal) else ""
    refuse(f"expected text, got {described(value)}{hint}")


def parse_amount(value: Any) -> Amount:
    """Read `25 USD`, `2M tokens`, `1_000 requests`: at least one of the smallest unit."""
    found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        refuse(f"{_AMOUNT_EXPECTED}, got {described(value)}")
    whole, decimals, suffix, unit_text = found.groups(default="")
    if unit_text not in UNITS:
        refuse(f"expected the unit USD, tokens, requests or concurrent, got {short(unit_text)}")
    if len(whole) + len(decimals) > 40:
        refuse(f"expected an amount of at most 40 digits, got {short(value)}")
    unit = UNITS[unit_text]
    scale = _SUFFIXES[suffix] * (NANO_PER_USD if unit is Unit.NANO_USD else 1)
    amount, rest = divmod(int(whole + decimals) * scale, 10 ** len(decimals))
    if rest:
        finest = "of at most 9 decimals" if unit is Unit.NANO_USD else f"of whole {unit_text}"
        refuse(f"expected an amount {finest}, got {short(value)}")
    if amount < 1:
        refuse(f"expected an amount above zero, got {short(value)}")
    if amount > MAX_AMOUNT:
        highest = MAX_AMOUNT // (NANO_PER_USD if unit is Unit.NANO_USD else 1)
        refuse(f"expected at most {highest} {unit_text}, got {short(value)}")
    return Amount(amount, unit)


def parse_percent(value: Any) -> int:
    """Read `70%`: whole, 1 to 100."""
    if not isinstance(value, str) or not re.fullmatch(SHARE_PATTERN[1:-1], value):
        refuse(f"expected a whole percentage from 1% to 100%, such as `80%`, got {described(value)}")
    return int(value[:-1])


def parse_part(value: Any) -> Amount | Share:
    """Read an amount, or a percentage of one."""
    if isinstance(value, str) and value.endswith("%"):
        return Share(parse_percent(value))
    if not isinstance(value, str) or not _AMOUNT.fullmatch(value):
        refuse(f"expected an amount such as `5 USD` or a percentage such as `25%`, got {described(value)}")
    return parse_amount(value)


def part_of(whole: Amount, part: Amount | Share | None) -> int:
    """Find how much a part is, in the unit of the whole; percentages are rounded down."""
    if part is None:
        return 0
    return part.of(whole.value) if isinstance(part, Share) else part.value


def parse_rate(value: Any) -> int:
    """Read US dollars per million tokens: femto-dollars a token, exactly."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        refuse(f"expected US dollars per million tokens as a plain number, got {described(value)}")
    with localcontext(prec=120):
        femto = Decimal(value) * FEMTO_PER_USD_PER_MILLION_TOKENS
        whole = femto.to_integral_value()
    if not 0 <= value <= MAX_USD_PER_MILLION_TOKENS:
        refuse(f"expected a price from 0 to {MAX_USD_PER_MILLION_TOKENS} US dollars, got {described(value)}")
    if femto != whole:
        refuse(f"expected a price of at most 9 decimals, got {described(value)}")
    return int(whole)


def parse_length(value: Any) -> int:
    """Read `30s`, `10m`, `6h`, `2d`: milliseconds, at most `MAX_LENGTH_MS`."""
    if not isinstance(value, str) or not re.fullmatch(LENGTH_PATTERN[1:-1], value):
        refuse(f"expected a length of time such as 30s, 10m, 6h or 2d, got {described(value)}")
    length_ms = int(value[:-1]) * _LENGTH_UNITS[value[-1]]
    if length_ms > MAX_LENGTH_MS:
        refuse(f"expected at most {MAX_LENGTH_MS // MS_PER_DAY}d, got {short(value)}")
    return length_ms


def check_hold_ttl(length_ms: int) -> int:
    """Take the length of a hold: at most a day."""
    if length_ms > MS_PER_DAY:
        refuse("expected a length of time from 1s to 24h")
    return length_ms


def parse_window(value: Any) -> WindowText:
    """Read the name of a window, a fixed length or a rolling one."""
    if isinstance(value, str) and value in WINDOW_NAMES:
        return WindowText(Span(value))
    if isinstance(value, str) and re.fullmatch(LENGTH_PATTERN[1:-1], value):
        return WindowText(Span.FIXED, parse_length(value))
    if isinstance(value, str) and re.fullmatch(WINDOW_PATTERN[1:-1], value):
        return WindowText(Span.ROLLING, parse_length(value.split()[1]))
    hint = suggestion(value, WINDOW_NAMES) if isinstance(value, str) else ""
    refuse(f"{_WINDOW_EXPECTED}, got {described(value)}{hint}")


def check_name(value: Any) -> str:
    """Take the name of a wallet or budget."""
    if not isinstance(value, str) or not re.fullmatch(NAME_PATTERN[1:-1], value):
        refuse("expected a name of 1 to 64 of [a-z0-9_.-] that begins with a letter or digit, "
               f"got {described(value)}")  # fmt: skip
    return value


def check_tenant(value: Any) -> str:
    """Take the name of a tenant."""
    if not re.fullmatch(TENANT_PATTERN[1:-1], text_value(value)):
        refuse(f"expected 1 to 64 of [a-z0-9_.-], got {described(value)}")
    return str(value)


def check_zone(value: Any) -> str:
    """Take the name of a time zone."""
    name = text_value(value)
    try:
        find_zone(name)
    except ValueError:
        refuse(f"expected an IANA time zone such as Europe/Berlin, got {described(value)}")
    return name


def check_pattern(value: Any) -> str:
    """Take a pattern in which only `*` and `?` stand for something else."""
    text = check_value(value)
    if "[" in text:
        refuse(f"expected a pattern with * and ? as its only wildcards, without `[`, got {described(value)}")
    return text


def check_model(value: Any) -> str:
    """Take the exact name of a model."""
    text = check_value(value)
    if any(wildcard in text for wildcard in "*?["):
        refuse(f"expected the exact name of a model, without wildcards, got {described(value)}")
    return text


def check_value(value: Any) -> str:
    """Take a value of a dimension."""
    text = text_value(value)
    if not text or not text.isprintable() or len(text.encode()) > MAX_VALUE_BYTES:
        refuse(f"expected 1 to {MAX_VALUE_BYTES} bytes of printable text, got {described(value)}")
    return text


def check_subject_dimension(value: Any) -> str:
    """Take a dimension of the subject."""
    return _check_dimension(value, DIMENSIONS)


def check_dimension(value: Any) -> str:
    """Take a dimension of the subject or of the call."""
    return _check_dimension(value, DIMENSIONS + CALL_DIMENSIONS)


def _check_dimension(value: Any, known: tuple[str, ...]) -> str:
    text = text_value(value)
    if text in known or re.fullmatch(LABEL_PATTERN[1:-1], text):
        return text
    hint = suggestion(text, known)
    refuse(f"expected a dimension ({', '.join(known)}, {LABEL_PREFIX}NAME), got {described(value)}{hint}")
