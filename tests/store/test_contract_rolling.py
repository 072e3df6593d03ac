"""The contract, on every store: rolling windows. Lines 1, 8 and 10."""

import random
from dataclasses import dataclass, field

import pytest

from tallystick.core.policy import Unit
from tallystick.core.reasons import Reason
from tallystick.core.windows import Span, Window
from tallystick.store.asks import Held, Refused
from tests.store.audit import check_all, check_kept
from tests.store.backends import RETENTION_MS, START_MS, Backend
from tests.store.desk import TTL_MS, budget, desk_at

MINUTE_MS, BUCKET_MS = 60_000, 1_000
ROLLING = Window(Span.ROLLING, MINUTE_MS)
"""In sub-buckets of a second; the tests begin with one."""
SPENT = "acme:b:d::u~60:s"


@pytest.mark.contract(8)
async def test_what_was_spent_counts_for_the_length_of_the_window_and_at_most_one_bucket_more(
    backend: Backend,
) -> None:
    desk = await desk_at(backend, budget("d", 100, window=ROLLING))
    backend.move(400)
    await desk.hold("a", 60)
    await desk.settle("a", 60)
    number = START_MS // BUCKET_MS
    state = backend.state()
    assert state.count == {SPENT: 60, f"{SPENT}@{number}": 60, "acme:b:d::u~60:h": 0}
    leaves_ms = START_MS + BUCKET_MS + MINUTE_MS
    assert state.due[f"b:{SPENT}@{number}"] == leaves_ms
    backend.set_clock(leaves_ms - 1)
    refused = await desk.refused(41)
    assert (refused.reason, refused.values) == (Reason.BUDGET_EXHAUSTED, [60, 0])
    backend.move(1)
    held = await desk.hold("b", 100)
    assert held.values == [0, 0]
    check_all(backend.state())


@pytest.mark.contract(8)
async def test_a_late_end_posts_to_the_bucket_of_the_reserve_until_that_has_left(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=ROLLING))
    for name in ("settled", "corrected", "gone"):
        await desk.hold(name, 20, ttl_ms=MINUTE_MS // 2 if name != "settled" else TTL_MS)
    backend.move(30_000)
    await desk.hold("b", 30)
    await desk.settle("settled", 25)
    assert await desk.balance() == [25 + 20 + 20, 30]
    await desk.settle("corrected", 10)
    first, second = START_MS // BUCKET_MS, (START_MS + 30_000) // BUCKET_MS
    await desk.settle("b", 30)
    count = backend.state().count
    assert (count[f"{SPENT}@{first}"], count[f"{SPENT}@{second}"]) == (55, 30)
    check_all(backend.state())
    backend.set_clock(START_MS + BUCKET_MS + MINUTE_MS)
    await desk.settle("gone", 90)  # its bucket has left the window
    assert await desk.balance() == [30, 0]
    check_all(backend.state())


@pytest.mark.contract(3)
async def test_what_is_held_counts_for_as_long_as_it_is_held(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=ROLLING))
    await desk.hold("long", 80, ttl_ms=10 * MINUTE_MS)
    backend.move(5 * MINUTE_MS)
    assert (await desk.refused(21)).values == [0, 80]
    await desk.settle("long", 80)
    assert await desk.balance() == [0, 0]
    check_all(backend.state())


@pytest.mark.contract(8)
@pytest.mark.parametrize("how", ["given back", "for nothing"])
async def test_a_rolling_window_without_calls_leaves_nothing_behind(backend: Backend, how: str) -> None:
    desk = await desk_at(backend, budget("d", 100, window=ROLLING))
    await desk.hold("a", 60)
    await desk.settle("a", 60)
    until_ms = START_MS + MINUTE_MS + BUCKET_MS + RETENTION_MS
    assert backend.state().due["w:acme:b:d::u~60"] == until_ms
    backend.set_clock(until_ms - 1)
    await desk.store.sweep(0, 9)
    assert set(backend.state().count) == {SPENT, "acme:b:d::u~60:h"}
    await desk.hold("zero", 1)
    if how == "given back":
        await desk.release("zero")
    else:  # its sub-bucket outlives the window
        await desk.settle("zero", 0)
    backend.move(1)
    await desk.store.sweep(0, 1)
    backend.move(2 * RETENTION_MS)
    await desk.store.sweep(0, 9)
    state = backend.state()
    assert (state.count, state.texts, state.due) == ({}, {}, {})


@pytest.mark.contract(8)
async def test_a_rolling_window_that_is_in_use_is_kept(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=ROLLING))
    for n in range(4):
        await desk.hold(f"a{n}", 60)
        await desk.settle(f"a{n}", 60)
        backend.move(RETENTION_MS - 1 if n % 2 else MINUTE_MS + BUCKET_MS)
        await desk.store.sweep(0, 99)
        check_all(backend.state())
    assert await desk.balance() == [0, 0]


@dataclass
class Oracle:
    """Every call, for ever."""

    spent: list[tuple[int, int]] = field(default_factory=list)
    """(when it was reserved, what it cost)"""
    held: int = 0

    def use(self, now_ms: int, length_ms: int) -> int:
        return self.held + sum(cost for at_ms, cost in self.spent if at_ms > now_ms - length_ms)


@pytest.mark.contract(1)
@pytest.mark.parametrize("unit", [Unit.NANO_USD, Unit.REQUESTS])
async def test_a_window_never_counts_too_little_and_at_most_a_bucket_too_much(
    backend: Backend, dice: random.Random, unit: Unit
) -> None:
    limit = 100 if unit is Unit.NANO_USD else 7
    desk, oracle = await desk_at(backend, budget("d", limit, unit, ROLLING)), Oracle()
    open_holds: dict[str, tuple[int, int]] = {}
    outcomes: set[type] = set()
    for n in range(300):
        backend.move(dice.choice([0, 1, 300, 999, 1_000, 5_000, 20_000]))
        cost = dice.randrange(1, 40) if unit is Unit.NANO_USD else 1
        least = oracle.use(backend.now_ms, MINUTE_MS)
        most = oracle.use(backend.now_ms, MINUTE_MS + BUCKET_MS)
        reply = await desk.reserve(cost, reservation_id=f"a{n}", ttl_ms=RETENTION_MS)
        outcomes.add(type(reply))
        assert isinstance(reply, Held | Refused)
        assert least <= sum(reply.values) <= most
        if isinstance(reply, Held):
            assert least + cost <= limit
            open_holds[f"a{n}"] = (backend.now_ms, cost)
            oracle.held += cost
        else:
            assert most + cost > limit
        for name in [name for name in open_holds if dice.random() < 0.5]:
            at_ms, held = open_holds.pop(name)
            actual = dice.randrange(held + 1) if unit is Unit.NANO_USD else 1
            await desk.settle(name, actual)
            oracle.held -= held
            oracle.spent.append((at_ms, actual))
    assert outcomes == {Held, Refused}
    check_kept(backend.state())
    check_all(backend.state())
