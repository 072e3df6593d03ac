"""The policy of one tenant, as plain values. `policyfile` reads it from YAML."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from fnmatch import fnmatchcase

from tallystick.core.identity import Consumer, IdentityRules, RouteRules
from tallystick.core.price import Price
from tallystick.core.windows import Window

DEFAULT_ALERTS = (50, 70, 80, 95, 100)
DEFAULT_HOLD_TTL_MS = 600_000
DEFAULT_MAX_OUTPUT_TOKENS = 4_096


class Unit(StrEnum):
    """What a wallet or budget counts; the value is its code in the store."""

    NANO_USD = "u"
    TOKENS = "t"
    REQUESTS = "r"
    CONCURRENT = "c"


class OnExhausted(Enum):
    """What a budget does with a call that has no room."""

    DENY = "deny"
    ALERT = "alert"
    DOWNGRADE = "downgrade"
    """Refuses the model that was asked for, as DENY does; the policy has a ladder for it."""
    TICKET = "ticket"
    """Refuses, and asks an administrator for more room."""


class OnExpiry(StrEnum):
    """What happens to a hold that nobody settled; the value is its code in the store."""

    CHARGE = "charge"
    RELEASE = "release"


WITHOUT_BOUND = 2**64
"""Of `Budget.store_away`: every call is let through."""


class OnOutgrown(StrEnum):
    """What happens to a stream that needs more than was held, and for which there is no room."""

    GO_ON = "go_on"
    CUT = "cut"


class Unmatched(Enum):
    """What happens to a call that no wallet and no budget covers."""

    DENY = "deny"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Match:
    """Which calls a budget is about: for each dimension, the patterns of which one must fit."""

    patterns: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(dimension, patterns with `*` and `?`). A dimension that is not given fits none."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions it looks at."""
        return tuple(dimension for dimension, _ in self.patterns)

    def fits(self, values: dict[str, str]) -> bool:
        """Whether a call with these dimensions is meant."""
        return all(
            values[dimension] != "" and any(fnmatchcase(values[dimension], pattern) for pattern in patterns)
            for dimension, patterns in self.patterns
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """Funds that come anew in every period; what is left at its end is lost, but for `rollover`."""

    amount: int
    """In the wallet's unit."""
    every: Window
    """A calendar window of a day or longer, in its time zone."""
    rollover: int = 0
    """The most that is carried into the next period, in the wallet's unit."""


@dataclass(frozen=True, slots=True)
class WalletTemplate:
    """One wallet for each value of `per`; without `per` there is one."""

    name: str
    per: tuple[str, ...] = ()
    unit: Unit = Unit.NANO_USD
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit for a window and a group of subjects."""

    name: str
    limit: int
    """In `unit`."""
    unit: Unit
    window: Window
    match: Match = Match()
    per: tuple[str, ...] = ()
    on_exhausted: OnExhausted = OnExhausted.DENY
    alerts: tuple[int, ...] = DEFAULT_ALERTS
    """Thresholds in percent of the limit, ascending."""
    priorities: tuple[tuple[str, int], ...] = ()
    """(priority, percent): calls of this priority are refused above this share of the limit. A call
    that gives none is `normal`; one of a priority that is not named has the whole limit."""
    overage: int = 0
    """In `unit`: how far beyond the limit calls are let through all the same."""
    store_away: int | None = None
    """In `unit`: what a sidecar lets through by itself, in each window and for each group, while it
    can't reach the store; 0: nothing, `WITHOUT_BOUND`: everything; None: not said, which lets nothing
    through unless the budget refuses no call at all."""


@dataclass(frozen=True, slots=True)
class ModelRules:
    """Which models may be called: patterns; `deny` wins over `allow`."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()

    def allows(self, model: str) -> bool:
        """Whether this model may be called."""
        return any(fnmatchcase(model, p) for p in self.allow) and not any(
            fnmatchcase(model, p) for p in self.deny
        )


@dataclass(frozen=True, slots=True)
class PriceRules:
    """Prices declared by the policy, over the bundled catalogue."""

    models: tuple[tuple[str, Price], ...] = ()
    """(pattern, price), the most specific first."""
    ceiling: Price | None = None
    """The price of a model that has none; without it such a model is refused."""
    max_output: tuple[tuple[str, int], ...] = ()
    """(pattern, tokens): the most that a model can answer with, the most specific first."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Cheaper models to use instead, the best first."""

    model: str
    """A pattern with `*` and `?`: the model that was asked for."""
    to: tuple[str, ...]
    at: int = 100
    """In percent of a budget's limit: above it the model that was asked for is used only where
    none of these fits."""


class OutputRule(Enum):
    """What is held for the answer where the request does not say how long it may be."""

    NUMBER = "number"
    """`Policy.max_output_tokens`"""
    CEILING = "ceiling"
    """The most that the model can answer with; the number, where that is not known."""
    LEARNED = "learned"
    """A high quantile of the answers so far, by model and workflow; the number, until there are some."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed to one tenant."""

    tenant: str
    version: int = 0
    """Counted by the store; 0 is the policy of a tenant that has none."""
    wallets: tuple[WalletTemplate, ...] = ()
    """In the order of the cascade."""
    budgets: tuple[Budget, ...] = ()
    models: ModelRules = ModelRules()
    prices: PriceRules = PriceRules()
    unmatched: Unmatched = Unmatched.DENY
    hold_ttl_ms: int = DEFAULT_HOLD_TTL_MS
    on_expiry: OnExpiry = OnExpiry.CHARGE
    on_outgrown: OnOutgrown = OnOutgrown.GO_ON
    max_output_tokens: int = DEFAULT_MAX_OUTPUT_TOKENS
    """The number of `output_rule`."""
    output_rule: OutputRule = OutputRule.NUMBER
    ladders: tuple[Ladder, ...] = ()
    """The first whose pattern fits is the model's."""
    consumers: tuple[Consumer, ...] = ()
    identity: IdentityRules = field(default_factory=IdentityRules)
    routes: RouteRules = field(default_factory=RouteRules)
    dimensions: tuple[str, ...] = field(default=(), compare=False)
    """Every dimension that a wallet or budget looks at, sorted."""


def used_dimensions(wallets: tuple[WalletTemplate, ...], budgets: tuple[Budget, ...]) -> tuple[str, ...]:
    """Every dimension that these look at, sorted."""
    used = {dimension for wallet in wallets for dimension in wallet.per}
    for budget in budgets:
        used.update(budget.per, budget.match.dimensions)
        if budget.priorities:
            used.add("priority")
    return tuple(sorted(used))
