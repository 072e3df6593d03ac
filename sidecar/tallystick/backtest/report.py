"""What the policy would have done, as it adds up."""

from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from tallystick.backtest.calls import PastCall
from tallystick.core.decision import Decision, Refusal
from tallystick.core.policy import Policy
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.core.windows import Span, Window, find_zone


@dataclass(slots=True)
class Sum:
    """Calls, and what they cost by the policy's prices."""

    calls: int = 0
    nano_usd: int = 0

    def add(self, nano_usd: int) -> None:
        """Adds one call."""
        self.calls += 1
        self.nano_usd += nano_usd


@dataclass(slots=True)
class Day:
    """All calls of one day."""

    made: Sum = field(default_factory=Sum)
    """As it was."""
    refused: int = 0
    downgraded: int = 0
    spent_nano_usd: int = 0
    """As it would have been; of the calls that began on this day."""


@dataclass(slots=True)
class BudgetDay:
    """One budget on one day."""

    calls: int = 0
    refused: int = 0
    """By this budget; a call that several would refuse is counted for the one that was named."""
    peak_percent: int = 0
    """Of its limit, spent and held, in the group that was fullest, rounded down."""


@dataclass(slots=True)
class BudgetReport:
    """One budget."""

    days: dict[str, BudgetDay] = field(default_factory=lambda: defaultdict(BudgetDay))
    first_refusal_ms: int | None = None


@dataclass(slots=True)
class SubjectReport:
    """What one subject was refused."""

    refused: Sum = field(default_factory=Sum)
    by: Counter[str] = field(default_factory=Counter)
    """Calls by the budget that refused, or the reason where it was none."""


@dataclass(slots=True)
class Billed:
    """The calls of which the bill is known."""

    bills: Sum = field(default_factory=Sum)
    priced_nano_usd: int = 0
    """The same calls by the policy's prices."""


class Report:
    """Is told of every decision and settle. Days are those of `zone`, an IANA name."""

    def __init__(self, policy: Policy, zone: str) -> None:
        self.policy = policy
        self.zone: tzinfo = find_zone(zone)
        self._day_window = Window(Span.DAY, zone=zone)
        self._day_ends_ms = 0
        self._day = ""
        self.first_ms = self.last_ms = 0
        self.made = Sum()
        self.unpriced = 0
        """Calls of models without a price: what they cost is not known, and not in any sum."""
        self.spent = Sum()
        """What was let through, by what was charged for it."""
        self.refused: dict[Reason, Sum] = defaultdict(Sum)
        self.downgraded: dict[tuple[str, str], Sum] = defaultdict(Sum)
        """(asked, used): by what was charged for it."""
        self.billed = Billed()
        self.days: dict[str, Day] = defaultdict(Day)
        self.budgets = {budget.name: BudgetReport() for budget in policy.budgets}
        self.subjects: dict[Subject, SubjectReport] = defaultdict(SubjectReport)
        self.ratios = array("d")
        """Held ÷ charged, of each call that was charged."""
        self.exceeded = 0
        """Calls that were charged more than was held."""

    def _day_of(self, at_ms: int) -> str:
        """The date, as `2026-05-01`, of a time that is not before the last one."""
        if not at_ms < self._day_ends_ms:
            bounds = self._day_window.bounds(at_ms)
            assert bounds is not None
            self._day_ends_ms = bounds[1]
            self._day = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone).date().isoformat()
        return self._day

    def decided(self, call: PastCall, decision: Decision, cost_nano_usd: int | None) -> str:
        """Counts a decision; the day it counts to. Calls come in the order of their times.

        `cost_nano_usd`: what it cost by the policy's prices; None for a model without one.
        """
        nano_usd = cost_nano_usd or 0
        self.first_ms = self.first_ms if self.made.calls else call.time_ms
        self.last_ms = call.time_ms
        self.made.add(nano_usd)
        self.unpriced += cost_nano_usd is None
        name = self._day_of(call.time_ms)
        day = self.days[name]
        day.made.add(nano_usd)
        if call.billed_nano_usd is not None:
            self.billed.bills.add(call.billed_nano_usd)
            self.billed.priced_nano_usd += nano_usd
        self._weighed(name, decision)
        if decision.refusal is not None:
            day.refused += 1
            self._refused(call, decision.refusal, name, nano_usd)
        elif decision.model != call.model:
            day.downgraded += 1
        return name

    def _weighed(self, day: str, decision: Decision) -> None:
        for state in decision.budgets:
            budget = self.budgets[state.line.name].days[day]
            budget.calls += 1
            percent = (state.spent + state.held) * 100 // state.line.limit
            budget.peak_percent = max(percent, budget.peak_percent)

    def _refused(self, call: PastCall, refusal: Refusal, day: str, nano_usd: int) -> None:
        self.refused[refusal.reason].add(nano_usd)
        subject = self.subjects[lasting(call.subject)]
        subject.refused.add(nano_usd)
        subject.by[refusal.budget or refusal.reason.name] += 1
        if refusal.budget:
            budget = self.budgets[refusal.budget]
            budget.days[day].refused += 1
            if budget.first_refusal_ms is None:
                budget.first_refusal_ms = call.time_ms

    def settled(self, call: PastCall, decision: Decision, day: str, charged_nano_usd: int) -> None:
        """Counts the end of a call that was let through on `day`."""
        self.spent.add(charged_nano_usd)
        self.days[day].spent_nano_usd += charged_nano_usd
        if decision.model != call.model:
            self.downgraded[call.model, decision.model].add(charged_nano_usd)
        if charged_nano_usd:
            self.ratios.append(decision.nano_usd / charged_nano_usd)
            self.exceeded += charged_nano_usd > decision.nano_usd


@lru_cache(maxsize=8192)
def lasting(subject: Subject) -> Subject:
    """The subject without what is another with every session and prompt."""
    return subject._replace(session="", prompt="")
