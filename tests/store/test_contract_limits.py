"""The contract, on every store: limits that depend on the call, and models to use instead. Line 1."""

import asyncio

import pytest

from tallystick.core.policy import Match, OnExpiry, Unit, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import Extended, Held, Refused, Replayed
from tests.store.audit import check_all, check_holds
from tests.store.backends import Backend
from tests.store.desk import MINUTE, TOTAL, TTL_MS, budget, desk_at, policy_of

ORG = WalletTemplate("org")
SHARED = budget("shared", 100, priorities=(("low", 50), ("normal", 80)))


# --- priorities and overage ------------------------------------------------------------------------


@pytest.mark.contract(1)
@pytest.mark.parametrize(("priority", "room"), [("low", 50), ("normal", 80), ("", 80), ("high", 100)])
async def test_a_priority_has_its_share_of_the_limit(backend: Backend, priority: str, room: int) -> None:
    desk = await desk_at(backend, SHARED)
    await desk.hold("a", 20, priority="high")
    assert (await desk.refused(room - 19, priority=priority)).reason is Reason.BUDGET_EXHAUSTED
    await desk.hold("b", room - 20, priority=priority)
    assert (await desk.refused(1, priority=priority)).reason is Reason.BUDGET_EXHAUSTED
    assert (await desk.refused(room + 1, priority=priority)).reason is Reason.CAN_NEVER_FIT
    check_all(backend.state())


@pytest.mark.contract(1)
async def test_all_priorities_count_in_one_budget(backend: Backend) -> None:
    desk = await desk_at(backend, SHARED)
    await desk.hold("low", 50, priority="low")
    await desk.hold("normal", 30)
    await desk.hold("high", 20, priority="high")
    for priority in ("low", "normal", "high"):
        refused = await desk.refused(1, priority=priority)
        assert (refused.values, refused.binds) == ([0, 100], 1)
    await desk.release("normal")
    assert (await desk.refused(1, priority="low")).reason is Reason.BUDGET_EXHAUSTED
    await desk.hold("more", 10)
    check_all(backend.state())


@pytest.mark.contract(1)
async def test_important_callers_keep_room_however_many_others_call(backend: Backend) -> None:
    desk = await desk_at(backend, budget("shared", 10_007, priorities=(("low", 30),)))
    other = desk.at(await backend.client())
    replies = await asyncio.gather(
        *((desk, other)[n % 2].reserve(137, reservation_id=f"low{n}", priority="low") for n in range(200))
    )
    assert sum(isinstance(reply, Held) for reply in replies) == 21  # 21 × 137 = 2,877 of 3,002
    for n in range(52):
        await desk.hold(f"high{n}", 137, priority="high")  # 73 × 137 = 10,001
    assert (await desk.refused(137, priority="high")).reason is Reason.BUDGET_EXHAUSTED
    check_holds(backend.state())


@pytest.mark.contract(1)
async def test_an_overage_lets_calls_through_beyond_the_limit_and_no_further(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, overage=20))
    await desk.hold("a", 100)
    await desk.hold("b", 20)
    assert (await desk.refused(1)).reason is Reason.BUDGET_EXHAUSTED
    assert (await desk.refused(121)).reason is Reason.CAN_NEVER_FIT
    await desk.release("b")
    extended = await desk.extend("a", "e", 20)
    assert isinstance(extended, Extended)
    assert isinstance(await desk.extend("a", "f", 1), Refused)
    check_all(backend.state())


@pytest.mark.contract(1)
async def test_a_priority_has_no_part_in_the_overage(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, overage=20, priorities=(("low", 50),)))
    assert (await desk.refused(51, priority="low")).reason is Reason.CAN_NEVER_FIT
    await desk.hold("a", 120)


@pytest.mark.contract(1)
async def test_a_limit_cut_below_its_use_refuses_new_calls_and_lets_open_ones_end(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100))
    await desk.hold("settled", 30)
    await desk.hold("released", 30)
    await desk.hold("expired", 20, ttl_ms=2 * TTL_MS)
    desk.policy = policy_of(budget("d", 50))
    refused = await desk.refused(1)
    assert (refused.reason, refused.values) == (Reason.BUDGET_EXHAUSTED, [0, 80])
    assert isinstance(await desk.extend("expired"), Extended)  # more time is no money
    assert isinstance(await desk.extend("expired", "e", 1), Refused)
    assert (await desk.settle("settled", 35)).nano_usd == 35
    await desk.release("released")
    assert await desk.balance() == [35, 20]
    assert (await desk.refused(1)).reason is Reason.BUDGET_EXHAUSTED
    backend.move(2 * TTL_MS)
    assert await desk.balance() == [55, 0]
    await desk.settle("expired", 10)
    await desk.hold("new", 5)
    check_all(backend.state())


# --- ladders ---------------------------------------------------------------------------------------


@pytest.mark.contract(1)
async def test_the_first_model_that_fits_is_held_in_one_step(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("d", 100), funds=1_000)
    plan, tries = desk.ladder(("big", 60), ("medium", 41), ("small", 10))
    first = await desk.ask(plan, tries, "a")
    assert isinstance(first, Held)
    assert (first.tried, first.reason, first.binds, first.values) == (1, Reason.NONE, 0, [1_000, 0, 0, 0])
    second = await desk.ask(plan, tries, "b")
    assert isinstance(second, Held)
    assert (second.tried, second.reason, second.binds) == (3, Reason.BUDGET_EXHAUSTED, 1)
    assert (second.payer, second.values) == (1, [1_000, 60, 0, 60])
    kept = await desk.store.hold("acme", "b")
    assert kept is not None
    assert (kept.model, kept.nano_usd, kept.answered[7:9]) == (
        ("small", 10, [int(Reason.BUDGET_EXHAUSTED), plan.budgets[0].counter])
    )  # fmt: skip
    assert isinstance(await desk.ask(plan, tries, "b"), Replayed)
    assert (await desk.settle("b", 7)).held_nano_usd == 10
    check_all(backend.state())


@pytest.mark.contract(2)
async def test_where_none_fits_the_refusal_is_that_of_the_model_asked_for(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("d", 100), funds=1_000)
    await desk.hold("a", 95)
    plan, tries = desk.ladder(("big", 60), ("small", 10))
    before = backend.dump()
    refused = await desk.ask(plan, tries)
    assert isinstance(refused, Refused)
    assert (refused.tried, refused.reason, refused.binds) == (1, Reason.BUDGET_EXHAUSTED, 1)
    plan, tries = desk.ladder(("big", 60), ("small", 10), at=50)
    refused = await desk.ask(plan, tries)
    assert isinstance(refused, Refused)
    assert (refused.tried, refused.values) == (3, [1_000, 95, 0, 95])
    assert backend.dump() == before


@pytest.mark.contract(1)
async def test_a_soft_limit_prefers_what_is_cheaper_and_falls_back_on_what_was_asked_for(
    backend: Backend,
) -> None:
    desk = await desk_at(backend, ORG, budget("d", 100), funds=1_000)
    for small, tried, used in ((10, 1, 30), (10, 2, 40), (80, 3, 70), (40, 3, 100)):
        plan, tries = desk.ladder(("big", 30), ("small", small), at=50)
        reply = await desk.ask(plan, tries)
        assert isinstance(reply, Held)
        assert reply.tried == tried
        assert reply.reason == (Reason.NONE if tried == 1 else Reason.BUDGET_EXHAUSTED)
        assert (await desk.balance())[-1] == used
    check_all(backend.state())


@pytest.mark.contract(1)
async def test_a_model_without_funds_gives_way_to_one_that_is_free(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("requests", 2, Unit.REQUESTS, MINUTE), funds=5)
    plan, tries = desk.ladder(("big", 6), ("local", 0), free=("local",))
    held = await desk.ask(plan, tries, "a")
    assert isinstance(held, Held)
    assert (held.tried, held.payer, held.reason, held.binds) == (2, 0, Reason.INSUFFICIENT_FUNDS, 0)
    settled = await desk.settle("a", 0)
    assert (settled.wallet, settled.drawn) == ("", ())
    assert (await desk.balance())[:3] == [5, 5, 0]
    assert isinstance(await desk.ask(plan, tries), Held)
    refused = await desk.ask(plan, tries)  # what is free is counted all the same
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.RATE_LIMITED
    check_all(backend.state())


@pytest.mark.contract(1)
@pytest.mark.parametrize("refusal", [Reason.MODEL_NOT_ALLOWED, Reason.CAN_NEVER_FIT])
async def test_a_model_that_no_counter_can_let_through_is_passed_over(
    backend: Backend, refusal: Reason
) -> None:
    desk = await desk_at(backend, budget("d", 100))
    plan, tries = desk.ladder(("big", 60), ("small", 10))
    held = await desk.ask(plan, (tries[0]._replace(refusal=refusal), tries[1]))
    assert isinstance(held, Held)
    assert (held.tried, held.reason, held.binds) == (2, refusal, 0)


@pytest.mark.contract(1)
async def test_concurrent_callers_get_of_each_model_exactly_what_both_limits_allow(backend: Backend) -> None:
    """36 × 137 = 4,932 of 5,000 for the big one; 101 × 50 = 5,050 of the 5,075 that are left."""
    big = budget("big", 5_000, match=Match((("model", ("big",)),)))
    desk = await desk_at(backend, budget("all", 10_007, window=TOTAL), big, on_expiry=OnExpiry.RELEASE)
    other = desk.at(await backend.client())
    plans = [each.ladder(("big", 137), ("small", 50)) for each in (desk, other)]
    replies = await asyncio.gather(
        *((desk, other)[n % 2].ask(*plans[n % 2], reservation_id=f"race{n}") for n in range(200))
    )
    held = [reply for reply in replies if isinstance(reply, Held)]
    assert [sum(reply.tried == tried for reply in held) for tried in (1, 2)] == [36, 101]
    assert sum(isinstance(reply, Refused) for reply in replies) == 63
    assert {reply.reason for reply in held if reply.tried == 2} == {Reason.BUDGET_EXHAUSTED}
    assert await desk.balance() == [0, 36 * 137 + 101 * 50]
    check_all(backend.state())


@pytest.mark.contract(1)
async def test_what_one_call_holds_is_no_more_there_for_another_model_of_the_next(backend: Backend) -> None:
    """Both come together: the second is refused the big model, and looks at the small one after the first."""
    big = budget("big", 90, match=Match((("model", ("big",)),)))
    desk = await desk_at(backend, ORG, big, funds=100)
    plan, tries = desk.ladder(("big", 90), ("small", 20))
    first, second = await asyncio.gather(desk.ask(plan, tries, "a"), desk.ask(plan, tries, "b"))
    assert isinstance(first, Held)
    assert isinstance(second, Refused), second
    assert (second.reason, second.binds) == (Reason.BUDGET_EXHAUSTED, 1)
    assert (await desk.balance())[:3] == [100, 100, 90]
    check_all(backend.state())
