"""What a refused caller is told to do instead is allowed, and nothing more is."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import DENY, Caller
from tests.e2e.worlds_of_calls import DAY_MS, World
from tests.servers import SidecarProcess

LOOKED = settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def asked(served: SidecarProcess) -> Iterator[Caller]:
    with Caller(served) as caller:
        yield caller


def with_output(request: pb.ReserveRequest, output: int) -> pb.ReserveRequest:
    changed = pb.ReserveRequest()
    changed.CopyFrom(request)
    changed.tokens.max_output = output
    return changed


def with_model(request: pb.ReserveRequest, model: str) -> pb.ReserveRequest:
    changed = pb.ReserveRequest()
    changed.CopyFrom(request)
    changed.model = model
    return changed


def check_advice(world: World, request: pb.ReserveRequest, refusal: pb.Refusal) -> None:
    advice = refusal.advice
    if advice.max_output:
        assert world.outcome(with_output(request, advice.max_output))[0]
    if advice.max_output + 1 < request.tokens.max_output:
        assert world.outcome(with_output(request, advice.max_output + 1)) != (True, request.model)
    if advice.model:
        assert world.outcome(with_model(request, advice.model))[0]
    at_ms = advice.at.ToMilliseconds()
    if advice.HasField("at") and at_ms <= world.now_ms + DAY_MS:
        assert at_ms > world.now_ms
        world.stop_clock(at_ms - 1)
        assert world.outcome(request) != (True, request.model)
        world.stop_clock(at_ms)
        assert world.outcome(request)[0]


def test_advice_is_exact(asked: Caller, books: Books) -> None:
    given_advice: Counter[str] = Counter()

    @LOOKED
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        world = World(asked, books, random.Random(seed))
        world.spend()
        for _ in range(4):
            request = world.call(ttl=86_400)
            answer = asked.send(request)
            if answer.result == DENY:
                note(f"{world.document()}\n{request}\n{answer}")
                given_advice.update(field.name for field, _ in answer.refusal.advice.ListFields())
                check_advice(world, request, answer.refusal)
                return

    check()
    assert {"model", "max_output", "at", "more"} <= set(given_advice), given_advice
