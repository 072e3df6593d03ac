"""Random operations on the specification and on a real store: equal replies, equal state.

After every step each reply, every field of every key and the audits of
`tests.store.audit` are compared. `TALLYSTICK_TEST_EXAMPLES` makes it more
thorough, `TALLYSTICK_TEST_SEED` repeats a run.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from tallystick.core.hold import hold_body
from tallystick.core.learning import Pair
from tallystick.core.matching import make_plan
from tallystick.core.plan import Plan
from tallystick.core.policy import Unit
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.store.asks import ReserveAsk, Try
from tests.model.machine import Stores
from tests.model.worlds import POLICIES, World
from tests.seeds import seed_of_run
from tests.servers import StoreServer
from tests.store.backends import RETENTION_MS, START_MS

STEPS = 50
PATIENCE_S = 0 if "TALLYSTICK_TEST_EXAMPLES" in os.environ else 600
"""0: as long as it takes."""


def explore(server: StoreServer, examples: int) -> None:
    """Runs the machine; its seed is printed."""
    world = World(server)
    examples = int(os.environ.get("TALLYSTICK_TEST_EXAMPLES", examples))
    shrink = {Phase.shrink} if os.environ.get("TALLYSTICK_TEST_SHRINK", "1") == "1" else set()
    before = Stores.steps
    machine = hypothesis.seed(seed_of_run())(type("Stores", (Stores,), {"world": world}))
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                phases={Phase.generate} | shrink,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.normal,
            ),
        )
    finally:
        world.close()
    assert Stores.steps - before >= examples  # it did walk


@pytest.mark.contract(10)
@pytest.mark.timeout(PATIENCE_S)
def test_memory_equals_valkey(valkey_server: StoreServer) -> None:
    explore(valkey_server, 400)


@pytest.mark.contract(10)
@pytest.mark.timeout(PATIENCE_S)
def test_memory_equals_redis(redis_server: StoreServer) -> None:
    explore(redis_server, 100)


@pytest.fixture
def world(store_server: StoreServer) -> Iterator[World]:
    made = World(store_server)
    yield made
    made.close()


@pytest.mark.contract(7)
@pytest.mark.parametrize("due", [16, 17, 515, 516, 517, 533])
def test_as_much_is_ended_before_a_refusal(world: World, due: int) -> None:
    """The bounds of one call are alike, to the last entry."""
    policy = replace(POLICIES[5], tenant="acme")
    plan = make_plan(policy, Subject(), "m", "", None, said=(Unit.NANO_USD, Unit.TOKENS), now_ms=START_MS)
    for n in range(due):
        ask = ask_of(plan, f"d{n}", 0)
        world.both(lambda store, ask=ask: store.reserve(plan, ask))  # type: ignore[misc]
    world.move(1_000)
    ask = ask_of(plan, "new", 1)
    for _ in range(4):
        world.both(lambda store: store.reserve(plan, ask))
        world.compare()


def ask_of(plan: Plan, reservation_id: str, nano_usd: int) -> ReserveAsk:
    return ReserveAsk(reservation_id, "", 1_000, (Try(plan, nano_usd, 0, Reason.NONE, hold_body(plan, "")),))


def test_the_same_pairs_are_dropped_where_there_is_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory_learning", "valkey"):
        monkeypatch.setattr(f"tallystick.store.{module}.MOST_PAIRS", 4)
    dice = random.Random(seed_of_run())
    for _ in range(200):
        news = {
            Pair(dice.choice("abcde"), dice.choice(["", "w"])): {
                dice.randrange(9): dice.choice([1, 2, 9]) for _ in range(dice.choice([0, 1, 2]))
            }
            for _ in range(dice.randrange(1, 8))
        }
        world.move(dice.choice([0, 1_000, 3 * RETENTION_MS]))
        assert len(world.both(lambda store, news=news: store.learn("acme", news))) <= 4  # type: ignore[misc]
        assert sum(name.startswith("acme:q:") for name in world.compare().hold) <= 4
