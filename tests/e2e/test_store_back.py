"""What was let through while the store was away, once it is back; and what is never let through."""

import os
import shutil
import signal

import grpc
import pytest

from tallystick.store.keys import partition_of
from tallystick.v1 import admin_pb2
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import books_of
from tests.e2e.caller import ALLOW, DENY, LONG_S, Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import eventually, is_serving, metric
from tests.e2e.test_store_away import AWAY, USD, begin, is_back, prepare, store
from tests.servers import SidecarProcess, StoreServer, free_port

__all__ = ["store"]

CODE = grpc.StatusCode
pytestmark = pytest.mark.contract(13)
ONE = """\
wallets: {org: {}}
holds: {ttl: 1h}
budgets:
  one: {limit: 100 USD, window: day, store_away: {allowance: 5 USD}}
"""


def again(sidecar: SidecarProcess, start: Start, store: StoreServer) -> SidecarProcess:
    """Another sidecar with the same data."""
    http = f"127.0.0.1:{free_port()}"
    return start(directory=sidecar.directory, STORE_URL=store.url, HTTP_LISTEN=http)


@pytest.mark.contract(4)
def test_it_is_a_hold_like_any_other(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller, books_of(store) as books:
        prepare(caller, ONE)
        store.kill()
        answers = {name: caller.allowed(1 * USD, reservation_id=name) for name in "abcd"}
        store.start()
        eventually(lambda: is_back(sidecar))
        assert (caller.wallet().held, caller.budget("one").held, books.open_holds()) == (4 * USD, 4 * USD, 4)
        retried = caller.reserve(1 * USD, reservation_id="a")
        assert (retried.result, retried.tally, retried.wallet) == (ALLOW, answers["a"].tally, "org")
        with fails(CODE.ALREADY_EXISTS):
            caller.reserve(2 * USD, reservation_id="a")
        caller.extend("a", ttl=7200)
        caller.release("b")
        assert caller.settle("a", USD // 2).late is False
        assert caller.settle("c", USD // 4, tally=answers["c"].tally).charged.nano_usd == USD // 4
        assert (caller.wallet().spent, caller.wallet().held) == (USD // 2 + USD // 4, 1 * USD)
        books.check()


@pytest.mark.contract(4)
@pytest.mark.contract(5)
def test_a_reserve_is_retried_whose_hold_the_store_has_lost(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller, books_of(store) as books:
        prepare(caller, ONE)
        tally = caller.allowed(1 * USD, reservation_id="a").tally
        books.forget()
        caller.settle("a", 1, tally=tally)
        retried = caller.reserve(1 * USD, reservation_id="a")
        assert (retried.result, retried.tally, list(retried.budgets)) == (ALLOW, tally, [])


@pytest.mark.contract(4)
@pytest.mark.contract(5)
def test_a_reserve_is_retried_whose_end_came_while_the_store_was_away(
    start: Start, store: StoreServer
) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller, books_of(store) as books:
        prepare(caller, ONE)
        first = caller.allowed(3 * USD, reservation_id="a")
        store.kill()
        caller.settle("a", 1 * USD, tally=first.tally)
        again = caller.reserve(3 * USD, reservation_id="a")
        assert (again.result, again.tally, again.store_away) == (ALLOW, first.tally, True)
        with fails(CODE.ALREADY_EXISTS):
            caller.reserve(4 * USD, reservation_id="a")
        assert caller.reserve(5 * USD, reservation_id="b").result == ALLOW  # it took nothing of the allowance
        store.start()
        eventually(lambda: is_back(sidecar))
        assert (caller.wallet().spent, caller.wallet().held) == (1 * USD, 5 * USD)
        books.check()


@pytest.mark.contract(1)
def test_nobody_is_refused_whose_call_the_store_may_hold(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store, STORE_TIMEOUT_MS="300")
    with Caller(sidecar) as caller:
        prepare(caller, ONE)
        caller.allowed(1, reservation_id="warm")
        os.kill(store.pid, signal.SIGSTOP)
        for _ in range(3):  # once it was sent; then the connection is known to be gone
            with fails(CODE.UNAVAILABLE, "the same id finds out"):
                caller.reserve(6 * USD, reservation_id="x")
        denied = caller.reserve(6 * USD, reservation_id="y")
        assert (denied.result, denied.refusal.reason) == (DENY, AWAY)
        assert caller.reserve(4 * USD, reservation_id="z").result == ALLOW
        os.kill(store.pid, signal.SIGCONT)
        eventually(lambda: is_back(sidecar))
        assert caller.wallet().held in (4 * USD + 1, 10 * USD + 1)  # the store did it, or never read it
        assert caller.reserve(6 * USD, reservation_id="x").result == ALLOW
        assert caller.wallet().held == 10 * USD + 1


def test_a_tenant_that_is_suspended_stays_so_at_every_sidecar(start: Start, store: StoreServer) -> None:
    sidecars = [begin(start, store), begin(start, store)]
    with Caller(sidecars[0]) as first, Caller(sidecars[1], tenant=first.tenant) as second:
        prepare(first, ONE)
        second.allowed(1)
        switch = admin_pb2.SuspendTenantRequest(tenant=first.tenant, by="ann", reason="a loop")
        first.administration.SuspendTenant(switch, timeout=LONG_S)
        eventually(lambda: metric(sidecars[1], "tallystick_tenants_suspended") == 1)
        store.kill()
        for caller in (first, second):
            assert caller.reserve(1).refusal.reason == pb.REASON_TENANT_SUSPENDED


def test_one_that_was_resumed_is_let_through(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller:
        prepare(caller, ONE)
        switch = admin_pb2.SuspendTenantRequest(tenant=caller.tenant, by="ann", reason="a loop")
        caller.administration.SuspendTenant(switch, timeout=LONG_S)
        assert caller.reserve(1).refusal.reason == pb.REASON_TENANT_SUSPENDED
        back_on = admin_pb2.ResumeTenantRequest(tenant=caller.tenant, by="ann", reason="found it")
        caller.administration.ResumeTenant(back_on, timeout=LONG_S)
        store.kill()
        assert caller.reserve(1).result == ALLOW


def test_an_allowance_is_for_a_window_however_often_the_store_goes(start: Start, store: StoreServer) -> None:
    """And however often the sidecar is started."""
    sidecar = begin(start, store)
    with Caller(sidecar) as caller:
        prepare(caller, ONE)
        for amount in (3, 2):
            store.kill()
            caller.allowed(amount * USD)
            assert caller.refused(3 * USD).budget == "one"
            store.start()
            eventually(lambda: is_back(sidecar))
        tenant = caller.tenant
    sidecar.kill()
    sidecar = again(sidecar, start, store)
    with Caller(sidecar, tenant=tenant) as caller:
        assert caller.reserve(1).store_away is False
        store.kill()
        assert caller.refused(1).reason == AWAY


def test_two_sidecars_with_one_journal_are_one_too_many(start: Start, store: StoreServer) -> None:
    first = begin(start, store)
    second = start(directory=first.directory, wait=False, STORE_URL=store.url)
    assert second.exit_code() != 0
    assert "another sidecar writes it; give each its own" in second.log
    assert is_serving(first)


@pytest.mark.contract(5)
def test_a_store_that_comes_back_with_a_past_is_told_once_it_is_thawed(
    start: Start, store: StoreServer
) -> None:
    """The journal waits while the partition is frozen; then it and the tallies tell what was lost."""
    sidecar, files = begin(start, store), store.directory / "appendonlydir"
    with Caller(sidecar) as caller:
        prepare(caller, ONE)
        shutil.copytree(files, store.directory / "past")
        lost = caller.allowed(1 * USD, reservation_id="lost")
        store.kill()
        away = caller.allowed(2 * USD, reservation_id="away")
        caller.settle("away", 1 * USD, tally=away.tally)
        caller.allowed(2 * USD, reservation_id="open")
        shutil.rmtree(files)
        (store.directory / "past").rename(files)
        store.start()
        eventually(lambda: metric(sidecar, "tallystick_partitions_frozen") == 1)
        with fails(CODE.UNAVAILABLE, "is frozen"):
            caller.reserve(1)
        assert metric(sidecar, "tallystick_journaled") == 2
        partition = partition_of(caller.tenant, 64)
        thaw = admin_pb2.ThawPartitionRequest(partition=partition, by="ann", reason="an old backup")
        caller.administration.ThawPartition(thaw, timeout=LONG_S)
        eventually(lambda: is_back(sidecar))
        assert (caller.wallet().spent, caller.wallet().held) == (1 * USD, 2 * USD)
        assert caller.settle("lost", 1 * USD, tally=lost.tally).late
        caller.release("open")
        assert (caller.wallet().spent, caller.wallet().held) == (2 * USD, 0)
        with books_of(store) as books:
            books.check()
