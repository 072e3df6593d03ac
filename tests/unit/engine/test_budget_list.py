"""The budgets of a policy as their administrator sees them, on the store in memory and as a pure function."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.counters import group_text
from tallystick.core.errors import InvalidArgument, PolicyNotFound
from tallystick.core.matching import budget_line
from tallystick.core.policy import Budget, Policy, Unit
from tallystick.core.windows import Span, Window
from tallystick.engine import Administration
from tallystick.engine.budget_list import ListedBudget, list_budgets
from tallystick.engine.calls import BudgetsCall
from tests.unit.engine.office import Office, page

DAY_MS = 86_400_000
NOW_MS = 1_760_000_000_000
RULES = """
unmatched: allow
budgets:
  daily: {per: [user], limit: 0.0000001 USD, window: day, priorities: {low: 50%}}
  team-day: {per: [team, user], limit: 0.0000001 USD, window: day}
  flight: {limit: 9 concurrent}
  rolls: {limit: 0.0000001 USD, window: rolling 30d, on_exhausted: alert}
"""
DAILY = Budget("daily", 100, Unit.NANO_USD, Window(Span.DAY), per=("user",))
TEAMS = Budget("teams", 100, Unit.NANO_USD, Window(Span.TOTAL), per=("team", "user"))


def rows(listed: Sequence[ListedBudget]) -> list[tuple[str, str, int, int]]:
    return [(budget.name, state.line.group, state.spent, state.held) for budget, state in listed]


def asked(budget: str = "", **group: str) -> BudgetsCall:
    return BudgetsCall("acme", budget, group)


async def listed_by(administration: Administration, call: BudgetsCall) -> Sequence[ListedBudget]:
    return (await administration.budgets(call, page())).found


def counter(budget: Budget, group: str, now_ms: int = NOW_MS) -> str:
    return budget_line("acme", budget, group, now_ms).counter


async def test_every_group_is_there_the_fullest_first_and_what_nobody_used_at_0(office: Office) -> None:
    await office.apply(RULES)
    await office.reserve(5, subject={"user": "alice"})
    await office.reserve(30, subject={"user": "b,o=b"}, reservation_id="b")
    await office.settle("b", 40)
    listed = await listed_by(office.administration, asked())
    assert rows(listed) == [
        ("daily", "user=b,o=b", 40, 0),
        ("daily", "user=alice", 0, 5),
        ("team-day", "", 0, 0),
        ("flight", "", 0, 1),
        ("rolls", "", 40, 5),
    ]
    for budget, state in listed:
        assert (state.line.name, state.line.limit) == (budget.name, budget.limit)
        assert budget.name == "team-day" or state.line.counter in await office.store.budgets("acme")


async def test_a_window_that_ended_is_left_out(office: Office) -> None:
    await office.apply(RULES)
    await office.reserve(5)
    office.store.ahead_ms = DAY_MS
    office.planner.clock.put_right(office.planner.clock.now_ms() + DAY_MS)
    assert len(await office.store.budgets("acme")) == 3
    listed = await listed_by(office.administration, asked())
    assert rows(listed) == [
        ("daily", "", 0, 0),
        ("team-day", "", 0, 0),
        ("flight", "", 0, 1),
        ("rolls", "", 0, 5),
    ]


@pytest.mark.parametrize(
    "changed",
    [
        "{per: [user], limit: 5 tokens, window: day}",
        "{per: [user], limit: 5 USD, window: month}",
        "{per: [team], limit: 5 USD, window: day}",
        "{limit: 5 USD, window: day}",
    ],
)
async def test_what_a_budget_counted_before_it_was_another_is_left_out(office: Office, changed: str) -> None:
    await office.apply(RULES)
    await office.reserve(5)
    await office.apply(f"budgets: {{daily: {changed}}}")
    assert rows(await listed_by(office.administration, asked())) == [("daily", "", 0, 0)]


async def test_one_budget_and_one_group(office: Office) -> None:
    await office.apply(RULES)
    for team, user in (("search", "alice"), ("search", "bob"), ("ads, and more", "alice")):
        await office.reserve(5, subject={"team": team, "user": user})
    administration = office.administration
    assert {row[0] for row in rows(await listed_by(administration, asked("daily")))} == {"daily"}
    search = rows(await listed_by(administration, asked("team-day", team="search")))
    assert search == [
        ("team-day", "team=search,user=alice", 0, 5),
        ("team-day", "team=search,user=bob", 0, 5),
    ]
    ads = rows(await listed_by(administration, asked("team-day", user="alice", team="ads, and more")))
    assert ads == [("team-day", "team=ads, and more,user=alice", 0, 5)]
    unused = rows(await listed_by(administration, asked("team-day", user="zoe", team="ads")))
    assert unused == [("team-day", "team=ads,user=zoe", 0, 0)]
    assert rows(await listed_by(administration, asked("team-day", user="zoe"))) == [("team-day", "", 0, 0)]


async def test_what_there_is_not_is_said(office: Office) -> None:
    with pytest.raises(PolicyNotFound, match="tenant acme has no policy"):
        await listed_by(office.administration, asked())
    await office.apply(RULES)
    for call, text in (
        (asked("dayly"), r"budget: expected a budget of the policy \(daily, team-day, flight, rolls\), got"),
        (asked("", user="a"), "group: expected a budget with it"),
        (asked("daily", team="a"), "group: expected values of the budget's per: user"),
        (asked("flight", user="a"), "group: expected values of the budget's per: nothing"),
    ):
        with pytest.raises(InvalidArgument, match=text):
            await listed_by(office.administration, call)


@pytest.mark.parametrize("size", [1, 2, 7, 11, 12, 13, 1_000])
async def test_pages_together_are_the_list(office: Office, size: int) -> None:
    await office.apply(RULES)
    for number in range(9):
        await office.reserve(number, subject={"user": f"u{number}"})
    whole = await listed_by(office.administration, asked())
    found, token = list[ListedBudget](), ""
    while True:
        cut = await office.administration.budgets(asked(), page(size, token))
        assert len(cut.found) <= size
        found += cut.found
        token = cut.token
        if not token:
            break
        assert len(cut.found) == size
    assert found == whole
    assert len(whole) == 12


AMOUNTS = st.integers(-(2**70), 2**70)


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.tuples(AMOUNTS, AMOUNTS), max_size=20))
def test_each_group_is_there_once_whatever_its_name(used: dict[str, tuple[int, int]]) -> None:
    counters = {counter(DAILY, group_text(("user",), {"user": user})): both for user, both in used.items()}
    ended = {counter(DAILY, "user=x", NOW_MS - DAY_MS): (7, 7)}
    listed = list_budgets(Policy("acme", 1, budgets=(DAILY,)), asked(), counters | ended, NOW_MS, (0, 99))
    states = [state for _, state in listed]
    if used:
        assert {state.line.group.removeprefix("user="): (state.spent, state.held) for state in states} == used
        assert {state.line.counter for state in states} == set(counters)
    else:
        assert rows(listed) == [("daily", "", 0, 0)]
    uses = [state.spent + state.held for state in states]
    assert uses == sorted(uses, reverse=True)
