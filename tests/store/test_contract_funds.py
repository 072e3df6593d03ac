"""The contract, on every store: what wallets are made of. Lines 2, 4, 5 and 10."""

import pytest

from tallystick.core.errors import FundsMissing, IdMismatch
from tallystick.core.lots import Account, Lot, LotKind
from tallystick.core.outcome import Mode
from tallystick.core.policy import Grant, OnExpiry, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import MoveKind
from tests.store.audit import check_all, kinds
from tests.store.backends import RETENTION_MS, START_MS, Backend
from tests.store.desk import DAY, TTL_MS, Desk, desk_at, ids_of

HOUR_MS = 3_600_000
ORG = WalletTemplate("org")
USER = WalletTemplate("user", ("user",))
GRANTED = WalletTemplate("org", grant=Grant(100, DAY))
EARNED, PAID = LotKind.EARNED, LotKind.PAID


async def desk_with_lots(backend: Backend) -> Desk:
    """Lots of each kind, credited in another order than that in which they are drawn."""
    desk = await desk_at(backend, GRANTED)
    await desk.credit("org", 100, "paid")
    await desk.credit("org", 200, "paid-2d", expires_ms=START_MS + 48 * HOUR_MS)
    await desk.credit("org", 30, "paid-1d", expires_ms=START_MS + 24 * HOUR_MS)
    await desk.credit("org", 50, "earned", EARNED)
    await desk.credit("org", 40, "earned-1d", EARNED, START_MS + 24 * HOUR_MS)
    return desk


@pytest.mark.contract(5)
async def test_grants_are_drawn_first_then_what_was_earned_then_what_was_paid_the_soonest_to_expire_first(
    backend: Backend,
) -> None:
    desk = await desk_with_lots(backend)
    whole = [
        ("grant", 100),
        ("earned-1d", 40),
        ("earned", 50),
        ("paid-1d", 30),
        ("paid-2d", 200),
        ("paid", 100),
    ]
    assert await desk.lots() == whole
    await desk.hold("a", 230)
    assert await desk.lots() == whole  # a hold draws nothing yet
    settled = await desk.settle("a", 230)
    assert settled.wallet == "acme:w:org::u"
    assert ids_of(settled.drawn) == [*whole[:4], ("paid-2d", 10)]
    assert [lot.kind for lot in settled.drawn] == [LotKind.GRANT, EARNED, EARNED, PAID, PAID]
    assert await desk.lots() == [("paid-2d", 190), ("paid", 100)]
    assert await desk.balance() == [520, 290, 0]
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_what_is_given_back_goes_to_the_lots_that_it_came_from_the_last_drawn_first(
    backend: Backend,
) -> None:
    desk = await desk_with_lots(backend)
    await desk.hold("a", 230)
    await desk.settle("a", mode=Mode.HOLD)
    corrected = await desk.settle("a", 60)
    assert ids_of(corrected.drawn) == [("grant", 60)]
    left = [
        ("grant", 40),
        ("earned-1d", 40),
        ("earned", 50),
        ("paid-1d", 30),
        ("paid-2d", 200),
        ("paid", 100),
    ]
    assert await desk.lots() == left
    assert (await desk.settle("a", 60)).drawn == corrected.drawn  # the same answer again
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_correction_up_draws_more_of_what_is_there_by_then(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("a", 60)
    backend.move(TTL_MS)
    await desk.store.sweep(0, 1)
    await desk.credit("org", 50, "late", EARNED)
    corrected = await desk.settle("a", 130)
    assert ids_of(corrected.drawn) == [("c0", 60), ("late", 50), ("c0", 20)]
    assert await desk.lots() == [("c0", 20)]
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_what_came_from_a_lot_that_has_lapsed_lapses_with_it(backend: Backend) -> None:
    desk = await desk_at(backend, ORG)
    await desk.credit("org", 100, "earned", EARNED, START_MS + HOUR_MS)
    await desk.credit("org", 50, "paid")
    await desk.hold("a", 120)
    settled = await desk.settle("a", mode=Mode.HOLD)
    assert ids_of(settled.drawn) == [("earned", 100), ("paid", 20)]
    backend.move(HOUR_MS)
    corrected = await desk.settle("a", 10)
    assert ids_of(corrected.drawn) == [("earned", 10)]
    assert await desk.lots() == [("paid", 50)]
    assert await desk.balance() == [60, 50, 0]  # 150 came, 90 lapsed, 10 were spent
    entry = backend.state().log[-1].fields
    assert (entry["kind"], entry["lapsed"]) == ("settle", "90")
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_what_lapsed_does_not_come_back_for_what_others_hold(backend: Backend) -> None:
    desk = await desk_at(backend, ORG)
    await desk.credit("org", 100, "earned", EARNED, START_MS + HOUR_MS)
    await desk.credit("org", 50, "paid")
    await desk.hold("a", 120)
    await desk.settle("a", mode=Mode.HOLD)
    await desk.hold("other", 30, ttl_ms=2 * HOUR_MS)
    backend.move(HOUR_MS)
    await desk.settle("a", 10)
    assert await desk.lots() == [("paid", 50)]
    assert await desk.balance() == [60, 50, 30]
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_debt_refuses_the_next_call_and_the_next_funds_pay_it_first(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("a", 100)
    settled = await desk.settle("a", 250)
    assert ids_of(settled.drawn) == [("c0", 100)]
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    owed = await desk.credit("org", 140, "c1", EARNED)
    assert owed == Account(240, -10, 0)
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    account = await desk.credit("org", 30, "c2")
    assert account == Account(270, 20, 0, "", [Lot("c2", PAID, 0, 20)])
    assert (await desk.refused(21)).reason is Reason.INSUFFICIENT_FUNDS
    await desk.hold("b", 20)
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_what_was_debt_and_has_been_paid_comes_back_as_funds_of_its_own(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("a", 60)
    await desk.hold("b", 40)
    await desk.settle("b", 100)
    backend.move(TTL_MS)
    await desk.store.sweep(0, 9)
    assert await desk.balance() == [100, -60, 0]
    await desk.credit("org", 100, "late", EARNED)
    assert await desk.lots() == [("late", 40)]
    settled = await desk.settle("a", 10)
    assert (settled.drawn, await desk.balance()) == ((), [200, 90, 0])
    assert await desk.lots() == [("late", 40), ("refund:a", 50)]
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_correction_takes_back_debt_first_and_then_what_was_drawn(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("a", 60)
    await desk.hold("b", 40)
    await desk.settle("b", 70)
    backend.move(TTL_MS)
    assert await desk.balance() == [100, -30, 0]
    settled = await desk.settle("a", 20)
    assert ids_of(settled.drawn) == [("c0", 20)]
    assert (await desk.lots(), await desk.balance()) == ([("c0", 10)], [100, 10, 0])
    check_all(backend.state())


@pytest.mark.contract(3)
@pytest.mark.parametrize(("end", "left"), [("settle", [50, 0, 0]), ("release", [0, 0, 0])])
async def test_expiry_spares_what_is_held_until_the_hold_has_ended(
    backend: Backend, end: str, left: list[int]
) -> None:
    desk = await desk_at(backend, ORG)
    await desk.credit("org", 100, "soon", EARNED, START_MS + 30_000)
    await desk.hold("a", 60)
    backend.move(29_999)
    await desk.store.sweep(0, 9)
    assert await desk.balance() == [100, 100, 60]
    backend.move(1)
    assert await desk.balance() == [60, 60, 60]  # ends what is due
    assert kinds(backend.state().log) == ["credit", "reserve", "lapse"]
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    check_all(backend.state())
    settled = await (desk.settle("a", 50) if end == "settle" else desk.release("a"))
    assert settled
    assert await desk.balance() == left
    assert await desk.lots() == []
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_funds_that_come_after_they_expired_lapse_at_once(backend: Backend) -> None:
    desk = await desk_at(backend, ORG)
    await desk.credit("org", 100, "late", expires_ms=START_MS)
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    assert await desk.balance() == [0, 0, 0]
    (credit,) = backend.state().log
    assert (credit.fields["amount"], credit.fields["lapsed"]) == ("100", "100")
    check_all(backend.state())


@pytest.mark.contract(11)
async def test_a_lot_may_expire_in_three_thousand_years(backend: Backend) -> None:
    """Fourteen digits are the most that a script writes of a number."""
    desk = await desk_at(backend, ORG)
    last_ms = 99_999_999_999_999
    await desk.credit("org", 100, "long", expires_ms=last_ms)
    await desk.credit("org", 100, "longer", expires_ms=last_ms)
    await desk.hold("a", 60)
    assert (await desk.settle("a", 50)).drawn == (Lot("long", PAID, last_ms, 50),)
    lots = (await desk.counters()).accounts[0].lots
    assert lots == [Lot("long", PAID, last_ms, 50), Lot("longer", PAID, last_ms, 100)]
    check_all(backend.state())


# --- moves -----------------------------------------------------------------------------------------


async def desk_with_both(backend: Backend) -> Desk:
    desk = await desk_at(backend, USER, ORG)
    await desk.credit("org", 100, "earned", EARNED, START_MS + HOUR_MS)
    await desk.credit("org", 200, "paid")
    return desk


async def lots_of(desk: Desk, name: str) -> list[Lot]:
    names = [line.name for line in desk.plan().wallets]
    return (await desk.counters()).accounts[names.index(name)].lots


@pytest.mark.contract(10)
async def test_an_allocation_keeps_kind_and_expiry_and_knows_where_it_came_from(backend: Backend) -> None:
    desk = await desk_with_both(backend)
    moved = await desk.move(MoveKind.ALLOCATE, "org", "user", 150, "m")
    assert moved.amount == 150
    assert ids_of(moved.drawn) == [("earned", 100), ("paid", 50)]
    allocated = [
        Lot("m", EARNED, START_MS + HOUR_MS, 100, "acme:w:org::u"),
        Lot("m", PAID, 0, 50, "acme:w:org::u"),
    ]
    assert moved.source == Account(150, 150, 0, "", [Lot("paid", PAID, 0, 150)])
    assert moved.target == Account(150, 150, 0, "", allocated)
    assert await desk.balance() == [150, 150, 0, 150, 150, 0]
    backend.move(HOUR_MS)
    assert await lots_of(desk, "user") == allocated[1:]
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_a_reclaim_takes_only_what_was_allocated_and_is_left(backend: Backend) -> None:
    desk = await desk_with_both(backend)
    await desk.move(MoveKind.ALLOCATE, "org", "user", 150, "m")
    await desk.credit("user", 500, "own")
    await desk.hold("a", 120)
    await desk.settle("a", 120)
    assert ids_of(await lots_of(desk, "user")) == [("m", 30), ("own", 500)]
    with pytest.raises(FundsMissing, match="30 are available, not 31"):
        await desk.move(MoveKind.RECLAIM, "user", "org", 31)
    await desk.hold("b", 520)
    with pytest.raises(FundsMissing, match="10 are available, not 11"):
        await desk.move(MoveKind.RECLAIM, "user", "org", 11)
    moved = await desk.move(MoveKind.RECLAIM, "user", "org", 0, "all")
    assert (moved.amount, ids_of(moved.drawn)) == (10, [("m", 10)])
    assert await lots_of(desk, "org") == [Lot("paid", PAID, 0, 150), Lot("all", PAID, 0, 10)]
    await desk.release("b")
    assert (await desk.move(MoveKind.RECLAIM, "user", "org", 0)).amount == 20
    with pytest.raises(FundsMissing, match="0 are available, not 0"):
        await desk.move(MoveKind.RECLAIM, "user", "org", 0)
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_a_debit_takes_what_is_available_for_good(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("a", 60)
    with pytest.raises(FundsMissing, match="40 are available, not 41"):
        await desk.move(MoveKind.DEBIT, "org", "", 41)
    moved = await desk.move(MoveKind.DEBIT, "org", "", 40, "d")
    assert (moved.target, moved.source) == (None, Account(60, 60, 60, "", [Lot("c0", PAID, 0, 60)]))
    assert (await desk.settle("a", 60)).nano_usd == 60
    assert await desk.balance() == [60, 0, 0]
    entry = backend.state().log[2].fields
    told = ("kind", "id", "wallet", "to", "unit", "amount", "reason")
    assert [entry[name] for name in told] == ["debit", "d", "acme:w:org::u", "", "u", "40", "a reason"]
    check_all(backend.state())


@pytest.mark.contract(10)
@pytest.mark.parametrize("kind", [MoveKind.DEBIT, MoveKind.ALLOCATE])
async def test_what_has_expired_or_is_kept_for_a_hold_is_not_moved(backend: Backend, kind: MoveKind) -> None:
    desk = await desk_at(backend, USER, ORG)
    target = "user" if kind is MoveKind.ALLOCATE else ""
    await desk.credit("org", 70, "soon", EARNED, START_MS + 30_000)
    await desk.credit("org", 50, "paid")
    assert (await desk.hold("a", 60)).payer == 2
    backend.move(30_000)
    with pytest.raises(FundsMissing, match="50 are available, not 51"):
        await desk.move(kind, "org", target, 51)
    moved = await desk.move(kind, "org", target, 20)
    assert ids_of(moved.drawn) == [("paid", 20)]
    await desk.settle("a", 60)
    assert await lots_of(desk, "org") == [Lot("paid", PAID, 0, 30)]
    check_all(backend.state())


@pytest.mark.contract(4)
async def test_a_move_retried_gives_the_same_answer_and_has_one_effect(backend: Backend) -> None:
    desk = await desk_with_both(backend)
    first = await desk.move(MoveKind.ALLOCATE, "org", "user", 150, "m")
    before = backend.dump()
    again = first._replace(drawn=())
    assert [await desk.move(MoveKind.ALLOCATE, "org", "user", 150, "m") for _ in range(50)] == [again] * 50
    for kind, target, amount in (
        (MoveKind.ALLOCATE, "user", 149),
        (MoveKind.DEBIT, "", 150),
        (MoveKind.RECLAIM, "user", 150),
    ):
        with pytest.raises(IdMismatch):
            await desk.move(kind, "org", target, amount, "m")
    with pytest.raises(IdMismatch):
        await desk.credit("org", 150, "m")
    with pytest.raises(IdMismatch):
        await desk.move(MoveKind.DEBIT, "org", "", 1, "paid")
    assert backend.dump() == before
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 10)
    assert (await desk.move(MoveKind.DEBIT, "org", "", 1, "m")).amount == 1


@pytest.mark.contract(2)
async def test_a_move_of_what_is_missing_leaves_every_key_as_it_was(backend: Backend) -> None:
    """Also where a period's grant would have come."""
    desk = await desk_at(backend, USER, GRANTED, on_expiry=OnExpiry.RELEASE)
    before = backend.dump()
    for kind, amount in ((MoveKind.DEBIT, 101), (MoveKind.ALLOCATE, 101), (MoveKind.ALLOCATE, 0)):
        with pytest.raises(FundsMissing, match="100 are available"):
            await desk.move(kind, "org", "user", amount)
    with pytest.raises(FundsMissing, match="0 are available"):
        await desk.move(MoveKind.RECLAIM, "org", "user", 1)
    assert backend.dump() == before
    moved = await desk.move(MoveKind.ALLOCATE, "org", "user", 100)
    assert [lot.kind for lot in moved.drawn] == [LotKind.GRANT]
    assert kinds(backend.state().log) == ["grant", "allocate"]
    check_all(backend.state())
