"""The contract, on every store: one atomic step, denials, holds, room, many sidecars.

What becomes of a hold is in `test_contract_ends.py`, the ledger and exact
amounts are in `test_contract_ledger.py`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from tallystick.core.errors import IdMismatch, PolicyConflict, ReservationEnded
from tallystick.core.policy import Budget, OnExhausted, OnExpiry, Unit, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import (
    Again,
    Counters,
    Extended,
    Held,
    Refused,
    Released,
    Replayed,
    Stamp,
    StoredPolicy,
)
from tests.store.audit import check_holds, check_kept, check_lots, check_money, ended_windows, kinds
from tests.store.audit_alerts import check_alerts
from tests.store.backends import START_MS, Backend
from tests.store.conftest import MakeBackend
from tests.store.desk import MINUTE, ROLLING_HOUR, SESSION, TOTAL, TTL_MS, Desk, budget, desk_at, policy_of
from tests.store.steps import GRANTED, LIMITS, MORE_LIMITS, ORG, USER, one_random_step

# --- 1: check and hold are one atomic step ---------------------------------------------------------


async def race(desk: Desk, other: Desk, nano_usd: int, tokens: int) -> tuple[list[Held], list[Refused]]:
    """200 callers at once, at two sidecars."""
    replies = await asyncio.gather(
        *((desk, other)[n % 2].reserve(nano_usd, tokens, reservation_id=f"race{n}") for n in range(200))
    )
    held = [reply for reply in replies if isinstance(reply, Held)]
    refused = [reply for reply in replies if isinstance(reply, Refused)]
    assert len(held) + len(refused) == 200
    return held, refused


@pytest.mark.contract(1)
@pytest.mark.parametrize("unit", LIMITS)
async def test_concurrent_callers_together_never_pass_a_limit(backend: Backend, unit: str) -> None:
    desk = await desk_at(backend, LIMITS[unit])
    held, refused = await race(desk, desk.at(await backend.client()), 137, 137)
    assert len(held) == 73  # 73 × 137 = 10,001
    reasons = {"requests": Reason.RATE_LIMITED, "concurrent": Reason.CONCURRENCY_LIMITED}
    assert {reply.reason for reply in refused} == {reasons.get(unit, Reason.BUDGET_EXHAUSTED)}
    check_holds(backend.state())


@pytest.mark.contract(1)
@pytest.mark.parametrize("unit", [Unit.NANO_USD, Unit.TOKENS])
async def test_concurrent_callers_together_never_pass_a_wallet(backend: Backend, unit: Unit) -> None:
    desk = await desk_at(backend, WalletTemplate("org", unit=unit))
    await desk.credit("org", 10_007)
    held, refused = await race(desk, desk.at(await backend.client()), 137, 137)
    assert len(held) == 73
    assert {reply.reason for reply in refused} == {Reason.INSUFFICIENT_FUNDS}
    check_holds(backend.state())


@pytest.mark.contract(1)
async def test_the_last_unit_of_room_is_given_and_no_more(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, LIMITS["nano_usd"])
    await desk.credit("org", 10_007)
    await desk.hold("a", 10_006)
    refused = await desk.refused(2)
    assert refused.reason is Reason.BUDGET_EXHAUSTED
    await desk.hold("b", 1)
    assert (await desk.refused(1)).reason is Reason.BUDGET_EXHAUSTED


@pytest.mark.contract(1)
async def test_every_wallet_and_budget_of_the_call_is_met_at_once(backend: Backend) -> None:
    """The cascade drains wallet by wallet while all budgets count every call."""
    desk = await desk_at(backend, USER, ORG, *LIMITS.values())
    await desk.credit("user", 137 * 20 + 136)
    await desk.credit("org", 137 * 30 + 136)
    held, refused = await race(desk, desk.at(await backend.client()), 137, 100)
    assert [sum(reply.payer == payer for reply in held) for payer in (1, 2)] == [20, 30]
    assert {reply.reason for reply in refused} == {Reason.INSUFFICIENT_FUNDS}
    state = backend.state()
    daily, *_ = desk.plan().budgets
    assert state.count[f"{daily.counter}:h"] == 137 * 50
    check_holds(state)


@pytest.mark.contract(1)
async def test_the_first_wallet_with_enough_pays_the_whole_call(backend: Backend) -> None:
    desk = await desk_at(backend, USER, ORG)
    await desk.credit("user", 99)
    await desk.credit("org", 100)
    assert (await desk.hold("a", 100)).payer == 2
    assert (await desk.hold("b", 99)).payer == 1
    assert (await desk.hold("c", 0)).payer == 1  # what costs nothing needs no funds
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS


@pytest.mark.contract(1)
async def test_what_is_only_watched_refuses_nothing_and_counts_everything(backend: Backend) -> None:
    desk = await desk_at(backend, budget("watched", 10, on_exhausted=OnExhausted.ALERT))
    await desk.hold("a", 11)
    held = await desk.hold("b", 5)
    assert held.values == [0, 11]


# --- 2: a denial writes no money anywhere ----------------------------------------------------------

Denied = Callable[[Desk], Awaitable[object]]


async def _extend(desk: Desk) -> object:
    return await desk.extend("open", "more", 51)


DENIALS: dict[str, tuple[Reason, tuple[WalletTemplate | Budget, ...], Denied]] = {
    "exhausted": (Reason.BUDGET_EXHAUSTED, (budget("d", 100),), lambda desk: desk.reserve(51)),
    "second budget": (
        Reason.BUDGET_EXHAUSTED,
        (budget("wide", 1_000), budget("n", 100)),
        lambda desk: desk.reserve(51),
    ),
    "rate": (
        Reason.RATE_LIMITED,
        (budget("d", 100), budget("r", 1, Unit.REQUESTS, MINUTE)),
        lambda desk: desk.reserve(1),
    ),
    "loop": (
        Reason.RUNAWAY_LOOP,
        (budget("l", 1, Unit.REQUESTS, MINUTE, per=("session",)),),
        lambda desk: desk.reserve(1, session="s"),
    ),
    "in flight": (
        Reason.CONCURRENCY_LIMITED,
        (budget("c", 1, Unit.CONCURRENT, TOTAL),),
        lambda desk: desk.reserve(1),
    ),
    "funds": (Reason.INSUFFICIENT_FUNDS, (ORG, budget("d", 1_000)), lambda desk: desk.reserve(51)),
    "soft limits and rungs": (
        Reason.BUDGET_EXHAUSTED,
        (budget("d", 100),),
        lambda desk: desk.ask(*desk.ladder(("big", 70), ("small", 51), at=50)),
    ),
    "priority": (
        Reason.BUDGET_EXHAUSTED,
        (budget("d", 100, priorities=(("low", 60),)),),
        lambda desk: desk.reserve(11, priority="low"),
    ),
    "rolling": (
        Reason.BUDGET_EXHAUSTED,
        (budget("d", 100, window=ROLLING_HOUR, overage=10),),
        lambda desk: desk.reserve(61),
    ),
    "funds and a grant": (Reason.INSUFFICIENT_FUNDS, (GRANTED,), lambda desk: desk.reserve(91, user="bob")),
    "no wallet": (
        Reason.INSUFFICIENT_FUNDS,
        (budget("d", 1_000),),
        lambda desk: desk.reserve(1, refusal=Reason.INSUFFICIENT_FUNDS),
    ),
    "never": (Reason.CAN_NEVER_FIT, (budget("d", 100),), lambda desk: desk.reserve(101)),
    "model": (
        Reason.MODEL_NOT_ALLOWED,
        (budget("d", 100),),
        lambda desk: desk.reserve(1, refusal=Reason.MODEL_NOT_ALLOWED),
    ),
    "extension": (Reason.BUDGET_EXHAUSTED, (budget("d", 100),), _extend),
    "extension by funds": (Reason.INSUFFICIENT_FUNDS, (ORG, budget("d", 1_000)), _extend),
}


@pytest.mark.contract(2)
@pytest.mark.parametrize("why", DENIALS)
async def test_a_denial_leaves_every_key_as_it_was(backend: Backend, why: str) -> None:
    reason, parts, ask = DENIALS[why]
    desk = await desk_at(backend, *parts)
    if ORG in parts:
        await desk.credit("org", 100)
    await desk.hold("open", 50, session="s")
    before = backend.dump()
    reply = await ask(desk)
    assert isinstance(reply, Refused), reply
    assert reply.reason is reason
    assert backend.dump() == before


@pytest.mark.contract(2)
async def test_errors_and_repeats_leave_every_key_as_it_was(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("d", 1_000))
    await desk.credit("org", 100, "c1")
    for name in ("open", "settled", "released"):
        await desk.hold(name, 10)
    await desk.settle("settled", 7)
    await desk.release("released")
    await desk.release("unknown")
    await desk.store.apply_policy("other", "a document", None)
    before = backend.dump()
    with pytest.raises(IdMismatch):
        await desk.reserve(11, reservation_id="open")
    with pytest.raises(ReservationEnded):
        await desk.reserve(10, reservation_id="released")
    with pytest.raises(ReservationEnded):
        await desk.release("settled")
    with pytest.raises(IdMismatch):
        await desk.settle("settled", 8)
    with pytest.raises(IdMismatch):
        await desk.credit("org", 99, "c1")
    with pytest.raises(PolicyConflict):
        await desk.store.apply_policy("other", "another document", 7)
    assert isinstance(await desk.reserve(10, reservation_id="open"), Replayed)
    assert isinstance(await desk.reserve(1, plan=desk.plan(version=3)), Again)
    assert isinstance(await desk.store.balance(desk.plan()), Counters)
    await desk.store.sweep(0, 10)
    assert backend.dump() == before


@pytest.mark.contract(2)
async def test_of_several_refusals_the_first_in_order_is_told(backend: Backend) -> None:
    """Whatever the order in the policy; among equals the first of the policy."""
    rate, wide, narrow = budget("r", 1, Unit.REQUESTS, MINUTE), budget("w", 60), budget("n", 55)
    in_flight = budget("c", 1, Unit.CONCURRENT, TOTAL)
    desk = await desk_at(backend, ORG, wide, narrow, in_flight, rate)
    await desk.credit("org", 50)
    await desk.hold("open", 50)
    for parts, reason, binds in (
        ((wide, narrow, in_flight, rate), Reason.RATE_LIMITED, 4),
        ((rate, wide, in_flight), Reason.RATE_LIMITED, 1),
        ((wide, narrow, in_flight), Reason.CONCURRENCY_LIMITED, 3),
        ((wide, narrow), Reason.BUDGET_EXHAUSTED, 1),
        ((narrow, wide), Reason.BUDGET_EXHAUSTED, 1),
        ((), Reason.INSUFFICIENT_FUNDS, 0),
    ):
        desk.policy = policy_of(ORG, *parts)
        refused = await desk.refused(20)
        assert (refused.reason, refused.binds) == (reason, binds)
        refused = await desk.refused(20, refusal=Reason.INSUFFICIENT_FUNDS)
        assert (refused.reason, refused.binds) == (reason, binds)
        refused = await desk.refused(20, refusal=Reason.CAN_NEVER_FIT)
        assert (refused.reason, refused.binds) == (Reason.CAN_NEVER_FIT, 0)


@pytest.mark.contract(2)
async def test_a_refusal_tells_what_it_saw(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("d", 100), budget("t", 1_000, Unit.TOKENS))
    await desk.credit("org", 500)
    await desk.hold("spent", 30, 5)
    await desk.settle("spent", 20, 4)
    await desk.hold("open", 60, 7)
    refused = await desk.refused(21, 1)
    assert refused.values == [480, 60, 20, 60, 4, 7]
    extension = await desk.extend("open", "e", 21, 1)
    assert isinstance(extension, Refused)
    assert (extension.binds, extension.values) == (1, [20, 60, 4, 7, 480, 60])


# --- 3: held and spent are kept apart --------------------------------------------------------------


@pytest.mark.contract(3)
async def test_the_sum_of_open_holds_is_the_held_total_always(backend: Backend, dice: random.Random) -> None:
    session = budget("s", 1_000, window=SESSION)
    desk = await desk_at(backend, USER, GRANTED, ORG, *LIMITS.values(), *MORE_LIMITS, session)
    for _ in range(400):
        await one_random_step(desk, dice)
        state = backend.state()
        check_holds(state)
        check_kept(state)
        check_lots(state)
        check_money(state)
        check_alerts(state, ended_windows(state, backend.now_ms))


@pytest.mark.contract(3)
async def test_available_is_funds_less_spent_less_held(backend: Backend) -> None:
    desk = await desk_at(backend, ORG)
    await desk.credit("org", 1_000)
    for n in range(10):
        await desk.hold(f"h{n}", 50)
    for n in range(4):
        await desk.settle(f"h{n}", 30)
    assert await desk.balance() == [1_000, 880, 300]
    refused = await desk.refused(581)
    assert refused.reason is Reason.INSUFFICIENT_FUNDS
    await desk.hold("all", 580)


# --- 7: no false refusal ---------------------------------------------------------------------------


@pytest.mark.contract(7)
@pytest.mark.parametrize("due", [1, 16, 17, 532, 533, 3_000])
async def test_what_is_due_is_ended_before_anything_is_denied(backend: Backend, due: int) -> None:
    desk = await desk_at(backend, ORG, budget("c", due, Unit.CONCURRENT, TOTAL), on_expiry=OnExpiry.RELEASE)
    await desk.credit("org", due)
    await asyncio.gather(*(desk.reserve(1, reservation_id=f"due{n}") for n in range(due)))
    assert (await desk.refused(1)).reason is Reason.CONCURRENCY_LIMITED
    backend.move(TTL_MS)
    agains = 0
    while isinstance(await desk.reserve(due, reservation_id="new"), Again):
        agains += 1
        check_holds(backend.state())
    # Each ask ends 16; where that does not do, 500 more, and says "again".
    assert agains == -(-max(0, due - 16) // 516)
    assert (backend.state().meta["open"], await desk.balance()) == (1, [due, due, due, 0, 1])


@pytest.mark.contract(7)
async def test_an_extension_is_not_denied_while_something_is_due(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("d", 100, alerts=()), on_expiry=OnExpiry.RELEASE)
    await desk.credit("org", 100)
    await desk.hold("long", 1, ttl_ms=10 * TTL_MS)
    for n in range(40):
        await desk.hold(f"due{n}", 2)
    backend.move(TTL_MS)
    assert isinstance(await desk.extend("long", "e", 99), Again)
    extended = await desk.extend("long", "e", 99)
    assert extended == Extended(Stamp(backend.now_ms, 83, 1), START_MS + 10 * TTL_MS, 100, 0)


@pytest.mark.contract(7)
@pytest.mark.parametrize("verb", ["settle", "release"])
async def test_an_end_ends_a_few_more_that_are_due(backend: Backend, verb: str) -> None:
    desk = await desk_at(backend, budget("d", 1_000))
    await desk.hold("a", 1, ttl_ms=2 * TTL_MS)
    for n in range(6):
        await desk.hold(f"due{n}", 1)
    backend.move(TTL_MS)
    await (desk.settle("a", 1) if verb == "settle" else desk.release("a"))
    assert kinds(backend.state().log)[7:] == [verb, *["expire"] * 4]
    assert backend.state().meta["open"] == 2


@pytest.mark.contract(7)
async def test_balance_counts_nothing_that_is_over(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, on_expiry=OnExpiry.RELEASE)
    await desk.credit("org", 600)
    for n in range(600):
        await desk.hold(f"due{n}", 1)
    backend.move(TTL_MS)
    assert isinstance(await desk.store.balance(desk.plan()), Again)
    assert await desk.balance() == [600, 600, 0]


@pytest.mark.contract(7)
async def test_a_sweep_ends_what_no_call_visits(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 1_000))
    for n in range(5):
        await desk.hold(f"due{n}", 1)
    swept = await desk.store.sweep(0, 3)
    assert (swept.open_holds, swept.more, swept.stamp.seq) == (5, False, 5)
    backend.move(TTL_MS - 1)
    assert (await desk.store.sweep(0, 3)).open_holds == 5
    backend.move(1)
    assert [(await desk.store.sweep(0, 3))[1:3] for _ in range(2)] == [(2, True), (0, False)]
    assert kinds(backend.state().log) == ["reserve"] * 5 + ["expire"] * 5


# --- 14: a sidecar holds no authority of its own ---------------------------------------------------


@pytest.mark.contract(14)
async def test_any_sidecar_sees_the_same_truth(backend: Backend) -> None:
    here = await desk_at(backend, ORG, budget("d", 1_000))
    there = here.at(await backend.client())
    await here.credit("org", 100)
    await there.hold("a", 60)
    assert (await here.refused(41)).reason is Reason.INSUFFICIENT_FUNDS
    assert isinstance(await here.reserve(60, reservation_id="a"), Replayed)
    assert isinstance(await here.extend("a", "e", 40), Extended)
    assert (await there.settle("a", 70)).nano_usd == 70
    assert (await here.settle("a", 70)).changed is False
    with pytest.raises(ReservationEnded):
        await here.release("a")
    assert await here.balance() == await there.balance() == [100, 30, 0, 70, 0]
    assert await here.store.wallets("acme") == await there.store.wallets("acme")
    assert await here.store.hold("acme", "a") == await there.store.hold("acme", "a")


@pytest.mark.contract(14)
async def test_a_new_policy_counts_from_the_next_call_on_everywhere(backend: Backend) -> None:
    here = await desk_at(backend, budget("d", 1_000))
    there = here.at(await backend.client())
    await there.hold("a", 10)
    assert await here.store.apply_policy("acme", "first", None) == (1, True)
    assert await there.store.policy("acme") == StoredPolicy("first", 1)
    assert await there.reserve(10) == Again(backend.now_ms, 1)
    assert await there.store.balance(there.plan()) == Again(backend.now_ms, 1)
    assert await there.extend("a", "e", 10) == Again(backend.now_ms, 1)
    assert isinstance(await there.extend("a"), Extended)  # time alone needs no plan
    assert (await there.settle("a", 5)).nano_usd == 5  # and an end is never put off
    await there.hold("b", 10, plan=there.plan(version=1))
    assert await there.store.apply_policy("acme", "first", 0) == (1, False)
    with pytest.raises(PolicyConflict):
        await there.store.apply_policy("acme", "second", 0)
    assert await there.store.apply_policy("acme", "second", 1) == (2, True)
    assert await here.reserve(10, plan=here.plan(version=1)) == Again(backend.now_ms, 2)
    assert await here.store.policy("acme") == StoredPolicy("second", 2)
    assert await here.store.policy("nobody") is None


BUDGET, RATE, NONE = Reason.BUDGET_EXHAUSTED, Reason.RATE_LIMITED, Reason.NONE


@pytest.mark.contract(14)
@pytest.mark.parametrize(
    ("limits", "binds"),
    [
        (((110, BUDGET), (110, BUDGET)), 0),
        (((109, BUDGET), (110, BUDGET)), 1),
        (((110, BUDGET), (109, BUDGET)), 2),
        (((0, NONE), (110, BUDGET)), 0),
        (((109, BUDGET), (109, RATE)), 2),
        (((109, RATE), (109, BUDGET)), 1),
    ],
)
async def test_an_extension_is_weighed_by_the_limits_in_force(
    backend: Backend, limits: tuple[tuple[int, Reason], ...], binds: int
) -> None:
    """And not by those of the hold: they may be raised, lowered or only watched by now."""
    desk = await desk_at(backend, budget("d", 100), budget("e", 100))
    await desk.hold("a", 60)
    reply = await desk.extend("a", "e", 50, limits=limits)
    if binds:
        assert isinstance(reply, Refused)
        assert (reply.binds, reply.reason) == (binds, limits[binds - 1][1])
    else:
        assert isinstance(reply, Extended)
        assert reply.nano_usd == 110


@pytest.mark.contract(14)
async def test_tenants_of_one_partition_have_nothing_to_do_with_each_other(backend: Backend) -> None:
    store = await backend.client()
    parts = (ORG, budget("d", 100, alerts=()))
    acme, other = (Desk(backend, store, policy_of(*parts, tenant=t)) for t in ("acme", "acm"))
    await acme.credit("org", 100, "c1")
    await other.credit("org", 7, "c1")
    await acme.hold("same", 100)
    assert await other.balance() == [7, 7, 0, 0, 0]
    await other.hold("same", 7)
    assert await other.release("unknown") == Released(Stamp(START_MS, 5, 1), 0, 0, known=False)
    await store.apply_policy("acm", "a document", None)
    assert (await acme.settle("same", 9)).nano_usd == 9
    assert {c: f.balance for c, f in (await store.wallets("acme")).items()} == {"acme:w:org::u": 91}
    assert await store.policy("acme") is None
    assert isinstance(await acme.reserve(1), Held)


@pytest.mark.contract(14)
async def test_the_tally_key_and_the_partitions_are_those_of_the_first(make_backend: MakeBackend) -> None:
    backend = make_backend(partitions=3)
    first = await backend.client()
    backend.partitions = 64
    second = await backend.client()
    assert first.partitions == second.partitions == 3
    assert await first.shared_key(b"first") == b"first"
    assert await second.shared_key(b"second") == b"first"
    await second.ping()
