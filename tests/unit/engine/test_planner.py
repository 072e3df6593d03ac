import pytest

from tallystick.core.reasons import Reason
from tallystick.engine import planner as planners
from tests.unit.engine.office import Office, in_tokens

HOUR_MS = 3_600_000
RULES = "wallets: {org: {}}\nbudgets:\n  all: {per: [user], limit: 1 USD, window: hour}\n"


def cached(office: Office) -> float:
    value = office.metrics.registry.get_sample_value("tallystick_plans_cached")
    assert value is not None
    return value


def hits_and_misses(office: Office) -> tuple[int, int]:
    return office.metrics.plan_hits.value, office.metrics.plan_misses.value


async def test_a_plan_serves_every_call_that_is_alike_in_what_the_policy_looks_at(office: Office) -> None:
    await office.apply(RULES)
    await office.credit(100)
    first = await office.reserve(5)
    for subject in ({}, {"team": "search"}, {"labels": (("a", "b"),)}):
        assert (await office.reserve(9, subject=subject)).plan is first.plan
    assert hits_and_misses(office) == (3, 1)
    others = [
        await office.reserve(5, subject={"user": "bob"}),
        await office.reserve(5, model="gpt-4o"),
        await office.reserve(5, model="gpt-4o", estimate=in_tokens(1, 1)),
        await office.reserve(5, model="gpt-4o", provider="azure", estimate=in_tokens(1, 1)),
    ]
    assert len({id(other.plan) for other in [first, *others]}) == 5
    assert hits_and_misses(office) == (3, 5)
    assert cached(office) == 5


async def test_a_plan_ends_with_its_window(office: Office) -> None:
    await office.apply(RULES)
    await office.credit(100)
    first = await office.reserve(5)
    office.store.ahead_ms = HOUR_MS
    office.planner.clock.put_right(office.store._clock_ms())
    second = await office.reserve(5)
    assert second.plan is not first.plan
    assert second.lines[0].start_ms == first.lines[0].end_ms
    assert cached(office) == 1  # it took the place of the first
    assert office.store.asked["reserve"] == 2


async def test_the_stores_clock_is_taken_over_from_its_objection(office: Office) -> None:
    await office.apply(RULES)
    await office.credit(100)
    first = await office.reserve(5)
    office.store.ahead_ms = 5 * HOUR_MS
    asked = office.store.asked["reserve"]
    second = await office.reserve(5)
    assert second.lines[0].start_ms == first.lines[0].start_ms + 5 * HOUR_MS
    assert office.store.asked["reserve"] == asked + 2  # the stale plan, and the right one
    await office.reserve(5)
    assert office.store.asked["reserve"] == asked + 3
    assert abs(office.planner.clock.now_ms() - office.store._clock_ms()) < 60_000


async def test_a_policy_that_another_sidecar_applied_holds_from_the_next_call_on(office: Office) -> None:
    await office.apply(RULES)
    await office.credit(100)
    assert (await office.reserve(5)).allowed
    await office.store.apply_policy("acme", "tenant: acme\nmodels: {deny: ['*']}\n" + RULES, None)
    refusal = (await office.reserve(5, model="gpt-4o")).refusal
    assert refusal is not None
    assert refusal.reason is Reason.MODEL_NOT_ALLOWED
    assert (await office.planner.rules("acme")).policy.version == 2
    assert cached(office) == 1  # the plans of the old policy are gone


async def test_a_tenant_without_a_policy_has_an_empty_one(office: Office) -> None:
    refusal = (await office.reserve(5, tenant="nobody")).refusal
    assert refusal is not None
    assert refusal.reason is Reason.NO_BUDGET_MATCHED


async def test_plans_are_forgotten_when_they_are_too_many(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planners, "MOST_PLANS", 3)
    await office.apply(RULES)
    await office.credit(1_000)
    for number in range(10):
        assert (await office.reserve(5, subject={"user": f"u{number}"})).allowed
        assert cached(office) <= 3
        assert cached(office) == sum(len(rules.plans) for rules in office.planner._rules.values())
    assert office.held() == 2 * 50  # of the wallet, and of the users' budgets


async def test_tenants_are_forgotten_when_they_are_too_many(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planners, "MOST_TENANTS", 3)
    for number in range(10):
        tenant = f"t{number}"
        await office.apply("unmatched: allow", tenant)
        assert (await office.reserve(5, tenant=tenant)).allowed
        assert len(office.planner._rules) <= 3
        assert cached(office) == sum(len(rules.plans) for rules in office.planner._rules.values())


async def test_prices_are_looked_up_again_on_the_quarter_hour(office: Office) -> None:
    await office.apply("wallets: {org: {}}")
    await office.credit(10**12)
    plan = (await office.reserve(model="gpt-4o", estimate=in_tokens(1, 1))).plan
    assert plan is not None
    assert plan.valid_until_ms % planners.PRICES_HOLD_MS == 0
    assert 0 < plan.valid_until_ms - office.planner.clock.now_ms() <= planners.PRICES_HOLD_MS


LOOPS = "wallets: {org: {}}\nbudgets:\n  loops: {per: [session, prompt], limit: 5 requests, window: 10m}\n"


async def test_plans_of_prompts_do_not_push_the_others_out(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planners, "MOST_PLANS", 3)
    monkeypatch.setattr(planners, "MOST_PLANS_OF_PROMPTS", 2)
    await office.apply(LOOPS)
    await office.credit(1_000)

    async def plan_of(prompt: str) -> object:
        return (await office.reserve(subject={"session": "s", "prompt": prompt})).plan

    without, first = await plan_of(""), await plan_of("p0")
    assert await plan_of("p0") is first  # a loop is served from the cache
    for number in range(10):
        await plan_of(f"p{number}")
    assert await plan_of("") is without
    assert cached(office) == 1 + 2
    again = await plan_of("p0")
    assert again is not first
    await plan_of("p1")
    assert await plan_of("p0") is again  # the least recently used goes first
    await plan_of("p2")
    assert await plan_of("p0") is again


async def test_a_prompts_plan_ends_with_its_window_and_its_policy(office: Office) -> None:
    await office.apply(LOOPS)
    await office.credit(1_000)
    subject = {"session": "s", "prompt": "p"}
    first = await office.reserve(subject=subject)
    office.store.ahead_ms = HOUR_MS
    second = await office.reserve(subject=subject)
    assert second.lines[0].start_ms == first.lines[0].start_ms + HOUR_MS
    await office.apply(LOOPS.replace("5", "6"))
    assert (await office.reserve(subject=subject)).lines[0].limit == 6
