"""What the figures should be, as ratios of medians: they inform, and fail nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.measure import Sample
from tests.bench.rounds import NATIVE_ECHO_LEVEL, SCRIPT_LEVEL, VARIANTS_LEVEL, Cell, Results
from tests.bench.workload import BATCH

SWEEPS_A_SECOND = 64
"""One for each partition."""
SLACK_S = 1.5
"""The sweeper runs between the reading of the counter and the run, too."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line. `value` and `met` are None where something was not measured."""

    what: str
    wanted: str
    value: float | None = None
    met: bool | None = None
    remark: str = ""


ECHO, RESERVE, SETTLE = "echo", "Reserve", "Settle"
RESERVE_BATCH = f"ReserveBatch of {BATCH}"
SCRIPT = Cell("the script alone", "none", SCRIPT_LEVEL)


def verdicts(results: Results) -> list[Verdict]:
    """Every line of the acceptance table."""
    found = []
    for in_flight in (32, 64):
        echo = Cell(ECHO, "grpcio", in_flight)
        for transport, least in (("native", 1.4), ("grpcio", 0.45)):
            what = f"Reserve over {transport} ÷ bare grpc.aio echo, decisions/s, {in_flight} in flight"
            reserve = Cell(RESERVE, transport, in_flight)
            found.append(_ratio(results, what, _rate, reserve, echo, least=least))
    what = "Reserve over native ÷ bare grpc.aio echo, p50, 1 in flight"
    found.append(_ratio(results, what, _p50, Cell(RESERVE, "native", 1), Cell(ECHO, "grpcio", 1), most=1.6))
    what = f"{RESERVE_BATCH}, 32 in flight ÷ the script alone, decisions/s"
    found.append(_ratio(results, what, _rate, Cell(RESERVE_BATCH, "native", 32), SCRIPT, least=0.6))
    settle, reserve = Cell(SETTLE, "native", 32), Cell(RESERVE, "native", 32)
    found.append(
        _ratio(results, "Settle ÷ Reserve over native, CPU, 32 in flight", _cpu, settle, reserve, most=1.0)
    )
    for name in ("Reserve with a token", "Reserve under tickets"):
        variant, plain = (Cell(each, "native", VARIANTS_LEVEL) for each in (name, "Reserve beside these"))
        what = f"{name} ÷ plain, over native, CPU of sidecar and store, {VARIANTS_LEVEL} in flight"
        found.append(_ratio(results, what, _all_cpu, variant, plain, most=1.1))
    return [*found, _scripts(results), _own_cpu(results)]


def _rate(sample: Sample) -> float:
    return sample.a_second


def _p50(sample: Sample) -> float:
    return sample.p50_us


def _cpu(sample: Sample) -> float:
    return sample.server_cpu_us


def _all_cpu(sample: Sample) -> float:
    return sample.server_cpu_us + (sample.store_cpu_us or 0)


def _ratio(
    results: Results,
    what: str,
    figure: Callable[[Sample], float],
    cell: Cell,
    base: Cell,
    *,
    least: float = 0.0,
    most: float = 0.0,
) -> Verdict:
    wanted = f"≥ {least:.2f}" if least else f"≤ {most:.2f}"
    if cell not in results or base not in results:
        return Verdict(what, wanted)
    ratio = figure(results[cell].median) / figure(results[base].median)
    return Verdict(what, wanted, ratio, ratio >= least if least else ratio <= most)


def _scripts(results: Results) -> Verdict:
    """At most one EVALSHA a decision, but for the sweeper's and those of a window's end."""
    measured = [(cell, each) for cell, each in results.items() if cell.what == RESERVE]
    samples = [(cell.in_flight, sample) for cell, each in measured for sample in each.samples]
    what, wanted = "EVALSHA a Reserve, the sweeper's taken off", "≤ 1.00"
    if not samples:
        return Verdict(what, wanted)
    scripts = decisions = 0.0
    met = True
    for in_flight, sample in samples:
        assert sample.scripts is not None
        more = sample.scripts - sample.decisions
        met = met and more <= SWEEPS_A_SECOND * (sample.seconds + SLACK_S) + in_flight
        scripts += sample.scripts - max(0, min(more, SWEEPS_A_SECOND * (sample.seconds + SLACK_S)))
        decisions += sample.decisions
    return Verdict(what, wanted, scripts / decisions, met)


def _own_cpu(results: Results) -> Verdict:
    """What a decision costs beyond its transport."""
    what = f"Reserve − echo, both native, µs of CPU, {NATIVE_ECHO_LEVEL} in flight"
    wanted = "≤ 60, goal 40"
    cells = [results.get(Cell(name, "native", NATIVE_ECHO_LEVEL)) for name in (RESERVE, ECHO)]
    reserve, echo = cells
    if reserve is None or echo is None:
        return Verdict(what, wanted)
    own_us = reserve.median.server_cpu_us - echo.median.server_cpu_us
    return Verdict(what, wanted, own_us, own_us <= 60, "the goal is met" if own_us <= 40 else "")
