"""Callers who leave, callers who are too many, and a sidecar that is told to stop."""

import json
import random
import signal
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import books_of
from tests.e2e.caller import ALLOW, LONG_S, Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import eventually, metric, stopped
from tests.servers import http_get

RULES = "wallets: {org: {}}\nholds: {ttl: 1h, on_expiry: release}\n"
CODE = grpc.StatusCode
TRANSPORTS = pytest.mark.parametrize("transport", ["native", "grpcio"])
HTTP = {"HTTP_LISTEN": "127.0.0.1:0", "STORE_TIMEOUT_MS": "60000"}


def fund(caller: Caller) -> None:
    caller.apply(RULES)
    caller.credit(10**12)
    caller.release(caller.allowed(1).reservation_id)  # the plan is made and the scripts are loaded


@TRANSPORTS
@pytest.mark.contract(3)
def test_callers_who_leave_before_the_answer_leave_no_hold(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, **HTTP)
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        with stopped(books.pid):
            calls = [caller.budgets.Reserve.future(caller.ask(5), timeout=LONG_S) for _ in range(60)]
            late = [caller.budgets.Reserve.future(caller.ask(5), timeout=0.5) for _ in range(60)]
            eventually(lambda: metric(sidecar, "tallystick_in_flight") == 120)
            for call in calls:
                call.cancel()
            for call in late:
                assert call.code() is CODE.DEADLINE_EXCEEDED
            eventually(lambda: metric(sidecar, "tallystick_in_flight") == 0)
        eventually(lambda: books.open_holds() == 0)
        wallet = caller.wallet()
        assert (wallet.spent, wallet.held) == (0, 0)
        books.check()
        caller.allowed(1)


@TRANSPORTS
@pytest.mark.contract(3)
def test_hundreds_of_calls_that_end_at_random_moments(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, **HTTP)
    chance = random.Random(7)
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        answered = 0
        for _ in range(25):
            calls = []
            for _ in range(20):
                request = caller.ask(5, ttl=1, subject=pb.Subject(user=f"u{chance.randrange(99)}"))
                timeout = chance.choice([0.0005, 0.001, 0.002, 0.005, LONG_S])
                calls.append(caller.budgets.Reserve.future(request, timeout=timeout))
                if timeout == LONG_S and chance.random() < 0.7:
                    calls[-1].cancel()
            answered += sum(call.code() is CODE.OK for call in calls)
        eventually(lambda: metric(sidecar, "tallystick_in_flight") == 0)
        books.check()
        assert 0 < answered < 500
        eventually(lambda: books.open_holds() == 0)  # given back, or expired
        assert (caller.wallet().spent, caller.wallet().held) == (0, 0)
        books.check()
        caller.allowed(5)
        lines = [json.loads(line) for line in sidecar.log.splitlines()]
        # grpcio itself complains when a caller leaves while it writes the answer.
        assert {line["logger"] for line in lines if "exception" in line} <= {"grpc._cython.cygrpc"}


@TRANSPORTS
def test_too_many_calls_are_turned_away_at_once_and_counted(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, MAX_IN_FLIGHT="1", MAX_QUEUED="2", **HTTP)
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        with stopped(books.pid):
            calls = [
                caller.budgets.Reserve.future(caller.ask(1, reservation_id=f"r{n}"), timeout=LONG_S)
                for n in range(40)
            ]
            eventually(lambda: sum(call.done() for call in calls) == 37)
            assert metric(sidecar, "tallystick_shed_total") == 37
            turned_away = [call for call in calls if call.done()]
            assert {call.code() for call in turned_away} == {CODE.RESOURCE_EXHAUSTED}
            assert "waiting" in turned_away[0].details()
            with fails(CODE.INVALID_ARGUMENT, "tenant"):  # the control plane has a queue of its own
                caller.administration.GetPolicy(apb.GetPolicyRequest(tenant="NOT ONE"), timeout=LONG_S)
        waited = [call.result() for call in calls if call not in turned_away]
        assert [answer.result for answer in waited] == [ALLOW] * 3
        assert caller.wallet().held == 3
        for n in range(40):
            caller.allowed(1, reservation_id=f"r{n}")
        assert caller.wallet().held == 40
        assert metric(sidecar, "tallystick_in_flight") == 0


@TRANSPORTS
def test_a_sidecar_that_is_told_to_stop_finishes_what_is_under_way(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, **HTTP)
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        health = health_pb2_grpc.HealthStub(caller.channel)
        seen = (
            health.Watch(health_pb2.HealthCheckRequest(), timeout=LONG_S) if transport == "grpcio" else None
        )
        if seen:
            assert next(seen).status == health_pb2.HealthCheckResponse.SERVING
        with stopped(books.pid):
            calls = [caller.budgets.Reserve.future(caller.ask(1), timeout=LONG_S) for _ in range(30)]
            eventually(lambda: metric(sidecar, "tallystick_in_flight") == 30)
            sidecar.signal(signal.SIGTERM)
            eventually(lambda: "draining" in sidecar.log)
            if seen:
                assert next(seen).status == health_pb2.HealthCheckResponse.NOT_SERVING
                seen.cancel()
            status, body = http_get(sidecar.http_port, "/readyz")
            assert (status, "draining" in body) == (503, True)
            with fails(CODE.UNAVAILABLE, "draining"):
                caller.reserve(1)
            assert not any(call.done() for call in calls)
            began = time.monotonic()
        assert [call.result().result for call in calls] == [ALLOW] * 30
        assert sidecar.exit_code() == 0
        assert time.monotonic() - began < 20  # not the 30 s that a drain may take
    again = start(directory=sidecar.directory, TRANSPORT=transport)
    with Caller(again, tenant=caller.tenant) as caller:
        assert caller.wallet().held == 30


def test_a_drain_ends_when_its_time_is_up(start: Start) -> None:
    sidecar = start(DRAIN_TIMEOUT="1s", **HTTP)
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        store_pid = books.pid
        with stopped(store_pid):
            call = caller.budgets.Reserve.future(caller.ask(1), timeout=LONG_S)
            eventually(lambda: metric(sidecar, "tallystick_in_flight") == 1)
            sidecar.signal(signal.SIGTERM)
            assert call.code() in (CODE.UNAVAILABLE, CODE.CANCELLED)
        assert sidecar.exit_code() == 0
