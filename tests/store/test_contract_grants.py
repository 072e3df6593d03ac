"""The contract, on every store: grants, once a period. Lines 1, 2 and 10."""

import asyncio

import pytest

from tallystick.core.lots import Lot, LotKind
from tallystick.core.policy import Grant, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.core.windows import Span, Window
from tallystick.store.asks import CreditAsk, Held, MoveKind, Refused
from tests.store.audit import check_all, kinds
from tests.store.backends import START_MS, Backend
from tests.store.desk import DAY, Desk, desk_at, ids_of, policy_of

DAY_MS = 86_400_000
TOMORROW_MS = 1_760_054_400_000
WEEK, MONTH = Window(Span.WEEK), Window(Span.MONTH)
USER = WalletTemplate("user", ("user",))
COUNTER = "acme:w:org::u"


def org(amount: int, every: Window = DAY, rollover: int = 0) -> WalletTemplate:
    return WalletTemplate("org", grant=Grant(amount, every, rollover))


def grants(desk: Desk) -> list[tuple[int, int]]:
    """What came and what lapsed with each grant."""
    told = [entry.fields for entry in desk.backend.state().log if entry.fields["kind"] == "grant"]
    return [(int(each["amount"]), int(each["lapsed"])) for each in told]


async def spend(desk: Desk, name: str, nano_usd: int) -> None:
    await desk.hold(name, nano_usd)
    await desk.settle(name, nano_usd)


@pytest.mark.contract(1)
async def test_a_grant_comes_once_with_the_first_call_however_many_are_first(backend: Backend) -> None:
    desk = await desk_at(backend, org(10_007))
    other = desk.at(await backend.client())
    replies = await asyncio.gather(
        *((desk, other)[n % 2].reserve(137, reservation_id=f"race{n}") for n in range(200))
    )
    held = [reply for reply in replies if isinstance(reply, Held)]
    refused = [reply for reply in replies if isinstance(reply, Refused)]
    assert (len(held), len(refused)) == (73, 127)  # 73 × 137 = 10,001
    assert {reply.reason for reply in refused} == {Reason.INSUFFICIENT_FUNDS}
    assert grants(desk) == [(10_007, 0)]
    assert sorted(reply.values for reply in held) == [[10_007, 137 * n] for n in range(73)]
    assert await desk.balance() == [10_007, 10_007, 10_001]
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_a_grant_is_told_before_the_call_that_it_pays(backend: Backend) -> None:
    desk = await desk_at(backend, org(100))
    await desk.hold("a", 100)
    log = backend.state().log
    assert kinds(log) == ["grant", "reserve"]
    assert log[0].fields == {
        "kind": "grant", "at": str(START_MS), "tenant": "acme", "id": COUNTER, "wallet": COUNTER,
        "unit": "u", "amount": "100", "lapsed": "0", "expires": str(TOMORROW_MS),
    }  # fmt: skip
    account = (await desk.counters()).accounts[0]
    assert account.lots == [Lot("grant", LotKind.GRANT, TOMORROW_MS, 100)]
    assert (account.funds, account.balance, account.held) == (100, 100, 100)


@pytest.mark.contract(2)
async def test_a_denial_grants_nothing(backend: Backend) -> None:
    """Also the first call of all, and the first of a new period."""
    desk = await desk_at(backend, USER, org(100))
    before = backend.dump()
    refused = await desk.refused(101)
    assert (refused.reason, refused.values) == (Reason.INSUFFICIENT_FUNDS, [0, 0, 100, 0])
    assert await desk.balance() == [0] * 6  # what its period grants is not in it until it is used
    assert backend.dump() == before
    await desk.hold("a", 60, ttl_ms=2 * DAY_MS)
    backend.set_clock(TOMORROW_MS)
    await desk.store.sweep(0, 9)
    before = backend.dump()
    assert (await desk.refused(101)).values == [0, 0, 160, 60]
    assert backend.dump() == before
    assert grants(desk) == [(100, 0)]


@pytest.mark.contract(10)
async def test_a_wallet_that_does_not_pay_is_granted_nothing_yet(backend: Backend) -> None:
    desk = await desk_at(backend, WalletTemplate("user", ("user",), grant=Grant(50, DAY)), org(100))
    assert (await desk.hold("a", 60)).payer == 2
    assert await desk.balance() == [0, 0, 0, 100, 100, 60]
    assert (await desk.hold("b", 50)).payer == 1
    assert grants(desk) == [(100, 0), (50, 0)]
    check_all(backend.state())


@pytest.mark.contract(10)
@pytest.mark.parametrize(
    ("rollover", "balance", "lapsed"), [(0, 100, 80), (30, 130, 50), (80, 180, 0), (200, 180, 0)]
)
@pytest.mark.parametrize("swept", [False, True])
async def test_what_is_left_of_a_period_lapses_but_for_the_rollover(
    backend: Backend, rollover: int, balance: int, lapsed: int, swept: bool
) -> None:
    desk = await desk_at(backend, org(100, rollover=rollover))
    await spend(desk, "a", 20)
    backend.set_clock(TOMORROW_MS)
    if swept:
        await desk.store.sweep(0, 9)
        assert (await desk.balance())[1] == min(80, rollover)
    await desk.hold("b", 0)
    assert (await desk.balance())[1] == balance
    assert grants(desk) == [(100, 0), (100, 0)]
    told = [entry.fields["amount"] for entry in backend.state().log if entry.fields["kind"] == "lapse"]
    assert told == ([str(lapsed)] if lapsed else [])
    assert (await desk.counters()).accounts[0].lots[0].expires_ms == TOMORROW_MS + DAY_MS
    check_all(backend.state())


@pytest.mark.contract(10)
@pytest.mark.parametrize(
    ("rollover", "balance", "told"),
    [(0, 100, (100, 80)), (30, 130, (100, 50)), (250, 350, (270, 0)), (1_000, 380, (300, 0))],
)
async def test_a_period_in_which_nobody_called_is_counted_in_the_rollover(
    backend: Backend, rollover: int, balance: int, told: tuple[int, int]
) -> None:
    """80 are left of the first day; two days go by unseen, on the fourth comes the next call."""
    desk = await desk_at(backend, org(100, rollover=rollover))
    await spend(desk, "a", 20)
    backend.set_clock(TOMORROW_MS + 2 * DAY_MS)
    await desk.hold("b", 0)
    assert (await desk.balance())[1] == balance
    came, lapsed = 0, 0
    for entry in backend.state().log[3:]:
        came += int(entry.fields["amount"]) if entry.fields["kind"] == "grant" else 0
        lapsed += int(entry.fields.get("lapsed", 0))
        lapsed += int(entry.fields["amount"]) if entry.fields["kind"] == "lapse" else 0
    assert (came, lapsed) == told
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_what_waits_to_be_rolled_over_lapses_where_the_rollover_was_cut(backend: Backend) -> None:
    desk = await desk_at(backend, org(100, rollover=80))
    await spend(desk, "a", 20)
    backend.set_clock(TOMORROW_MS)
    assert await desk.lots() == [("grant", 80)]
    desk.policy = policy_of(org(100, rollover=30))
    await desk.hold("b", 0)
    assert grants(desk) == [(100, 0), (100, 50)]
    assert await desk.lots() == [("grant", 130)]
    assert await desk.balance() == [150, 130, 0]
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_what_waits_to_be_rolled_over_is_the_grant_s_whatever_lapses_with_it(backend: Backend) -> None:
    desk = await desk_at(backend, org(100, rollover=80))
    await spend(desk, "a", 10)
    await desk.credit("org", 50, "earned", LotKind.EARNED, TOMORROW_MS)
    backend.set_clock(TOMORROW_MS)
    await desk.store.sweep(0, 9)
    account = (await desk.store.wallets("acme"))[COUNTER]
    assert account.lots == [Lot("grant", LotKind.GRANT, 0, 80, "", 80)]
    await desk.hold("b", 0)
    assert (await desk.balance())[1] == 180
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_a_thousand_skipped_periods_are_not_counted_one_by_one(backend: Backend) -> None:
    desk = await desk_at(backend, org(100, rollover=123_456_789))
    await spend(desk, "a", 20)
    backend.move(5_000 * DAY_MS)
    await desk.hold("b", 0)
    assert (await desk.balance())[1] == 80 + 4_999 * 100 + 100
    check_all(backend.state())


@pytest.mark.contract(3)
async def test_a_new_period_spares_what_is_held(backend: Backend) -> None:
    desk = await desk_at(backend, org(100))
    await desk.hold("long", 70, ttl_ms=2 * DAY_MS)
    backend.set_clock(TOMORROW_MS)
    await desk.hold("b", 100)
    assert (await desk.balance())[1:] == [170, 170]
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    settled = await desk.settle("long", 50)
    assert [lot.amount for lot in settled.drawn] == [50]
    # As much as is held of what has expired stays, and is drawn first.
    assert (await desk.balance())[1:] == [120, 100]
    assert ids_of((await desk.settle("b", 100)).drawn) == [("grant", 20), ("grant", 80)]
    assert (await desk.balance())[1:] == [20, 0]
    check_all(backend.state())


@pytest.mark.contract(5)
async def test_debt_is_carried_into_the_next_period(backend: Backend) -> None:
    desk = await desk_at(backend, org(100, rollover=50))
    await desk.hold("a", 100)
    await desk.settle("a", 130)
    backend.set_clock(TOMORROW_MS)
    assert (await desk.refused(71)).reason is Reason.INSUFFICIENT_FUNDS
    await desk.hold("b", 70)
    assert await desk.balance() == [200, 70, 70]
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_another_amount_counts_from_the_next_period_on(backend: Backend) -> None:
    desk = await desk_at(backend, org(100))
    await spend(desk, "a", 20)
    desk.policy = policy_of(org(500))
    assert (await desk.refused(81)).reason is Reason.INSUFFICIENT_FUNDS
    backend.set_clock(TOMORROW_MS)
    await desk.hold("b", 500)
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_another_span_grants_at_once_in_place_of_what_is_left(backend: Backend) -> None:
    desk = await desk_at(backend, org(100))
    await spend(desk, "a", 20)
    desk.policy = policy_of(org(500, MONTH))
    await desk.hold("b", 500)
    assert grants(desk) == [(100, 0), (500, 80)]
    desk.policy = policy_of(WalletTemplate("org"))
    assert (await desk.refused(1)).reason is Reason.INSUFFICIENT_FUNDS
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_a_plan_holds_no_longer_than_the_period_of_its_grant(backend: Backend) -> None:
    desk = await desk_at(backend, org(100, WEEK))
    plan = desk.plan()
    assert plan.valid_until_ms == 1_760_313_600_000  # Monday, 13 October 2025
    await desk.hold("a", 100, plan=plan)
    backend.set_clock(plan.valid_until_ms)
    assert not isinstance(await desk.reserve(1, plan=plan), Held)
    await desk.hold("b", 100)
    assert [lot.id for lot in (await desk.settle("b", 1)).drawn] == ["grant"]


@pytest.mark.contract(10)
async def test_top_ups_and_moves_open_a_wallet_with_its_grant(backend: Backend) -> None:
    desk = await desk_at(backend, WalletTemplate("user", ("user",), grant=Grant(50, DAY)), org(100))
    assert (await desk.credit("org", 5)).balance == 105
    assert (await desk.credit("org", 5)).balance == 110
    assert grants(desk) == [(100, 0)]
    assert (await desk.move(MoveKind.ALLOCATE, "org", "user", 10)).source.balance == 100
    assert (await desk.move(MoveKind.RECLAIM, "user", "org", 0)).amount == 10
    assert grants(desk) == [(100, 0), (50, 0)]
    check_all(backend.state())


@pytest.mark.contract(10)
async def test_a_clock_that_is_behind_grants_nothing_of_a_period_that_is_over(backend: Backend) -> None:
    desk = await desk_at(backend, org(100))
    line = desk.plan().wallets[0]
    backend.set_clock(TOMORROW_MS)
    account = await desk.store.credit("acme", CreditAsk(line, 5, "late", "a clock behind"))
    assert [lot.id for lot in account.lots] == ["late"]
    check_all(backend.state())
    await desk.hold("a", 100)
    assert grants(desk) == [(100, 0)]
    check_all(backend.state())
