"""The shape of a policy document. The published JSON Schema is generated from it."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from tallystick.core.policy import DEFAULT_ALERTS, DEFAULT_HOLD_TTL_MS, DEFAULT_MAX_OUTPUT_TOKENS
from tallystick.policyfile import fields, values
from tallystick.policyfile.fields import UNIQUE, at_least_one, no_null, unique
from tallystick.policyfile.identity_document import (
    Anonymous,
    Consumer,
    ConsumerOfName,
    Identity,
    Principal,
    Routes,
)
from tallystick.policyfile.section import Section, Sections

TAGS = ("<deny>", "<free>", "<rates>", "<fixed>", "<allowance>", "<word>", "<paths>")
"""Alternatives, as pydantic writes them into the path of an error."""


class Rates(Section):
    """What a model costs, in US dollars per million tokens."""

    input: fields.UsdPerMillionTokens
    """Input tokens."""
    cached_input: fields.OptionalRate = None
    """Input tokens read from the provider's cache. Default: `input`."""
    cache_write: fields.OptionalRate = None
    """Input tokens written to the cache (for five minutes). Default: `input`."""
    cache_write_1h: fields.OptionalRate = None
    """Input tokens written to the cache for an hour. Default: `cache_write`."""
    output: fields.UsdPerMillionTokens
    """Output tokens, those of reasoning included; 0 for a model without output."""


class ModelRates(Rates):
    """What a model costs, in US dollars per million tokens, and how much it can answer."""

    max_output: fields.OptionalTokens = None
    """The most output tokens that the model can answer with. Default: not known."""


class Free(Section):
    """A model that costs nothing: its calls are tracked, and debit nothing."""

    free: Annotated[bool, PlainValidator(fields.only(True, "true")), WithJsonSchema({"const": True})]
    """`true`, and no price beside it."""
    max_output: fields.OptionalTokens = None
    """The most output tokens that the model can answer with. Default: not known."""


def _price_tag(value: Any) -> str:
    return "<free>" if isinstance(value, dict) and "free" in value else "<rates>"


def _unknown_model_tag(value: Any) -> str:
    return "<rates>" if isinstance(value, dict) else "<deny>"


ModelPrice = Annotated[
    Annotated[Free, Tag("<free>")] | Annotated[ModelRates, Tag("<rates>")], Discriminator(_price_tag)
]
_Deny = Annotated[
    Literal["deny"],
    PlainValidator(lambda v: v if v == "deny" else fields.only("deny", "`deny` or a ceiling price")(v)),
    WithJsonSchema({"const": "deny"}),
]
UnknownModel = Annotated[
    Annotated[_Deny, Tag("<deny>")] | Annotated[Rates, Tag("<rates>")], Discriminator(_unknown_model_tag)
]


class Allowance(Section):
    """What a sidecar may let through by itself."""

    allowance: fields.Limit
    """How much, in the unit of the limit: for each sidecar, group and window, until the store is back."""


_Fixed = Annotated[
    Literal["deny", "allow"],
    PlainValidator(
        fields.among(("deny", "allow"), "`deny`, `allow` or an allowance such as `{allowance: 5 USD}`")
    ),
    WithJsonSchema({"enum": ["deny", "allow"]}),
]
StoreAway = Annotated[
    Annotated[_Fixed, Tag("<fixed>")] | Annotated[Allowance, Tag("<allowance>")],
    Discriminator(lambda value: "<allowance>" if isinstance(value, dict | Allowance) else "<fixed>"),
]


class Prices(Section):
    """Prices over the bundled catalogue."""

    unknown_model: UnknownModel = "deny"
    """A model without a price: `deny`, or the ceiling price that is held and charged for it."""
    models: dict[fields.Pattern, ModelPrice] = Field(default_factory=dict)
    """Prices by model name or pattern (`*`, `?`); names win over patterns, long patterns over short."""


class Grant(Section):
    """Funds that come anew in every period."""

    amount: fields.Funds
    """How much, in the wallet's unit."""
    every: Literal["day", "week", "month", "quarter", "year"]
    """The period of the calendar at whose beginning they come; what is left at its end is lost."""
    rollover: fields.OptionalRollover = None
    """The most that is carried into the next period: an amount, or a percentage of `amount`."""
    timezone: fields.OptionalZone = None
    """The time zone of the period. Default: the document's."""
    week_start: fields.OptionalDay = None
    """The first day of `every: week`. Default: the document's."""


class Wallet(Section):
    """Prepaid funds: one wallet for each value of `per`."""

    per: Annotated[list[fields.SubjectDimension], AfterValidator(unique)] = Field(
        default_factory=list, json_schema_extra=UNIQUE
    )
    """Dimensions of the subject; without any there is one wallet for all."""
    unit: Literal["USD", "tokens"] = "USD"
    """What the wallet holds."""
    grant: Annotated[Grant | None, BeforeValidator(no_null)] = None
    """Funds that come by themselves. Default: none; the wallet holds what is credited."""


class Budget(Section):
    """A limit for a window and a group of subjects."""

    match: dict[fields.Dimension, fields.Patterns] = Field(
        default_factory=dict, json_schema_extra={"propertyNames": fields.DIMENSION_NAMES}
    )
    """Which calls it is about: for each dimension a pattern or a list of them. Default: every call."""
    per: Annotated[list[fields.Dimension], AfterValidator(unique)] = Field(
        default_factory=list, json_schema_extra=UNIQUE
    )
    """One limit for each combination of values of these dimensions; without any there is one for all."""
    limit: fields.Limit
    """How much: a number (decimals; k, M, G) and USD, tokens, requests or concurrent."""
    window: fields.OptionalWindow = None
    """For how long: a calendar window, a fixed or rolling length, `session` or `total`. Not for
    `concurrent`."""
    timezone: fields.OptionalZone = None
    """The time zone of a calendar window. Default: the document's."""
    week_start: fields.OptionalDay = None
    """The first day of `window: week`. Default: the document's."""
    priorities: dict[fields.Value, fields.SharePercent] = Field(default_factory=dict)
    """Percentages of the limit: calls of that `priority` are refused above them. A call that gives none
    is `normal`; a priority that is not named has the whole limit. Not with `on_exhausted: alert`."""
    overage: fields.OptionalOverage = None
    """How far beyond the limit calls are let through all the same: an amount, or a percentage of the
    limit. Not with `on_exhausted: alert`."""
    on_exhausted: Literal["deny", "alert", "downgrade", "ticket"] = "deny"
    """What happens to a call that has no room: it is refused, let through with an alert, made with a
    cheaper model of the policy's `downgrade`, or waits for an administrator's answer to a ticket. No
    ticket for `concurrent`."""
    store_away: Annotated[StoreAway | None, BeforeValidator(no_null)] = None
    """What happens to a call while the sidecar can't reach the store. `deny`: it is refused; `allow`: it
    is let through; an allowance: it is let through as long as that lasts. Every budget of the call must
    let it through. Default: `deny`; with `on_exhausted: alert` what the call's other budgets say."""
    alerts: Annotated[list[fields.Percent], AfterValidator(unique)] = Field(
        default_factory=lambda: list(DEFAULT_ALERTS),
        json_schema_extra={"default": list(DEFAULT_ALERTS), **UNIQUE},
    )
    """Thresholds in percent of the limit; each is reported once a window. `[]` for none."""


class Models(Section):
    """Which models may be called."""

    allow: Annotated[list[fields.Pattern], AfterValidator(at_least_one), AfterValidator(unique)] = Field(
        default_factory=lambda: ["*"], json_schema_extra={"default": ["*"], "minItems": 1, **UNIQUE}
    )
    """Names or patterns; a model that fits none is refused."""
    deny: Annotated[list[fields.Pattern], AfterValidator(unique)] = Field(
        default_factory=list, json_schema_extra={"default": [], **UNIQUE}
    )
    """Names or patterns; a model that fits one is refused, also where `allow` has it."""


class Holds(Section):
    """Open reservations."""

    ttl: Annotated[fields.Length, AfterValidator(values.check_hold_ttl)] = Field(
        default_factory=lambda: DEFAULT_HOLD_TTL_MS, json_schema_extra={"default": "10m"}
    )
    """How long a hold stays open without Settle, Release or Extend: 1s to 24h."""
    on_expiry: Literal["charge", "release"] = "charge"
    """What happens to a hold that nobody settled."""
    on_outgrown: Literal["go_on", "cut"] = "go_on"
    """What happens to a stream that needs more than was held, where there is no room for more: it is let go
    on, and charged; or it is cut, where it passes through the sidecar (Envoy's ext_proc)."""


class Estimate(Section):
    """What is held where the request leaves it open."""

    max_output: fields.OutputTokens = DEFAULT_MAX_OUTPUT_TOKENS
    """Output tokens held for a request that sets no maximum: a number; `ceiling`, the most that the model
    can answer with; or `learned`, a high quantile of the answers so far, by model and workflow."""
    fallback: fields.OptionalTokens = None
    """Output tokens held while nothing is learned, or where the model's most is not known. Only with
    `ceiling` and `learned`. Default: 4096."""


class Ladder(Section):
    """Cheaper models to use instead of one."""

    model: fields.Pattern
    """The model that was asked for: a name or a pattern."""
    to: Annotated[list[fields.Model], AfterValidator(fields.up_to(8)), AfterValidator(unique)] = Field(
        json_schema_extra={"minItems": 1, "maxItems": 8, **UNIQUE}
    )
    """Names of models, the best first."""
    at: fields.SharePercent = Field(default_factory=lambda: 100, json_schema_extra={"default": "100%"})
    """Percentage of a budget's limit: above it the model that was asked for is used only where none of
    these fits."""


class Document(Section):
    """The policy of one tenant."""

    tenant: fields.Tenant
    """Whose policy it is."""
    timezone: fields.Zone = "UTC"
    """The IANA time zone of calendar windows."""
    week_start: fields.Day = "monday"
    """The first day of `window: week`."""
    prices: Prices = Field(default_factory=Prices)
    wallets: dict[fields.Name, Wallet] = Field(default_factory=dict)
    """Wallets by name. Without any, only budgets limit."""
    cascade: Annotated[list[fields.Name] | None, BeforeValidator(no_null)] = Field(
        default=None, json_schema_extra=UNIQUE
    )
    """Every wallet, in the order in which they are tried. Default: the order of `wallets`."""
    budgets: dict[fields.Name, Budget] = Field(default_factory=dict)
    """Budgets by name. Every one that matches a call must have room for it."""
    models: Models = Field(default_factory=Models)
    downgrade: list[Ladder] = Field(default_factory=list)
    """Cheaper models to use instead; the first whose `model` fits is taken."""
    unmatched: Literal["deny", "allow"] = "deny"
    """A call that no wallet and no budget covers."""
    consumers: dict[fields.Name, ConsumerOfName] = Field(default_factory=dict)
    """Who calls over HTTP with which key, by name."""
    identity: Identity = Field(default_factory=Identity)
    routes: Routes = Field(default_factory=Routes)
    holds: Holds = Field(default_factory=Holds)
    estimate: Estimate = Field(default_factory=Estimate)


SECTIONS: Sections = (
    ((), Document),
    (("prices",), Prices),
    (("prices", "unknown_model"), Rates),
    (("prices", "models", "*"), ModelRates),
    (("wallets", "*"), Wallet),
    (("wallets", "*", "grant"), Grant),
    (("budgets", "*"), Budget),
    (("budgets", "*", "store_away"), Allowance),
    (("models",), Models),
    (("downgrade", "*"), Ladder),
    (("consumers", "*"), Consumer),
    (("identity",), Identity),
    (("identity", "principals", "*"), Principal),
    (("identity", "anonymous"), Anonymous),
    (("routes",), Routes),
    (("holds",), Holds),
    (("estimate",), Estimate),
)
"""Which section stands where (`*` for any name): the keys that are known there."""
