"""Every cell, once a round: what is compared is measured in turns, since the machine has other work too."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.bench import workload
from tests.bench.measure import (
    BATCH_CASE,
    ECHO_CASE,
    GUARDED_CASE,
    PLAIN_CASE,
    RESERVE_CASE,
    SETTLE_CASE,
    TICKETS_CASE,
    Case,
    Meter,
    Sample,
    Target,
    client_of,
)
from tests.bench.script import ScriptLimit
from tests.bench.targets import EchoTarget, GuardedTarget, SidecarTarget

LEVELS = (1, 32, 64, 200)
OTHER_LEVELS = (1, 32, 200)
"""Of Settle and ReserveBatch."""
NATIVE_ECHO_LEVEL = 32
SCRIPT_LEVEL = 64
VARIANTS_LEVEL = 32


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured. `seconds` are of one measurement; each cell has one a round."""

    seconds: float = 1.0
    rounds: int = 5
    levels: tuple[int, ...] = LEVELS


class Cell(NamedTuple):
    """One line of the table."""

    what: str
    transport: str
    in_flight: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The samples of a cell, one a round."""

    client: str
    samples: list[Sample]

    @property
    def median(self) -> Sample:
        """Field by field."""
        found: dict[str, Any] = {}
        for field in fields(Sample):
            column = [getattr(sample, field.name) for sample in self.samples]
            found[field.name] = None if None in column else median(column)
        return Sample(**found)


Results = dict[Cell, Measured]


class Rounds:
    """Runs the rounds. `tell` hears what is done."""

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self._options = options
        self._tell = tell
        self._meter = Meter(options.seconds)
        self._results: Results = {}

    def run(self) -> Results:
        """Every cell.

        Raises:
            AssertionError: a call failed, or what is held is not what was admitted.
        """
        for number in range(1, self._options.rounds + 1):
            self._tell(f"round {number} of {self._options.rounds}")
            for part in (self._reserves, self._others, self._variants):
                # Fresh stores: what one part left behind must not weigh on the next.
                with tempfile.TemporaryDirectory(prefix="tsb", ignore_cleanup_errors=True) as folder:
                    part(Path(folder))
        return self._results

    def _reserves(self, folder: Path) -> None:
        with ExitStack() as stack:
            sidecars = {
                transport: stack.enter_context(SidecarTarget(transport, folder / transport))
                for transport in ("grpcio", "native")
            }
            # The echo answers with what a sidecar answered.
            response = sidecars["native"].budget.Reserve(workload.reserve_request())
            echoes = {
                transport: stack.enter_context(EchoTarget(transport, folder, response))
                for transport in ("grpcio", "native")
            }
            for in_flight in self._options.levels:
                self._measure(ECHO_CASE, echoes["grpcio"], "grpcio", in_flight)
                self._measure(RESERVE_CASE, sidecars["native"], "native", in_flight)
                self._measure(RESERVE_CASE, sidecars["grpcio"], "grpcio", in_flight)
                if in_flight == NATIVE_ECHO_LEVEL:
                    self._measure(ECHO_CASE, echoes["native"], "native", in_flight)

    def _others(self, folder: Path) -> None:
        with SidecarTarget("native", folder / "native") as sidecar:
            for in_flight in self._options.levels:
                if in_flight in OTHER_LEVELS:
                    self._measure(SETTLE_CASE, sidecar, "native", in_flight)
                    self._measure(BATCH_CASE, sidecar, "native", in_flight)
            sample = ScriptLimit(sidecar).measure(self._options.seconds, SCRIPT_LEVEL)
            self._add(Cell("the script alone", "none", SCRIPT_LEVEL), "tests.bench.script", sample)

    def _variants(self, folder: Path) -> None:
        """What costs more than the plain Reserve, in turns with it: that it does not by much."""
        tickets = workload.TICKETS_POLICY
        with (
            GuardedTarget("native", folder / "guarded") as guarded,
            SidecarTarget("native", folder / "tickets", tickets) as ticketed,
            SidecarTarget("native", folder / "plain") as plain,
        ):
            for in_flight in set(self._options.levels) & {VARIANTS_LEVEL}:
                self._measure(PLAIN_CASE, plain, "native", in_flight)
                self._measure(GUARDED_CASE, guarded, "native", in_flight)
                self._measure(TICKETS_CASE, ticketed, "native", in_flight)

    def _measure(self, case: Case, target: Target, transport: str, in_flight: int) -> None:
        sample = self._meter.measure(case, target, transport, in_flight)
        self._add(Cell(case.name, transport, in_flight), client_of(case), sample)

    def _add(self, cell: Cell, client: str, sample: Sample) -> None:
        self._results.setdefault(cell, Measured(client, [])).samples.append(sample)
        self._tell(f"  {cell.what}, {cell.transport}, {cell.in_flight} in flight: {sample.a_second:,.0f}/s")
