"""Wallets from their administrator's side, on the store in memory."""

import asyncio
import contextlib
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.errors import FundsMissing, InvalidArgument
from tallystick.core.lots import LotKind
from tallystick.core.policy import Unit
from tallystick.engine.calls import CreditCall, MoveCall, WalletRef
from tallystick.store.asks import MoveKind
from tests.unit.engine.office import Office, page

CASCADE = "wallets: {user: {per: [user]}, team: {per: [team]}, org: {}}\n"
GRANTED = "wallets: {user: {per: [user], grant: {amount: 0.0000001 USD, every: month}}}\n"
WALLETS = (
    WalletRef("org", {}),
    WalletRef("team", {"team": "search"}),
    WalletRef("team", {"team": "ads"}),
    WalletRef("user", {"user": "alice"}),
)
ALICE = WALLETS[3]
DAY_MS = 86_400_000


def credit_call(amount: int, wallet: WalletRef = ALICE, credit_id: str = "", **fields: Any) -> CreditCall:
    call = CreditCall("acme", *wallet, amount, Unit.NANO_USD, credit_id, "")
    return call._replace(**fields)


def move_call(kind: MoveKind, source: WalletRef, target: WalletRef | None, amount: int) -> MoveCall:
    return MoveCall("acme", kind, source, target, amount, Unit.NANO_USD, "", "")


class Step(NamedTuple):
    """One move, or a call that spends."""

    kind: MoveKind | None
    source: WalletRef
    target: WalletRef
    amount: int
    """Of a call that spends: what it really cost, half of which was held."""


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from([None, *MoveKind, MoveKind.ALLOCATE]),
        st.sampled_from(WALLETS),
        st.sampled_from(WALLETS),
        st.integers(0, 60),
    ),
    max_size=40,
)


async def take(office: Office, step: Step, number: int) -> int:
    """Does it; by how much it changes the funds of all wallets together."""
    if step.kind is None:
        reservation_id = f"s{number}"
        if (await office.reserve(step.amount // 2, reservation_id=reservation_id)).allowed:
            await office.settle(reservation_id, step.amount)
        return 0
    target = None if step.kind is MoveKind.DEBIT else step.target
    move = await office.administration.move(move_call(step.kind, step.source, target, step.amount))
    return 0 if target else -move.amount


async def check(office: Office, steps: list[Step]) -> None:
    await office.apply(CASCADE)
    funds = 0
    for number, wallet in enumerate(WALLETS):
        kind = LotKind.EARNED if number % 2 else LotKind.PAID
        await office.administration.credit(credit_call(100, wallet, f"c{number}", kind=kind))
        funds += 100
    for number, step in enumerate(steps):
        with contextlib.suppress(FundsMissing, InvalidArgument):  # it is refused, and changes nothing
            funds += await take(office, step, number)
        states = (await office.administration.wallets("acme", page())).found
        assert sum(state.funds for state in states) == funds
        for state in states:
            assert sum(lot.amount for lot in state.lots) == max(0, state.balance)
            assert [lot.kind for lot in state.lots] == sorted(lot.kind for lot in state.lots)


@settings(deadline=None)
@given(steps=STEPS)
def test_transfers_neither_make_nor_lose_money(steps: list[Step]) -> None:
    asyncio.run(check(Office(), steps))


async def test_what_was_allocated_comes_back_whole_and_no_more(office: Office) -> None:
    await office.apply(CASCADE)
    org, team = WALLETS[:2]
    for wallet in (org, team):
        await office.administration.credit(credit_call(100, wallet))
    await office.administration.move(move_call(MoveKind.ALLOCATE, org, team, 30))
    back = await office.administration.move(move_call(MoveKind.RECLAIM, team, org, 0))
    assert back.target
    assert (back.amount, back.source.available, back.target.available) == (30, 100, 100)
    with pytest.raises(FundsMissing, match=r"team \(team=search\) has nothing available of what org gave$"):
        await office.administration.move(move_call(MoveKind.RECLAIM, team, org, 0))


async def test_an_expiry_must_be_in_the_future(office: Office) -> None:
    await office.apply(CASCADE)
    now_ms = office.planner.clock.now_ms()
    with pytest.raises(InvalidArgument, match="expires_at: expected a time in the future"):
        await office.administration.credit(credit_call(1, expires_ms=now_ms - 1))
    wallet, _ = await office.administration.credit(credit_call(1, expires_ms=now_ms + 60_000))
    assert wallet.lots[0].expires_ms == now_ms + 60_000


async def test_wallets_are_listed_with_what_this_period_grants(office: Office) -> None:
    await office.apply(GRANTED)
    assert (await office.administration.wallets("acme", page())).found == []
    await office.administration.credit(credit_call(7))
    await office.reserve(107, reservation_id="one")
    await office.settle("one", 140)
    (debt,) = (await office.administration.wallets("acme", page())).found
    assert (debt.available, debt.lots) == (-33, ())
    office.store.ahead_ms = 31 * DAY_MS
    office.planner.clock.put_right(office.planner.clock.now_ms() + office.store.ahead_ms)
    entries = len(office.partition.log)
    (wallet,) = (await office.administration.wallets("acme", page())).found
    assert (wallet.funds, wallet.spent, wallet.available) == (207, 140, 67)
    assert [(lot.id, lot.amount) for lot in wallet.lots] == [("grant", 67)]
    assert len(office.partition.log) == entries


@pytest.mark.parametrize(
    "wallets",
    [
        "{}",
        "{user: {per: [team], grant: {amount: 1 USD, every: month}}}",
        "{user: {per: [user], unit: tokens, grant: {amount: 1 tokens, every: month}}}",
    ],
)
async def test_a_wallet_that_the_policy_has_no_more_is_granted_nothing(office: Office, wallets: str) -> None:
    await office.apply(CASCADE)
    await office.administration.credit(credit_call(7))
    await office.apply(f"wallets: {wallets}")
    (state,) = (await office.administration.wallets("acme", page())).found
    assert (state.name, state.group, state.unit) == ("user", "user=alice", Unit.NANO_USD)
    assert state.available == 7


async def test_a_retried_credit_shows_the_wallet_of_this_period(office: Office) -> None:
    await office.apply(GRANTED)
    call = credit_call(7, credit_id="c")
    first, _ = await office.administration.credit(call)
    assert first.available == 107
    office.store.ahead_ms = 31 * DAY_MS
    office.planner.clock.put_right(office.planner.clock.now_ms() + office.store.ahead_ms)
    again, credit_id = await office.administration.credit(call)
    assert (again.available, credit_id) == (107, "c")
    assert again.lots[0].expires_ms > first.lots[0].expires_ms
