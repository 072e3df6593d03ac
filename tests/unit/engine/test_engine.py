import asyncio
from typing import Any

import pytest

from tallystick.core.errors import InvalidArgument, ReservationNotFound, StoreUnavailable
from tallystick.core.outcome import Outcome
from tallystick.core.reasons import Reason
from tallystick.core.usage import Usage
from tallystick.engine.calls import Cost, ExtendCall, ProviderRequest, SettleCall
from tallystick.providers import Api
from tests.servers import until
from tests.unit.engine.office import KEY, Office, in_tokens

RULES = "wallets: {org: {}}\nbudgets:\n  busy: {limit: 9 concurrent}\n"


async def funded(office: Office) -> None:
    await office.apply(RULES)
    await office.credit(1_000)


async def leave_in_mid_call(office: Office, reservation_id: str) -> None:
    """A caller who leaves when the store has done its work and not answered yet."""
    office.store.answering.clear()
    task = asyncio.create_task(office.reserve(5, reservation_id=reservation_id))
    await until(lambda: office.partition.meta.get("open"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    office.store.answering.set()
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.contract(3)
async def test_a_hold_whose_id_nobody_knows_is_given_back(office: Office) -> None:
    await funded(office)
    await leave_in_mid_call(office, "")
    assert (office.held(), office.partition.meta["open"]) == (0, 0)
    assert [entry.fields["kind"] for entry in office.partition.log][-2:] == ["reserve", "release"]
    assert not office.engine._tidying


async def test_a_hold_of_the_callers_own_id_stays_for_the_retry(office: Office) -> None:
    await funded(office)
    await leave_in_mid_call(office, "mine")
    assert office.held() == 5 + 1
    assert office.store.asked["release"] == 0
    assert (await office.reserve(5, reservation_id="mine")).allowed
    assert office.held() == 5 + 1


async def test_a_hold_that_cannot_be_given_back_is_left_to_expire(office: Office) -> None:
    await funded(office)
    office.store.away = True
    await leave_in_mid_call(office, "")
    assert office.store.asked["release"] == 1
    assert office.held() == 5 + 1
    assert not office.engine._tidying


async def test_a_caller_who_leaves_a_refused_call_leaves_nothing(office: Office) -> None:
    await funded(office)
    office.store.answering.clear()
    task = asyncio.create_task(office.reserve(5_000, reservation_id=""))
    await until(lambda: office.store.asked["reserve"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(5):
        await asyncio.sleep(0)
    assert office.held() == 0


async def test_ids_are_made_where_none_is_given(office: Office) -> None:
    await funded(office)
    ids = {(await office.reserve(5, reservation_id="")).reservation_id for _ in range(5)}
    assert len(ids) == 5
    assert all(each.startswith("r-") and len(each) == 26 for each in ids)


async def test_a_store_that_never_gets_done_is_away(office: Office) -> None:
    await funded(office)
    office.store.always_again = True
    with pytest.raises(StoreUnavailable, match="too much to end"):
        await office.reserve(5)
    assert office.store.asked["reserve"] == 100


@pytest.mark.contract(5)
async def test_nothing_is_decided_before_the_key_is_known(office: Office) -> None:
    await funded(office)
    tally = (await office.reserve(5, reservation_id="r")).tally
    before = office.partition.log.copy()
    office.engine.seal_with(b"")
    with pytest.raises(StoreUnavailable, match="starting"):
        await office.reserve(5)
    with pytest.raises(StoreUnavailable, match="starting"):
        await office.settle("r", 1, tally)
    with pytest.raises(StoreUnavailable, match="starting"):
        await office.engine.extend(ExtendCall("acme", "r", b"", "", 1_000, None))
    assert office.partition.log == before
    office.engine.seal_with(KEY)
    assert await office.settle("r", 1, tally) == 1


@pytest.mark.contract(5)
async def test_a_tally_of_another_key_is_refused(office: Office) -> None:
    await funded(office)
    office.engine.seal_with(b"a forger's key")
    forged = (await office.reserve(5, reservation_id="r")).tally
    office.engine.seal_with(KEY)
    with pytest.raises(InvalidArgument, match="tally"):
        await office.settle("r", 1, forged)
    assert await office.settle("r", 1) == 1


async def test_a_usage_is_priced_as_the_hold_was(office: Office) -> None:
    await office.apply("wallets: {org: {}}\nprices: {models: {m: {input: 1, output: 10}}}")
    await office.credit(10**9)
    tally = (await office.reserve(model="m", estimate=in_tokens(5, 5), reservation_id="r")).tally
    call = SettleCall("acme", "r", "s", b"", Outcome.COMPLETED, Usage(input=2, output=3))
    with pytest.raises(ReservationNotFound):
        await office.engine.settle(call._replace(reservation_id="other"))
    office.partition.hold.clear()
    with pytest.raises(ReservationNotFound):
        await office.engine.settle(call)
    settled = await office.engine.settle(call._replace(tally=tally))
    assert (settled.nano_usd, settled.tokens, settled.late) == (2 * 1_000 + 3 * 10_000, 5, True)


async def test_an_extension_lasts_as_long_as_the_reserve_unless_it_says(office: Office) -> None:
    await funded(office)
    first = await office.reserve(5, reservation_id="r", ttl_ms=7_200_000)
    office.store.ahead_ms = 60_000
    longer = await office.engine.extend(ExtendCall("acme", "r", b"", "", 0, None))
    assert 60_000 <= longer.expires_ms - first.expires_ms < 120_000


async def test_an_extension_is_weighed_by_the_limit_in_force(office: Office) -> None:
    rules = "budgets:\n  all: {limit: 0.0000001 USD, window: total}"
    await office.apply(rules)
    await office.reserve(50, reservation_id="r")
    await office.apply(rules.replace("0.0000001", "0.00000006"))
    more = ExtendCall("acme", "r", b"", "e", 0, Cost(11, 0))
    assert (await office.engine.extend(more)).nano_usd == 50
    assert office.held() == 50
    await office.apply("unmatched: allow")  # a budget that was dropped refuses no more
    assert (await office.engine.extend(more)).nano_usd == 61


async def test_an_extension_is_weighed_by_the_share_of_its_priority(office: Office) -> None:
    limit = "limit: 0.0000001 USD, overage: 0.00000002 USD"
    await office.apply(f"budgets:\n  all: {{{limit}, window: total, priorities: {{low: 60%}}}}")
    await office.reserve(50, reservation_id="low", subject={"priority": "low"})
    more = ExtendCall("acme", "low", b"", "e", 0, Cost(11, 0))
    assert (await office.engine.extend(more)).nano_usd == 50
    await office.reserve(10, reservation_id="other", subject={"priority": "high"})
    assert (await office.engine.extend(more._replace(more=Cost(1, 0)))).nano_usd == 50
    most = more._replace(reservation_id="other", more=Cost(60, 0))
    assert (await office.engine.extend(most)).nano_usd == 70
    assert office.held() == 120


LADDER = """
prices: {models: {big: {input: 10, output: 10}, small: {input: 1, output: 1}}}
budgets: {all: {limit: 0.0001 USD, window: total, on_exhausted: downgrade}}
downgrade: [{model: big, to: [dear, small], at: 50%}]
"""


async def test_a_cheaper_model_is_used_above_the_share_that_its_ladder_sets(office: Office) -> None:
    """A call costs 40,000 of 100,000 with the big model, 4,000 with the small one; `dear` has no price."""
    await office.apply(LADDER)
    asked: dict[str, Any] = {"model": "big", "estimate": in_tokens(2, 2)}
    first = await office.reserve(reservation_id="first", **asked)
    assert (first.model, first.nano_usd, first.downgrade) == ("big", 40_000, None)
    for n in range(15):
        decision = await office.reserve(reservation_id=f"r{n}", **asked)
        assert (decision.model, decision.nano_usd) == ("small", 4_000)
        assert decision.downgrade is not None
        assert (decision.downgrade.asked_model, decision.downgrade.budget) == ("big", "all")
    assert office.held() == 100_000
    refused = await office.reserve(reservation_id="last", **asked)
    assert refused.refusal is not None
    assert (refused.refusal.budget, refused.refusal.shortfall) == ("all", 40_000)
    again = await office.reserve(reservation_id="r0", **asked)
    assert (again.model, again.nano_usd) == ("small", 4_000)
    assert again.downgrade is not None


async def test_a_model_that_may_not_be_called_is_not_replaced(office: Office) -> None:
    await office.apply(f"models: {{deny: [big]}}{LADDER}")
    decision = await office.reserve(model="big", estimate=in_tokens(2, 2))
    assert decision.refusal is not None
    assert (decision.refusal.reason, decision.model) == (Reason.MODEL_NOT_ALLOWED, "big")


async def test_a_rung_that_costs_more_than_an_amount_can_be_is_passed_over(office: Office) -> None:
    """A trillion tokens are 10²² nano-dollars at `vast`, and 10¹² at `small`."""
    await office.apply("""
prices:
  models: {big: {input: 1, output: 1}, vast: {input: 1000000, output: 1}, small: {input: 0.001, output: 1}}
budgets: {all: {limit: 2000 USD, window: total}}
downgrade: [{model: big, to: [vast, small]}]
""")
    decision = await office.reserve(model="big", estimate=in_tokens(10**12, 1))
    assert decision.allowed
    assert decision.model == "small"


async def test_a_refusal_for_funds_asks_no_more_where_no_grant_comes(office: Office) -> None:
    await office.apply("wallets: {org: {}}")
    refused = await office.reserve(5)
    assert refused.refusal is not None
    assert (refused.refusal.reason, refused.refusal.retry_after_ms) == (Reason.INSUFFICIENT_FUNDS, None)
    assert office.store.asked["balance"] == 0


GRANT = "wallets: {org: {grant: {amount: 0.00000001 USD, every: day}}}"


async def test_a_refusal_for_funds_says_when_the_grant_comes(office: Office) -> None:
    await office.apply(GRANT)
    await office.settle((await office.reserve(8)).reservation_id, 8)
    refused = await office.reserve(5)
    assert refused.refusal is not None
    assert refused.advice is not None
    midnight_ms = refused.now_ms - refused.now_ms % 86_400_000 + 86_400_000
    assert refused.refusal.retry_after_ms == midnight_ms - refused.now_ms
    assert refused.advice.at_ms == midnight_ms


async def test_a_refusal_stands_where_the_store_goes_away_after_it(office: Office) -> None:
    await office.apply(GRANT)
    office.store.balance_away = True
    refused = await office.reserve(11)
    assert refused.refusal is not None
    assert refused.advice is not None
    assert (refused.refusal.reason, refused.advice.at_ms) == (Reason.INSUFFICIENT_FUNDS, 0)
    assert office.store.asked["balance"] == 1


async def test_the_first_call_after_a_new_policy_is_looked_at_by_the_new_one(office: Office) -> None:
    """Another sidecar applies one that counts calls of a prompt: the next call here has a fingerprint."""
    body = b'{"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}'
    request = ProviderRequest(Api.OPENAI_CHAT, body)
    await office.apply("unmatched: allow")
    assert (await office.reserve(estimate=request)).refusal is None
    policy = "tenant: acme\nbudgets: {loops: {per: [prompt], limit: 1 requests, window: total}}"
    await office.store.apply_policy("acme", policy, None)
    assert (await office.reserve(estimate=request)).refusal is None
    refusal = (await office.reserve(estimate=request)).refusal
    assert refusal is not None
    assert refusal.reason is Reason.RUNAWAY_LOOP
