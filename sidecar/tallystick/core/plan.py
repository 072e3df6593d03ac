"""The plan: which counters a call meets, with what limits.

A plan follows from the policy, the subject, the model and the time alone, so it
is remembered and serves every such call until one of its windows ends or the
policy changes.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tallystick.core.lots import GrantLine
from tallystick.core.packing import compact, quoted
from tallystick.core.policy import (
    DEFAULT_ALERTS,
    OnExpiry,
    Unit,
)
from tallystick.core.price import Price
from tallystick.core.reasons import Reason

FOREVER_MS = 2**62
NO_LIMIT = 2**64
WINDOW_NEVER_ENDS = "0"
WINDOW_ENDS_WITH_SESSION = "session"


class Taken(NamedTuple):
    """What a call takes of each unit; `SLOTS` says which is which."""

    nano_usd: int
    tokens: int
    requests: int = 1
    concurrent: int = 1


SLOTS = {Unit.NANO_USD: 0, Unit.TOKENS: 1, Unit.REQUESTS: 2, Unit.CONCURRENT: 3}


@dataclass(frozen=True, slots=True)
class WalletLine:
    """One wallet of the cascade."""

    name: str
    group: str
    """As `user=alice`."""
    unit: Unit
    counter: str
    grant: GrantLine | None = None


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget that the call meets, in one window, for one group."""

    name: str
    group: str
    unit: Unit
    slot: int
    """The place of its unit among what a call takes (`Taken`)."""
    limit: int
    ceiling: int
    """What this call may bring it to: the limit and its overage, or its priority's share."""
    rank: Reason
    """What it refuses with; `NONE` never refuses."""
    start_ms: int
    """0 for a window without bounds."""
    end_ms: int
    """0 for a window without bounds."""
    end: str
    """`end_ms` as text, `0`, `session`, or `~LENGTH+BUCKET` of a rolling window, in ms."""
    counter: str
    alerts: tuple[int, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    """(amount, percent) of each alert threshold, ascending."""
    store_away: int | None = field(default=None, compare=False)
    """As `Budget.store_away`; None only where the budget has nothing to say."""
    asks: bool = False
    """Whether a refusal opens a ticket, which may give the budget an allowance."""


@dataclass(eq=False)
class Plan:
    """What a call of this subject and model meets."""

    tenant: str
    policy_version: int
    model: str
    price: Price | None
    wallets: tuple[WalletLine, ...]
    budgets: tuple[BudgetLine, ...]
    valid_from_ms: int
    valid_until_ms: int
    refusal: Reason
    """A refusal that no counter can change, or `NONE`."""
    on_expiry: OnExpiry
    hold_ttl_ms: int
    asked_model: str = ""
    """The model that was asked for."""
    rungs: tuple["Plan", ...] = ()
    """The plans of the models to use instead, the best first."""
    soft: tuple[int, ...] | None = None
    """What the model that was asked for may bring each budget to before the rungs are tried."""
    remembered: dict[object, object] = field(default_factory=dict)
    """What adapters and stores derive from it once."""

    @cached_property
    def most(self) -> Taken:
        """What a call may take at most, so that each enforced budget can ever hold it."""
        most = [NO_LIMIT] * 4
        for line in self.budgets:
            if line.rank is not Reason.NONE:
                most[line.slot] = min(line.ceiling, most[line.slot])
        return Taken(*most)

    def refuses(self, nano_usd: int, tokens: int) -> Reason:
        """The refusal that no counter can change, for a call that takes this."""
        if self.refusal and self.refusal < Reason.CAN_NEVER_FIT:
            return self.refusal
        most = self.most
        if nano_usd > most.nano_usd or tokens > most.tokens or most.requests < 1 or most.concurrent < 1:
            return Reason.CAN_NEVER_FIT
        return self.refusal

    @cached_property
    def asks(self) -> bool:
        """Whether a budget of it, or of a model to use instead, may have an allowance."""
        return any(line.asks for plan in (self, *self.rungs) for line in plan.budgets)

    @cached_property
    def allowances(self) -> tuple[str, ...]:
        """Where the allowance of each budget is kept; empty where none can have one."""
        asks = any(line.asks for line in self.budgets)
        return tuple(f"{line.counter}:x" for line in self.budgets) if asks else ()

    @cached_property
    def body_parts(self) -> tuple[str, str, str, str]:
        """The body of a hold's record: up to its budgets, these, up to the subject, and after it."""
        price = quoted(self.price.pack() if self.price else "")
        return (
            f'["{self.on_expiry}",',
            compact([_cells(line) for line in self.budgets]),
            f",\n{quoted(self.model)},{price},",
            f",{quoted(self.asked_model)}]",
        )

    @cached_property
    def body_head(self) -> str:
        """The body of a hold's record up to the subject."""
        return "".join(self.body_parts[:3])


def _cells(line: BudgetLine) -> list[object]:
    """A budget in a hold's record; the limit and the alerts only where they are not the usual ones."""
    cells: list[object] = [line.counter, line.unit, str(line.ceiling), int(line.rank), line.end]
    if line.alerts != DEFAULT_ALERTS:
        return [*cells, str(line.limit), line.alerts]
    return cells if line.limit == line.ceiling else [*cells, str(line.limit)]


def alert_steps(limit: int, alerts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """(amount, percent) of each threshold of a limit."""
    return tuple((-(-limit * percent // 100), percent) for percent in alerts)
