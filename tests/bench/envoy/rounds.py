"""Every lane, once a round: its three chains are measured in turns, since the machine has other work too."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tallystick.envoy import Way
from tests.bench.envoy import streams
from tests.bench.envoy.chains import SIDECAR, Chain, Lane, Providers, chains
from tests.bench.envoy.json_calls import CallSample, Meter
from tests.bench.envoy.proofs import Proof
from tests.bench.envoy.streams import Memory, StreamSample

LEVELS = (1, 64)
LANES = (
    Lane(Way.AUTHZ, "native"),
    Lane(Way.AUTHZ, "grpcio"),
    Lane(Way.PROC, "native"),
    Lane(Way.PROC, "grpcio"),
    Lane(Way.RATELIMIT, "native"),
)
STREAMING = (LANES[0], *LANES[2:4])


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured. `seconds` are of one measurement; each cell has one a round."""

    seconds: float = 1.0
    rounds: int = 5
    lanes: tuple[Lane, ...] = LANES
    streams: int = 100
    """Of a hundred chunks, all at once."""
    first_events: int = 60
    memory_streams: int = 10_000
    """Of ten chunks, in the first round only."""


class Cell(NamedTuple):
    """One line of the table."""

    lane: Lane
    chain: str
    in_flight: int


class StreamCell(NamedTuple):
    """One line of the table of streams."""

    lane: Lane
    chain: str


@dataclass
class Results:
    """The samples of every cell, one a round."""

    calls: dict[Cell, list[CallSample]] = field(default_factory=dict)
    streams: dict[StreamCell, list[StreamSample]] = field(default_factory=dict)
    memory: dict[Lane, Memory] = field(default_factory=dict)


class Rounds:
    """Runs the rounds. `tell` hears what is done."""

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self._options = options
        self._tell = tell
        self._meter = Meter(options.seconds)
        self._results = Results()

    def run(self) -> Results:
        """Every cell.

        Raises:
            AssertionError: a call failed, or not just the calls that were made were reserved and settled.
        """
        with ExitStack() as stack:
            made = tempfile.TemporaryDirectory(prefix="tsb", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
            providers = stack.enter_context(Providers(folder))
            for number in range(1, self._options.rounds + 1):
                self._tell(f"round {number} of {self._options.rounds}")
                for place, lane in enumerate(self._options.lanes):
                    with chains(lane, providers, folder / f"{number}-{place}") as found:
                        self._measure(lane, found, remembering=number == 1)
        return self._results

    def _measure(self, lane: Lane, found: Sequence[Chain], *, remembering: bool) -> None:
        last = found[-1]
        assert last.sidecar
        proof = Proof(last.sidecar, lane.way)
        for in_flight in LEVELS:
            for chain in found:
                mine = proof if chain is last else None
                sample = self._meter.measure(chain, str(lane), in_flight, mine)
                cell = Cell(lane, chain.name, in_flight)
                self._results.calls.setdefault(cell, []).append(sample)
                self._tell(f"  {lane}, {chain.name}, {in_flight} in flight: {sample.a_second:,.0f}/s")
        if lane not in STREAMING:
            return
        options = self._options
        for name, each in streams.measure(found, proof, options.streams, options.first_events).items():
            self._results.streams.setdefault(StreamCell(lane, name), []).append(each)
        self._tell(f"  {lane}: streams")
        if remembering:
            self._results.memory[lane] = streams.memory(last, proof, options.memory_streams)
            self._tell(f"  {lane}, {SIDECAR}: {options.memory_streams:,} streams")
