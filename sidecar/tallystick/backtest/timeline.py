"""Past calls in the order of time, however many there are."""

import heapq
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Self

from tallystick.backtest.calls import PastCall

RUN_CALLS = 100_000
"""So many are sorted in memory; more go to a file of sorted runs that nobody else can open."""
BATCH_CALLS = 1_000
"""So many of each run are in memory while the runs are merged."""

_time_of = attrgetter("time_ms")


class Timeline:
    """All calls, those of one time in the order in which they came. Use it as a context manager."""

    def __init__(self, run_calls: int = RUN_CALLS) -> None:
        self.count = 0
        self.longest_ms = 0
        """How long the longest call was open."""
        self._run_calls = run_calls
        self._last: list[PastCall] = []
        self._runs: list[list[int]] = []
        """Where the batches of each run begin in the file."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `__exit__` closes it

    def read(self, calls: Iterable[PastCall]) -> None:
        """Takes all calls, once."""
        rest = iter(calls)
        while run := list(islice(rest, self._run_calls)):
            self.count += len(run)
            self.longest_ms = max(self.longest_ms, *(call.duration_ms for call in run))
            run.sort(key=_time_of)
            if len(run) == self._run_calls:
                self._runs.append(self._write(run))
            else:
                self._last = run

    def _write(self, run: list[PastCall]) -> list[int]:
        places = []
        for at in range(0, len(run), BATCH_CALLS):
            places.append(self._file.tell())
            pickle.dump(run[at : at + BATCH_CALLS], self._file, pickle.HIGHEST_PROTOCOL)
        return places

    def __iter__(self) -> Iterator[PastCall]:
        return heapq.merge(*map(self._stored, self._runs), self._last, key=_time_of)

    def _stored(self, places: list[int]) -> Iterator[PastCall]:
        for place in places:
            self._file.seek(place)
            yield from pickle.load(self._file)  # noqa: S301 - our own, of a moment ago

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
