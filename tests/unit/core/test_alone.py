"""What a sidecar lets through by itself."""

import json

import pytest

from tallystick.core.alone import Allowances, has_rule, judge
from tallystick.core.hold import hold_body, tally_record
from tallystick.core.matching import make_plan
from tallystick.core.plan import Plan, Taken
from tallystick.core.subject import Subject
from tallystick.policyfile import load_policy

pytestmark = pytest.mark.contract(13)

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000


def plan_of(*budgets: str) -> Plan:
    lines = "".join(f"  b{number}: {{{text}}}\n" for number, text in enumerate(budgets))
    policy = load_policy(f"tenant: acme\nbudgets:\n{lines}", 1)
    return make_plan(policy, Subject(user="ann", session="s"), "", "", None, said=(), now_ms=NOW_MS)


def record_of(plan: Plan, nano_usd: int, tokens: int = 0, reserved_ms: int = NOW_MS) -> str:
    return tally_record(
        content="", reserved_ms=reserved_ms, wallet='"",""', nano_usd=nano_usd, tokens=tokens, expires_ms=9,
        body=hold_body(plan, "user=ann"),
    )  # fmt: skip


DAY = "limit: 9 USD, window: day"
TOLD = f"{DAY}, on_exhausted: alert"


@pytest.mark.parametrize(
    ("budgets", "rule", "binds"),
    [
        ([DAY], False, "b0"),
        ([TOLD], False, None),
        ([f"{DAY}, store_away: allow"], True, None),
        ([f"{DAY}, store_away: deny"], False, "b0"),
        ([f"{DAY}, store_away: allow", TOLD], True, None),
        ([f"{DAY}, store_away: allow", f"{TOLD}, store_away: deny"], True, "b1"),
        ([f"{TOLD}, store_away: allow", DAY], True, "b1"),
    ],
)
def test_every_budget_must_let_a_call_through(budgets: list[str], rule: bool, binds: str | None) -> None:
    plan = plan_of(*budgets)
    found = judge(plan, Taken(1, 1), Allowances(), NOW_MS).binds
    assert (has_rule(plan), found and found.name) == (rule, binds)


def test_an_allowance_is_used_up_by_what_is_held_and_freed_by_what_was_not_spent() -> None:
    plan = plan_of(f"{DAY}, store_away: {{allowance: 0.000000010 USD}}")
    allowances = Allowances()
    allowances.hold(record_of(plan, 6))
    assert judge(plan, Taken(4, 0), allowances, NOW_MS).binds is None
    assert judge(plan, Taken(5, 0), allowances, NOW_MS).shortfall == 1
    allowances.end(record_of(plan, 6), (2, 0, 1))
    assert judge(plan, Taken(8, 0), allowances, NOW_MS).binds is None
    assert judge(plan, Taken(9, 0), allowances, NOW_MS).shortfall == 1
    allowances.reopen(record_of(plan, 6), (2, 0, 1))
    assert judge(plan, Taken(5, 0), allowances, NOW_MS).shortfall == 1
    allowances.give_back(record_of(plan, 6))
    assert judge(plan, Taken(10, 0), allowances, NOW_MS).binds is None


def test_a_call_in_flight_is_in_flight_until_it_has_ended() -> None:
    plan = plan_of("limit: 9 concurrent, store_away: {allowance: 1 concurrent}")
    allowances = Allowances()
    allowances.hold(record_of(plan, 6))
    assert judge(plan, Taken(1, 0), allowances, NOW_MS).shortfall == 1
    allowances.end(record_of(plan, 6), (6, 0, 1))
    assert judge(plan, Taken(1, 0), allowances, NOW_MS).binds is None


@pytest.mark.parametrize(
    ("window", "rest", "lasts_ms"),
    [
        ("day", 1, DAY_MS - NOW_MS % DAY_MS),
        ("rolling 1h", 1, 3_600_000 + 60_000 - NOW_MS % 60_000),
        ("total", 4, 0),
        ("session", 4, 0),
    ],
)
def test_what_went_of_a_window_is_gone_until_it_ends(window: str, rest: int, lasts_ms: int) -> None:
    """And after a restart; where windows have no end it comes back once the store was told."""
    plan = plan_of(f"limit: 9 USD, window: {window}, store_away: {{allowance: 0.000000004 USD}}")
    before = Allowances()
    before.hold(record_of(plan, 3))
    assert judge(plan, Taken(2, 0), before, NOW_MS).shortfall == 1
    before.forget_ended(NOW_MS)
    allowances = Allowances()
    allowances.restore(json.loads(json.dumps(before.cells())))

    def fits(amount: int, now_ms: int) -> bool:
        return judge(plan, Taken(amount, 0), allowances, now_ms).binds is None

    assert [fits(rest, NOW_MS), fits(rest + 1, NOW_MS)] == [True, False]
    if lasts_ms:
        assert [fits(4, NOW_MS + lasts_ms - 1), fits(4, NOW_MS + lasts_ms)] == [False, True]
        allowances.forget_ended(NOW_MS + lasts_ms)
    assert allowances.cells() == {}


def test_what_has_left_a_rolling_window_does_not_come_back_with_the_next_call() -> None:
    plan = plan_of("limit: 9 USD, window: rolling 1h, store_away: {allowance: 0.000000004 USD}")
    allowances, later_ms = Allowances(), NOW_MS + 2 * 3_600_000
    first, second = record_of(plan, 4), record_of(plan, 3, reserved_ms=later_ms)
    allowances.hold(first)
    allowances.hold(second)
    assert judge(plan, Taken(1, 0), allowances, later_ms).binds is None
    assert judge(plan, Taken(2, 0), allowances, later_ms).shortfall == 1
    allowances.end(first, (1, 0, 1))
    assert judge(plan, Taken(2, 0), allowances, later_ms).shortfall == 1
