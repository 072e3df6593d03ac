"""Sidecars learn from each other how long answers are."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tallystick.core.errors import InvalidPolicy
from tallystick.core.learning import BOUNDS, LEAST_ANSWERS, bucket_of
from tallystick.policyfile import load_policy
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.caller import Caller
from tests.servers import SidecarProcess, StoreServer, http_get, short_directory

RULES = "unmatched: allow\nestimate: {max_output: learned, fallback: 3000}\n"
FREE = 'prices: {models: {"*": {free: true}}}\n'
PATIENCE_S = 10.0


@pytest.fixture
def two() -> Iterator[tuple[Caller, Caller]]:
    """Two sidecars of one store, and a tenant whose policy learns."""
    try:
        load_policy(f"tenant: t\n{RULES}")
    except InvalidPolicy:
        pytest.skip("policies cannot say it yet")
    with ExitStack() as ending:
        store = StoreServer(ending.enter_context(short_directory()))
        store.start()
        ending.callback(store.stop)
        callers: list[Caller] = []
        for _ in range(2):
            directory = ending.enter_context(short_directory())
            sidecar = SidecarProcess(directory, STORE_URL=store.url, HTTP_LISTEN="127.0.0.1:0")
            sidecar.start()
            ending.callback(sidecar.stop)
            tenant = callers[0].tenant if callers else ""
            callers.append(ending.enter_context(Caller(sidecar, tenant=tenant)))
        callers[0].apply(RULES + FREE)
        yield callers[0], callers[1]


def held(caller: Caller, workflow: str) -> int:
    """Tokens held for an answer whose length the request leaves open."""
    subject = pb.Subject(user="alice", workflow=workflow)
    decision = caller.allowed(model="m", estimate=pb.TokenEstimate(input=10), subject=subject)
    return int(decision.cost.tokens) - 10


def within(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_sidecar_holds_what_another_has_seen(two: tuple[Caller, Caller]) -> None:
    one, other = two
    assert held(other, "audit") == 3_000
    for number in range(LEAST_ANSWERS):
        subject = pb.Subject(user="alice", workflow="audit")
        estimate = pb.TokenEstimate(input=10, max_output=500)
        one.allowed(model="m", estimate=estimate, subject=subject, reservation_id=f"r{number}")
        one.settle(f"r{number}", usage=pb.Usage(input=10, output=200))
    learned = BOUNDS[bucket_of(200)]
    within(lambda: held(other, "audit") == learned)
    within(lambda: held(one, "audit") == learned)
    assert held(one, "another") == held(other, "another") == 3_000
    _, metrics = http_get(one.sidecar.http_port, "/metrics")
    assert f'tallystick_estimate_ratio_count{{unit="tokens"}} {LEAST_ANSWERS}.0' in metrics
