"""When commands leave a connection: once the loop has nothing else to do, by a clock that the test sets."""

import asyncio
from typing import Any

import pytest

from tallystick.store import connection as connections
from tallystick.store.connection import (
    ASLEEP,
    AWAKE_S,
    EMPTY_TICK_S,
    EMPTY_TICKS,
    LONGEST_WAIT_S,
    Connection,
)

BUSY_S = 5 * EMPTY_TICK_S


class Road:
    """A connection whose transport remembers what was written, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "time", self)
        self.now_s = 7.0
        self.looks = 0
        self.writes: list[bytes] = []
        self.connection = Connection(lambda _: None)
        self.connection.connection_made(self)  # type: ignore[arg-type]
        self.loop = asyncio.get_running_loop()

    def perf_counter(self) -> float:
        self.looks += 1
        return self.now_s

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def send(self, text: bytes) -> None:
        self.connection.send(text)

    def answer(self, count: int) -> None:
        self.connection.data_received(b"+OK\r\n" * count)

    async def awake(self) -> bool:
        """Whether the loop has a reason not to sleep."""
        looks = self.looks
        await self.tick(times=3)
        return self.looks > looks

    async def tick(self, took_s: float = 0.0, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += took_s
            await asyncio.sleep(0)


@pytest.fixture
async def road(monkeypatch: pytest.MonkeyPatch) -> Road:
    return Road(monkeypatch)


@pytest.fixture
async def busy(road: Road) -> Road:
    """The store has work."""
    road.send(b"w")
    road.connection.flush()
    road.writes.clear()
    return road


async def test_a_command_that_is_alone_leaves_at_the_end_of_its_tick(road: Road) -> None:
    for n in range(1, 4):
        road.send(b"a")
        assert len(road.writes) == n - 1
        await road.tick(BUSY_S)
        assert road.writes == [b"a"] * n
        road.answer(1)


async def test_after_two_that_left_together_one_waits_for_company(road: Road) -> None:
    road.send(b"a")
    road.send(b"b")
    await road.tick()
    road.answer(2)
    road.send(b"c")
    await road.tick(times=EMPTY_TICKS - 1)
    assert road.writes == [b"ab"]
    await road.tick()
    assert road.writes == [b"ab", b"c"]
    road.answer(1)
    road.send(b"d")
    await road.tick()
    assert road.writes == [b"ab", b"c", b"d"]


async def test_a_command_leaves_as_soon_as_the_loop_has_nothing_else_to_do(busy: Road) -> None:
    busy.send(b"a")
    await busy.tick(times=EMPTY_TICKS - 1)
    assert busy.writes == []
    await busy.tick()
    assert busy.writes == [b"a"]
    await busy.tick(times=50)
    assert busy.writes == [b"a"]


async def test_commands_of_a_busy_loop_leave_together(busy: Road) -> None:
    for text in (b"a", b"b", b"c"):
        busy.send(text)
        await busy.tick(BUSY_S, times=3)
        await busy.tick(times=2)
    assert busy.writes == []
    await busy.tick(times=EMPTY_TICKS)
    assert busy.writes == [b"abc"]


async def test_a_tick_with_work_begins_the_count_anew(busy: Road) -> None:
    busy.send(b"a")
    await busy.tick(times=EMPTY_TICKS - 1)
    await busy.tick(BUSY_S)
    await busy.tick(times=EMPTY_TICKS - 1)
    assert busy.writes == []
    await busy.tick()
    assert busy.writes == [b"a"]


async def test_nothing_waits_longer_than_that(busy: Road) -> None:
    busy.send(b"a")
    ticks = 0
    while not busy.writes:
        busy.send(b"b")
        await busy.tick(BUSY_S)
        ticks += 1
    assert ticks == pytest.approx(LONGEST_WAIT_S / BUSY_S, abs=1)
    assert busy.writes == [b"a" + b"b" * ticks]


async def test_what_left_early_leaves_the_others_their_wait(busy: Road) -> None:
    busy.send(b"a")
    await busy.tick(times=EMPTY_TICKS - 1)
    busy.connection.flush()
    busy.send(b"b")  # in the tick in which `a` left
    await busy.tick(times=EMPTY_TICKS - 1)
    assert busy.writes == [b"a"]
    await busy.tick()
    assert busy.writes == [b"a", b"b"]


async def test_the_loop_stays_awake_for_the_reply_to_a_command_that_is_alone(road: Road) -> None:
    assert not await road.awake()
    for _ in range(3):
        road.send(b"a")
        await road.tick(AWAKE_S / 2)
        assert await road.awake()
        road.answer(1)
        await road.tick()
        assert not await road.awake()


async def test_after_a_late_reply_some_are_waited_for_asleep(road: Road) -> None:
    for _ in range(2):
        road.send(b"a")
        await road.tick()
        assert await road.awake()
        await road.tick(AWAKE_S)
        assert not await road.awake()
        road.answer(1)
        for _ in range(ASLEEP):
            road.send(b"a")
            await road.tick()
            assert not await road.awake()
            road.answer(1)
            await road.tick()


async def test_the_loop_sleeps_while_the_store_has_more_than_one_command(busy: Road) -> None:
    busy.answer(1)
    busy.send(b"a")
    busy.send(b"b")
    await busy.tick()
    busy.send(b"c")
    await busy.tick(times=EMPTY_TICKS)
    assert busy.writes == [b"ab", b"c"]
    assert not await busy.awake()


async def test_a_connection_that_breaks_lets_the_loop_sleep(road: Road) -> None:
    future: Any = road.connection.send(b"a")
    await road.tick()
    assert await road.awake()
    road.connection.connection_lost(None)
    await road.tick()
    assert not await road.awake()
    with pytest.raises(connections.ConnectionLost):
        await future


async def test_a_connection_that_breaks_loses_what_waits(road: Road) -> None:
    future: Any = road.connection.send(b"a")
    road.connection.connection_lost(None)
    await road.tick(times=EMPTY_TICKS + 1)
    assert road.writes == []
    with pytest.raises(connections.ConnectionLost) as lost:
        await future
    assert not lost.value.may_stand
