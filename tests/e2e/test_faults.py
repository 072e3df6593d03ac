"""Faults of the store and of the sidecar: what was promised holds after each of them."""

import os
import signal
import time
from collections.abc import Iterator

import grpc
import pytest

from tests.e2e.books import books_of
from tests.e2e.caller import LONG_S, Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import DEADLINE_S, Load, eventually, is_running, is_serving, metric, stopped
from tests.servers import StoreServer, free_port, http_get, short_directory

ORG = "wallets: {org: {}}\nholds: {ttl: 1h}\n"
CODE = grpc.StatusCode
TRANSPORTS = pytest.mark.parametrize("transport", ["native", "grpcio"])
PROMPTLY_S = 5.0
"""Far below the deadlines of the calls, far above what an immediate answer takes."""


@pytest.fixture
def store() -> Iterator[StoreServer]:
    """A store apart; the test starts it."""
    with short_directory() as directory:
        # With `everysec` a busy disk lets Valkey answer before it has written what it answers.
        server = StoreServer(directory, extra=["--appendfsync", "always"])
        try:
            yield server
        finally:
            server.stop()


def fund(caller: Caller) -> None:
    caller.apply(ORG)
    caller.credit(10**12)


def is_settled(caller: Caller, reservation_id: str, nano_usd: int) -> bool:
    try:
        return bool(caller.settle(reservation_id, nano_usd).charged.nano_usd == nano_usd)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        assert error.code() is CODE.UNAVAILABLE
        return False


@TRANSPORTS
@pytest.mark.contract(5)
def test_the_embedded_store_is_killed_between_reserve_and_settle(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, DURABILITY="durable")
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        first = caller.allowed(50, reservation_id="one")
        killed = books.pid
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: is_settled(caller, "one", 30))
        assert books.pid != killed
        assert caller.reserve(50, reservation_id="one") == first
        assert (caller.wallet().funds, caller.wallet().spent) == (10**12, 30)
        eventually(lambda: is_serving(sidecar))
        books.check()


@TRANSPORTS
@pytest.mark.contract(14)
def test_the_sidecar_is_killed_between_reserve_and_settle(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport)
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        first = caller.allowed(50, reservation_id="one")
        tally = caller.allowed(60, reservation_id="two").tally
        store_pid = books.pid
        sidecar.kill()
        eventually(lambda: not is_running(store_pid))
    again = start(directory=sidecar.directory, TRANSPORT=transport)
    with Caller(again, tenant=caller.tenant) as caller, books_of(again) as books:
        assert caller.wallet().held == 110
        assert caller.settle("one", 30).charged.nano_usd == 30
        assert caller.settle("two", 40, tally=tally).charged.nano_usd == 40
        assert caller.reserve(50, reservation_id="one") == first
        assert (caller.wallet().spent, caller.wallet().held) == (70, 0)
        books.check()


@TRANSPORTS
def test_a_store_that_is_away_at_the_start_is_waited_for(
    start: Start, store: StoreServer, transport: str
) -> None:
    port = free_port()
    sidecar = start(wait=False, TRANSPORT=transport, STORE_URL=store.url, HTTP_LISTEN=f"127.0.0.1:{port}")
    eventually(lambda: "can't be reached" in sidecar.log or "no connection" in sidecar.log)
    with Caller(sidecar, tenant="acme") as caller:
        eventually(lambda: (sidecar.directory / "tallystick.sock").exists())
        assert not is_serving(sidecar)
        assert http_get(port, "/livez")[0] == 200
        status, body = http_get(port, "/readyz")
        assert (status, '"store"' in body, '"not ready"' in body) == (503, True, True)
        for _ in range(5):
            began = time.monotonic()
            with fails(CODE.UNAVAILABLE):
                caller.reserve(1)
            with fails(CODE.UNAVAILABLE):
                caller.apply(ORG)
            assert time.monotonic() - began < PROMPTLY_S
        store.start()
        sidecar.wait_serving()
        assert http_get(port, "/readyz")[0] == 200
        fund(caller)
        caller.allowed(1)


@TRANSPORTS
@pytest.mark.contract(4)
@pytest.mark.contract(10)
def test_the_store_is_killed_in_mid_load(start: Start, store: StoreServer, transport: str) -> None:
    store.start()
    sidecar = start(TRANSPORT=transport, STORE_URL=store.url)
    with Caller(sidecar) as caller:
        fund(caller)
        with Load(caller) as load:
            for _ in range(3):
                load.more()
                store.kill()
                eventually(lambda: load.codes[CODE.UNAVAILABLE] or load.problems)
                load.codes[CODE.UNAVAILABLE] = 0
                store.start()
            load.more()
        assert load.slowest_s < DEADLINE_S
        eventually(lambda: not caller.wallet().held)  # ends that came while the store was away
        wallet = caller.wallet()
        assert (wallet.spent, wallet.held) == (load.settled * Load.COST, 0)
        with books_of(store) as books:
            books.check()
            assert books.open_holds() == 0


@TRANSPORTS
def test_a_store_that_falls_silent(start: Start, store: StoreServer, transport: str) -> None:
    store.start()
    settings = {"STORE_TIMEOUT_MS": "300", "HTTP_LISTEN": "127.0.0.1:0"}
    sidecar = start(TRANSPORT=transport, STORE_URL=store.url, **settings)
    with Caller(sidecar) as caller, books_of(store) as books:
        fund(caller)
        caller.allowed(1)
        with stopped(store.pid):
            for number in range(6):
                began = time.monotonic()
                with fails(CODE.UNAVAILABLE):
                    caller.reserve(10, reservation_id=f"silent-{number}")
                assert time.monotonic() - began < PROMPTLY_S
            eventually(lambda: not is_serving(sidecar))
            assert metric(sidecar, "tallystick_store_up") == 0
            time.sleep(1.5)  # it tries to connect again and again
        eventually(lambda: is_serving(sidecar))
        for number in range(6):
            caller.allowed(10, reservation_id=f"silent-{number}")
        assert caller.wallet().held == 61
        assert metric(sidecar, "tallystick_store_reconnects_total") == 1
        books.check()
        # The tries that were given up are closed; ours is one of two.
        eventually(lambda: books.raw.info("clients")["connected_clients"] == 2)


@TRANSPORTS
@pytest.mark.contract(4)
def test_lost_connections_and_forgotten_scripts_are_not_noticed(
    start: Start, store: StoreServer, transport: str
) -> None:
    store.start()
    sidecar = start(TRANSPORT=transport, STORE_URL=store.url)
    with Caller(sidecar) as caller, books_of(store) as books:
        fund(caller)
        with Load(caller) as load:
            for _ in range(10):
                load.more(20)
                books.raw.script_flush()
                load.more(20)
                books.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert set(load.codes) == {CODE.OK}
        assert (caller.wallet().spent, caller.wallet().held) == (load.settled * Load.COST, 0)
        books.check()


def test_no_call_outlasts_its_deadline_while_the_store_is_silent(start: Start) -> None:
    sidecar = start(STORE_TIMEOUT_MS="60000")
    with Caller(sidecar) as caller, books_of(sidecar) as books:
        fund(caller)
        with stopped(books.pid):
            began = time.monotonic()
            with fails(CODE.DEADLINE_EXCEEDED):
                caller.budgets.Reserve(caller.ask(1, reservation_id="late"), timeout=0.5)
            assert time.monotonic() - began < PROMPTLY_S
        assert caller.budgets.Reserve(caller.ask(1, reservation_id="late"), timeout=LONG_S).tally
        assert caller.wallet().held == 1
