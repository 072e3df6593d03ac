"""One measurement of calls that are answered in JSON: a warm-up, a run, and its proof."""

import itertools
import time
from dataclasses import dataclass

from tests.bench import http2, load
from tests.bench.envoy import workload
from tests.bench.envoy.chains import FAST, Chain
from tests.bench.envoy.proofs import Proof
from tests.bench.load import Load
from tests.bench.measure import FEWEST_CALLS, WARM_UP_S
from tests.bench.targets import SidecarTarget, cpu_s

TOLD_S = 0.2
"""Envoy tells of ends every 0.02 s."""
FIRST_RATE = 500.0
"""Calls a second, where nothing is known yet."""


@dataclass(frozen=True, slots=True)
class CallSample:
    """One measurement. CPU time is in microseconds, for one call, its end included."""

    calls: int
    seconds: float
    a_second: float
    p50_us: int
    p99_us: int
    envoy_cpu_us: float
    asked_cpu_us: float | None
    """Of the sidecar, or of the handlers that do nothing."""
    store_cpu_us: float | None


class Meter:
    """Measures for `seconds` at a time, and remembers how many calls fit into a second."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rates: dict[object, float] = {}

    def measure(self, chain: Chain, place: str, in_flight: int, proof: Proof | None) -> CallSample:
        """One measurement. `place` tells chains of a name apart; a sidecar's needs its proof.

        Raises:
            AssertionError: a call failed, or not just these calls were reserved and settled.
        """
        key = (place, chain.name, in_flight)
        for seconds in (WARM_UP_S, self._seconds):
            calls = max(FEWEST_CALLS, int(self._rates.get(key, FIRST_RATE) * seconds))
            sample = _run(chain, calls, in_flight, proof)
            self._rates[key] = sample.a_second
        return sample


def _run(chain: Chain, calls: int, in_flight: int, proof: Proof | None) -> CallSample:
    before = cpu_of(chain)
    run = post(chain, FAST, workload.BODY, calls, in_flight)
    wait_for_end(chain, calls, proof)
    envoy_s, asked_s, store_s = (now - then for now, then in zip(cpu_of(chain), before, strict=True))
    if proof:
        proof.check(calls)
    return CallSample(
        calls=calls,
        seconds=run.seconds,
        a_second=calls / run.seconds,
        p50_us=run.percentile_us(50),
        p99_us=run.percentile_us(99),
        envoy_cpu_us=envoy_s / calls * 1e6,
        asked_cpu_us=asked_s / calls * 1e6 if chain.asked else None,
        store_cpu_us=store_s / calls * 1e6 if chain.sidecar else None,
    )


def wait_for_end(chain: Chain, calls: int, proof: Proof | None) -> None:
    """Waits until who is asked has been told of the ends of the calls, too."""
    if proof:
        proof.wait(calls)
    elif chain.asked:
        time.sleep(TOLD_S)


def cpu_of(chain: Chain) -> tuple[float, float, float]:
    """The CPU seconds of Envoy, of who is asked, and of the store; 0 where there is none."""
    asked = chain.asked
    store_pid = asked.store_pid if isinstance(asked, SidecarTarget) else None
    return cpu_s(chain.pid), cpu_s(asked.pid) if asked else 0.0, cpu_s(store_pid) if store_pid else 0.0


def post(chain: Chain, provider: str, body: bytes, calls: int, in_flight: int, script: str = "") -> Load:
    """Makes so many calls. Raises AssertionError unless each was answered with success."""
    path = f"/{provider}{workload.PATH}"
    headers = workload.HEADERS | ({"x-script": script} if script else {})
    if load.H2LOAD:
        return load.post_h2load(chain.port, path, body, headers, calls, in_flight)
    return http2.run(chain.port, path, itertools.repeat(body), calls, in_flight, headers)
