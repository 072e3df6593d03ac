"""The circuit breaker of the store: what each state does with calls, and where it is shown."""

import json
import os
import signal

import grpc
import pytest

from tests.e2e.caller import Caller
from tests.e2e.conftest import Start
from tests.e2e.faults import eventually, is_serving, metric
from tests.e2e.test_store_away import begin, is_back, prepare, store
from tests.servers import SidecarProcess, StoreServer, http_get

__all__ = ["store"]

RULES = "budgets: {one: {limit: 9 USD, window: day}}"
SHORT_S = 0.8
"""Less than the second that calls wait for a connection that was just lost, and than the store's timeout."""


def nodes(sidecar: SidecarProcess, state: str) -> float:
    return metric(sidecar, f'tallystick_store_breaker{{state="{state}"}}')


def shown(sidecar: SidecarProcess) -> str:
    return str(json.loads(http_get(sidecar.http_port, "/readyz")[1])["parts"]["store"])


def code_of(caller: Caller) -> grpc.StatusCode | None:
    """How a call ends that can't wait."""
    try:
        caller.budgets.Reserve(caller.ask(1), timeout=SHORT_S)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        return error.code()
    return None


def test_it_opens_when_the_store_is_gone_and_closes_when_it_is_back(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller:
        prepare(caller, RULES)
        assert (nodes(sidecar, "closed"), nodes(sidecar, "open"), shown(sidecar)) == (1, 0, "ready")
        store.kill()
        eventually(lambda: nodes(sidecar, "open") == 1)
        assert shown(sidecar).startswith(f"away (circuit breaker: {store.directory}/s")
        assert {code_of(caller) for _ in range(50)} == {grpc.StatusCode.UNAVAILABLE}
        store.start()
        eventually(lambda: is_back(sidecar))
        assert (nodes(sidecar, "closed"), nodes(sidecar, "open"), shown(sidecar)) == (1, 0, "ready")
        caller.allowed(1)


@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_a_store_that_hangs_is_waited_for_once_and_not_by_each_call(
    start: Start, store: StoreServer, transport: str
) -> None:
    """It takes connections all the while, but a probe has to be answered before calls go there."""
    sidecar = begin(start, store, transport, STORE_TIMEOUT_MS="2000")
    with Caller(sidecar) as caller:
        prepare(caller, RULES)
        os.kill(store.pid, signal.SIGSTOP)
        try:
            assert code_of(caller) is grpc.StatusCode.DEADLINE_EXCEEDED
            eventually(lambda: code_of(caller) is grpc.StatusCode.UNAVAILABLE)
            assert {code_of(caller) for _ in range(100)} == {grpc.StatusCode.UNAVAILABLE}
            assert nodes(sidecar, "closed") == 0
            assert nodes(sidecar, "half-open") + nodes(sidecar, "open") == 1
        finally:
            os.kill(store.pid, signal.SIGCONT)
        eventually(lambda: is_serving(sidecar) and nodes(sidecar, "closed") == 1)
        caller.allowed(1)
