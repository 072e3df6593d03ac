"""The tables, and the same as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tallystick.envoy import find_envoy, version_of
from tests.bench import report
from tests.bench.acceptance import Verdict
from tests.bench.envoy.acceptance import median_of
from tests.bench.envoy.chains import PLAIN
from tests.bench.envoy.json_calls import CallSample
from tests.bench.envoy.rounds import Cell, Options, Results, StreamCell
from tests.bench.envoy.streams import StreamSample

CALLS = (
    *("", "chain", "in flight", "calls/s", "p50 ms", "p99 ms", "+ p50", "+ p99"),
    *("CPU µs", "store µs", "Envoy µs"),
)
STREAMS = ("", "chain", "first event ms", "+ ms", "decision ms", "CPU µs", "store µs")
MEMORY = ("", "streams", "before MiB", "after MiB")
PROVED = "reserved == settled == the ledger"


def facts(options: Options) -> dict[str, Any]:
    """When, where and with what, and how much is measured."""
    found = report.facts(options.seconds, options.rounds)
    found["packages"] |= {"envoy": str(version_of(find_envoy()))}
    return {**found, "streams": options.streams, "first_events": options.first_events}


def describe(found: dict[str, Any]) -> str:
    """The facts in a few lines."""
    streams = f"streams: {found['rounds']} × {found['streams']}, {found['first_events']} one by one"
    return f"{report.describe(found, PROVED, 'first events: http.client')}; {streams}"


def tables(results: Results) -> str:
    """Every cell, in Markdown."""
    found = [report.markdown(CALLS, [_calls(results, cell) for cell in results.calls], text_columns=2)]
    if results.streams:
        rows = [_streams(results, cell) for cell in results.streams]
        found.append(report.markdown(STREAMS, rows, text_columns=2))
    if results.memory:
        sizes = [
            (str(lane), f"{each.streams:,}", f"{each.before / 2**20:.1f}", f"{each.after / 2**20:.1f}")
            for lane, each in results.memory.items()
        ]
        found.append(report.markdown(MEMORY, sizes, text_columns=1))
    return "\n\n".join(found)


def as_json(found: dict[str, Any], results: Results, judged: Sequence[Verdict]) -> dict[str, Any]:
    """Everything, the single samples included."""
    calls = [
        {**_place(cell), "in_flight": cell.in_flight, "samples": [asdict(each) for each in samples]}
        for cell, samples in results.calls.items()
    ]
    streams = [
        {**_place(cell), "samples": [asdict(each) for each in samples]}
        for cell, samples in results.streams.items()
    ]
    memory = [{**lane._asdict(), **asdict(each)} for lane, each in results.memory.items()]
    acceptance = [asdict(each) for each in judged]
    return {**found, "calls": calls, "streams": streams, "memory": memory, "acceptance": acceptance}


def _place(cell: Cell | StreamCell) -> dict[str, str]:
    return {**cell.lane._asdict(), "chain": cell.chain}


def _calls(results: Results, cell: Cell) -> tuple[str, ...]:
    samples, plain = results.calls[cell], results.calls[cell._replace(chain=PLAIN)]
    rate, envoy_us = median_of(samples, "a_second"), median_of(samples, "envoy_cpu_us")
    return (
        *(str(cell.lane), cell.chain, str(cell.in_flight), f"{rate:,.0f}"),
        *(_ms(samples, figure) for figure in ("p50_us", "p99_us")),
        *(_added(samples, plain, figure) for figure in ("p50_us", "p99_us")),
        *(_us(samples, figure) for figure in ("asked_cpu_us", "store_cpu_us")),
        f"{envoy_us:.0f}",
    )


def _streams(results: Results, cell: StreamCell) -> tuple[str, ...]:
    samples, plain = results.streams[cell], results.streams[cell._replace(chain=PLAIN)]
    return (
        *(str(cell.lane), cell.chain, _ms(samples, "first_event_us")),
        _added(samples, plain, "first_event_us"),
        _ms(samples, "decision_us"),
        *(_us(samples, figure) for figure in ("asked_cpu_us", "store_cpu_us")),
    )


Samples = Sequence[CallSample] | Sequence[StreamSample]


def _ms(samples: Samples, figure: str) -> str:
    found = median_of(samples, figure)
    return "–" if found is None else f"{found / 1000:.2f}"


def _us(samples: Samples, figure: str) -> str:
    found = median_of(samples, figure)
    return "–" if found is None else f"{found:,.0f}"


def _added(samples: Samples, plain: Samples, figure: str) -> str:
    """Over plain Envoy, in milliseconds."""
    found, base = median_of(samples, figure), median_of(plain, figure)
    return "–" if samples is plain or found is None or base is None else f"{(found - base) / 1000:.2f}"
