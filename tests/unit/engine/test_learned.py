"""What is held for an answer whose length the request leaves open, and what settles teach."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from tallystick.background import learner
from tallystick.core.errors import StoreUnavailable
from tallystick.core.learning import BOUNDS, LEAST_ANSWERS, MOST_PAIRS, Counts, Pair, bucket_of
from tallystick.core.outcome import Outcome
from tallystick.core.policy import OutputRule
from tallystick.core.usage import Usage
from tallystick.engine.calls import Cost, ProviderRequest, SettleCall
from tallystick.engine.learned import Learned
from tallystick.engine.rules import Rules
from tallystick.providers.call import Api
from tests.servers import until
from tests.unit.engine.office import Office, in_tokens

RULES = """
wallets: {org: {}}
estimate: {max_output: 3000}
prices: {models: {"*": {input: 1, output: 10}}}
"""


async def office_by(rule: OutputRule, **ceilings: int) -> Office:
    """An office whose policy has this rule; by keyword, what models can answer with."""
    office = Office()
    await office.apply(RULES)
    await office.credit(10**15)
    rules = await office.planner.rules("acme")
    most = tuple((model.replace("_", "-"), tokens) for model, tokens in ceilings.items())
    policy = replace(rules.policy, output_rule=rule, prices=replace(rules.policy.prices, max_output=most))
    office.planner._rules["acme"] = Rules(policy, office.planner.clock.now_ms)
    return office


async def held(office: Office, given: int = 10, model: str = "m", workflow: str = "") -> int:
    """Tokens held for the answer."""
    decision = await office.reserve(
        model=model, estimate=in_tokens(given, None), subject={"workflow": workflow}
    )
    return decision.tokens - given


async def answer(office: Office, output: int, *, model: str = "m", workflow: str = "", many: int = 1) -> None:
    """Calls that were reserved, and answered with so many tokens."""
    for _ in range(many):
        subject = {"workflow": workflow}
        decision = await office.reserve(model=model, estimate=in_tokens(10, 1_000), subject=subject)
        usage = Usage(input=10, output=output)
        await office.engine.settle(
            SettleCall("acme", decision.reservation_id, "s", b"", Outcome.COMPLETED, usage)
        )


@contextlib.asynccontextmanager
async def learning(office: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """While this lasts, the store is told."""
    monkeypatch.setattr(learner, "EVERY_S", 0.001)
    learned = office.engine.learned
    task = asyncio.create_task(learner.learn_for_ever(office.store, office.planner, learned))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def told(office: Office) -> None:
    """Returns when all that was seen has reached the store."""
    await until(lambda: not any(tenant.news for tenant in office.engine.learned._tenants.values()))
    await asyncio.sleep(0)


async def test_a_number_is_held_whatever_is_known() -> None:
    office = await office_by(OutputRule.NUMBER, m=50)
    assert await held(office) == 3_000
    assert await held(office, model="gpt-4") == 3_000


async def test_the_ceiling_is_held_and_the_number_where_none_is_known() -> None:
    office = await office_by(OutputRule.CEILING, m=50)
    assert await held(office) == 50
    assert await held(office, model="gpt-4") == 8_192 - 10
    assert await held(office, model="nobody-knows-me") == 3_000


async def test_the_ceiling_is_of_each_answer() -> None:
    office = await office_by(OutputRule.CEILING, m=50)
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "n": 3}
    request = ProviderRequest(Api.OPENAI_CHAT, json.dumps(body).encode())
    three = await office.reserve(estimate=request)
    one = await office.reserve(
        estimate=request._replace(body=json.dumps(body | {"n": 1}).encode()), content="one"
    )
    assert three.tokens - one.tokens == 2 * 50


async def test_what_is_learned_is_held_once_enough_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    office = await office_by(OutputRule.LEARNED)
    async with learning(office, monkeypatch):
        await answer(office, 70, many=LEAST_ANSWERS - 1)
        await told(office)
        assert await held(office) == 3_000
        await answer(office, 70)
        await told(office)
        assert await held(office) == BOUNDS[bucket_of(70)]
        assert await held(office, workflow="audit") == 3_000  # another pair
        await answer(office, 400, workflow="audit", many=LEAST_ANSWERS)
        await told(office)
        assert await held(office, workflow="audit") == BOUNDS[bucket_of(400)]
        assert await held(office) == BOUNDS[bucket_of(70)]


async def test_what_is_learned_never_exceeds_the_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    office = await office_by(OutputRule.LEARNED, m=50)
    assert await held(office) == 50  # the number does not, either
    async with learning(office, monkeypatch):
        await answer(office, 70, many=LEAST_ANSWERS)
        await told(office)
        assert await held(office) == 50


async def test_what_another_sidecar_saw_is_heard_by_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    office = await office_by(OutputRule.LEARNED)
    await office.store.learn("acme", {Pair("m", ""): {bucket_of(70): LEAST_ANSWERS}})
    async with learning(office, monkeypatch):
        assert await held(office) == 3_000
        await told(office)
        assert await held(office) == BOUNDS[bucket_of(70)]


async def test_a_retried_settle_teaches_once_and_one_without_usage_nothing() -> None:
    office = await office_by(OutputRule.LEARNED)
    await answer(office, 70)
    call = SettleCall("acme", "r1", "s", b"", Outcome.COMPLETED, Usage(input=10, output=70))
    assert not (await office.engine.settle(call)).changed
    tally = (await office.reserve(model="m", estimate=in_tokens(10, 5))).tally
    await office.settle("r2", 5, tally)
    await office.reserve(model="m", estimate=in_tokens(10, 5))
    await office.engine.settle(SettleCall("acme", "r3", "s", b"", Outcome.UNKNOWN, None))
    assert office.engine.learned.take_news() == {"acme": {Pair("m", ""): {bucket_of(70): 1}}}


async def test_the_store_is_told_only_where_the_policy_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    office = await office_by(OutputRule.CEILING)
    async with learning(office, monkeypatch):
        await answer(office, 70)
        await told(office)
    assert not any(":q" in name for name in office.partition.hold)


async def test_what_could_not_be_told_is_lost_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    office = await office_by(OutputRule.LEARNED)

    async def away(tenant: str, news: Mapping[Pair, Counts]) -> dict[Pair, Counts]:
        raise StoreUnavailable("it is away")

    async with learning(office, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(office.store, "learn", away)
            await answer(office, 70)
            await told(office)
        await answer(office, 80)
        await told(office)
        await until(lambda: f"acme:q:{Pair('m', '').name}" in office.partition.hold)
    assert office.partition.hold["acme:q:m:"] == f"1 {bucket_of(80)}=1"


def test_news_without_room_in_the_store_wait_for_the_next_answer() -> None:
    learned, pair = Learned(), Pair("m", "")
    learned.saw("acme", "m", "", 5)
    news = learned.take_news()["acme"]
    learned.take_over("acme", news, {})
    assert learned.take_news() == {}
    learned.saw("acme", "m", "", 5)
    assert learned.take_news() == {"acme": {pair: {5: 2}}}
    learned.take_over("acme", {pair: {5: 2}}, {pair: {5: LEAST_ANSWERS}})
    assert learned.max_output("acme", "m", "") == 5
    learned.take_over("acme", {pair: {}}, {})  # the store has forgotten it
    assert learned.max_output("acme", "m", "") is None


def test_what_a_sidecar_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = Learned()
    for number in range(5 * MOST_PAIRS):
        learned.saw("acme", "m", str(number), 5)
        if number % 200 == 0:
            news = learned.take_news()["acme"]
            known = {} if number % 400 else {pair: {5: LEAST_ANSWERS} for pair in news}
            learned.take_over("acme", news, known)
    one = learned._tenants["acme"]
    assert len(one.news) <= MOST_PAIRS
    assert len(one.waiting) <= MOST_PAIRS
    assert len(one.known) <= 3 * MOST_PAIRS
    monkeypatch.setattr("tallystick.engine.learned.MOST_TENANTS", 3)
    for number in range(10):
        learned.saw(f"t{number}", "m", "", 5)
    assert len(learned._tenants) <= 3


def ratio(office: Office, unit: str, bound: str) -> float | None:
    labels = {"unit": unit, "le": bound}
    return office.metrics.registry.get_sample_value("tallystick_estimate_ratio_bucket", labels)


async def test_what_calls_took_is_compared_with_what_was_held() -> None:
    office = await office_by(OutputRule.NUMBER)
    await answer(office, 92)  # 102 of 1,010 tokens; 930 of 10,010 µ$
    assert (ratio(office, "tokens", "0.1"), ratio(office, "tokens", "0.2")) == (0, 1)
    assert (ratio(office, "usd", "0.05"), ratio(office, "usd", "0.1")) == (0, 1)
    tally = (await office.reserve(100, 50)).tally
    await office.engine.settle(SettleCall("acme", "r2", "s", tally, Outcome.COMPLETED, Cost(150, 0)))
    assert (ratio(office, "usd", "1.25"), ratio(office, "usd", "1.5")) == (1, 2)
    assert ratio(office, "tokens", "+Inf") == 1  # tokens were not said
    tally = (await office.reserve(100, 50)).tally
    await office.engine.settle(SettleCall("acme", "r3", "s", tally, Outcome.COMPLETED, Cost(0, 500)))
    assert (ratio(office, "tokens", "5.0"), ratio(office, "tokens", "10.0")) == (1, 2)
    assert ratio(office, "usd", "+Inf") == 2


async def test_what_takes_no_money_has_no_ratio_in_dollars() -> None:
    office = Office()
    await office.apply("unmatched: allow\nprices: {models: {m: {free: true}}}")
    await answer(office, 490)
    assert (ratio(office, "tokens", "0.4"), ratio(office, "tokens", "0.5")) == (0, 1)
    assert ratio(office, "usd", "+Inf") == 0
