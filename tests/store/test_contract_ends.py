"""The contract, on every store: what becomes of a hold. Lines 4, 5 and 6."""

import pytest

from tallystick.core.errors import IdMismatch, ReservationEnded, ReservationNotFound
from tallystick.core.hold import State as HoldState
from tallystick.core.lots import Account, Lot, LotKind
from tallystick.core.outcome import Mode
from tallystick.core.policy import OnExpiry, Unit, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import Extended, Refused, Released, Replayed, Settled
from tests.store.audit import check_all, kinds
from tests.store.backends import RETENTION_MS, START_MS, Backend
from tests.store.desk import MINUTE, TOTAL, TTL_MS, Desk, budget, desk_at

ORG = WalletTemplate("org")
DAILY = budget("daily", 1_000)
TOKENS = budget("tokens", 1_000, Unit.TOKENS)
REQUESTS = budget("requests", 100, Unit.REQUESTS)
IN_FLIGHT = budget("in-flight", 100, Unit.CONCURRENT, TOTAL)
ALL = (ORG, DAILY, TOKENS, REQUESTS, IN_FLIGHT)


def values(spent: tuple[int, int, int], held: tuple[int, int, int], funds: int = 1_000) -> list[int]:
    """What `Desk.balance` answers with `ALL`: nano-dollars, tokens and requests of each."""
    (nano, tokens, requests), (nano_held, tokens_held, calls) = spent, held
    wallet = [funds, funds - nano, nano_held]
    return [*wallet, nano, nano_held, tokens, tokens_held, requests, calls, 0, calls]


def settled_of(
    reply: Settled,
    nano_usd: int,
    tokens: int,
    *,
    estimated: bool = False,
    late: bool = False,
    changed: bool = True,
) -> Settled:
    """Of a hold of 60 and 6 that the top-up of `ALL` pays."""
    drawn = (Lot("c0", LotKind.PAID, 0, nano_usd),) if nano_usd else ()
    counter = "acme:w:org::u"
    return Settled(reply.stamp, nano_usd, tokens, estimated, late, changed, counter, drawn, 60, 6)


# --- 4: same id, same answer, one effect -----------------------------------------------------------


@pytest.mark.contract(4)
async def test_a_reserve_retried_gives_the_same_answer_and_has_one_effect(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    held = await desk.hold("a", 60, 6)
    before = backend.dump()
    replies = [await desk.reserve(60, 6, reservation_id="a", content="60/6") for _ in range(100)]
    assert all(isinstance(reply, Replayed) and reply == replies[0] for reply in replies)
    assert backend.dump() == before
    kept = await desk.store.hold("acme", "a")
    assert kept is not None
    assert kept.answered == [
        "60/6",
        START_MS,
        "acme:w:org::u",
        "u",
        "60",
        "6",
        held.expires_ms,
        0,
        "",
        "0 0 0 0 0 0 0 0",
    ]
    with pytest.raises(IdMismatch):
        await desk.reserve(61, 6, reservation_id="a")


@pytest.mark.contract(4)
async def test_the_answer_stays_the_same_after_the_end(backend: Backend) -> None:
    """Also with the clock, the policy and the funds long gone."""
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("settled", 60)
    await desk.hold("expired", 60)
    answers = [(await desk.store.hold("acme", name)).answer for name in ("settled", "expired")]  # type: ignore[union-attr]
    await desk.settle("settled", 1_000)
    await desk.store.apply_policy("acme", "another", None)
    backend.move(RETENTION_MS // 2)
    await desk.store.sweep(0, 10)
    for name, answer in zip(("settled", "expired"), answers, strict=True):
        reply = await desk.reserve(60, reservation_id=name)
        assert isinstance(reply, Replayed)
        assert reply.hold.answer == answer


@pytest.mark.contract(4)
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("late", [False, True])
async def test_a_settle_retried_gives_the_same_answer_and_has_one_effect(
    backend: Backend, mode: Mode, late: bool
) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000, on_expiry=OnExpiry.RELEASE if late else OnExpiry.CHARGE)
    await desk.hold("a", 60, 6)
    if late:
        backend.move(TTL_MS)
        await desk.store.sweep(0, 10)
    first = await desk.settle("a", 50, 5, mode=mode)
    assert first.late is late
    before = backend.dump()
    replies = [await desk.settle("a", 50, 5, mode=mode) for _ in range(100)]
    assert replies == [first._replace(changed=False)] * 100
    assert backend.dump() == before
    check_all(backend.state())


@pytest.mark.contract(4)
async def test_a_settle_with_other_content_is_refused(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60)
    await desk.settle("a", 50, content="one")
    for mode in Mode:
        with pytest.raises(IdMismatch):
            await desk.settle("a", 51, mode=mode, content="other")
    assert await desk.balance() == values((50, 0, 1), (0, 0, 0))


@pytest.mark.contract(4)
async def test_a_release_retried_gives_the_same_answer_and_has_one_effect(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    first = await desk.release("a")
    assert first == Released(first.stamp, 60, 6, known=True)
    before = backend.dump()
    assert [await desk.release("a") for _ in range(100)] == [first] * 100
    assert backend.dump() == before
    assert await desk.balance() == values((0, 0, 0), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(4)
async def test_a_release_of_an_unknown_id_refuses_the_reserve_that_comes_late(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    first = await desk.release("late")
    assert first == Released(first.stamp, 0, 0, known=False)
    before = backend.dump()
    assert [await desk.release("late") for _ in range(100)] == [first] * 100
    with pytest.raises(ReservationEnded):
        await desk.reserve(1, reservation_id="late")
    with pytest.raises(ReservationNotFound):
        await desk.settle("late", 1)
    with pytest.raises(ReservationNotFound):
        await desk.extend("late")
    assert backend.dump() == before
    backend.move(RETENTION_MS - 1)
    await desk.store.sweep(0, 10)
    with pytest.raises(ReservationEnded):
        await desk.reserve(1, reservation_id="late")
    backend.move(1)
    await desk.store.sweep(0, 10)
    await desk.hold("late", 1)


@pytest.mark.contract(4)
async def test_an_extension_retried_gives_the_same_answer_and_has_one_effect(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    first = await desk.extend("a", "e", 40, 4)
    assert isinstance(first, Extended)
    assert first == Extended(first.stamp, START_MS + TTL_MS, 100, 10)
    before = backend.dump()
    assert [await desk.extend("a", "e", 40, 4) for _ in range(100)] == [first] * 100
    assert backend.dump() == before
    with pytest.raises(IdMismatch):
        await desk.extend("a", "e", 41, 4)
    with pytest.raises(IdMismatch):
        await desk.extend("a", "e", 40, 5)
    assert backend.dump() == before
    second = await desk.extend("a", "f", 40, 4)
    assert isinstance(second, Extended)
    assert second.nano_usd == 140
    assert await desk.balance() == values((0, 0, 0), (140, 14, 1))
    check_all(backend.state())


@pytest.mark.contract(4)
async def test_extensions_are_told_apart_by_reservation(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    for name in ("a", "b"):
        await desk.hold(name, 10)
        extended = await desk.extend(name, "e", 5 if name == "a" else 6)
        assert isinstance(extended, Extended)
    assert await desk.balance() == values((0, 0, 0), (31, 0, 2))


@pytest.mark.contract(4)
async def test_a_credit_retried_gives_the_same_answer_and_has_one_effect(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, WalletTemplate("other"), funds=1_000)
    await desk.hold("a", 60)
    first = await desk.credit("org", 5, "c")
    lots = [Lot("c0", LotKind.PAID, 0, 1_000), Lot("c", LotKind.PAID, 0, 5)]
    assert first == Account(1_005, 1_005, 60, "", lots)
    before = backend.dump()
    assert [await desk.credit("org", 5, "c") for _ in range(100)] == [first] * 100
    for wallet, amount in (("org", 6), ("other", 5)):
        with pytest.raises(IdMismatch):
            await desk.credit(wallet, amount, "c")
    assert backend.dump() == before


@pytest.mark.contract(4)
async def test_ids_are_free_again_after_the_retention(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60)
    await desk.settle("a", 50)
    await desk.credit("org", 1, "c")
    backend.move(TTL_MS + RETENTION_MS - 1)
    await desk.store.sweep(0, 10)
    assert (await desk.settle("a", 50)).changed is False
    backend.move(1)
    await desk.store.sweep(0, 10)
    with pytest.raises(ReservationNotFound):
        await desk.settle("a", 50)
    assert await desk.store.hold("acme", "a") is None
    await desk.hold("a", 70)
    assert (await desk.credit("org", 2, "c")).funds == 1_003
    check_all(backend.state(), {"acme:b:daily::u1759968000+86400"})


# --- 5: the true cost is always recorded -----------------------------------------------------------


@pytest.mark.contract(5)
async def test_a_cost_above_the_hold_is_charged_and_debt_refuses_the_next_call(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("a", 100)
    assert (await desk.settle("a", 250)).nano_usd == 250
    assert await desk.balance() == [100, -150, 0]
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    await desk.hold("free", 0)
    await desk.credit("org", 150)
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    await desk.credit("org", 1)
    await desk.hold("b", 1)
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_cost_above_the_limit_is_counted_in_the_budget(backend: Backend) -> None:
    desk = await desk_at(backend, DAILY)
    await desk.hold("a", 1)
    await desk.settle("a", 5_000)
    assert await desk.balance() == [5_000, 0]
    assert (await desk.refused(1)).reason is Reason.BUDGET_EXHAUSTED


async def lose(desk: Desk, reservation_id: str, nano_usd: int = 60, tokens: int = 6) -> None:
    """A hold that the store forgot: it was restored from a backup."""
    snapshot = desk.backend.snapshot()
    await desk.hold(reservation_id, nano_usd, tokens)
    desk.backend.restore(snapshot)


@pytest.mark.contract(5)
@pytest.mark.parametrize("mode", Mode)
async def test_a_hold_that_the_store_lost_is_charged_once_by_its_tally(backend: Backend, mode: Mode) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await lose(desk, "a")
    with pytest.raises(ReservationNotFound):
        await desk.settle("a", 50, 5)
    first = await desk.settle("a", 50, 5, mode=mode, tally=True)
    charged = {Mode.COST: (50, 5), Mode.HOLD: (60, 6), Mode.NONE: (0, 0)}[mode]
    assert first == settled_of(first, *charged, estimated=mode is Mode.HOLD, late=True)
    before = backend.dump()
    for tally in (True, False):
        assert await desk.settle("a", 50, 5, mode=mode, tally=tally) == first._replace(changed=False)
    assert backend.dump() == before
    assert await desk.balance() == values((*charged, int(mode is not Mode.NONE)), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_tally_counts_for_nothing_where_the_hold_still_exists(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    desk.tallies["a"] = desk.tallies["a"].replace("acme:w:org::u", "acme:w:else::u")
    settled = await desk.settle("a", 50, 5, tally=True)
    assert settled == settled_of(settled, 50, 5)
    assert await desk.balance() == values((50, 5, 1), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_tally_is_charged_although_the_store_was_told_to_refuse_the_id(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await lose(desk, "a")
    await desk.release("a")
    assert (await desk.settle("a", 50, 5, tally=True)).nano_usd == 50
    assert await desk.balance() == values((50, 5, 1), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_a_tally_is_good_for_as_long_as_ends_are_remembered(backend: Backend) -> None:
    """So it can never be charged twice: what is forgotten is too old."""
    desk = await desk_at(backend, ORG, funds=1_000)
    await lose(desk, "a")
    await lose(desk, "b")
    backend.move(TTL_MS + RETENTION_MS - 1)
    assert (await desk.settle("a", 50, tally=True)).changed
    backend.move(1)
    with pytest.raises(ReservationEnded):
        await desk.settle("b", 50, tally=True)
    assert (await desk.settle("a", 50, tally=True)).changed is False
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 10)
    assert await desk.store.hold("acme", "a") is None
    with pytest.raises(ReservationEnded):
        await desk.settle("a", 50, tally=True)
    assert await desk.balance() == [1_000, 950, 0]


@pytest.mark.contract(5)
async def test_an_estimate_by_tally_is_corrected_like_any_other(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await lose(desk, "a")
    await desk.settle("a", mode=Mode.HOLD, tally=True)
    settled = await desk.settle("a", 10, 1, tally=True)
    assert (settled.nano_usd, settled.late, settled.changed) == (10, True, True)
    assert await desk.balance() == values((10, 1, 1), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_the_true_cost_is_recorded_after_a_release(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    await desk.release("a")
    settled = await desk.settle("a", 50, 5)
    assert settled == settled_of(settled, 50, 5, late=True)
    assert await desk.balance() == values((50, 5, 1), (0, 0, 0))
    check_all(backend.state())


# --- 6: outcomes and expiry ------------------------------------------------------------------------


@pytest.mark.contract(6)
@pytest.mark.parametrize(
    ("mode", "charged"), [(Mode.COST, (50, 5, 1)), (Mode.HOLD, (60, 6, 1)), (Mode.NONE, (0, 0, 0))]
)
async def test_each_outcome_charges_what_it_says(
    backend: Backend, mode: Mode, charged: tuple[int, int, int]
) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    assert await desk.balance() == values((0, 0, 0), (60, 6, 1))
    settled = await desk.settle("a", 50, 5, mode=mode)
    assert settled == settled_of(settled, charged[0], charged[1], estimated=mode is Mode.HOLD)
    assert await desk.balance() == values(charged, (0, 0, 0))
    entry = backend.state().log[-1].fields
    assert (entry["kind"], entry["nano"], entry["estimated"], entry["outcome"], entry["tally"]) == (
        ("settle", str(charged[0]), str(int(mode is Mode.HOLD)), "COMPLETED", "")
    )  # fmt: skip
    check_all(backend.state())


@pytest.mark.contract(6)
async def test_what_a_cost_does_not_say_is_charged_as_held(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    for name in "ab":
        await desk.hold(name, 60, 6)
    assert (await desk.settle("a", 50, None))[1:3] == (50, 6)
    assert (await desk.settle("b", None, 5))[1:3] == (60, 5)
    assert await desk.balance() == values((110, 11, 2), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(6)
async def test_an_expired_hold_is_charged_and_a_late_settle_corrects_it_once(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    backend.move(TTL_MS)
    assert await desk.balance() == values((60, 6, 1), (0, 0, 0))
    unsure = await desk.settle("a", mode=Mode.HOLD)
    assert unsure == settled_of(unsure, 60, 6, estimated=True, late=True, changed=False)
    settled = await desk.settle("a", 10, 1)
    assert settled == settled_of(settled, 10, 1, late=True)
    assert await desk.balance() == values((10, 1, 1), (0, 0, 0))
    with pytest.raises(IdMismatch):
        await desk.settle("a", 9, 1)
    assert kinds(backend.state().log) == ["credit", "reserve", "expire", "settle"]
    check_all(backend.state())


@pytest.mark.contract(6)
async def test_an_estimated_settle_is_corrected_once_by_the_cost(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    await desk.settle("a", mode=Mode.HOLD, content="unknown")
    other = await desk.settle("a", mode=Mode.HOLD, content="no usage")
    assert (other.nano_usd, other.estimated, other.changed) == (60, True, False)
    with pytest.raises(ReservationEnded):
        await desk.release("a")
    assert (await desk.settle("a", 70, 7)).late
    with pytest.raises(IdMismatch):
        await desk.settle("a", 71, 7)
    assert await desk.balance() == values((70, 7, 1), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(6)
async def test_a_hold_is_given_back_on_expiry_for_those_who_want_it(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000, on_expiry=OnExpiry.RELEASE)
    await desk.hold("a", 60, 6)
    backend.move(TTL_MS)
    assert await desk.balance() == values((0, 0, 0), (0, 0, 0))
    assert (await desk.release("a")).known
    assert (await desk.settle("a", 10, 1)).late
    assert await desk.balance() == values((10, 1, 1), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(6)
@pytest.mark.parametrize("by", ["settle", "release"])
async def test_not_dispatched_after_expiry_gives_everything_back(backend: Backend, by: str) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60, 6)
    backend.move(TTL_MS)
    assert await desk.balance() == values((60, 6, 1), (0, 0, 0))
    if by == "settle":
        settled = await desk.settle("a", mode=Mode.NONE)
        assert settled == settled_of(settled, 0, 0, late=True)
    else:
        released = await desk.release("a")
        assert released == Released(released.stamp, 60, 6, known=True)
    assert await desk.balance() == values((0, 0, 0), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(6)
@pytest.mark.parametrize("ms", [-1, 0, 1])
async def test_a_settle_at_the_moment_of_expiry_is_in_time_until_the_hold_is_ended(
    backend: Backend, ms: int
) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    for name in ("first", "second"):
        await desk.hold(name, 60, 6)
    backend.move(TTL_MS + ms)
    settled = await desk.settle("first", 10, 1)  # and then it ends what is due
    assert (settled.late, settled.changed) == (False, True)
    late = ms >= 0
    state = HoldState.EXPIRED if late else HoldState.OPEN
    assert (await desk.store.hold("acme", "second")).state is state  # type: ignore[union-attr]
    assert (await desk.settle("second", 20, 2)).late is late
    assert await desk.balance() == values((30, 3, 2), (0, 0, 0))
    check_all(backend.state())


@pytest.mark.contract(6)
async def test_more_time_keeps_a_hold_open(backend: Backend) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60)
    backend.move(TTL_MS - 1)
    extended = await desk.extend("a")
    assert isinstance(extended, Extended)
    assert extended == Extended(extended.stamp, backend.now_ms + TTL_MS, 60, 0)
    shorter = await desk.extend("a", ttl_ms=1)
    assert isinstance(shorter, Extended)
    assert shorter.expires_ms == backend.now_ms + TTL_MS  # an expiry never moves back
    backend.move(TTL_MS - 1)
    assert (await desk.store.sweep(0, 10)).open_holds == 1
    check_all(backend.state())
    backend.move(1)
    assert (await desk.store.sweep(0, 10)).open_holds == 0
    with pytest.raises(ReservationEnded):
        await desk.extend("a")


@pytest.mark.contract(6)
@pytest.mark.parametrize("end", ["settle", "release", "expire", "expire in the call"])
async def test_what_has_ended_is_not_extended(backend: Backend, end: str) -> None:
    desk = await desk_at(backend, *ALL, funds=1_000)
    await desk.hold("a", 60)
    if end == "settle":
        await desk.settle("a", 1)
    elif end == "release":
        await desk.release("a")
    else:
        backend.move(TTL_MS)
    if end == "expire":
        await desk.store.sweep(0, 10)
    with pytest.raises(ReservationEnded):
        await desk.extend("a", "e", 1)
    with pytest.raises(ReservationNotFound):
        await desk.extend("never", "e", 1)
    assert (await desk.store.hold("acme", "a")).state is not HoldState.OPEN  # type: ignore[union-attr]
    check_all(backend.state())


@pytest.mark.contract(6)
async def test_an_extension_needs_room_in_every_budget_and_the_paying_wallet(backend: Backend) -> None:
    full = budget("full", 1, Unit.REQUESTS, MINUTE)
    desk = await desk_at(backend, WalletTemplate("user", ("user",)), *ALL, full, funds=150)
    assert (await desk.hold("a", 100, 10)).payer == 2
    before = backend.dump()
    for nano_usd, tokens, reason, binds in (
        (901, 0, Reason.BUDGET_EXHAUSTED, 1),
        (0, 991, Reason.BUDGET_EXHAUSTED, 2),
        (51, 0, Reason.INSUFFICIENT_FUNDS, 0),
    ):
        refused = await desk.extend("a", "e", nano_usd, tokens)
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.binds) == (reason, binds)
        assert backend.dump() == before
    extended = await desk.extend("a", "e", 50, 990)  # no request and no call in flight more
    assert isinstance(extended, Extended)
    assert extended == Extended(extended.stamp, START_MS + TTL_MS, 150, 1_000)
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_more_counters_end_at_once_than_one_command_takes(backend: Backend) -> None:
    """Three hundred users with two budgets of their own: what is held goes, and later all of it."""
    desk = await desk_at(backend, budget("a", 100, per=("user",)), budget("b", 100, per=("user",)))
    for n in range(300):
        await desk.hold(f"h{n}", 2, user=f"u{n}")
    backend.move(TTL_MS)
    assert (await desk.store.sweep(0, 500)).open_holds == 0
    count = backend.state().count
    assert sorted(count.values()) == [0] * 600 + [2] * 600
    backend.move(3 * RETENTION_MS)
    while (await desk.store.sweep(0, 500)).more:
        pass
    assert not backend.state().count
