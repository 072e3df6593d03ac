"""The store is killed at random moments under load: what was promised holds after it."""

import random
import threading
import time

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import books_of
from tests.e2e.caller import ALLOW, Caller
from tests.e2e.conftest import Start
from tests.e2e.faults import Load, eventually
from tests.e2e.test_store_away import begin, is_back, store
from tests.seeds import seed_of_run
from tests.servers import StoreServer

__all__ = ["store"]

TIMES = 5
LIMIT, ALLOWANCE = 1_000, 60


@pytest.fixture
def dice() -> random.Random:
    return random.Random(seed_of_run())


def kill_at_random(server: StoreServer, dice: random.Random) -> None:
    """Away for a moment, or for longer than a lost connection is waited for."""
    for _ in range(TIMES):
        time.sleep(dice.uniform(0.1, 0.8))
        server.kill()
        time.sleep(dice.choice([0.05, 1.2, 2.0]))
        server.start()


@pytest.mark.contract(13)
@pytest.mark.contract(5)
def test_every_call_is_charged_once_however_often_the_store_goes_away(
    start: Start, store: StoreServer, dice: random.Random
) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller, books_of(store) as books:
        caller.apply(
            "wallets: {org: {}}\nholds: {ttl: 1h}\n"
            "budgets: {b: {limit: 100000 USD, window: year, store_away: allow}}"
        )
        caller.credit(10**12)
        with Load(caller) as load:
            load.more()
            kill_at_random(store, dice)
            load.more()
        eventually(lambda: is_back(sidecar))
        assert caller.wallet().spent == load.settled * load.COST
        assert (caller.wallet().held, books.open_holds()) == (0, 0)
        books.check()


class Spender:
    """Reserves one and settles it, again and again; remembers what it was allowed."""

    def __init__(self, caller: Caller, number: int) -> None:
        self.caller, self.number = caller, number
        self.allowed = 0

    def run(self, ending: threading.Event) -> None:
        asked = 0
        while not ending.is_set():
            asked += 1
            name = f"s-{self.number}-{asked}"
            request = self.caller.ask(1, reservation_id=name)
            held = self._insist(self.caller.budgets.Reserve, request)
            if held.result == ALLOW:
                self.allowed += 1
                end = self.caller.end(name, 1, tally=held.tally)
                self._insist(self.caller.budgets.Settle, end)

    def _insist(self, method: "grpc.UnaryUnaryMultiCallable", request: object) -> pb.ReserveResponse:  # type: ignore[type-arg]
        while True:
            try:
                answer: pb.ReserveResponse = method(request, timeout=10)
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error.details()
                time.sleep(0.02)
            else:
                return answer


@pytest.mark.contract(13)
def test_the_most_that_is_overspent_is_what_the_formula_says(
    start: Start, store: StoreServer, dice: random.Random
) -> None:
    sidecar, ending = begin(start, store), threading.Event()
    with Caller(sidecar) as caller, books_of(store) as books:
        amount = f"0.{ALLOWANCE:09d} USD"
        caller.apply(
            f"budgets: {{b: {{limit: 0.{LIMIT:09d} USD, window: year, store_away: {{allowance: {amount}}}}}}}"
        )
        spenders = [Spender(caller, number) for number in range(6)]
        threads = [threading.Thread(target=each.run, args=(ending,)) for each in spenders]
        for thread in threads:
            thread.start()
        kill_at_random(store, dice)
        eventually(lambda: is_back(sidecar))
        eventually(lambda: caller.budget("b").remaining <= 0)
        ending.set()
        for thread in threads:
            thread.join()
        eventually(lambda: is_back(sidecar))
        state = caller.budget("b")
        assert (state.held, list(caller.list_holds().holds)) == (0, [])
        assert state.spent == sum(each.allowed for each in spenders)
        assert LIMIT <= state.spent <= LIMIT + ALLOWANCE  # however often it went away
        books.check()
