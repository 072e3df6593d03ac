"""What the figures should be: they inform, and fail nothing."""

from collections.abc import Sequence
from statistics import median

from tests.bench.acceptance import Verdict
from tests.bench.envoy.chains import NOOP, SIDECAR, Lane
from tests.bench.envoy.json_calls import CallSample
from tests.bench.envoy.rounds import LANES, LEVELS, STREAMING, Cell, Results, StreamCell
from tests.bench.envoy.streams import StreamSample

MOST_TIMES_THE_FLOOR = 1.35
LEAST_A_SECOND = 6_000
MOST_CPU_US = 130
MOST_GROWTH = 1.02
"""What an allocator does is within it; a leak of a kilobyte a stream is not, at 10,000 of them."""
NATIVE = LANES[0]


def median_of(samples: Sequence[CallSample | StreamSample], figure: str) -> float | None:
    """The median of one field; None where it was not measured."""
    column = [getattr(sample, figure) for sample in samples]
    return median(column) if column and None not in column else None


def verdicts(results: Results) -> list[Verdict]:
    """Every line of the acceptance table."""
    floors = [_floor(results, lane, in_flight) for lane in LANES for in_flight in LEVELS]
    found = results.calls.get(Cell(NATIVE, SIDECAR, 64), [])
    rate, cpu_us = median_of(found, "a_second"), median_of(found, "asked_cpu_us")
    return [
        *floors,
        _judged(f"{NATIVE}: calls/s, 64 in flight", rate, least=LEAST_A_SECOND),
        _judged(f"{NATIVE}: µs of the sidecar's CPU a call, 64 in flight", cpu_us, most=MOST_CPU_US),
        *(_first_event(results, lane) for lane in STREAMING),
        *(_growth(results, lane) for lane in STREAMING),
    ]


def _floor(results: Results, lane: Lane, in_flight: int) -> Verdict:
    what = f"{lane}: p50 ÷ that of no-op handlers, {in_flight} in flight"
    p50s = [
        median_of(results.calls.get(Cell(lane, name, in_flight), []), "p50_us") for name in (SIDECAR, NOOP)
    ]
    return _judged(what, _ratio(*p50s), most=MOST_TIMES_THE_FLOOR)


def _first_event(results: Results, lane: Lane) -> Verdict:
    """Nothing but the decision may stand between a handler that does nothing and ours."""
    ours, floor = (results.streams.get(StreamCell(lane, name), []) for name in (SIDECAR, NOOP))
    with_us, without_us = median_of(ours, "first_event_us"), median_of(floor, "first_event_us")
    later_us = None if with_us is None or without_us is None else with_us - without_us
    what = f"{lane}: first event later than with no-op handlers ÷ the decision"
    return _judged(what, _ratio(later_us, median_of(ours, "decision_us")), most=1.0)


def _growth(results: Results, lane: Lane) -> Verdict:
    memory = results.memory.get(lane)
    what = f"{lane}: resident after the streams ÷ before"
    if memory is None:
        return _judged(what, None, most=MOST_GROWTH)
    return _judged(f"{what}, {memory.streams:,}", memory.after / memory.before, most=MOST_GROWTH)


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base


def _judged(what: str, value: float | None, *, least: float = 0.0, most: float = 0.0) -> Verdict:
    bound = least or most
    shown = f"{bound:,}" if isinstance(bound, int) else f"{bound:.2f}"
    wanted = f"≥ {shown}" if least else f"≤ {shown}"
    if value is None:
        return Verdict(what, wanted)
    return Verdict(what, wanted, value, value >= least if least else value <= most)
