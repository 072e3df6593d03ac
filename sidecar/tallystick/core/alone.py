"""What a sidecar may let through by itself, while it can't reach the store. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

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


def judge(plan: Plan, taken: Taken, used: Mapping[str, int]) -> Verdict:
    """Whether every budget lets a call through; `used`: what of its allowance went, by counter."""
    for line in plan.budgets:
        if line.store_away is None:
            continue
        short = used.get(line.counter, 0) + taken[line.slot] - line.store_away
        if not line.store_away or short > 0:
            return Verdict(line, max(0, short) if line.store_away else 0)
    return Verdict(None)


class Allowances:
    """What went of them, by the counters of budgets."""

    def __init__(self) -> None:
        self.used: Counter[str] = Counter()

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
            self.used[budget.counter] += 0 if in_flight and charged else sign * amounts[budget.unit]
