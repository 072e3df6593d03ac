"""The decision: what a caller is told, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tallystick.core.counters import counter_window, parse_counter
from tallystick.core.hold import Hold
from tallystick.core.lots import Account, Lot
from tallystick.core.money import usd_text
from tallystick.core.plan import SLOTS, BudgetLine, Plan, Taken, WalletLine, alert_steps
from tallystick.core.policy import Unit
from tallystick.core.reasons import FIXED_MESSAGES, Reason
from tallystick.core.tickets import Ticket, TicketState
from tallystick.core.usage import Usage

CONCURRENCY_RETRY_MS = 1_000  # for a place in flight: nobody knows when a call ends


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget as it stands after the decision."""

    line: BudgetLine
    spent: int
    held: int

    @property
    def remaining(self) -> int:
        """Limit − spent − held; below zero when a true cost went over the limit."""
        return self.line.limit - self.spent - self.held

    @property
    def threshold_percent(self) -> int:
        """The highest alert threshold that spent + held has reached; 0 when none."""
        reached = 0
        for amount, percent in self.line.steps:
            if self.spent + self.held >= amount:
                reached = percent
        return reached


@dataclass(frozen=True, slots=True)
class WalletState:
    """A wallet's counters."""

    name: str
    group: str
    unit: Unit
    funds: int
    balance: int
    held: int
    lots: tuple[Lot, ...] = ()

    @classmethod
    def of(cls, line: WalletLine, account: Account) -> "WalletState":
        """A wallet of a plan, as it stands."""
        return cls(
            line.name,
            line.group,
            line.unit,
            account.funds,
            account.balance,
            account.held,
            tuple(account.lots),
        )

    @property
    def spent(self) -> int:
        """All that was charged."""
        return self.funds - self.balance

    @property
    def available(self) -> int:
        """Funds − spent − held; below zero it is debt."""
        return self.balance - self.held


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, what binds, and by how much."""

    reason: Reason
    message: str
    budget: str = ""
    wallet: str = ""
    group: str = ""
    shortfall: int = 0
    unit: Unit = Unit.NANO_USD
    retry_after_ms: int | None = None
    """None where time alone does not mend it."""


class Advice(NamedTuple):
    """What would be allowed now in place of what was refused, if nobody else comes between."""

    model: str = ""
    """A cheaper model that fits as it is."""
    max_output: int = 0
    """The most output tokens that fit with the model that was asked for; 0: none do."""
    at_ms: int = 0
    """When the whole call would fit by time alone; 0: time does not mend it."""
    more: str = ""
    """Whom to ask for more."""


class Downgrade(NamedTuple):
    """Why another model is to be used than the one asked for."""

    asked_model: str
    reason: Reason
    budget: str
    wallet: str
    message: str


@dataclass(slots=True)
class Decision:
    """ALLOW; or with a refusal DENY, or HOLD, where a ticket is open."""

    reservation_id: str
    model: str
    price_version: str
    nano_usd: int
    tokens: int
    lines: Sequence[BudgetLine]
    values: Sequence[int]
    """Spent and held of each line before the decision."""
    wallet: WalletLine | None = None
    tally: bytes = b""
    expires_ms: int = 0
    refusal: Refusal | None = None
    advice: Advice | None = None
    """With a refusal."""
    downgrade: Downgrade | None = None
    now_ms: int = 0
    bound: BudgetLine | None = None
    """The budget that binds, where one refuses a Reserve."""
    ticket: Ticket | None = None
    """Of that budget: open, or rejected."""
    plan: Plan | None = field(default=None, repr=False)
    """The plan it followed; None for an answer that was given before."""
    estimated: Usage | None = None
    """The tokens that it may use; None where the caller gave the cost."""
    store_away: bool = False
    """Whether it was made without the store, by the budgets' rules for that."""

    @property
    def allowed(self) -> bool:
        """Whether the call may go."""
        return self.refusal is None

    @property
    def result(self) -> str:
        """ALLOW, DENY or HOLD."""
        waits = self.ticket is not None and self.ticket.state is TicketState.OPEN
        return "ALLOW" if self.refusal is None else "HOLD" if waits else "DENY"

    @property
    def budgets(self) -> list[BudgetState]:
        """Every budget that was weighed, as it stands now."""
        taken = Taken(self.nano_usd, self.tokens) if self.allowed else NOTHING
        values = iter(self.values)
        return [
            BudgetState(line, spent, held + taken[line.slot])
            for line, spent, held in zip(self.lines, values, values, strict=True)
        ]


NOTHING = Taken(0, 0, 0, 0)


def explain_downgrade(asked_model: str, reason: Reason, budget: str, group: str) -> Downgrade:
    """Says why the model that was asked for is not used."""
    if not budget:
        text = FIXED_MESSAGES.get(reason, "the call is larger than a whole limit")
        if reason is Reason.INSUFFICIENT_FUNDS:
            text = "no wallet can pay for it"
    else:
        text = f"budget {_named(budget, group)} has too little left for it"
    return Downgrade(asked_model, reason, budget, "", f"{asked_model} is not used: {text}")


def lines_of(hold: Hold) -> list[BudgetLine]:
    """The budgets of a hold as they were, whatever the policy says by now."""
    lines = []
    for held in hold.budgets:
        name, group, unit = parse_counter(held.counter)
        start_ms, end_ms = counter_window(held.counter)
        lines.append(
            BudgetLine(
                name, group, unit, SLOTS[unit], held.limit, held.ceiling, held.rank, start_ms, end_ms,
                held.end, held.counter, held.alerts, alert_steps(held.limit, held.alerts),
            )
        )  # fmt: skip
    return lines


def explain_refusal(
    reason: Reason,
    binds: int,
    *,
    wallets: Sequence[WalletLine],
    lines: Sequence[BudgetLine],
    values: Sequence[int],
    taken: Taken,
    now_ms: int,
    room_ms: int = 0,
) -> Refusal:
    """Says what binds. `values`: balance and held of each wallet, spent and held of each line.

    `room_ms`: when what binds has room by time alone; 0: when the window of a budget ends.
    """
    if reason is Reason.CAN_NEVER_FIT:
        line = lines[too_small(lines, taken) - 1]
        short = taken[line.slot] - line.ceiling
        text = (
            f"{amount_text(taken[line.slot], line.unit)} is more than the whole limit of {_budget_text(line)}"
        )
        return Refusal(reason, text, budget=line.name, group=line.group, shortfall=short, unit=line.unit)
    if binds:
        line = lines[binds - 1]
        at = 2 * (len(wallets) + binds - 1)
        short = values[at] + values[at + 1] + taken[line.slot] - line.ceiling
        room_ms = room_ms or line.end_ms
        return _exhausted(reason, line, short, max(1, room_ms - now_ms) if room_ms else None)
    if reason is Reason.INSUFFICIENT_FUNDS and wallets:
        last = 2 * len(wallets)
        lacks = taken[SLOTS[wallets[-1].unit]] - (values[last - 2] - values[last - 1])
        return _unfunded(wallets[-1], lacks, max(1, room_ms - now_ms) if room_ms else None)
    return Refusal(reason, FIXED_MESSAGES[reason])


def _unfunded(wallet: WalletLine, lacks: int, wait_ms: int | None) -> Refusal:
    text = f"no wallet can pay; {_named(wallet.name, wallet.group)} lacks {amount_text(lacks, wallet.unit)}"
    return Refusal(
        Reason.INSUFFICIENT_FUNDS,
        text,
        wallet=wallet.name,
        group=wallet.group,
        shortfall=lacks,
        unit=wallet.unit,
        retry_after_ms=wait_ms,
    )


def too_small(lines: Sequence[BudgetLine], taken: Taken) -> int:
    """The first budget whose whole ceiling is too small for the call, from 1; 0: none is."""
    return next((i for i, line in enumerate(lines, 1) if line.rank and taken[line.slot] > line.ceiling), 0)


def _exhausted(reason: Reason, line: BudgetLine, shortfall: int, wait_ms: int | None) -> Refusal:
    if reason is Reason.CONCURRENCY_LIMITED:
        wait_ms = CONCURRENCY_RETRY_MS
    return Refusal(
        reason,
        f"{_budget_text(line)} {_used_up(line, shortfall)}",
        budget=line.name,
        group=line.group,
        shortfall=shortfall,
        unit=line.unit,
        retry_after_ms=wait_ms,
    )


def amount_text(amount: int, unit: Unit) -> str:
    """An amount for people: `0.25 USD`, `1200 tokens`."""
    if unit is Unit.NANO_USD:
        return f"{usd_text(amount)} USD"
    return f"{amount} {UNIT_NAMES[unit]}"


UNIT_NAMES = {
    Unit.NANO_USD: "USD",
    Unit.TOKENS: "tokens",
    Unit.REQUESTS: "requests",
    Unit.CONCURRENT: "concurrent",
}


def _budget_text(line: BudgetLine) -> str:
    return f"budget {_named(line.name, line.group)} of {amount_text(line.ceiling, line.unit)}"


def _used_up(line: BudgetLine, shortfall: int) -> str:
    if line.unit in (Unit.REQUESTS, Unit.CONCURRENT):
        return "is used up"
    return f"lacks {amount_text(shortfall, line.unit)}"


def _named(name: str, group: str) -> str:
    return f"{name} ({group})" if group else name
