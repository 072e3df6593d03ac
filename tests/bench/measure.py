"""One measurement: a warm-up, a run, and proof that every call was answered and counted."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from tallystick.v1 import budget_pb2 as pb
from tests.bench import http2, load, workload
from tests.bench.load import GRPC_HEADERS, Load
from tests.bench.targets import Counters, EchoTarget, SidecarTarget, cpu_s

WARM_UP_S = 0.3
FIRST_RATE = 1_500.0
"""Calls a second, where nothing is known yet."""
FEWEST_CALLS = 200
SERVICE = "/tallystick.v1.BudgetService"
RESERVES_AT_ONCE = 500

Target = EchoTarget | SidecarTarget


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement. Times are in microseconds, CPU time is for one decision."""

    decisions: int
    seconds: float
    a_second: float
    server_cpu_us: float
    store_cpu_us: float | None
    p50_us: int
    p95_us: int
    p99_us: int
    scripts: int | None = None
    """EVALSHA calls of the store meanwhile, the sweeper's among them."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked. `message` is the same for every call, unless each is made by `messages`."""

    name: str
    method: str
    message: bytes = b""
    messages: Callable[[SidecarTarget, int], Iterable[bytes]] | None = None
    decisions: int = 1
    """How many of them a call asks for."""
    settles: bool = False

    @property
    def path(self) -> str:
        return f"{SERVICE}/{self.method}"

    def expected(self, calls: int, cost_nano_usd: int) -> Counters:
        """What so many calls add to a sidecar's counters."""
        decisions = calls * self.decisions
        if self.settles:
            return Counters(0, 0, decisions, calls, 0, -decisions * cost_nano_usd, -decisions)
        return Counters(decisions, 0, 0, calls, 0, decisions * cost_nano_usd, decisions)


def settle_messages(target: SidecarTarget, count: int) -> Iterator[bytes]:
    """Settles of reservations made now, each with its tally."""
    for first in range(0, count, RESERVES_AT_ONCE):
        batch = workload.batch_request(min(RESERVES_AT_ONCE, count - first))
        for item in target.budget.ReserveBatch(batch).items:
            yield workload.settle_request(item.response).SerializeToString()


RESERVE = workload.reserve_request().SerializeToString()
BATCH = workload.batch_request().SerializeToString()
ECHO_CASE = Case("echo", "Reserve", RESERVE)
RESERVE_CASE = Case("Reserve", "Reserve", RESERVE)
PLAIN_CASE = Case("Reserve beside these", "Reserve", RESERVE)
GUARDED_CASE = Case("Reserve with a token", "Reserve", RESERVE)
TICKETS_CASE = Case("Reserve under tickets", "Reserve", RESERVE)
SETTLE_CASE = Case("Settle", "Settle", messages=settle_messages, settles=True)
BATCH_CASE = Case(f"ReserveBatch of {workload.BATCH}", "ReserveBatch", BATCH, decisions=workload.BATCH)


class Meter:
    """Measures for `seconds` at a time, and remembers how many calls fit into a second."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rates: dict[object, float] = {}

    def measure(self, case: Case, target: Target, place: str, in_flight: int) -> Sample:
        """One measurement of a case. `place` tells targets apart.

        Raises:
            AssertionError: a call failed, or what is held is not what was admitted.
        """
        key = (case.name, place, in_flight)
        for seconds in (WARM_UP_S, self._seconds):
            calls = max(FEWEST_CALLS, int(self._rates.get(key, FIRST_RATE / case.decisions) * seconds))
            sample = _run(case, target, calls, in_flight)
            self._rates[key] = sample.a_second / case.decisions
        return sample


def _run(case: Case, target: Target, calls: int, in_flight: int) -> Sample:
    if isinstance(target, EchoTarget):
        return _timed(case, target, calls, in_flight, itertools.repeat(case.message))
    messages: Iterable[bytes] = itertools.repeat(case.message)
    if case.messages:
        messages = list(case.messages(target, calls))
    cost_nano_usd = _cost_nano_usd(target)
    before, scripts = target.counters(), target.scripts_run()
    sample = _timed(case, target, calls, in_flight, messages)
    scripts = target.scripts_run() - scripts
    found, expected = target.counters().since(before), case.expected(calls, cost_nano_usd)
    assert found == expected, f"{case.name}: counted {found}, expected {expected}"
    return replace(sample, scripts=scripts)


def _timed(case: Case, target: Target, calls: int, in_flight: int, messages: Iterable[bytes]) -> Sample:
    server, store = cpu_s(target.pid), cpu_s(target.store_pid) if target.store_pid else 0.0
    run = _drive(case, target, calls, in_flight, messages)
    server = cpu_s(target.pid) - server
    store = cpu_s(target.store_pid) - store if target.store_pid else 0.0
    return sample_of(run, calls * case.decisions, server, store if target.store_pid else None)


def sample_of(run: Load, decisions: int, server_cpu_s: float, store_cpu_s: float | None) -> Sample:
    """A run as figures."""
    return Sample(
        decisions=decisions,
        seconds=run.seconds,
        a_second=decisions / run.seconds,
        server_cpu_us=server_cpu_s / decisions * 1e6,
        store_cpu_us=None if store_cpu_s is None else store_cpu_s / decisions * 1e6,
        p50_us=run.percentile_us(50),
        p95_us=run.percentile_us(95),
        p99_us=run.percentile_us(99),
    )


def _drive(case: Case, target: Target, calls: int, in_flight: int, messages: Iterable[bytes]) -> Load:
    if load.H2LOAD and not case.messages:
        return load.run_h2load(target.port, case.path, case.message, calls, in_flight, target.headers)
    headers = GRPC_HEADERS | target.headers
    return http2.run(target.port, case.path, messages, calls, in_flight, headers)


def client_of(case: Case) -> str:
    """Which client makes the calls."""
    return "h2load" if load.H2LOAD and not case.messages else "tests.bench.http2"


def _cost_nano_usd(target: SidecarTarget) -> int:
    """What one call holds. The reservation is given back."""
    reserved = target.budget.Reserve(workload.reserve_request())
    assert reserved.result == pb.RESULT_ALLOW, reserved
    target.budget.Release(pb.ReleaseRequest(tenant=workload.TENANT, reservation_id=reserved.reservation_id))
    return int(reserved.cost.nano_usd)
