"""What a sidecar lets through by itself."""

import pytest

from tallystick.core.alone import Allowances, has_rule, judge
from tallystick.core.hold import hold_body, tally_record
from tallystick.core.matching import make_plan
from tallystick.core.plan import Plan, Taken
from tallystick.core.subject import Subject
from tallystick.policyfile import load_policy

pytestmark = pytest.mark.contract(13)


def plan_of(*budgets: str) -> Plan:
    lines = "".join(f"  b{number}: {{{text}}}\n" for number, text in enumerate(budgets))
    policy = load_policy(f"tenant: acme\nbudgets:\n{lines}", 1)
    return make_plan(policy, Subject(user="ann"), "", "", None, said=(), now_ms=1_760_000_000_000)


def record_of(plan: Plan, nano_usd: int, tokens: int = 0) -> str:
    return tally_record(
        content="", reserved_ms=1, wallet='"",""', nano_usd=nano_usd, tokens=tokens, expires_ms=9,
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
    found = judge(plan, Taken(1, 1), {}).binds
    assert (has_rule(plan), found and found.name) == (rule, binds)


def test_an_allowance_is_used_up_by_what_is_held_and_freed_by_what_was_not_spent() -> None:
    plan = plan_of(f"{DAY}, store_away: {{allowance: 0.000000010 USD}}")
    allowances = Allowances()
    allowances.hold(record_of(plan, 6))
    assert judge(plan, Taken(4, 0), allowances.used).binds is None
    assert judge(plan, Taken(5, 0), allowances.used).shortfall == 1
    allowances.end(record_of(plan, 6), (2, 0, 1))
    assert judge(plan, Taken(8, 0), allowances.used).binds is None
    assert judge(plan, Taken(9, 0), allowances.used).shortfall == 1
    allowances.reopen(record_of(plan, 6), (2, 0, 1))
    assert judge(plan, Taken(5, 0), allowances.used).shortfall == 1
    allowances.give_back(record_of(plan, 6))
    assert judge(plan, Taken(10, 0), allowances.used).binds is None


def test_a_call_in_flight_is_in_flight_until_it_has_ended() -> None:
    plan = plan_of("limit: 9 concurrent, store_away: {allowance: 1 concurrent}")
    allowances = Allowances()
    allowances.hold(record_of(plan, 6))
    assert judge(plan, Taken(1, 0), allowances.used).shortfall == 1
    allowances.end(record_of(plan, 6), (6, 0, 1))
    assert judge(plan, Taken(1, 0), allowances.used).binds is None
