"""Admission: a bounded number of calls at work, a bounded number waiting.

A call that would wait longer than its deadline is turned away at once: late
answers help nobody, and the work for them would make the next ones late.
"""

import asyncio
import contextlib
from collections import deque

from tallystick.core.errors import Draining, Overloaded
from tallystick.observe.metrics import Metrics

SMOOTHING = 0.05
"""The weight of the newest call in the mean time of a call."""


class Admission:
    """Lets calls in, in order. `most_at_work` and `most_waiting` are numbers of calls."""

    def __init__(self, most_at_work: int, most_waiting: int, metrics: Metrics) -> None:
        self._most_at_work = most_at_work
        self._most_waiting = most_waiting
        self._metrics = metrics
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean_s = 0.001
        self._ended = asyncio.Event()
        self._draining = False
        self.at_work = 0

    def enter(self) -> bool:
        """Takes a place at once; False where there is none, so that the call has to `wait`."""
        if self.at_work >= self._most_at_work:
            return False
        self.at_work += 1
        return True

    async def wait(self, remaining_s: float | None) -> None:
        """Waits for a place and takes it.

        Raises:
            Overloaded: too many wait already, or longer than `remaining_s`.
            Draining: no more calls are let in.
        """
        if self._draining:
            raise Draining("the sidecar is draining")
        expected_s = (len(self._waiting) + 1) * self._mean_s / self._most_at_work
        hopeless = remaining_s is not None and expected_s > remaining_s
        if hopeless or len(self._waiting) >= self._most_waiting:
            self._metrics.shed.inc()
            raise Overloaded(
                f"{len(self._waiting)} calls are waiting; ask again later, with a longer deadline"
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was given to a caller who has left
                self._pass_on()
            else:
                self._waiting.remove(place)
            raise

    def leave(self, took_s: float) -> None:
        """A call has ended, in `took_s` without its wait; the next one takes its place."""
        self._mean_s += SMOOTHING * (took_s - self._mean_s)
        self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.at_work -= 1
        if self._draining and not self.at_work:
            self._ended.set()

    async def drain(self, grace_s: float) -> None:
        """Lets no more calls in; returns when those that are in have ended, or after `grace_s`."""
        self._draining, self._most_at_work = True, 0
        if self.at_work:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), grace_s)
