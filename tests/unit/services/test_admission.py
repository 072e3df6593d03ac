import asyncio

import pytest

from tallystick.core.errors import Draining, Overloaded
from tallystick.observe.metrics import Metrics
from tallystick.services.admission import Admission


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("0")


class Queue:
    """Calls that wait, and the order in which they come in."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.order: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def join(self, number: int, remaining_s: float | None = None) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.admission.wait(remaining_s)
            self.order.append(number)

        self.tasks.append(asyncio.create_task(wait()))
        await asyncio.sleep(0)
        return self.tasks[-1]

    async def leave(self, times: int = 1) -> None:
        for _ in range(times):
            self.admission.leave(0.001)
            await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def filled(metrics: Metrics, most_at_work: int, most_waiting: int) -> Queue:
    admission = Admission(most_at_work, most_waiting, metrics)
    while admission.enter():
        pass
    assert admission.at_work == most_at_work
    return Queue(admission)


async def test_calls_come_in_in_the_order_of_their_arrival(metrics: Metrics) -> None:
    queue = filled(metrics, 2, 10)
    for number in range(6):
        await queue.join(number)
    assert queue.order == []
    await queue.leave(4)
    assert queue.order == [0, 1, 2, 3]
    assert queue.admission.at_work == 2
    await queue.leave(4)
    assert queue.order == [0, 1, 2, 3, 4, 5]
    assert queue.admission.at_work == 0
    assert queue.admission.enter()


async def test_a_call_beyond_the_queue_is_turned_away_and_counted(metrics: Metrics) -> None:
    queue = filled(metrics, 1, 2)
    await queue.join(0)
    await queue.join(1)
    for _ in range(3):
        with pytest.raises(Overloaded, match="2 calls are waiting"):
            await queue.admission.wait(None)
    assert metrics.shed.value == 3
    await queue.leave(3)
    assert queue.order == [0, 1]
    assert queue.admission.at_work == 0


async def test_a_call_that_would_wait_past_its_deadline_is_turned_away(metrics: Metrics) -> None:
    queue = filled(metrics, 1, 100)
    for _ in range(200):
        queue.admission.leave(0.1)  # calls take a tenth of a second
        queue.admission.enter()
    for number in range(5):
        await queue.join(number, 60.0)
    with pytest.raises(Overloaded):
        await queue.admission.wait(0.5)  # it would be the sixth: 0.6 s
    assert metrics.shed.value == 1
    patient = await queue.join(5, 0.7)
    forever = await queue.join(6, None)
    await queue.leave(7)
    assert queue.order == [0, 1, 2, 3, 4, 5, 6]
    assert patient.done()
    assert forever.done()


async def test_a_caller_who_leaves_the_queue_is_passed_over(metrics: Metrics) -> None:
    queue = filled(metrics, 1, 3)
    tasks = [await queue.join(number) for number in range(3)]
    await cancelled(tasks[1])
    await queue.join(3)  # there is room in the queue again
    await queue.leave(4)
    assert queue.order == [0, 2, 3]
    assert queue.admission.at_work == 0


async def test_a_place_given_to_a_caller_who_has_left_goes_to_the_next(metrics: Metrics) -> None:
    queue = filled(metrics, 1, 3)
    tasks = [await queue.join(number) for number in range(2)]
    queue.admission.leave(0.001)  # gives its place to the first, who leaves in the same tick
    await cancelled(tasks[0])
    await settled()
    assert queue.order == [1]
    await queue.leave()
    assert queue.admission.at_work == 0


async def test_the_last_place_given_to_a_caller_who_has_left_is_free(metrics: Metrics) -> None:
    queue = filled(metrics, 1, 3)
    task = await queue.join(0)
    queue.admission.leave(0.001)
    await cancelled(task)
    assert queue.admission.at_work == 0
    assert queue.admission.enter()


async def test_a_drain_lets_finish_what_is_in_and_takes_nothing_on(metrics: Metrics) -> None:
    queue = filled(metrics, 2, 3)
    await queue.join(0)
    draining = asyncio.create_task(queue.admission.drain(30))
    await settled()
    assert not queue.admission.enter()
    with pytest.raises(Draining):
        await queue.admission.wait(None)
    await queue.leave(2)
    assert (queue.order, draining.done()) == ([0], False)
    await queue.leave()
    await asyncio.wait_for(draining, 5)
    assert not queue.admission.enter()
    with pytest.raises(Draining):
        await queue.admission.wait(None)
    assert metrics.shed.value == 0


async def test_a_drain_ends_when_its_time_is_up_or_nothing_is_in(metrics: Metrics) -> None:
    busy = filled(metrics, 2, 3)
    await asyncio.wait_for(busy.admission.drain(0.01), 5)
    assert busy.admission.at_work == 2
    await asyncio.wait_for(Admission(2, 2, metrics).drain(1_000), 5)
