"""Wallets over gRPC: lots, grants, moves of funds, and the buckets that a settle draws from."""

import random
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import LONG_S, Caller, fails, ref
from tests.e2e.faults import eventually

CODE = grpc.StatusCode
DAY_MS = 86_400_000
GRANT, EARNED, PAID = pb.LOT_KIND_GRANT, pb.LOT_KIND_EARNED, pb.LOT_KIND_PAID
ORG, TEAM, USER = ref("org"), ref("team", team="search"), ref("user", user="alice")
CASCADE = """
wallets:
  user: {per: [user]}
  team: {per: [team]}
  org: {}
  pool: {unit: tokens}
"""
GRANTED = """
timezone: UTC
wallets:
  user: {per: [user], grant: {amount: 0.0000001 USD, every: month}}
  team: {per: [team], grant: {amount: 0.0000005 USD, every: month, rollover: 0.0000001 USD}}
  org: {}
budgets:
  watch: {limit: 1 USD, window: day, on_exhausted: alert}
"""
"""The budget's window has the sidecar put its clock right whenever a test has moved the store's."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def lots(wallet: Any) -> list[tuple[str, int, int]]:
    return [(lot.id, lot.kind, lot.remaining) for lot in wallet.lots]


def draws(answer: Any) -> list[tuple[str, int, int]]:
    return [(draw.lot, draw.kind, draw.amount) for draw in answer.drawn]


def funds_of_all(caller: Caller) -> int:
    return sum(wallet.funds for wallet in caller.wallets().values())


# credits


def test_lots_are_drawn_by_kind_and_the_soonest_to_expire_first(caller: Caller) -> None:
    caller.apply(CASCADE)
    soon, late = now_ms() + 40 * 365 * DAY_MS, now_ms() + 50 * 365 * DAY_MS
    caller.credit_lot(5, credit_id="plain")
    caller.credit_lot(4, credit_id="late", expires=late)
    caller.credit_lot(3, credit_id="bonus", kind=EARNED)
    caller.credit_lot(2, credit_id="soon", kind=PAID, expires=soon)
    wallet = caller.credit_lot(1, credit_id="short", kind=EARNED, expires=soon).wallet
    assert lots(wallet) == [
        ("short", EARNED, 1),
        ("bonus", EARNED, 3),
        ("soon", PAID, 2),
        ("late", PAID, 4),
        ("plain", PAID, 5),
    ]
    assert [lot.expires_at.seconds for lot in wallet.lots] == [soon // 1000, 0, soon // 1000, late // 1000, 0]
    assert caller.wallets()["org"] == wallet
    assert draws(caller.debit(7)) == [("short", EARNED, 1), ("bonus", EARNED, 3), ("soon", PAID, 2),
                                      ("late", PAID, 1)]  # fmt: skip
    assert not caller.wallet().lots  # the data plane shows none


def test_a_lot_lapses_when_it_expires(caller: Caller, books: Books) -> None:
    caller.apply(GRANTED)
    caller.balance()
    caller.credit_lot(7, credit_id="short", expires=now_ms() + 900 * DAY_MS)
    caller.credit_lot(5, credit_id="kept")
    books.shift_clock(caller.tenant, 901 * DAY_MS)
    eventually(lambda: lots(caller.wallets()["org"]) == [("kept", PAID, 5)])
    assert caller.wallets()["org"].funds == 5


def test_a_credit_pays_the_debt_first(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit(5)
    caller.settle(caller.allowed(5).reservation_id, 12)
    wallet = caller.wallets()["org"]
    assert (wallet.available, lots(wallet)) == (-7, [])
    wallet = caller.credit_lot(10, credit_id="top-up").wallet
    assert (wallet.funds, wallet.spent, wallet.available) == (15, 12, 3)
    assert lots(wallet) == [("top-up", PAID, 3)]


# moves


def test_funds_go_from_the_org_to_a_team_to_a_user_and_back(caller: Caller) -> None:
    caller.apply(CASCADE)
    expires = now_ms() + 40 * 365 * DAY_MS
    caller.credit_lot(60, credit_id="bonus", kind=EARNED, expires=expires)
    caller.credit_lot(40, credit_id="invoice")
    moved = caller.allocate(80, ORG, TEAM, transfer_id="t1", reason="for the quarter")
    assert moved.transfer_id == "t1"
    assert lots(getattr(moved, "from")) == [("invoice", PAID, 20)]
    assert lots(moved.to) == [("t1", EARNED, 60), ("t1", PAID, 20)]
    assert moved.to.lots[0].expires_at.seconds == expires // 1000
    caller.allocate(70, TEAM, USER, transfer_id="t2")
    caller.settle(caller.allowed(20, subject=pb.Subject(user="alice")).reservation_id, 15)
    caller.allowed(30, subject=pb.Subject(user="alice"))
    with fails(
        CODE.FAILED_PRECONDITION, "wallet user (user=alice) has 0.000000025 USD available of what team"
    ):
        caller.reclaim(26, USER, TEAM)
    back = caller.reclaim(0, USER, TEAM, unit=pb.UNIT_UNSPECIFIED)
    assert (back.reclaimed, getattr(back, "from").funds, back.to.available) == (25, 45, 35)
    with fails(CODE.FAILED_PRECONDITION, "has nothing available of what team gave"):
        caller.reclaim(0, USER, TEAM)
    with fails(CODE.FAILED_PRECONDITION, "has nothing available of what org gave"):
        caller.reclaim(1, USER, ORG)  # it was the team that gave
    assert funds_of_all(caller) == 100


def test_what_was_credited_to_a_wallet_can_not_be_reclaimed_from_it(caller: Caller) -> None:
    caller.apply(CASCADE)
    caller.credit(10)
    caller.credit(10, "team", team="search")
    caller.allocate(4, ORG, TEAM)
    assert caller.reclaim(0, TEAM, ORG).reclaimed == 4
    wallets = caller.wallets()
    assert (wallets["org"].available, wallets["team=search"].available) == (10, 10)


def test_no_more_than_is_available_leaves_a_wallet(caller: Caller, books: Books) -> None:
    caller.apply(CASCADE)
    caller.credit(100)
    caller.allowed(30, subject=pb.Subject())
    caller.settle(caller.allowed(20, subject=pb.Subject()).reservation_id, 20)
    before, shown = books.of_tenant(caller.tenant), caller.wallets()
    text = "wallet org has 0.00000005 USD available, not 0.000000051 USD"
    with fails(CODE.FAILED_PRECONDITION, text):
        caller.debit(51)
    with fails(CODE.FAILED_PRECONDITION, text):
        caller.allocate(51, ORG, TEAM)
    assert (books.of_tenant(caller.tenant), caller.wallets()) == (before, shown)
    assert caller.debit(50).wallet.available == 0
    with fails(CODE.FAILED_PRECONDITION, "has nothing available, not 0.000000001 USD"):
        caller.debit(1)


@pytest.mark.contract(4)
def test_a_move_that_is_retried_counts_once(caller: Caller) -> None:
    caller.apply(CASCADE)
    moves: list[Callable[[], Any]] = [
        lambda: caller.credit_lot(100, credit_id="c", kind=EARNED),
        lambda: caller.debit(10, debit_id="d"),
        lambda: caller.allocate(20, ORG, TEAM, transfer_id="a"),
        lambda: caller.reclaim(0, TEAM, ORG, transfer_id="r"),
    ]
    for move in moves:
        first = move()
        for _ in range(3):
            again = move()
            if isinstance(again, apb.DebitWalletResponse):
                assert not again.drawn
                first.ClearField("drawn")
            assert again == first
    assert funds_of_all(caller) == 90
    caller.allocate(5, ORG, TEAM)
    assert caller.reclaim(0, TEAM, ORG, transfer_id="r").reclaimed == 20
    others: list[Callable[[], Any]] = [
        lambda: caller.credit_lot(101, credit_id="c", kind=EARNED),
        lambda: caller.credit_lot(100, credit_id="c"),
        lambda: caller.credit_lot(100, credit_id="c", kind=EARNED, expires=now_ms() + 10**12),
        lambda: caller.debit(11, debit_id="d"),
        lambda: caller.debit(10, debit_id="a"),
        lambda: caller.debit(10, TEAM, debit_id="d"),
        lambda: caller.allocate(20, ORG, USER, transfer_id="a"),
        lambda: caller.reclaim(20, TEAM, ORG, transfer_id="r"),
    ]
    shown = caller.wallets()
    for other in others:
        with fails(CODE.ALREADY_EXISTS, "used for something else"):
            other()
    assert caller.wallets() == shown


@pytest.mark.contract(1)
def test_50_debits_at_once_get_what_there_is_and_no_more(caller: Caller) -> None:
    caller.apply(CASCADE)
    caller.credit(230)
    caller.allowed(27, subject=pb.Subject())
    request = apb.DebitWalletRequest(tenant=caller.tenant, wallet=ORG, amount=7, unit=pb.UNIT_NANO_USD)
    calls = [caller.administration.DebitWallet.future(request, timeout=LONG_S) for _ in range(50)]
    codes = [call.code() for call in calls]
    assert codes.count(CODE.OK) == 203 // 7
    assert codes.count(CODE.FAILED_PRECONDITION) == 50 - 203 // 7
    wallet = caller.wallets()["org"]
    assert (wallet.funds, wallet.held, wallet.available) == (230 - 29 * 7, 27, 0)


def test_transfers_at_once_neither_make_nor_lose_money(caller: Caller) -> None:
    caller.apply(CASCADE)
    caller.credit(500)
    caller.credit(300, "team", team="search")
    ends = [ORG, TEAM, USER]
    rolled = random.Random(7)
    stub, calls = caller.administration, []
    for _ in range(80):
        source, target = rolled.sample(ends, 2)
        given: dict[str, Any] = {"tenant": caller.tenant, "unit": pb.UNIT_NANO_USD, "from": source}
        given |= {"to": target, "amount": rolled.randint(1, 90)}
        if rolled.random() < 0.7:
            calls.append(stub.AllocateFunds.future(apb.AllocateFundsRequest(**given), timeout=LONG_S))
        else:
            calls.append(stub.ReclaimFunds.future(apb.ReclaimFundsRequest(**given), timeout=LONG_S))
    codes = [call.code() for call in calls]
    assert set(codes) == {CODE.OK, CODE.FAILED_PRECONDITION}
    wallets = caller.wallets().values()
    assert sum(wallet.funds for wallet in wallets) == 800
    assert all(sum(lot.remaining for lot in wallet.lots) == wallet.available for wallet in wallets)


@pytest.mark.contract(11)
def test_beyond_64_bits_funds_are_counted_on_and_shown_as_the_most_there_is(caller: Caller) -> None:
    caller.apply("wallets: {org: {}, team: {per: [team]}}")
    most = 2**63 - 1
    for number in range(3):
        caller.credit_lot(most, credit_id=f"c{number}")
        caller.allocate(most, ORG, TEAM)
    assert caller.wallets()["team=search"].funds == most
    assert caller.reclaim(0, TEAM, ORG).reclaimed == most
    for _ in range(3):
        caller.debit(most)
    assert caller.wallets()["org"].available == 0


# grants


def test_a_call_goes_down_the_cascade_through_what_was_granted(caller: Caller) -> None:
    caller.apply(GRANTED)
    caller.credit(1_000)
    subject = pb.Subject(user="alice", team="search")
    payers = [caller.allowed(60, subject=subject).wallet for _ in range(10)]
    assert payers == ["user", *["team"] * 8, "org"]
    wallets = caller.wallets()
    assert [(w.funds, w.held) for w in wallets.values()] == [(1_000, 60), (500, 480), (100, 60)]
    assert list(wallets) == ["org", "team=search", "user=alice"]
    assert [lot.kind for lot in wallets["user=alice"].lots] == [GRANT]
    assert wallets["user=alice"].lots[0].expires_at.seconds > time.time()


def test_a_list_shows_what_this_period_grants_and_writes_nothing(caller: Caller, books: Books) -> None:
    caller.apply(GRANTED)
    assert caller.wallets() == {}
    caller.settle(caller.allowed(90).reservation_id, 90)
    caller.settle(caller.allowed(40, subject=pb.Subject(team="search")).reservation_id, 40)
    books.shift_clock(caller.tenant, 31 * DAY_MS)
    caller.balance()
    before = books.of_tenant(caller.tenant)
    wallets = caller.wallets()
    assert (wallets["user=alice"].available, wallets["team=search"].available) == (100, 600)
    assert lots(wallets["team=search"]) == [("grant", GRANT, 600)]
    after = books.of_tenant(caller.tenant)
    assert [e.fields["kind"] for e in after.log[len(before.log) :] if e.fields["kind"] != "lapse"] == []
    assert caller.wallet("user").available == 100
    caller.debit(70, USER)
    assert caller.wallets()["user=alice"].available == 30
    caller.apply(
        "wallets: {user: {per: [user], unit: tokens}}"
    )  # those of another unit are no longer granted
    assert caller.wallets()["user=alice"].available == 30


def test_what_a_period_grants_can_be_moved_before_it_was_ever_used(caller: Caller) -> None:
    caller.apply(GRANTED)
    moved = caller.allocate(30, TEAM, USER, transfer_id="t")
    assert lots(getattr(moved, "from")) == [("grant", GRANT, 470)]
    assert lots(moved.to) == [("grant", GRANT, 100), ("t", GRANT, 30)]
    assert caller.debit(20, ref("user", user="bob")).wallet.available == 80


# settles


def test_a_settle_tells_the_bucket_that_its_money_came_from(caller: Caller) -> None:
    caller.apply(GRANTED)
    caller.credit_lot(50, USER, credit_id="bonus", kind=EARNED)
    caller.credit_lot(1_000, USER, credit_id="invoice")
    caller.allowed(200, reservation_id="one")
    settled = caller.settle("one", 180)
    assert (settled.wallet, settled.wallet_group, settled.wallet_unit) == (
        "user",
        "user=alice",
        pb.UNIT_NANO_USD,
    )
    assert draws(settled) == [("grant", GRANT, 100), ("bonus", EARNED, 50), ("invoice", PAID, 30)]
    assert caller.settle("one", 180) == settled
    assert lots(caller.wallets()["user=alice"]) == [("invoice", PAID, 970)]


def test_a_settle_above_the_lots_leaves_a_debt_that_no_lot_covers(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit_lot(50, credit_id="c")
    settled = caller.settle(caller.allowed(50).reservation_id, 70)
    assert draws(settled) == [("c", PAID, 50)]
    assert caller.refused(1).reason == pb.REASON_INSUFFICIENT_FUNDS
    with fails(CODE.FAILED_PRECONDITION, "has nothing available"):
        caller.debit(1)


def test_a_settle_without_a_wallet_names_none(caller: Caller) -> None:
    caller.apply("budgets: {all: {limit: 1 USD, window: day}}")
    settled = caller.settle(caller.allowed(50).reservation_id, 70)
    assert (settled.wallet, settled.wallet_group, settled.wallet_unit) == ("", "", pb.UNIT_UNSPECIFIED)
    assert draws(settled) == []


@pytest.mark.contract(6)
def test_a_correction_after_expiry_gives_back_to_the_lots(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit_lot(30, credit_id="bonus", kind=EARNED)
    caller.credit_lot(70, credit_id="invoice")
    caller.allowed(60, reservation_id="one", ttl=1)
    eventually(lambda: caller.wallets()["org"].spent == 60)
    assert lots(caller.wallets()["org"]) == [("invoice", PAID, 40)]
    settled = caller.settle("one", 20)
    assert (settled.charged.nano_usd, settled.late, draws(settled)) == (20, True, [("bonus", EARNED, 20)])
    wallet = caller.wallets()["org"]
    assert (wallet.funds, wallet.available) == (100, 80)
    assert lots(wallet) == [("bonus", EARNED, 10), ("invoice", PAID, 70)]


def test_a_correction_upwards_draws_on_the_same_lot_and_tells_it_once(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit_lot(100, credit_id="invoice")
    caller.allowed(60, reservation_id="one")
    assert draws(caller.settle("one")) == [("invoice", PAID, 60)]
    assert draws(caller.settle("one", 75)) == [("invoice", PAID, 75)]


# what is wrong

WRONG: list[tuple[str, Callable[[Caller], object]]] = [
    ("kind: expected LOT_KIND_PAID or LOT_KIND_EARNED", lambda c: c.credit_lot(1, kind=GRANT)),
    ("kind: expected", lambda c: c.credit_lot(1, kind=99)),
    ("expires_at: expected a time in the future", lambda c: c.credit_lot(1, expires=1_000_000)),
    ("expires_at: expected", lambda c: c.credit_lot(1, expires=0)),
    ("expires_at: expected", lambda c: c.credit_lot(1, expires=-5_000)),
    ("before the year 5000", lambda c: c.credit_lot(1, expires=95_617_584_000_000)),
    ("before the year 5000", lambda c: c.credit_lot(1, expires=2**62)),
    ("credit_id: expected neither", lambda c: c.credit_lot(1, credit_id="grant")),
    ("credit_id: expected neither", lambda c: c.credit_lot(1, credit_id="refund:r-1")),
    ("debit_id: expected at most 128 bytes", lambda c: c.debit(1, debit_id="x" * 129)),
    ("transfer_id: expected neither", lambda c: c.allocate(1, ORG, TEAM, transfer_id="grant")),
    ("transfer_id: ", lambda c: c.reclaim(1, TEAM, ORG, transfer_id="a\tb")),
    ("tenant: ", lambda c: c.debit(1, tenant="")),
    ("amount: expected at least 1", lambda c: c.debit(0)),
    ("amount: expected at least 1", lambda c: c.allocate(-1, ORG, TEAM)),
    ("amount: expected at least 0", lambda c: c.reclaim(-1, TEAM, ORG)),
    ("unit: expected UNIT_NANO_USD or", lambda c: c.debit(1, unit=pb.UNIT_REQUESTS)),
    ("unit: expected UNIT_NANO_USD or", lambda c: c.reclaim(1, TEAM, ORG, unit=0)),
    ("unit: expected UNIT_NANO_USD or", lambda c: c.reclaim(0, TEAM, ORG, unit=99)),
    ("unit: expected the unit of wallet pool, tokens", lambda c: c.debit(1, ref("pool"))),
    ("unit: expected the unit of wallet org, USD", lambda c: c.debit(1, unit=pb.UNIT_TOKENS)),
    ("unit: expected the unit of wallet team", lambda c: c.reclaim(0, TEAM, ORG, unit=pb.UNIT_TOKENS)),
    ("reason: ", lambda c: c.allocate(1, ORG, TEAM, reason="x" * 257)),
    ("wallet.wallet: expected a wallet of the policy", lambda c: c.debit(1, ref("none"))),
    ("wallet.wallet: ", lambda c: c.debit(1, ref("x" * 300))),
    ("wallet.group: expected", lambda c: c.debit(1, ref("org", user="alice"))),
    ("wallet.group['team']: ", lambda c: c.debit(1, ref("team", team="a\nb"))),
    ("from.wallet: expected a wallet of the policy", lambda c: c.allocate(1, ref("none"), ORG)),
    ("from.wallet: expected", lambda c: c.allocate(1, apb.WalletRef(), ORG)),
    ("from.group: expected a value for each", lambda c: c.allocate(1, ref("team"), ORG)),
    ("from.group: expected", lambda c: c.reclaim(0, ref("team", user="a"), ORG)),
    ("to.wallet: expected a wallet of the policy", lambda c: c.allocate(1, ORG, ref("none"))),
    ("to.wallet: expected a wallet in USD, as org is", lambda c: c.allocate(1, ORG, ref("pool"))),
    ("to.group: expected a value for each", lambda c: c.allocate(1, ORG, ref("team", team=""))),
    ("to.group['user']: ", lambda c: c.allocate(1, ORG, ref("user", user="x" * 300))),
    ("to: expected another wallet than from", lambda c: c.allocate(1, ORG, ORG)),
    ("to: expected another wallet than from", lambda c: c.reclaim(0, TEAM, TEAM)),
]


@pytest.mark.parametrize(("text", "ask"), WRONG, ids=[f"{n}-{text}" for n, (text, _) in enumerate(WRONG)])
def test_a_wrong_field_is_named_and_nothing_is_written(
    caller: Caller, books: Books, text: str, ask: Callable[[Caller], object]
) -> None:
    caller.apply(CASCADE)
    caller.credit(10)
    before = books.of_tenant(caller.tenant)
    with fails(CODE.INVALID_ARGUMENT, text):
        ask(caller)
    assert books.of_tenant(caller.tenant) == before


def test_what_is_at_the_edge_is_taken(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    wallet = caller.credit_lot(1, credit_id="grants", expires=95_617_583_999_000).wallet
    assert wallet.lots[0].expires_at.ToDatetime().isoformat() == "4999-12-31T23:59:59"
    assert caller.credit_lot(1, credit_id="refund").credit_id == "refund"
    assert caller.credit_lot(1).credit_id.startswith("c-")
    assert caller.debit(1).debit_id.startswith("d-")


# pages


def test_wallets_come_in_pages(caller: Caller) -> None:
    caller.apply(CASCADE)
    for number in range(5):
        caller.credit(1, "user", user=f"u{number}")
    found, token = list[str](), ""
    while True:
        request = apb.ListWalletsRequest(tenant=caller.tenant, page_size=2, page_token=token)
        answer = caller.administration.ListWallets(request, timeout=LONG_S)
        found += [wallet.group for wallet in answer.wallets]
        token = answer.next_page_token
        if not token:
            break
        assert len(answer.wallets) == 2
    assert found == [f"user=u{number}" for number in range(5)]
    for wrong in ("x", token_of_budgets(caller)):
        request = apb.ListWalletsRequest(tenant=caller.tenant, page_token=wrong)
        with fails(CODE.INVALID_ARGUMENT, "page_token: "):
            caller.administration.ListWallets(request, timeout=LONG_S)


def token_of_budgets(caller: Caller) -> str:
    """A token of another list."""
    caller.apply(CASCADE + "budgets: {a: {limit: 1 USD, window: day}, b: {limit: 1 USD, window: day}}")
    request = apb.ListBudgetsRequest(tenant=caller.tenant, page_size=1)
    answer = caller.administration.ListBudgets(request, timeout=LONG_S)
    assert (len(answer.budgets), answer.truncated) == (1, True)
    request = apb.ListBudgetsRequest(tenant=caller.tenant, page_token=answer.next_page_token)
    (last,) = caller.administration.ListBudgets(request, timeout=LONG_S).budgets
    assert last.state.name == "b"
    return str(answer.next_page_token)
