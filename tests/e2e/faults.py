"""Faults, and callers who go on in spite of them."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.caller import Caller
from tests.servers import SidecarProcess, http_get

DEADLINE_S = 10.0
GIVE_UP_S = 60.0


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing within the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def eventually(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_serving(sidecar: SidecarProcess) -> bool:
    """What the health check says."""
    with grpc.insecure_channel(sidecar.socket) as channel:
        request = health_pb2.HealthCheckRequest(service="tallystick.v1.BudgetService")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def metric(sidecar: SidecarProcess, name: str) -> float:
    """A metric without labels."""
    _, text = http_get(sidecar.http_port, "/metrics")
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


class Load:
    """Callers who reserve and settle; what gets no answer is asked again with the same id."""

    COST = 3

    def __init__(self, caller: Caller, callers: int = 12) -> None:
        self._caller = caller
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(callers)]
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self.codes: Counter[grpc.StatusCode] = Counter()
        self.slowest_s = 0.0
        self.settled = 0
        self.problems: list[object] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        assert not self.problems, self.problems[:3]

    def _run(self, number: int) -> None:
        budgets, count = self._caller.budgets, 0
        try:
            while not self._ending.is_set():
                count += 1
                request = self._caller.ask(self.COST + 2, reservation_id=f"load-{number}-{count}")
                held = self._insist(budgets.Reserve, request)
                assert held.result == pb.RESULT_ALLOW, held
                settle = self._caller.end(request.reservation_id, self.COST)
                settle.tally = held.tally if count % 2 else b""
                self._insist(budgets.Settle, settle)
                with self._lock:
                    self.settled += 1
        except BaseException as problem:  # noqa: BLE001 - it is raised where the load ends
            self.problems.append(problem)

    def _insist(self, method: Any, request: Any) -> Any:
        first = time.monotonic()
        while True:
            began = time.monotonic()
            try:
                answer, code = method(request, timeout=DEADLINE_S), grpc.StatusCode.OK
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                answer, code = None, error.code()
                assert code is grpc.StatusCode.UNAVAILABLE, error.details()
                assert time.monotonic() - first < GIVE_UP_S, error.details()
                time.sleep(0.02)
            with self._lock:
                self.codes[code] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if answer is not None:
                return answer

    def more(self, calls: int = 50) -> None:
        """Waits until this many more were settled."""
        goal = self.settled + calls
        eventually(lambda: self.settled >= goal or self.problems, GIVE_UP_S)
