"""The contract, on every store: windows. Line 8."""

import pytest

from tallystick.core.policy import Unit, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import Held
from tests.store.audit import check_all
from tests.store.backends import RETENTION_MS, Backend
from tests.store.desk import DAY, MINUTE, SESSION, TOTAL, budget, desk_at

ORG = WalletTemplate("org")
IN_FLIGHT = budget("in-flight", 100, Unit.CONCURRENT, TOTAL)


@pytest.mark.contract(8)
@pytest.mark.parametrize("late", [False, True])
async def test_a_settle_posts_to_the_window_in_which_the_call_was_reserved(
    backend: Backend, late: bool
) -> None:
    desk = await desk_at(backend, budget("d", 100, window=MINUTE))
    before = desk.plan().budgets[0].counter
    await desk.hold("a", 100)
    backend.move(60_000)
    after = desk.plan().budgets[0].counter
    assert before != after
    if late:
        assert (await desk.store.sweep(0, 10)).open_holds == 0
    await desk.hold("b", 100)
    await desk.settle("a", 77)
    count = backend.state().count
    assert count == {f"{before}:s": 77, f"{before}:h": 0, f"{after}:h": 100}
    check_all(backend.state())


def window_counters(backend: Backend) -> set[str]:
    return {name[:-2] for name in backend.state().count if ":b:" in name}


@pytest.mark.contract(8)
async def test_a_windows_counters_are_dropped_after_its_end_and_the_retention(backend: Backend) -> None:
    desk = await desk_at(
        backend, ORG, budget("d", 100, window=MINUTE), budget("all", 100, window=TOTAL), funds=5
    )
    minute, total = desk.plan().budgets
    await desk.credit("org", 10)
    await desk.hold("a", 10)
    await desk.settle("a", 7)
    backend.set_clock(minute.end_ms + RETENTION_MS - 1)
    await desk.store.sweep(0, 10)
    assert window_counters(backend) == {minute.counter, total.counter}
    backend.move(1)
    await desk.store.sweep(0, 10)
    assert window_counters(backend) == {total.counter}
    assert f"w:{minute.counter}" not in backend.state().due
    assert (await desk.balance())[3:] == [0, 0, 7, 0]


@pytest.mark.contract(8)
async def test_a_window_with_something_held_is_kept_for_now(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=MINUTE))
    minute = desk.plan().budgets[0]
    await desk.hold("long", 10, ttl_ms=2 * RETENTION_MS)
    backend.set_clock(minute.end_ms + RETENTION_MS)
    await desk.store.sweep(0, 10)
    assert backend.state().count == {f"{minute.counter}:h": 10}
    assert backend.state().due[f"w:{minute.counter}"] == backend.now_ms + 3_600_000
    await desk.settle("long", 10)
    backend.move(3_600_000)
    await desk.store.sweep(0, 10)
    assert backend.state().count == {}


@pytest.mark.contract(8)
async def test_a_correction_after_its_window_was_dropped_is_dropped_in_its_turn(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=MINUTE))
    minute = desk.plan().budgets[0]
    await desk.hold("a", 10, ttl_ms=RETENTION_MS)
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 10)
    backend.set_clock(minute.end_ms + RETENTION_MS)
    await desk.store.sweep(0, 10)
    assert backend.state().count == {}
    await desk.settle("a", 4)
    assert backend.state().count == {f"{minute.counter}:s": -6, f"{minute.counter}:h": 0}
    assert backend.state().due[f"w:{minute.counter}"] == backend.now_ms + RETENTION_MS
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 10)
    assert backend.state().count == {}


@pytest.mark.contract(8)
async def test_a_sessions_counters_go_ninety_days_after_they_came(backend: Backend) -> None:
    desk = await desk_at(backend, budget("s", 100, window=SESSION, per=("session",)))
    await desk.hold("a", 10, session="s1")
    await desk.settle("a", 7)
    backend.move(90 * RETENTION_MS - 1)
    await desk.store.sweep(0, 10)
    assert await desk.balance(session="s1") == [7, 0]
    backend.move(1)
    await desk.store.sweep(0, 10)
    assert await desk.balance(session="s1") == [0, 0]


@pytest.mark.contract(8)
async def test_a_new_window_is_empty_and_needs_no_reset(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=DAY))
    for _ in range(5):
        await desk.hold(f"full{backend.now_ms}", 100, ttl_ms=10 * RETENTION_MS)
        assert (await desk.refused(1)).reason is Reason.BUDGET_EXHAUSTED
        backend.move(RETENTION_MS)
    assert await desk.balance() == [0, 0]


@pytest.mark.contract(8)
async def test_calls_in_flight_have_no_window_and_leave_no_counter_behind(backend: Backend) -> None:
    desk = await desk_at(backend, IN_FLIGHT)
    for name in "ab":
        assert isinstance(await desk.reserve(1, reservation_id=name), Held)
    counter = desk.plan().budgets[0].counter
    assert backend.state().count == {f"{counter}:h": 2}
    await desk.settle("a", 1)
    assert backend.state().count == {f"{counter}:h": 1}
    await desk.release("b")
    assert backend.state().count == {}
