"""Measurements of calls whose answers are streams: CPU, time to the first event, memory."""

import http.client
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench.envoy import workload
from tests.bench.envoy.chains import SLOW, Chain
from tests.bench.envoy.json_calls import cpu_of, post, wait_for_end
from tests.bench.envoy.proofs import Proof
from tests.bench.targets import SidecarTarget

IDLE_S = 1.0
AT_ONCE = 100
DECISION = r'method="(Check|Process)", *code="OK"|code="OK", *method="(Check|Process)"'
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class StreamSample:
    """CPU time is in microseconds for one stream of a hundred chunks; what runs beside it is taken off."""

    streams: int
    first_event_us: float
    """Median, from the request to the first event, with one stream at a time."""
    decision_us: float | None
    """Mean of what the sidecar took to decide, in the same calls."""
    asked_cpu_us: float | None
    store_cpu_us: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of a sidecar before and after so many streams."""

    streams: int
    before: int
    after: int


def measure(
    chains: Sequence[Chain], proof: Proof, streams: int, first_events: int
) -> dict[str, StreamSample]:
    """One measurement of every chain, by its name.

    Raises:
        AssertionError: a stream failed, or not just these calls were reserved and settled.
    """
    sidecar = next(chain.sidecar for chain in chains if chain.sidecar)
    decided = _decisions(sidecar)
    firsts = _first_events(chains, first_events)
    proof.wait(first_events)
    proof.check(first_events)
    decision_us = (_decisions(sidecar) - decided) / first_events * 1e6
    found = {}
    for chain in chains:
        asked_us, store_us = _cpu(chain, streams, proof if chain.sidecar else None)
        found[chain.name] = StreamSample(
            streams=streams,
            first_event_us=firsts[chain.name],
            decision_us=decision_us if chain.sidecar else None,
            asked_cpu_us=asked_us,
            store_cpu_us=store_us,
        )
    return found


def memory(chain: Chain, proof: Proof, streams: int) -> Memory:
    """Reads what is resident after a tenth of the streams, and after all of them.

    Raises:
        AssertionError: a stream failed, or not just these calls were reserved and settled.
    """
    assert chain.sidecar
    sizes = []
    for count in (max(1, streams // 10), streams):
        post(chain, SLOW, workload.STREAMED_BODY, count, min(AT_ONCE, count), workload.SHORT)
        proof.wait(count)
        proof.check(count)
        sizes.append(int(Path(f"/proc/{chain.sidecar.pid}/statm").read_text().split()[1]) * PAGE)
    return Memory(streams, *sizes)


def _cpu(chain: Chain, streams: int, proof: Proof | None) -> tuple[float | None, float | None]:
    """Of who is asked, and of its store; None where there is none."""
    if chain.asked is None:
        return None, None
    began, idle = time.monotonic(), cpu_of(chain)
    time.sleep(IDLE_S)
    idle_s = time.monotonic() - began
    began, before = time.monotonic(), cpu_of(chain)
    post(chain, SLOW, workload.STREAMED_BODY, streams, streams, workload.HUNDRED)
    wait_for_end(chain, streams, proof)
    took_s = time.monotonic() - began
    _, asked_us, store_us = (
        (now - then - (then - at_first) / idle_s * took_s) / streams * 1e6
        for now, then, at_first in zip(cpu_of(chain), before, idle, strict=True)
    )
    if proof:
        proof.check(streams)
    return asked_us, store_us if chain.sidecar else None


def _first_events(chains: Sequence[Chain], count: int) -> dict[str, float]:
    """Medians in microseconds; the chains take turns call by call."""
    found: dict[str, list[float]] = {chain.name: [] for chain in chains}
    with ExitStack() as stack:
        connections = [
            stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", chain.port, timeout=30)))
            for chain in chains
        ]
        for _ in range(count):
            for chain, connection in zip(chains, connections, strict=True):
                found[chain.name].append(_first_event(connection))
    return {name: median(times) for name, times in found.items()}


def _first_event(connection: http.client.HTTPConnection) -> float:
    headers = workload.HEADERS | {"x-script": workload.FIRST}
    began = time.perf_counter()
    connection.request("POST", f"/{SLOW}{workload.PATH}", workload.STREAMED_BODY, headers)
    response = connection.getresponse()
    assert response.status == http.HTTPStatus.OK, response.status
    event = response.read1(1 << 16)
    took_s = time.perf_counter() - began
    assert event.startswith(b"data: "), event
    assert response.read().endswith(b"data: [DONE]\n\n")
    return took_s * 1e6


def _decisions(sidecar: SidecarTarget) -> float:
    """Seconds that decisions took, all together."""
    return sidecar.metrics().sum("tallystick_rpc_seconds_sum", DECISION)
