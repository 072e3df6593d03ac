"""What a sidecar may let through by itself, while it can't reach the store. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tallystick.core.counters import bucket_of
from tallystick.core.hold import read_hold
from tallystick.core.ledger import by_unit
from tallystick.core.plan import BudgetLine, Plan, Taken
from tallystick.core.policy import Unit


class Verdict(NamedTuple):
    """Of the budgets of a call."""

    binds: BudgetLine | None
    """The first that does not let it through; None: it may go."""
    shortfall: int = 0
    """In its unit; 0 where the budget lets nothing through."""


def has_rule(plan: Plan) -> bool:
    """Whether any budget of these calls lets something through. Without one there is no decision."""
    return any(line.store_away for line in plan.budgets)


class Allowances:
    """What went of them, by the counters of budgets: of each window once, however often the store goes."""

    def __init__(self) -> None:
        self._of: dict[str, dict[int, int]] = {}
        """By counter and by when it counts no more (Unix ms); 0: once the store was told."""

    def used(self, counter: str, now_ms: int) -> int:
        """In the unit of the counter."""
        parts = self._of.get(counter, {}).items()
        return sum(amount for until_ms, amount in parts if not until_ms or now_ms < until_ms)

    def hold(self, record: str) -> None:
        """A call is let through: takes what its record holds."""
        self._add(record, 1, None)

    def give_back(self, record: str) -> None:
        """It was not, after all."""
        self._add(record, -1, None)

    def end(self, record: str, charged: tuple[int, int, int]) -> None:
        """It has ended; `charged`: nano-dollars, tokens and requests."""
        self._add(record, -1, None)
        self._add(record, 1, charged)

    def reopen(self, record: str, charged: tuple[int, int, int]) -> None:
        """Takes back what `end` did."""
        self._add(record, -1, charged)
        self._add(record, 1, None)

    def _add(self, record: str, sign: int, charged: tuple[int, int, int] | None) -> None:
        hold = read_hold(record)
        amounts = by_unit(*(charged or (hold.nano_usd, hold.tokens, 1)))
        for budget in hold.budgets:
            in_flight = budget.unit is Unit.CONCURRENT
            until_ms = 0 if in_flight else _until(budget.end, hold.reserved_ms)
            amount = 0 if in_flight and charged else sign * amounts[budget.unit]
            parts = self._of.setdefault(budget.counter, {})
            parts[until_ms] = parts.get(until_ms, 0) + amount

    def forget_ended(self, now_ms: int) -> None:
        """Once the store knows of all calls: of windows that have ended, or never do, nothing counts."""
        kept = {
            counter: {until_ms: amount for until_ms, amount in parts.items() if amount and until_ms > now_ms}
            for counter, parts in self._of.items()
        }
        self._of = {counter: parts for counter, parts in kept.items() if parts}

    def cells(self) -> dict[str, list[list[int]]]:
        """As JSON can hold it."""
        return {counter: [list(part) for part in parts.items()] for counter, parts in self._of.items()}

    def restore(self, cells: Mapping[str, Iterable[tuple[int, int]]]) -> None:
        """The inverse of `cells`."""
        self._of = {counter: dict(parts) for counter, parts in cells.items()}


def _until(end: str, reserved_ms: int) -> int:
    """When what was reserved then no longer counts; 0 where the window has no end."""
    bucket = bucket_of(end, reserved_ms)
    if bucket:
        return bucket.leaves_ms
    return int(end) if end.isdigit() else 0


def judge(plan: Plan, taken: Taken, allowances: Allowances, now_ms: int) -> Verdict:
    """Whether every budget lets a call through."""
    for line in plan.budgets:
        if line.store_away is None:
            continue
        short = allowances.used(line.counter, now_ms) + taken[line.slot] - line.store_away
        if not line.store_away or short > 0:
            return Verdict(line, max(0, short) if line.store_away else 0)
    return Verdict(None)
