"""The values of a policy document as types: how each is checked, and what its JSON Schema says."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, PlainValidator, WithJsonSchema

from tallystick.core.subject import CALL_DIMENSIONS, DIMENSIONS
from tallystick.policyfile import values
from tallystick.policyfile.values import Amount, Share, WindowText, refuse

MAX_OUTPUT_TOKENS = 10_000_000

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def unique(items: list[Any]) -> list[Any]:
    """Refuse a list that says something twice."""
    seen = set()
    for item in items:
        if item in seen:
            refuse(f"expected each value once, got {values.described(item)} twice")
        seen.add(item)
    return items


def at_least_one(items: list[Any]) -> list[Any]:
    """Refuse an empty list."""
    return items or refuse("expected at least one value, got an empty list")


def up_to(most: int) -> Callable[[list[Any]], list[Any]]:
    """Make a check for a list that is neither empty nor longer than this."""

    def check(items: list[Any]) -> list[Any]:
        if not 1 <= len(items) <= most:
            refuse(f"expected 1 to {most} values, got {len(items)}")
        return items

    return check


def listed(value: Any) -> Any:
    """Take one value for a list of it."""
    return value if isinstance(value, list) else [value]


def no_null(value: Any) -> Any:
    """Refuse a key without a value, where None stands for an absent key."""
    return refuse("expected a value, got nothing") if value is None else value


def whole(low: int, high: int, *words: str) -> Callable[[Any], Any]:
    """Make a check for a whole number in a range, or one of the words."""
    wanted = "".join(f"`{word}` or " for word in words) + f"a whole number from {low} to {high}"

    def check(value: Any) -> Any:
        if value in words:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            refuse(f"expected {wanted}, got {values.described(value)}")
        return value

    return check


def only(word: str | bool, instead: str) -> Callable[[Any], Any]:
    """Make a check for a key that has one value."""

    def check(value: Any) -> Any:
        return value if value is word else refuse(f"expected {instead}, got {values.described(value)}")

    return check


def among(words: tuple[str, ...], expected: str) -> Callable[[Any], Any]:
    """Make a check for a key that has one of a few values."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in words:
            return value
        return refuse(f"expected {expected}, got {values.described(value)}")

    return check


def text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    """Say that a value is text of this pattern."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def _part_schema(amount_pattern: str) -> WithJsonSchema:
    choices = [{"pattern": amount_pattern}, {"pattern": values.SHARE_PATTERN}]
    return WithJsonSchema({"type": "string", "anyOf": choices, "examples": ["5 USD", "25%"]})


def _dimension_schema(names: tuple[str, ...]) -> dict[str, Any]:
    label = {"type": "string", "pattern": values.LABEL_PATTERN}
    return {"anyOf": [{"enum": list(names)}, label], "examples": [names[1], "label.project"]}


_PATTERN_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[^\[]+$"}
_PATTERN_LIST = {"type": "array", "items": _PATTERN_SCHEMA, "minItems": 1, "uniqueItems": True}
SUBJECT_DIMENSION_NAMES = _dimension_schema(DIMENSIONS)
DIMENSION_NAMES = _dimension_schema(DIMENSIONS + CALL_DIMENSIONS)
UNIQUE: dict[str, Any] = {"uniqueItems": True}

Name = Annotated[str, PlainValidator(values.check_name), text_schema(values.NAME_PATTERN, "developer-daily")]
Tenant = Annotated[str, PlainValidator(values.check_tenant), text_schema(values.TENANT_PATTERN, "acme")]
Zone = Annotated[str, PlainValidator(values.check_zone), text_schema(".+", "UTC", "Europe/Berlin")]
OptionalZone = Annotated[Zone | None, BeforeValidator(values.check_zone)]
OptionalDay = Annotated[Day | None, BeforeValidator(no_null)]
Pattern = Annotated[str, PlainValidator(values.check_pattern), WithJsonSchema(_PATTERN_SCHEMA)]
Patterns = Annotated[
    list[Pattern],
    BeforeValidator(listed),
    AfterValidator(at_least_one),
    AfterValidator(unique),
    WithJsonSchema({"anyOf": [_PATTERN_SCHEMA, _PATTERN_LIST]}),
]
SubjectDimension = Annotated[
    str, PlainValidator(values.check_subject_dimension), WithJsonSchema(SUBJECT_DIMENSION_NAMES)
]
Dimension = Annotated[str, PlainValidator(values.check_dimension), WithJsonSchema(DIMENSION_NAMES)]
Limit = Annotated[
    Amount,
    PlainValidator(values.parse_amount),
    text_schema(values.AMOUNT_PATTERN, "25 USD", "2M tokens", "60 requests", "32 concurrent"),
]
Funds = Annotated[
    Amount, PlainValidator(values.parse_amount), text_schema(values.FUNDS_PATTERN, "20 USD", "1M tokens")
]
OptionalRollover = Annotated[
    Amount | Share | None, PlainValidator(values.parse_part), _part_schema(values.FUNDS_PATTERN)
]
OptionalOverage = Annotated[
    Amount | Share | None, PlainValidator(values.parse_part), _part_schema(values.AMOUNT_PATTERN)
]
OptionalWindow = Annotated[
    WindowText | None,
    PlainValidator(values.parse_window),
    text_schema(values.WINDOW_PATTERN, "day", "month", "10m", "rolling 1h", "session"),
]
SharePercent = Annotated[int, PlainValidator(values.parse_percent), text_schema(values.SHARE_PATTERN, "80%")]
Length = Annotated[int, PlainValidator(values.parse_length), text_schema(values.LENGTH_PATTERN, "10m")]
UsdPerMillionTokens = Annotated[
    int,
    PlainValidator(values.parse_rate),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": values.MAX_USD_PER_MILLION_TOKENS}),
]
OptionalRate = Annotated[
    int | None,
    PlainValidator(values.parse_rate),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": values.MAX_USD_PER_MILLION_TOKENS}),
]
Percent = Annotated[
    int, PlainValidator(whole(1, 100)), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100})
]
Value = Annotated[
    str,
    PlainValidator(values.check_value),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256}),
]
Model = Annotated[
    str,
    PlainValidator(values.check_model),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[^*?\[]+$"}),
]
_TOKENS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": MAX_OUTPUT_TOKENS}
OptionalTokens = Annotated[int | None, PlainValidator(whole(1, MAX_OUTPUT_TOKENS)), WithJsonSchema(_TOKENS)]
OutputTokens = Annotated[
    int | Literal["ceiling", "learned"],
    PlainValidator(whole(1, MAX_OUTPUT_TOKENS, "ceiling", "learned")),
    WithJsonSchema({"anyOf": [_TOKENS, {"enum": ["ceiling", "learned"]}]}),
]
