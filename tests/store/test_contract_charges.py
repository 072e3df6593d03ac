"""The contract, on every store: costs that nothing was held for. Lines 1, 2, 4, 5, 7, 8, 10 and 12."""

import asyncio
from typing import Any

import pytest

from tallystick.core.errors import IdMismatch, ReservationEnded
from tallystick.core.lots import LotKind
from tallystick.core.plan import Taken
from tallystick.core.policy import Budget, Grant, OnExhausted, Unit, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import Again, Released, Took
from tests.store.audit import check_all, kinds
from tests.store.backends import RETENTION_MS, START_MS, Backend
from tests.store.desk import DAY, MINUTE, ROLLING_HOUR, TTL_MS, Desk, budget, desk_at, ids_of

ORG, USER = WalletTemplate("org"), WalletTemplate("user", ("user",))
POOL = WalletTemplate("pool", unit=Unit.TOKENS)
HOUR_MS = 3_600_000
NOTHING = Taken(0, 0, 0)


def bursts(limit: int) -> Budget:
    return budget("bursts", limit, Unit.REQUESTS, MINUTE)


async def desk_with_everything(backend: Backend) -> Desk:
    desk = await desk_at(
        backend,
        USER,
        ORG,
        budget("daily", 1_000, window=DAY),
        budget("tokens", 500, Unit.TOKENS),
        bursts(9),
        budget("in-flight", 1, Unit.CONCURRENT),
        funds=1_000,
    )
    await desk.credit("user", 100, "mine")
    return desk


# --- charge ----------------------------------------------------------------------------------------


@pytest.mark.contract(5)
async def test_a_charge_counts_in_every_budget_but_not_in_flight(backend: Backend) -> None:
    desk = await desk_with_everything(backend)
    charged = await desk.charge("a", 100, 30)
    assert (charged.nano_usd, charged.tokens, charged.changed) == (100, 30, True)
    assert (charged.wallet, ids_of(charged.drawn)) == ("acme:w:user:user=alice:u", [("mine", 100)])
    assert charged.values == [100, 0, 30, 0, 1, 0, 0, 0]
    assert await desk.balance() == [100, 0, 0, 1_000, 1_000, 0, 100, 0, 30, 0, 1, 0, 0, 0]
    (entry,) = (each.fields for each in backend.state().log if each.fields["kind"] == "charge")
    assert [entry[name] for name in ("id", "nano", "tokens", "requests")] == ["a", "100", "30", "1"]
    assert backend.state().meta.get("open", 0) == 0
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_the_first_wallet_with_enough_pays_it_whole(backend: Backend) -> None:
    desk = await desk_with_everything(backend)
    await desk.hold("h", 1)  # of alice's own 100, one is held
    assert (await desk.charge("a", 100)).wallet == "acme:w:org::u"
    assert (await desk.charge("b", 99)).wallet == "acme:w:user:user=alice:u"
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_where_no_wallet_has_enough_the_last_goes_into_debt_and_budgets_above_their_limits(
    backend: Backend,
) -> None:
    desk = await desk_with_everything(backend)
    for n in range(3):
        charged = await desk.charge(f"c{n}", 1_500, 600)
    assert (charged.wallet, charged.drawn) == ("acme:w:org::u", ())
    assert charged.values == [4_500, 0, 1_800, 0, 3, 0, 0, 0]
    assert (await desk.balance())[:6] == [100, 100, 0, 1_000, -3_500, 0]
    assert (await desk.refused(1)).reason is Reason.BUDGET_EXHAUSTED
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_debt_refuses_the_next_call(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    assert ids_of((await desk.charge("a", 150)).drawn) == [("c0", 100)]
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    assert await desk.balance() == [100, -50, 0]
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_charge_that_no_wallet_and_no_budget_is_for_is_in_the_ledger(backend: Backend) -> None:
    desk = await desk_at(backend, USER)
    charged = await desk.charge("a", 7, user="")
    assert (charged.nano_usd, charged.wallet, charged.values) == (7, "", [])
    assert kinds(backend.state().log) == ["charge"]
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_wallet_that_pays_nothing_is_not_named(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, POOL)
    assert (await desk.charge("a", 0, 5)).wallet == ""  # the first of the cascade has enough for 0 USD
    assert (await desk.charge("b", 3, 5)).wallet == "acme:w:pool::t"
    assert await desk.balance() == [0, 0, 0, 0, -5, 0]
    check_all(backend.state())


@pytest.mark.contract(4)
async def test_a_charge_counts_once_by_its_id(backend: Backend) -> None:
    desk = await desk_with_everything(backend)
    first = await desk.charge("a", 100, 30)
    before = backend.dump()
    again = await desk.charge("a", 100, 30)
    assert again._replace(stamp=first.stamp, changed=True) == first
    assert not again.changed
    with pytest.raises(IdMismatch):
        await desk.charge("a", 101, 30)
    assert backend.dump() == before


@pytest.mark.contract(4)
async def test_a_retry_is_known_whatever_the_policy_and_the_window_are_by_now(backend: Backend) -> None:
    desk = await desk_with_everything(backend)
    await desk.charge("a", 100, 30)
    await desk.store.apply_policy("acme", "another", None)
    backend.move(24 * HOUR_MS - 1)
    assert not (await desk.charge("a", 100, 30)).changed
    backend.move(1)
    await desk.store.sweep(0, 9)
    reply = await desk.store.charge(desk.charging("a", 100, 30))
    assert reply == Again(backend.now_ms, 1)  # forgotten, and the plan is stale


@pytest.mark.contract(4)
async def test_an_answer_is_kept_as_long_as_was_asked(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.charge("a", 1, keep_ms=10_000)
    backend.move(9_999)
    await desk.store.sweep(0, 9)
    assert not (await desk.charge("a", 1)).changed
    backend.move(1)
    await desk.store.sweep(0, 9)
    assert backend.state().hold.keys() == {"acme:c:c0"}


@pytest.mark.contract(4)
async def test_charges_and_reservations_share_their_ids(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("h", 10, content="charge 10/0 by a reserve")
    await desk.charge("c", 10)
    with pytest.raises(IdMismatch):
        await desk.charge("h", 10)
    with pytest.raises(IdMismatch):
        await desk.hold("c", 10)
    with pytest.raises(IdMismatch):
        await desk.settle("c", 10)
    with pytest.raises(ReservationEnded):
        await desk.release("c")
    with pytest.raises(ReservationEnded):
        await desk.extend("c", "e", 1)
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_charge_is_recorded_under_an_id_that_was_released_before_it_was_known(
    backend: Backend,
) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    assert isinstance(await desk.release("a"), Released)
    assert (await desk.charge("a", 10)).changed
    assert await desk.balance() == [100, 90, 0]
    check_all(backend.state())


@pytest.mark.contract(8)
async def test_a_charge_posts_to_the_windows_of_now_and_leaves_rolling_ones_in_time(backend: Backend) -> None:
    desk = await desk_at(backend, budget("hour", 100, window=ROLLING_HOUR), budget("daily", 500))
    await desk.charge("a", 60)
    backend.move(HOUR_MS)
    await desk.charge("b", 50)
    assert await desk.balance() == [110, 0, 110, 0]
    backend.move(60_000)
    assert await desk.balance() == [50, 0, 110, 0]
    check_all(backend.state())


@pytest.mark.contract(4)
@pytest.mark.parametrize(
    "stale", [{"version": 1}, {"now_ms": START_MS - 86_400_000}, {"now_ms": START_MS + 86_400_000}]
)
async def test_a_stale_plan_charges_nothing(backend: Backend, stale: dict[str, Any]) -> None:
    desk = await desk_at(backend, budget("daily", 500))
    before = backend.dump()
    assert await desk.store.charge(desk.charging("a", 1, **stale)) == Again(START_MS, 0)
    assert await desk.store.take([desk.taking(1, **stale)]) == Again(START_MS, 0)
    assert backend.dump() == before


@pytest.mark.contract(8)
@pytest.mark.parametrize(("at", "fits"), [(-1, False), (0, True), (86_399_999, True), (86_400_000, False)])
async def test_a_plan_serves_within_its_windows_only(backend: Backend, at: int, fits: bool) -> None:
    desk = await desk_at(backend, budget("daily", 500))
    plan = desk.plan()
    backend.set_clock(plan.valid_from_ms + at)
    ask, take = (each._replace(plan=plan) for each in (desk.charging("a", 1), desk.taking(1).charge))
    again = Again(backend.now_ms, 0)
    assert ((await desk.store.charge(ask)) != again) == fits
    assert ((await desk.store.take([desk.taking(1)._replace(charge=take)])) != again) == fits


@pytest.mark.contract(10)
async def test_what_a_new_period_grants_pays_and_is_in_the_ledger_before_it(backend: Backend) -> None:
    desk = await desk_at(backend, WalletTemplate("org", grant=Grant(100, DAY)))
    assert ids_of((await desk.charge("a", 30)).drawn) == [("grant", 30)]
    backend.move(24 * HOUR_MS)
    assert ids_of((await desk.charge("b", 130)).drawn) == [("grant", 100)]
    assert kinds(backend.state().log) == ["grant", "charge", "lapse", "grant", "charge"]
    assert await desk.balance() == [130, -30, 0]
    check_all(backend.state())


@pytest.mark.contract(7)
async def test_what_is_due_ends_before_a_payer_is_chosen(backend: Backend) -> None:
    desk = await desk_at(backend, USER, ORG, funds=100)
    await desk.credit("user", 50, "soon", LotKind.EARNED, START_MS + 1_000)
    backend.move(1_000)
    assert (await desk.charge("a", 50)).wallet == "acme:w:org::u"
    assert kinds(backend.state().log)[-2:] == ["lapse", "charge"]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_thresholds_are_told_of_once(backend: Backend) -> None:
    desk = await desk_at(backend, budget("daily", 100, on_exhausted=OnExhausted.ALERT, alerts=(50, 100)))
    for n in range(5):
        await desk.charge(f"c{n}", 30)
    told = [entry.fields for entry in backend.state().log if entry.fields["kind"] == "alert"]
    assert [(each["id"], each["percent"], each["used"]) for each in told] == [
        ("c1", "50", "60"),
        ("c3", "100", "120"),
    ]
    check_all(backend.state())


@pytest.mark.contract(11)
async def test_charges_are_exact_beyond_doubles(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, POOL, budget("all", 2**63 - 1))
    for n in range(3):
        await desk.charge(f"c{n}", 2**63 - 1, 2**53 + 1)
    assert (await desk.balance())[-2:] == [3 * (2**63 - 1), 0]
    check_all(backend.state())


# --- take ------------------------------------------------------------------------------------------


@pytest.mark.contract(1)
async def test_all_are_taken_or_none(backend: Backend) -> None:
    desk = await desk_with_everything(backend)
    await desk.charge("before", 900)
    before = backend.dump()
    took = await desk.take(desk.taking(60), desk.taking(60))
    assert [verdict.reason for verdict in took.verdicts] == [Reason.NONE, Reason.BUDGET_EXHAUSTED]
    assert took.verdicts[1].binds == 1
    assert took.verdicts[1].values[4:6] == [960, 0]  # with what the first would take
    assert backend.dump() == before
    took = await desk.take(desk.taking(60), desk.taking(40, requests=0))
    assert [verdict.reason for verdict in took.verdicts] == [Reason.NONE, Reason.NONE]
    assert (await desk.balance())[6:8] == [1_000, 0]
    check_all(backend.state())


@pytest.mark.contract(2)
@pytest.mark.parametrize("why", [Reason.TENANT_SUSPENDED, Reason.MODEL_NOT_ALLOWED, Reason.CAN_NEVER_FIT])
async def test_a_refusal_that_no_counter_can_change_writes_nothing(backend: Backend, why: Reason) -> None:
    desk = await desk_with_everything(backend)
    before = backend.dump()
    took = await desk.take(desk.taking(1), desk.taking(1, refusal=why))
    assert [verdict[:2] for verdict in took.verdicts] == [(Reason.NONE, 0), (why, 0)]
    assert backend.dump() == before


@pytest.mark.contract(2)
async def test_a_peek_needs_room_and_takes_nothing(backend: Backend) -> None:
    desk = await desk_with_everything(backend)
    peek = desk.taking(0, 0, 0, needs=Taken(1, 1, 1))
    before = backend.dump()
    assert (await desk.take(peek)).verdicts[0].reason is Reason.NONE
    assert backend.dump() == before
    await desk.charge("a", 0, 500)
    assert (await desk.take(peek)).verdicts[0][:2] == (Reason.BUDGET_EXHAUSTED, 2)
    assert (await desk.take(desk.taking(needs=NOTHING))).verdicts[0].reason is Reason.NONE
    check_all(backend.state())


@pytest.mark.contract(1)
async def test_one_wallet_pays_for_several_only_as_long_as_it_has_enough(backend: Backend) -> None:
    desk = await desk_at(backend, USER, ORG, funds=50)
    await desk.credit("user", 100, "mine")
    took = await desk.take(desk.taking(60), desk.taking(40), desk.taking(50))
    assert [verdict.reason for verdict in took.verdicts] == [Reason.NONE] * 3
    assert took.verdicts[1].values == [100, 60, 50, 0]
    assert await desk.balance() == [100, 0, 0, 50, 0, 0]
    took = await desk.take(desk.taking(0), desk.taking(1))
    assert [verdict.reason for verdict in took.verdicts] == [Reason.NONE, Reason.INSUFFICIENT_FUNDS]
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_a_grant_comes_once_however_many_it_pays_for(backend: Backend) -> None:
    desk = await desk_at(backend, WalletTemplate("org", grant=Grant(100, DAY)))
    await desk.take(desk.taking(60), desk.taking(40))
    assert kinds(backend.state().log) == ["grant", "charge", "charge"]
    assert await desk.balance() == [100, 0, 0]
    before = backend.dump()
    assert (await desk.take(desk.taking(1))).verdicts[0].reason is Reason.INSUFFICIENT_FUNDS
    assert backend.dump() == before
    check_all(backend.state())


@pytest.mark.contract(4)
async def test_what_was_taken_is_not_taken_again_by_a_repetition(backend: Backend) -> None:
    desk = await desk_with_everything(backend)
    asks = [desk.taking(0, 0, 0, needs=Taken(1, 1, 1)), desk.taking(1_000), desk.taking(0)]
    await desk.take(*asks)
    before = backend.dump()
    took = await desk.take(*asks)
    assert [verdict.reason for verdict in took.verdicts] == [Reason.NONE] * 3
    assert backend.dump() == before
    check_all(backend.state())


@pytest.mark.contract(1)
async def test_many_at_once_take_exactly_the_limit(backend: Backend) -> None:
    desk = await desk_at(backend, bursts(50))
    others = [desk, desk.at(await backend.client())]
    replies = await asyncio.gather(*(others[n % 2].take(desk.taking()) for n in range(200)))
    assert sum(not took.verdicts[0].reason for took in replies) == 50
    assert await desk.balance() == [50, 0]
    check_all(backend.state())


@pytest.mark.contract(7)
@pytest.mark.parametrize(("due", "more"), [(15, False), (16, True), (17, True)])
async def test_holds_that_are_due_end_before_a_refusal(backend: Backend, due: int, more: bool) -> None:
    desk = await desk_at(backend, budget("in-flight", 99, Unit.CONCURRENT), bursts(99), budget("daily", 1))
    for n in range(due):
        await desk.hold(f"h{n}")
    backend.move(TTL_MS)
    await desk.charge("x", 1)  # it ends 16
    backend.move(1)
    check_all(backend.state())
    for n in range(due):
        await desk.hold(f"i{n}")
    backend.move(TTL_MS)
    reply = await desk.store.take([desk.taking(1)])
    assert isinstance(reply, Again if more else Took)
    assert isinstance(await desk.store.take([desk.taking(1)]), Took)
    assert backend.state().meta["open"] == 0
    check_all(backend.state())


async def test_keeping_is_by_the_first(backend: Backend) -> None:
    desk = await desk_at(backend, bursts(9))
    ask = desk.taking(keep_ms=5_000)
    await desk.take(ask)
    assert {backend.state().due[f"r:acme:r:{ask.charge.charge_id}"]} == {START_MS + 5_000}
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 99)
    assert backend.state().hold == {}
