"""What a client saw of one run, and h2load as that client.

h2load keeps N calls in flight over C connections of M streams. It always gets a
number of calls, not a time: at the end of a time it would cut calls off, and
what was held could no longer be compared with what was asked. It can't read
trailers, so whether a call went well is for the server's counters to say.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

H2LOAD = shutil.which("h2load")
"""Debian's nghttp2-client, where it is installed."""

FINISHED = re.compile(r"finished in ([\d.]+)(us|ms|s|m)\b")
SUCCEEDED = re.compile(r"(\d+) succeeded, (\d+) failed, (\d+) errored")
GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Load:
    """One run, as its client saw it."""

    calls: int
    seconds: float
    latencies_us: Sequence[int]
    """Ascending."""

    def percentile_us(self, percent: int) -> int:
        """The latency that this share of the calls stayed within."""
        return self.latencies_us[min(len(self.latencies_us) * percent // 100, len(self.latencies_us) - 1)]


def framed(message: bytes) -> bytes:
    """A message as gRPC sends it: not compressed, its length before it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def connections_of(in_flight: int) -> tuple[int, int]:
    """How many connections of how many streams each make up so many calls in flight."""
    return (4, in_flight // 4) if in_flight >= 16 and in_flight % 4 == 0 else (1, in_flight)


def run_h2load(
    port: int, path: str, message: bytes, calls: int, in_flight: int, headers: Mapping[str, str] = NO_HEADERS
) -> Load:
    """The same gRPC call again and again. Raises AssertionError unless each got an answer."""
    return post_h2load(port, path, framed(message), {**GRPC_HEADERS, **headers}, calls, in_flight)


def post_h2load(
    port: int, path: str, content: bytes, headers: Mapping[str, str], calls: int, in_flight: int
) -> Load:
    """The same POST again and again. Raises AssertionError unless each was answered with 2xx."""
    connections, streams = connections_of(in_flight)
    with tempfile.TemporaryDirectory(prefix="tsb") as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(content)
        command = [str(H2LOAD), f"-n{calls}", f"-c{connections}", f"-m{streams}", "-t1", "-p", "h2c"]
        command += ["-d", str(body), "--log-file", str(log)]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        command.append(f"http://127.0.0.1:{port}{path}")
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
        rows = [line.split("\t") for line in log.read_text().splitlines()]
    finished, outcome = FINISHED.search(said), SUCCEEDED.search(said)
    assert finished, said
    assert outcome, said
    assert outcome.groups() == (str(calls), "0", "0"), said
    assert len(rows) == calls, f"{len(rows)} calls in the log of h2load, {calls} made"
    latencies = sorted(int(row[2]) for row in rows)
    return Load(calls, float(finished[1]) * UNITS_S[finished[2]], latencies)
