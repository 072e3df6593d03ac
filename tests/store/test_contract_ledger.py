"""The contract, on every store: the ledger (line 10) and exact amounts (line 11)."""

import json
import random
from typing import cast

import pytest

from tallystick.core.errors import ReservationNotFound
from tallystick.core.ledger import Entry, replay
from tallystick.core.lots import Account
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.outcome import Mode
from tallystick.core.policy import Unit, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import Extended, Held
from tests.store.audit import check_drawn, check_holds, check_ledger, check_money, ended_windows, kinds
from tests.store.backends import RETENTION_MS, START_MS, Backend, ServerBackend
from tests.store.conftest import MakeBackend
from tests.store.desk import MINUTE, TOTAL, TTL_MS, Desk, budget, desk_at, policy_of
from tests.store.steps import GRANTED, LIMITS, MORE_LIMITS, ORG, USER, one_random_step

EDGES = sorted(
    {
        edge + by
        for edge in (0, 10**15, 10**16, 2**53, 10**18, 2**62, MAX_AMOUNT - 1)
        for by in (-1, 0, 1)
        if edge + by >= 0
    }
)
"""Where doubles, fifteen digits and 64 bits end."""


# --- 10: the ledger replays to the balances --------------------------------------------------------


@pytest.mark.contract(10)
async def test_the_ledger_replays_to_the_balances_without_gaps(backend: Backend, dice: random.Random) -> None:
    desk = await desk_at(backend, USER, GRANTED, ORG, *LIMITS.values(), *MORE_LIMITS)
    for _ in range(30):
        for _ in range(20):
            await one_random_step(desk, dice)
        state = backend.state()
        check_ledger(state, ended_windows(state, backend.now_ms))
        check_money(state)
        check_drawn(state)


@pytest.mark.contract(10)
async def test_the_ledger_is_read_in_pages_in_order_and_whole(backend: Backend, dice: random.Random) -> None:
    desk = await desk_at(backend, USER, ORG, *LIMITS.values())
    for _ in range(100):
        await one_random_step(desk, dice)
    whole = backend.state().log
    pages: list[Entry] = []
    after = "0"
    while page := await desk.store.ledger(0, after, 7):
        assert len(page) == 7 or page[-1] == whole[-1]
        pages += page
        after = page[-1].entry_id
    assert pages == whole


@pytest.mark.contract(10)
async def test_each_change_of_money_is_told_once_with_what_an_auditor_needs(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("d", 1_000))
    await desk.credit("org", 500, "c1")
    await desk.hold("a", 60, 6)
    await desk.extend("a", "e", 40, 4)
    await desk.settle("a", 70, 7)
    await desk.hold("b", 60)
    await desk.release("b")
    await desk.release("unknown")
    await desk.hold("c", 60, 6)
    await desk.store.apply_policy("acme", "a document", None)
    backend.move(TTL_MS)
    await desk.store.sweep(0, 10)
    log = backend.state().log
    made = "credit reserve extend settle reserve release refuse reserve policy expire"
    assert kinds(log) == made.split()
    told = [dict(entry.fields) for entry in log]
    drawn = [json.loads(entry.pop("drawn") or "[]") for entry in told if "drawn" in entry]
    assert drawn == [[["c1", 3, 0, "70", "", "0"]], [], [["c1", 3, 0, "60", "", "0"]]]
    assert [entry["at"] for entry in told] == [str(START_MS)] * 9 + [str(START_MS + TTL_MS)]
    assert {entry["tenant"] for entry in told} == {"acme"}
    assert [entry["id"] for entry in told] == ["c1", "a", "a", "a", "b", "b", "unknown", "c", "1", "c"]
    common = {"tenant": "acme", "at": str(START_MS)}
    wallet = {"wallet": "acme:w:org::u"}
    assert told[0] == common | wallet | {
        "kind": "credit", "id": "c1", "unit": "u", "amount": "500", "reason": "a top-up",
        "kind_of_lot": "3", "expires": "0", "lapsed": "0",
    }  # fmt: skip
    body = told[1].pop("body")
    assert json.loads(body)[4] == "user=alice"
    assert told[1] == common | wallet | {
        "kind": "reserve", "id": "a", "nano": "60", "tokens": "6", "wallet_unit": "u",
    }  # fmt: skip
    assert told[2] == common | {"kind": "extend", "id": "a", "nano": "40", "tokens": "4"}
    assert told[3] == common | {
        "kind": "settle", "id": "a", "nano": "70", "tokens": "7", "requests": "1",
        "outcome": "COMPLETED", "estimated": "0", "usage": "", "tally": "", "lapsed": "0",
    }  # fmt: skip
    assert told[9] == common | {
        "kind": "expire", "id": "c", "at": str(START_MS + TTL_MS), "nano": "60", "tokens": "6",
        "requests": "1", "lapsed": "0",
    }  # fmt: skip


@pytest.mark.contract(10)
async def test_a_charge_by_tally_replays_although_its_reserve_is_lost(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("d", 1_000))
    await desk.credit("org", 100)
    snapshot = backend.snapshot()
    await desk.hold("a", 60)
    backend.restore(snapshot)
    await desk.settle("a", mode=Mode.HOLD, tally=True)
    await desk.settle("a", 45)
    state = backend.state()
    assert kinds(state.log) == ["credit", "settle", "settle"]
    check_ledger(state)
    check_money(state)


@pytest.mark.contract(10)
async def test_partitions_have_ledgers_of_their_own(make_backend: MakeBackend) -> None:
    backend = make_backend(partitions=4)
    store = await backend.client()
    tenants = [f"tenant-{n}" for n in range(12)]
    for tenant in tenants:
        desk = Desk(backend, store, policy_of(ORG, tenant=tenant))
        await desk.credit("org", 10)
        await desk.hold("a", 5)
    states = [backend.state(partition) for partition in range(4)]
    assert sum(len(state.log) for state in states) == 24
    assert all(state.log for state in states)
    for partition, state in enumerate(states):
        check_ledger(state)
        check_holds(state)
        swept = await store.sweep(partition, 10)
        assert swept.open_holds == len(state.log) // 2
        assert list(await store.ledger(partition, "0", 100)) == state.log


# --- 11: exact integers ----------------------------------------------------------------------------


@pytest.mark.contract(11)
@pytest.mark.parametrize("amount", EDGES)
@pytest.mark.parametrize("unit", [Unit.NANO_USD, Unit.TOKENS])
async def test_an_amount_at_the_edge_is_held_and_charged_to_the_last_unit(
    backend: Backend, unit: Unit, amount: int
) -> None:
    desk = await desk_at(
        backend, WalletTemplate("org", unit=unit), budget("b", MAX_AMOUNT, unit), budget("n", amount, unit)
    )
    await desk.credit("org", amount)
    await desk.hold("a", amount, amount)
    assert await desk.balance() == [amount, amount, amount, 0, amount, 0, amount]
    if amount:
        assert (await desk.refused(1, 1)).reason is Reason.BUDGET_EXHAUSTED
    settled = await desk.settle("a", amount, amount)
    assert (settled.nano_usd, settled.tokens) == (amount, amount)
    assert await desk.balance() == [amount, 0, 0, amount, 0, amount, 0]
    check_ledger(backend.state())


@pytest.mark.contract(11)
@pytest.mark.parametrize("limit", [edge for edge in EDGES if edge > 10])
@pytest.mark.parametrize("of", ["budget", "wallet"])
async def test_room_is_exact_at_the_edge(backend: Backend, limit: int, of: str) -> None:
    """What fits by one fits, and what is too much by one does not."""
    desk = await desk_at(backend, ORG if of == "wallet" else budget("b", limit))
    if of == "wallet":
        await desk.credit("org", limit)
    await desk.hold("spent", limit // 3)
    await desk.settle("spent", limit // 3)
    await desk.hold("open", limit // 3)
    room = limit - 2 * (limit // 3)
    reason = Reason.INSUFFICIENT_FUNDS if of == "wallet" else Reason.BUDGET_EXHAUSTED
    assert (await desk.refused(room + 1)).reason is reason
    await desk.hold("exact", room)
    assert (await desk.refused(1)).reason is reason
    refused = await desk.extend("exact", "e", 1)
    assert not isinstance(refused, Extended)


@pytest.mark.contract(11)
async def test_sums_above_64_bits_are_exact(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("b", MAX_AMOUNT, window=TOTAL))
    for _ in range(3):
        await desk.credit("org", MAX_AMOUNT)
    await desk.hold("a", 1)
    await desk.settle("a", MAX_AMOUNT)
    assert (await desk.refused(MAX_AMOUNT)).reason is Reason.BUDGET_EXHAUSTED
    for name in "bcde":
        await desk.hold(name, 0)
        await desk.settle(name, MAX_AMOUNT - 1)
    spent = 5 * MAX_AMOUNT - 4
    assert await desk.balance() == [3 * MAX_AMOUNT, 3 * MAX_AMOUNT - spent, 0, spent, 0]
    assert await desk.store.wallets("acme") == {
        "acme:w:org::u": Account(3 * MAX_AMOUNT, 3 * MAX_AMOUNT - spent, 0)
    }
    check_ledger(backend.state())
    check_money(backend.state())


@pytest.mark.contract(11)
async def test_debt_beyond_64_bits_is_paid_off_to_the_last_unit(backend: Backend) -> None:
    desk = await desk_at(backend, ORG)
    for name in "ab":
        await desk.hold(name, 0)
        await desk.settle(name, MAX_AMOUNT)
    await desk.credit("org", MAX_AMOUNT)
    await desk.credit("org", MAX_AMOUNT)
    assert (await desk.refused(1)).values == [0, 0]
    await desk.credit("org", 1)
    await desk.hold("c", 1)
    assert await desk.balance() == [2 * MAX_AMOUNT + 1, 1, 1]


@pytest.mark.contract(11)
async def test_corrections_between_huge_and_small_are_exact(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("b", MAX_AMOUNT, window=TOTAL))
    await desk.credit("org", MAX_AMOUNT)
    await desk.hold("a", MAX_AMOUNT)
    await desk.settle("a", mode=Mode.HOLD)
    await desk.settle("a", 1)
    assert await desk.balance() == [MAX_AMOUNT, MAX_AMOUNT - 1, 0, 1, 0]
    await desk.hold("b", 10**15)
    await desk.settle("b", 2**53 + 1)
    assert await desk.balance() == [MAX_AMOUNT, MAX_AMOUNT - 2 - 2**53, 0, 2**53 + 2, 0]


@pytest.mark.contract(11)
async def test_no_unit_gets_lost_in_many_sums(backend: Backend, dice: random.Random) -> None:
    """Refused by rounding or let run free by it: neither, at any size."""
    desk = await desk_at(backend, ORG, budget("b", MAX_AMOUNT, window=TOTAL))
    await desk.credit("org", 2**62)
    spent = held = 0
    for n in range(300):
        amount = dice.choice([1, 3, 4_000_000, 10**9 - 1, 2**53 - 1]) + dice.randrange(3)
        await desk.hold(f"a{n}", amount, ttl_ms=RETENTION_MS)
        held += amount
        if dice.random() < 0.7:
            actual = dice.randrange(2 * amount + 1)
            await desk.settle(f"a{n}", actual)
            held, spent = held - amount, spent + actual
    assert await desk.balance() == [2**62, 2**62 - spent, held, spent, held]
    assert (await desk.refused(2**62 - spent - held + 1)).reason is Reason.INSUFFICIENT_FUNDS
    await desk.hold("rest", 2**62 - spent - held)


@pytest.mark.contract(11)
async def test_four_tenths_of_a_cent_is_refused_exactly_when_the_money_is_gone(backend: Backend) -> None:
    """10 USD pay 2,500 calls of 0.004 USD; the next one is refused."""
    desk = await desk_at(backend, ORG, budget("all", 10_000_000_000, window=TOTAL))
    await desk.credit("org", 10_000_000_000)
    for n in range(2_500):
        await desk.hold(f"a{n}", 4_000_000)
        await desk.settle(f"a{n}", 4_000_000)
    assert await desk.balance() == [10_000_000_000, 0, 0, 10_000_000_000, 0]
    assert (await desk.refused(4_000_000)).reason is Reason.BUDGET_EXHAUSTED


@pytest.mark.contract(11)
async def test_requests_and_calls_in_flight_count_one_each(backend: Backend) -> None:
    desk = await desk_at(
        backend, budget("r", 3, Unit.REQUESTS, MINUTE), budget("c", 2, Unit.CONCURRENT, TOTAL)
    )
    for name in "ab":
        assert isinstance(await desk.reserve(0, 0, reservation_id=name), Held)
    assert (await desk.refused(0)).reason is Reason.CONCURRENCY_LIMITED
    await desk.settle("a")
    await desk.release("b")
    await desk.hold("c")
    assert (await desk.hold("d")).values == [1, 1, 0, 1]
    assert (await desk.refused(0)).reason is Reason.RATE_LIMITED


@pytest.mark.contract(11)
async def test_texts_in_the_store_are_plain_decimal(server_backend: ServerBackend) -> None:
    """Never `1e+20`, `-0` or a fraction."""
    desk = await desk_at(server_backend, ORG, budget("b", MAX_AMOUNT, window=TOTAL))
    for n, edge in enumerate(EDGES):
        await desk.credit("org", edge)
        await desk.hold(f"a{n}", 0)
        await desk.settle(f"a{n}", edge, mode=Mode.COST)
    raw = cast(dict[bytes, bytes], server_backend.raw.hgetall("ts:{t.0}:count"))
    texts = server_backend.state().texts
    amounts = {name: text for name, text in raw.items() if name.decode() not in texts}
    assert {name: str(int(text)).encode() for name, text in amounts.items()} == amounts
    lots = [cells[3] for name, text in texts.items() if name.endswith(":l") for cells in json.loads(text)]
    assert [str(int(text)) for text in lots] == lots


@pytest.mark.contract(10)
async def test_a_ledger_that_forgot_its_beginning_is_told_from_a_whole_one(backend: Backend) -> None:
    desk = await desk_at(backend, ORG)
    await desk.credit("org", 10)
    await desk.hold("a", 5)
    await desk.settle("a", 5)
    log = backend.state().log
    with pytest.raises(ValueError, match="gap before 1-3"):
        replay([log[0], log[2]])
    with pytest.raises(ReservationNotFound):
        await desk.settle("never", 1)
    assert backend.state().log == log
