"""Past calls in the order of time, however many there are."""

import heapq
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import attrgetter

from tallystick.backtest.calls import PastCall

RUN_CALLS = 100_000
"""So many are sorted in memory; more go to a file of sorted runs that nobody else can open."""
BATCH_CALLS = 1_000
"""So many of each run are in memory while the runs are merged."""

_time_of = attrgetter("time_ms")


class Timeline:
    """All calls, those of one time in the order in which they came.

    Reads them all when it is made. Give it back with `close`.
    """

    def __init__(self, calls: Iterable[PastCall], run_calls: int = RUN_CALLS) -> None:
        self.count = 0
        self.longest_ms = 0
        """How long the longest call was open."""
        self._last: list[PastCall] = []
        self._runs: list[list[int]] = []
        """Where the batches of each run begin in the file."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` ends it
        self._read(iter(calls), run_calls)

    def _read(self, calls: Iterator[PastCall], run_calls: int) -> None:
        while run := list(islice(calls, run_calls)):
            self.count += len(run)
            self.longest_ms = max(self.longest_ms, *(call.duration_ms for call in run))
            run.sort(key=_time_of)
            if len(run) == run_calls:
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

    def close(self) -> None:
        """Drops the calls."""
        self._file.close()
