"""The budgets of a policy as they stand in their windows of now, for those who operate it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, islice, takewhile
from typing import NamedTuple
from urllib.parse import unquote

from tallystick.core.counters import group_text, parse_budget_counter
from tallystick.core.decision import BudgetState
from tallystick.core.errors import InvalidArgument
from tallystick.core.matching import budget_line
from tallystick.core.policy import Budget, Policy
from tallystick.engine.calls import BudgetsCall


class ListedBudget(NamedTuple):
    """One group of a budget of the policy."""

    budget: Budget
    state: BudgetState


class _Group(NamedTuple):
    name: str
    """Percent-encoded."""
    spent: int
    held: int


def chosen_budgets(policy: Policy, call: BudgetsCall) -> list[Budget]:
    """The budgets that are asked for.

    Raises:
        InvalidArgument: there is none of this name, or it has no such groups.
    """
    chosen = [budget for budget in policy.budgets if call.budget in ("", budget.name)]
    if call.budget and not chosen:
        names = ", ".join(budget.name for budget in policy.budgets) or "none"
        raise InvalidArgument("budget", f"expected a budget of the policy ({names}), got {call.budget!r}")
    if call.group and not call.budget:
        raise InvalidArgument("group", "expected a budget with it, since each has groups of its own")
    if call.group and not set(call.group) <= set(chosen[0].per):
        wanted = ", ".join(chosen[0].per) or "nothing"
        raise InvalidArgument("group", f"expected values of the budget's per: {wanted}")
    return chosen


def list_budgets(
    policy: Policy,
    call: BudgetsCall,
    counters: Mapping[str, tuple[int, int]],
    now_ms: int,
    part: tuple[int, int],
) -> list[ListedBudget]:
    """In the policy's order, and of each budget the fullest group first.

    `part`: from which to which, the last one excluded, by their numbers in that order.

    `counters` are spent and held by counter. Those of windows that have ended are left out, and
    so are those of a unit, window or `per` that the budget had before. A budget without any is
    there once, at 0.

    Raises:
        InvalidArgument: see `chosen_budgets`.
    """
    groups = _groups(counters, call.group)
    states = (
        ListedBudget(budget, state)
        for budget in chosen_budgets(policy, call)
        for state in _states(policy.tenant, budget, groups, call.group, now_ms)
    )
    return list(islice(states, *part))


def groups_over(
    policy: Policy, counters: Mapping[str, tuple[int, int]], now_ms: int, most: int
) -> list[BudgetState]:
    """The groups that have used more than the limit of this policy, in the order of `list_budgets`.

    A budget whose window, unit or `per` is another one than before counts from 0, and has none.
    """
    groups = _groups(counters, {})
    found = (
        takewhile(lambda state: state.remaining < 0, _states(policy.tenant, budget, groups, {}, now_ms))
        for budget in policy.budgets
    )
    return list(islice(chain.from_iterable(found), most))


def _groups(
    counters: Mapping[str, tuple[int, int]], asked: dict[str, str]
) -> Mapping[tuple[object, ...], list[_Group]]:
    """By budget, `per` and window; only those with the values that are asked for."""
    groups: defaultdict[tuple[object, ...], list[_Group]] = defaultdict(list)
    wanted = set(group_text(tuple(asked), asked).split(",")) if asked else set[str]()
    for counter, (spent, held) in counters.items():
        parsed = parse_budget_counter(counter)
        if not wanted or wanted <= set(parsed.group.split(",")):
            groups[parsed.name, parsed.per, parsed.window].append(_Group(parsed.group, spent, held))
    return groups


def _states(
    tenant: str,
    budget: Budget,
    groups: Mapping[tuple[object, ...], list[_Group]],
    asked: dict[str, str],
    now_ms: int,
) -> Iterator[BudgetState]:
    """Lines of one budget differ only in the group, so its window is found once."""
    of_one = group_text(budget.per, asked) if set(asked) == set(budget.per) else ""
    line = budget_line(tenant, budget, of_one, now_ms)
    window = parse_budget_counter(line.counter).window
    found = groups.get((budget.name, budget.per, window)) or [_Group(of_one, 0, 0)]
    for name, spent, held in sorted(found, key=lambda each: (-each.spent - each.held, each.name)):
        counter = f"{tenant}:b:{budget.name}:{name}:{window}"
        yield BudgetState(replace(line, group=unquote(name), counter=counter), spent, held)
