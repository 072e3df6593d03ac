"""The contract, on every store: alerts fire once per budget, window and threshold. Line 12."""

import asyncio
from typing import Any

import pytest

from tallystick.core.outcome import Mode
from tallystick.core.policy import OnExhausted, OnExpiry, Unit, WalletTemplate
from tallystick.core.windows import Span, Window
from tallystick.store.asks import Extended, Held
from tests.store.audit import check_all, kinds
from tests.store.audit_alerts import alerts_in
from tests.store.backends import RETENTION_MS, Backend
from tests.store.desk import MINUTE, TOTAL, TTL_MS, Desk, budget, desk_at, policy_of

ROLLING = Window(Span.ROLLING, 60_000)


def told(desk: Desk) -> list[tuple[int, int]]:
    """Threshold and use of each alert so far."""
    return [(percent, used) for _, percent, used in alerts_in(desk.backend.state())]


@pytest.mark.contract(12)
async def test_each_threshold_is_told_at_the_step_that_reaches_it(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 1_000))
    await desk.hold("a", 499)
    assert told(desk) == []
    await desk.hold("b", 1)
    assert told(desk) == [(50, 500)]
    await desk.hold("c", 199)
    await desk.hold("d", 251)
    assert told(desk) == [(50, 500), (70, 950), (80, 950), (95, 950)]
    await desk.hold("e", 49)
    await desk.settle("e", 50)
    assert told(desk)[4:] == [(100, 1_000)]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_neighbouring_thresholds_are_told_one_by_one(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, alerts=(49, 50, 51)))
    await desk.hold("a", 49)
    await desk.hold("b", 1)
    await desk.hold("c", 1)
    assert told(desk) == [(49, 49), (50, 50), (51, 51)]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_an_alert_says_what_was_reached_and_by_which_call(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, alerts=(60,)))
    await desk.hold("a", 61)
    log = backend.state().log
    assert kinds(log) == ["reserve", "alert"]
    assert log[1].fields == {
        "kind": "alert", "at": str(backend.now_ms), "tenant": "acme", "id": "a", "percent": "60",
        "budget": desk.plan().budgets[0].counter, "used": "61", "limit": "100",
    }  # fmt: skip


@pytest.mark.contract(12)
async def test_a_threshold_is_not_told_again_when_the_use_falls_and_rises(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100))
    for n in range(5):
        await desk.hold(f"a{n}", 70)
        await desk.release(f"a{n}")
    assert told(desk) == [(50, 70), (70, 70)]
    await desk.hold("b", 80)
    assert told(desk)[2:] == [(80, 80)]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_a_threshold_is_told_again_in_the_next_window(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=MINUTE, alerts=(50,)))
    for n in range(3):
        await desk.hold(f"a{n}", 60)
        await desk.hold(f"b{n}", 20)
        backend.move(60_000)
    windows = [entry.fields["budget"] for entry in backend.state().log if entry.fields["kind"] == "alert"]
    assert len(windows) == len(set(windows)) == 3
    backend.move(2 * RETENTION_MS)
    await desk.store.sweep(0, 100)
    assert backend.state().texts == {}


@pytest.mark.contract(12)
async def test_a_rolling_window_tells_once_in_its_length(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=ROLLING, alerts=(50, 90)))
    await desk.hold("a", 60)
    await desk.settle("a", 60)
    backend.move(59_999)
    await desk.hold("b", 20, ttl_ms=RETENTION_MS)
    assert told(desk) == [(50, 60)]
    backend.move(1)
    await desk.hold("c", 10, ttl_ms=RETENTION_MS)
    assert told(desk) == [(50, 60), (50, 90), (90, 90)]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_a_call_that_takes_nothing_of_a_budget_tells_nothing(backend: Backend) -> None:
    """Whatever has become of its limit, and however long ago it was told."""
    desk = await desk_at(backend, budget("d", 100, window=ROLLING))
    await desk.hold("a", 60, ttl_ms=RETENTION_MS)
    backend.move(60_000)
    desk.policy = policy_of(budget("d", 60, window=ROLLING))
    await desk.hold("b", 0)
    assert told(desk) == [(50, 60)]
    await desk.release("b")
    assert told(desk) == [(50, 60)]
    check_all(backend.state())


async def _extend(desk: Desk) -> Any:
    await desk.hold("a", 40)
    assert isinstance(await desk.extend("a", "e", 11), Extended)


async def _dearer(desk: Desk) -> Any:
    await desk.hold("a", 40)
    await desk.settle("a", 51)


async def _corrected(desk: Desk) -> Any:
    await desk.hold("a", 40)
    await desk.settle("a", mode=Mode.HOLD)
    await desk.settle("a", 51)


async def _late(desk: Desk) -> Any:
    await desk.hold("a", 51)
    await desk.release("a")
    assert told(desk) == [(50, 51)]
    await desk.settle("a", 51)


async def _by_tally(desk: Desk) -> Any:
    snapshot = desk.backend.snapshot()
    await desk.hold("a", 40)
    desk.backend.restore(snapshot)
    await desk.settle("a", 51, tally=True)


@pytest.mark.contract(12)
@pytest.mark.parametrize("way", [_extend, _dearer, _corrected, _late, _by_tally])
async def test_every_way_up_is_watched(backend: Backend, way: Any) -> None:
    desk = await desk_at(backend, budget("d", 100))
    await way(desk)
    assert told(desk) == [(50, 51)]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_what_is_held_turns_into_spent_without_a_word(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100), on_expiry=OnExpiry.CHARGE)
    await desk.hold("a", 70)
    await desk.hold("b", 9)
    backend.move(TTL_MS)
    assert await desk.balance() == [79, 0]
    assert told(desk) == [(50, 70), (70, 70)]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_200_callers_crossing_every_threshold_hear_of_each_once(backend: Backend) -> None:
    parts = (
        budget("d", 10_007),
        budget("r", 100, Unit.REQUESTS),
        budget("w", 5_000, on_exhausted=OnExhausted.ALERT),
    )
    desk = await desk_at(backend, *parts)
    other = desk.at(await backend.client())
    replies = await asyncio.gather(
        *((desk, other)[n % 2].reserve(137, reservation_id=f"race{n}") for n in range(200))
    )
    assert sum(isinstance(reply, Held) for reply in replies) == 73
    assert [(each, percent) for each, percent, _ in alerts_in(backend.state()) if each == "d"] == [
        ("d", 50), ("d", 70), ("d", 80), ("d", 95),
    ]  # fmt: skip
    assert [x for x in alerts_in(backend.state()) if x[0] == "r"] == [("r", 50, 50), ("r", 70, 70)]
    assert [percent for each, percent, _ in alerts_in(backend.state()) if each == "w"] == [
        50,
        70,
        80,
        95,
        100,
    ]
    check_all(backend.state())


@pytest.mark.contract(12)
@pytest.mark.parametrize(
    ("alerts", "percents"), [((), []), ((1,), [1]), ((10, 99, 100, 120), [10, 99, 100, 120])]
)
async def test_a_budget_tells_of_the_thresholds_that_it_says(
    backend: Backend, alerts: tuple[int, ...], percents: list[int]
) -> None:
    desk = await desk_at(backend, budget("d", 100, alerts=alerts, overage=20))
    for n in range(12):
        await desk.hold(f"a{n}", 10)
    assert [percent for percent, _ in told(desk)] == percents
    assert all(used * 100 >= percent * 100 for percent, used in told(desk))
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_thresholds_are_of_the_limit_whatever_the_call_may_bring_it_to(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, priorities=(("low", 50),), overage=50))
    await desk.hold("a", 49, priority="low")
    assert told(desk) == []
    await desk.hold("b", 51)
    assert [percent for percent, _ in told(desk)] == [50, 70, 80, 95, 100]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_calls_in_flight_and_wallets_tell_nothing(backend: Backend) -> None:
    desk = await desk_at(backend, WalletTemplate("org"), budget("c", 2, Unit.CONCURRENT, TOTAL), funds=10)
    await desk.hold("a", 5)
    await desk.hold("b", 5)
    assert told(desk) == []
    assert backend.state().texts.keys() == {"acme:w:org::u:l"}


@pytest.mark.contract(12)
async def test_a_denial_tells_nothing(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100), budget("n", 10))
    await desk.refused(60)
    await desk.hold("a", 4)
    await desk.refused(7)
    assert told(desk) == []


@pytest.mark.contract(12)
@pytest.mark.parametrize("limit", [2**53 + 1, 2**63 - 1])
async def test_a_threshold_is_exact_at_any_size(backend: Backend, limit: int) -> None:
    desk = await desk_at(backend, budget("d", limit, alerts=(50, 99)))
    await desk.hold("a", limit // 2)
    assert told(desk) == []  # a half less half a unit
    await desk.hold("b", 1)
    assert told(desk) == [(50, limit // 2 + 1)]
    rest = -(-limit * 99 // 100) - limit // 2 - 1
    await desk.hold("c", rest - 1)
    assert len(told(desk)) == 1
    await desk.hold("d", 1)
    assert told(desk)[1:] == [(99, limit // 2 + 1 + rest)]
    check_all(backend.state())


@pytest.mark.contract(12)
async def test_every_group_of_a_budget_is_told_of_by_itself(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, per=("user",)))
    for user in ("ann", "bob", "ann"):
        await desk.hold(f"a{next(desk.ids)}", 50, user=user)
    groups = [e.fields["budget"].split(":")[3] for e in backend.state().log if e.fields["kind"] == "alert"]
    assert groups == ["user=ann", "user=bob"] + ["user=ann"] * 4
    check_all(backend.state())
