"""A wallet's funds: money is neither made nor lost, whatever comes in whatever order."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.lots import (
    GRANT_ID,
    Account,
    GrantLine,
    Lot,
    LotKind,
    lots_cells,
    lots_of,
    read_lots,
)
from tallystick.core.packing import compact

AMOUNTS = st.sampled_from([1, 2, 7, 100, 2**53 + 1, 2**63 - 1])
TIMES = st.sampled_from([0, 5, 10, 20])
LOTS = st.builds(
    Lot, st.sampled_from("abc"), st.sampled_from([LotKind.EARNED, LotKind.PAID]), TIMES, AMOUNTS,
    st.sampled_from(["", "from"]),
)  # fmt: skip
GRANTS = st.builds(
    lambda amount, rollover, span, period: GrantLine(amount, rollover, span, period, 10 * period),
    AMOUNTS, st.sampled_from([0, 3, 100, 2**63 - 1]), st.sampled_from(["day", "week"]), st.integers(1, 4),
)  # fmt: skip
Step = Callable[["Ledger"], None]


class Ledger:
    """An account, and what has come, gone and been charged by our own reckoning."""

    def __init__(self) -> None:
        self.account = Account()
        self.funds = 0
        self.spent = 0
        self.now_ms = 0
        self.charges: list[tuple[int, list[Lot]]] = []

    def check(self) -> None:
        account = self.account
        assert (account.funds, account.balance) == (self.funds, self.funds - self.spent)
        assert sum(lot.amount for lot in account.lots) == max(0, account.balance)
        assert all(lot.amount > 0 for lot in account.lots)
        for charged, drawn in self.charges:
            assert 0 <= sum(lot.amount for lot in drawn) <= charged

    def receive(self, lot: Lot) -> None:
        self.account.receive(lot)
        self.funds += lot.amount

    def charge(self, amount: int) -> None:
        self.charges.append((amount, self.account.charge(amount)))
        self.spent += amount

    def refund(self, which: int, share: int) -> None:
        if not self.charges:
            return
        charged, drawn = self.charges.pop(which % len(self.charges))
        amount, taken = charged * share // 100, sum(lot.amount for lot in drawn)
        before = self.account.funds
        left = self.account.refund(amount, drawn, charged - taken, "refund", self.now_ms)
        assert taken - sum(lot.amount for lot in left) == max(0, amount - (charged - taken))
        lapsed = before - self.account.funds
        assert lapsed <= sum(lot.amount for lot in drawn if 0 < lot.expires_ms <= self.now_ms)
        self.funds -= lapsed
        self.spent -= amount
        self.charges.append((charged - amount, left))

    def hold(self, amount: int) -> None:
        self.account.held = max(0, min(amount, self.account.balance))

    def lapse(self, ms: int) -> None:
        self.now_ms += ms
        held = min(max(0, self.account.held), max(0, self.account.balance))
        lapsed = self.account.lapse(self.now_ms)
        assert lapsed >= 0
        self.funds -= lapsed
        assert self.account.balance >= held or not lapsed

    def renew(self, grant: GrantLine) -> None:
        came, lapsed = self.account.renew(grant, self.now_ms)
        assert (came == 0) or grant.amount <= came <= grant.amount + grant.rollover
        self.funds += came - lapsed
        assert self.account.renew(grant, self.now_ms) == (0, 0)


STEPS = st.one_of(
    st.builds(lambda lot: lambda ledger: ledger.receive(lot), LOTS),
    st.builds(lambda amount: lambda ledger: ledger.charge(amount), AMOUNTS),
    st.builds(
        lambda which, share: lambda ledger: ledger.refund(which, share),
        st.integers(0, 5), st.sampled_from([0, 1, 50, 99, 100]),
    ),
    st.builds(lambda amount: lambda ledger: ledger.hold(amount), AMOUNTS),
    st.builds(lambda ms: lambda ledger: ledger.lapse(ms), st.sampled_from([0, 1, 5, 10])),
    st.builds(lambda grant: lambda ledger: ledger.renew(grant), GRANTS),
)  # fmt: skip


@pytest.mark.contract(10)
@given(st.lists(STEPS, max_size=30))
def test_money_is_neither_made_nor_lost(steps: list[Step]) -> None:
    ledger = Ledger()
    for step in steps:
        step(ledger)
        ledger.check()


@given(st.lists(LOTS, max_size=8), AMOUNTS, st.sampled_from(["", "from", None]))
def test_a_draw_takes_what_it_can_in_order_and_nothing_else(
    lots: list[Lot], amount: int, source: str | None
) -> None:
    account = Account()
    for lot in lots:
        account.receive(lot)
    before = list(account.lots)
    wanted = [lot for lot in before if source in (None, lot.source)]
    drawn = account.draw(amount, lambda lot: source in (None, lot.source))
    assert sum(lot.amount for lot in drawn) == min(amount, sum(lot.amount for lot in wanted))
    assert [lot[:3] for lot in drawn] == [lot[:3] for lot in wanted[: len(drawn)]]
    assert [lot.amount for lot in drawn[:-1]] == [lot.amount for lot in wanted[: len(drawn)]][:-1]
    assert sum(lot.amount for lot in before) == sum(lot.amount for lot in [*drawn, *account.lots])


@given(st.lists(LOTS, max_size=8))
def test_lots_stand_in_the_order_of_the_draw_however_they_came(lots: list[Lot]) -> None:
    account = Account()
    for lot in lots:
        account.receive(lot)
    ranks = [(lot.kind, lot.expires_ms or 10**18) for lot in account.lots]
    assert ranks == sorted(ranks)
    assert len({lot[:3] for lot in account.lots}) == len(account.lots)


@given(st.lists(LOTS, max_size=8), AMOUNTS)
def test_a_charge_given_back_whole_leaves_no_trace(lots: list[Lot], amount: int) -> None:
    """While nothing has expired; what was debt was never drawn."""
    account = Account()
    for lot in lots:
        account.receive(lot)
    before = (account.funds, account.balance, sorted(account.lots))
    drawn = account.charge(amount)
    owed = amount - sum(lot.amount for lot in drawn)
    assert account.refund(amount, drawn, owed, "refund", 0) == []
    assert (account.funds, account.balance, sorted(account.lots)) == before


@given(st.lists(LOTS, max_size=8))
def test_lots_are_read_as_they_were_written(lots: list[Lot]) -> None:
    assert lots_of(lots_cells(lots)) == lots == read_lots(compact(lots_cells(lots)))
    assert read_lots(None) == read_lots("") == []


DAY_3 = GrantLine(100, 30, "day", 3, 40)


@pytest.mark.parametrize(
    ("marker", "carried", "came", "lapsed", "balance"),
    [
        ("", 0, 100, 0, 100),
        ("day:2", 0, 100, 0, 100),
        ("day:2", 20, 100, 0, 120),
        ("day:2", 50, 100, 20, 130),
        ("day:1", 0, 130, 0, 130),
        ("day:1", 20, 110, 0, 130),
        ("day:-9", 50, 100, 20, 130),
        ("week:2", 20, 100, 0, 120),
        ("day:3", 20, 0, 0, 20),
    ],
)
def test_a_renewal_by_figures(marker: str, carried: int, came: int, lapsed: int, balance: int) -> None:
    """Where no period was seen, its grant would have rolled over, as far as it may."""
    account = Account(marker=marker)
    if carried:
        account.receive(Lot(GRANT_ID, LotKind.GRANT, 0, carried, "", 30))
    assert account.renew(DAY_3, 30) == (came, lapsed)
    assert (account.balance, account.funds) == (balance, balance)
    if came:
        assert account.lots == [Lot(GRANT_ID, LotKind.GRANT, 40, balance, "", 30)]


def test_the_rollover_is_of_the_lot_that_ends() -> None:
    account = Account()
    account.renew(DAY_3, 30)
    account.charge(10)
    assert account.lapse(39) == 0
    assert account.lapse(40) == 60
    assert account.lots == [Lot(GRANT_ID, LotKind.GRANT, 0, 30, "", 30)]
    assert account.renew(DAY_3._replace(rollover=10, period=4, expires_ms=50), 40) == (100, 20)
    assert account.lots == [Lot(GRANT_ID, LotKind.GRANT, 50, 110, "", 10)]


@pytest.mark.parametrize(
    ("held", "lapsed", "left"),
    [(0, 50, []), (20, 30, [20]), (50, 0, [30, 20]), (99, 0, [30, 20]), (-5, 50, [])],
)
def test_as_much_as_is_held_outlives_its_expiry(held: int, lapsed: int, left: list[int]) -> None:
    account = Account()
    account.receive(Lot("a", LotKind.EARNED, 5, 30))
    account.receive(Lot("b", LotKind.PAID, 5, 20))
    account.held = held
    assert account.lapse(5) == lapsed
    assert [lot.amount for lot in account.lots] == left
