"""The shape of a policy document. The published JSON Schema is generated from it."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from tallystick.core.policy import DEFAULT_ALERTS, DEFAULT_HOLD_TTL_MS, DEFAULT_MAX_OUTPUT_TOKENS
from tallystick.core.subject import CALL_DIMENSIONS, DIMENSIONS
from tallystick.policyfile import values
from tallystick.policyfile.values import Amount, WindowText, refuse

TAGS = ("<deny>", "<free>", "<rates>")
"""Alternatives, as pydantic writes them into the path of an error."""

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def _unique(items: list[Any]) -> list[Any]:
    """Refuse a list that says something twice."""
    seen = set()
    for item in items:
        if item in seen:
            refuse(f"expected each value once, got {values.described(item)} twice")
        seen.add(item)
    return items


def _at_least_one(items: list[Any]) -> list[Any]:
    """Refuse an empty list."""
    return items or refuse("expected at least one value, got an empty list")


def _listed(value: Any) -> Any:
    """Take one value for a list of it."""
    return value if isinstance(value, list) else [value]


def _no_null(value: Any) -> Any:
    """Refuse a key without a value, where None stands for an absent key."""
    return refuse("expected a value, got nothing") if value is None else value


def _whole(low: int, high: int) -> Callable[[Any], int]:
    """Make a check for a whole number in a range."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            refuse(f"expected a whole number from {low} to {high}, got {values.described(value)}")
        return value

    return check


def _only(word: str | bool, instead: str) -> Callable[[Any], Any]:
    """Make a check for a key that has one value."""

    def check(value: Any) -> Any:
        return value if value is word else refuse(f"expected {instead}, got {values.described(value)}")

    return check


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


def _dimension_schema(names: tuple[str, ...]) -> dict[str, Any]:
    label = {"type": "string", "pattern": values.LABEL_PATTERN}
    return {"anyOf": [{"enum": list(names)}, label], "examples": [names[1], "label.project"]}


_PATTERN_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[^\[]+$"}
_PATTERN_LIST = {"type": "array", "items": _PATTERN_SCHEMA, "minItems": 1, "uniqueItems": True}
_SUBJECT_DIMENSION_NAMES = _dimension_schema(DIMENSIONS)
_DIMENSION_NAMES = _dimension_schema(DIMENSIONS + CALL_DIMENSIONS)
_UNIQUE: dict[str, Any] = {"uniqueItems": True}

Name = Annotated[str, PlainValidator(values.check_name), _text_schema(values.NAME_PATTERN, "developer-daily")]
Tenant = Annotated[str, PlainValidator(values.check_tenant), _text_schema(values.TENANT_PATTERN, "acme")]
Zone = Annotated[str, PlainValidator(values.check_zone), _text_schema(".+", "UTC", "Europe/Berlin")]
Pattern = Annotated[str, PlainValidator(values.check_pattern), WithJsonSchema(_PATTERN_SCHEMA)]
Patterns = Annotated[
    list[Pattern],
    BeforeValidator(_listed),
    AfterValidator(_at_least_one),
    AfterValidator(_unique),
    WithJsonSchema({"anyOf": [_PATTERN_SCHEMA, _PATTERN_LIST]}),
]
SubjectDimension = Annotated[
    str, PlainValidator(values.check_subject_dimension), WithJsonSchema(_SUBJECT_DIMENSION_NAMES)
]
Dimension = Annotated[str, PlainValidator(values.check_dimension), WithJsonSchema(_DIMENSION_NAMES)]
Limit = Annotated[
    Amount,
    PlainValidator(values.parse_amount),
    _text_schema(values.AMOUNT_PATTERN, "25 USD", "2M tokens", "60 requests", "32 concurrent"),
]
Length = Annotated[int, PlainValidator(values.parse_length), _text_schema(values.LENGTH_PATTERN, "10m")]
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
    int, PlainValidator(_whole(1, 100)), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100})
]


class Section(BaseModel):
    """A mapping of the document: strict, and without keys that it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Rates(Section):
    """What a model costs, in US dollars per million tokens."""

    input: UsdPerMillionTokens
    """Input tokens."""
    cached_input: OptionalRate = None
    """Input tokens read from the provider's cache. Default: `input`."""
    cache_write: OptionalRate = None
    """Input tokens written to the cache (for five minutes). Default: `input`."""
    cache_write_1h: OptionalRate = None
    """Input tokens written to the cache for an hour. Default: `cache_write`."""
    output: UsdPerMillionTokens
    """Output tokens, those of reasoning included; 0 for a model without output."""


class Free(Section):
    """A model that costs nothing: its calls are tracked, and debit nothing."""

    free: Annotated[bool, PlainValidator(_only(True, "true")), WithJsonSchema({"const": True})]
    """`true`, and no other key beside it."""


def _price_tag(value: Any) -> str:
    return "<free>" if isinstance(value, dict) and "free" in value else "<rates>"


def _unknown_model_tag(value: Any) -> str:
    return "<rates>" if isinstance(value, dict) else "<deny>"


ModelPrice = Annotated[
    Annotated[Free, Tag("<free>")] | Annotated[Rates, Tag("<rates>")], Discriminator(_price_tag)
]
_Deny = Annotated[
    Literal["deny"],
    PlainValidator(lambda v: v if v == "deny" else _only("deny", "`deny` or a ceiling price")(v)),
    WithJsonSchema({"const": "deny"}),
]
UnknownModel = Annotated[
    Annotated[_Deny, Tag("<deny>")] | Annotated[Rates, Tag("<rates>")], Discriminator(_unknown_model_tag)
]


class Prices(Section):
    """Prices over the bundled catalogue."""

    unknown_model: UnknownModel = "deny"
    """A model without a price: `deny`, or the ceiling price that is held and charged for it."""
    models: dict[Pattern, ModelPrice] = Field(default_factory=dict)
    """Prices by model name or pattern (`*`, `?`); names win over patterns, long patterns over short."""


class Wallet(Section):
    """Prepaid funds: one wallet for each value of `per`."""

    per: Annotated[list[SubjectDimension], AfterValidator(_unique)] = Field(
        default_factory=list, json_schema_extra=_UNIQUE
    )
    """Dimensions of the subject; without any there is one wallet for all."""
    unit: Literal["USD", "tokens"] = "USD"
    """What the wallet holds."""


class Budget(Section):
    """A limit for a window and a group of subjects."""

    match: dict[Dimension, Patterns] = Field(
        default_factory=dict, json_schema_extra={"propertyNames": _DIMENSION_NAMES}
    )
    """Which calls it is about: for each dimension a pattern or a list of them. Default: every call."""
    per: Annotated[list[Dimension], AfterValidator(_unique)] = Field(
        default_factory=list, json_schema_extra=_UNIQUE
    )
    """One limit for each combination of values of these dimensions; without any there is one for all."""
    limit: Limit
    """How much: a number (decimals; k, M, G) and USD, tokens, requests or concurrent."""
    window: Annotated[
        WindowText | None,
        PlainValidator(values.parse_window),
        _text_schema(values.WINDOW_PATTERN, "day", "month", "10m", "session"),
    ] = None
    """For how long: a calendar window, a fixed length, `session` or `total`. Not for `concurrent`."""
    timezone: Annotated[Zone | None, BeforeValidator(values.check_zone)] = None
    """The time zone of a calendar window. Default: the document's."""
    week_start: Annotated[Day | None, BeforeValidator(_no_null)] = None
    """The first day of `window: week`. Default: the document's."""
    on_exhausted: Literal["deny", "alert"] = "deny"
    """What happens to a call that has no room: it is refused, or let through with an alert."""
    alerts: Annotated[list[Percent], AfterValidator(_unique)] = Field(
        default_factory=lambda: list(DEFAULT_ALERTS),
        json_schema_extra={"default": list(DEFAULT_ALERTS), **_UNIQUE},
    )
    """Thresholds in percent of the limit; each is reported once a window. `[]` for none."""


class Models(Section):
    """Which models may be called."""

    allow: Annotated[list[Pattern], AfterValidator(_at_least_one), AfterValidator(_unique)] = Field(
        default_factory=lambda: ["*"], json_schema_extra={"default": ["*"], "minItems": 1, **_UNIQUE}
    )
    """Names or patterns; a model that fits none is refused."""
    deny: Annotated[list[Pattern], AfterValidator(_unique)] = Field(
        default_factory=list, json_schema_extra={"default": [], **_UNIQUE}
    )
    """Names or patterns; a model that fits one is refused, also where `allow` has it."""


class Holds(Section):
    """Open reservations."""

    ttl: Annotated[Length, AfterValidator(values.check_hold_ttl)] = Field(
        default_factory=lambda: DEFAULT_HOLD_TTL_MS, json_schema_extra={"default": "10m"}
    )
    """How long a hold stays open without Settle, Release or Extend: 1s to 24h."""
    on_expiry: Literal["charge", "release"] = "charge"
    """What happens to a hold that nobody settled."""


class Estimate(Section):
    """What is held where the request leaves it open."""

    max_output: Annotated[
        int,
        PlainValidator(_whole(1, 10_000_000)),
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 10_000_000}),
    ] = DEFAULT_MAX_OUTPUT_TOKENS
    """Output tokens held for a request that sets no maximum."""


class Document(Section):
    """The policy of one tenant."""

    tenant: Tenant
    """Whose policy it is."""
    timezone: Zone = "UTC"
    """The IANA time zone of calendar windows."""
    week_start: Day = "monday"
    """The first day of `window: week`."""
    prices: Prices = Field(default_factory=Prices)
    wallets: dict[Name, Wallet] = Field(default_factory=dict)
    """Wallets by name. Without any, only budgets limit."""
    cascade: Annotated[list[Name] | None, BeforeValidator(_no_null)] = Field(
        default=None, json_schema_extra=_UNIQUE
    )
    """Every wallet, in the order in which they are tried. Default: the order of `wallets`."""
    budgets: dict[Name, Budget] = Field(default_factory=dict)
    """Budgets by name. Every one that matches a call must have room for it."""
    models: Models = Field(default_factory=Models)
    unmatched: Literal["deny", "allow"] = "deny"
    """A call that no wallet and no budget covers."""
    holds: Holds = Field(default_factory=Holds)
    estimate: Estimate = Field(default_factory=Estimate)


SECTIONS: tuple[tuple[tuple[str, ...], type[Section]], ...] = (
    ((), Document),
    (("prices",), Prices),
    (("prices", "unknown_model"), Rates),
    (("prices", "models", "*"), Rates),
    (("wallets", "*"), Wallet),
    (("budgets", "*"), Budget),
    (("models",), Models),
    (("holds",), Holds),
    (("estimate",), Estimate),
)
"""Which section stands where (`*` for any name): the keys that are known there."""
