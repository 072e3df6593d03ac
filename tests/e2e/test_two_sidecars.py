"""Several sidecars on one store: none holds an authority of its own."""

from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import books_of
from tests.e2e.caller import LONG_S, Caller, fails, new_tenant
from tests.e2e.test_tenants_over_grpc import resume, suspend
from tests.servers import SidecarProcess, StoreServer, short_directory

ORG = "wallets: {org: {}}\n"


class Pair:
    """Two sidecars of one store, each on its own transport, and a tenant that calls both."""

    def __init__(self, ending: ExitStack, **settings: str) -> None:
        self.store = StoreServer(ending.enter_context(short_directory()))
        self.store.start()
        ending.callback(self.store.stop)
        self.sidecars = []
        for transport in ("native", "grpcio"):
            directory = ending.enter_context(short_directory())
            sidecar = SidecarProcess(directory, TRANSPORT=transport, STORE_URL=self.store.url, **settings)
            sidecar.start()
            ending.callback(sidecar.stop)
            self.sidecars.append(sidecar)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with ExitStack() as ending:
        yield Pair(ending)


@pytest.fixture
def two(pair: Pair) -> Iterator[tuple[Caller, Caller]]:
    tenant = new_tenant()
    with Caller(pair.sidecars[0], tenant=tenant) as one, Caller(pair.sidecars[1], tenant=tenant) as other:
        yield one, other


@pytest.mark.contract(14)
def test_each_can_end_what_the_other_began(two: tuple[Caller, Caller]) -> None:
    one, other = two
    one.apply(ORG)
    other.credit(1_000)
    tallies = {name: one.allowed(50, reservation_id=name).tally for name in ("a", "b", "c", "d")}
    assert other.settle("a", 30).charged.nano_usd == 30
    assert other.settle("b", 20, tally=tallies["b"]).charged.nano_usd == 20
    assert other.release("c").released.nano_usd == 50
    assert other.extend("d", 5, extension_id="e", tally=tallies["d"]).cost.nano_usd == 55
    assert other.allowed(50, reservation_id="a").tally == tallies["a"]
    with fails(grpc.StatusCode.ALREADY_EXISTS):
        one.settle("a", 31)
    assert one.balance() == other.balance()
    assert (one.wallet().spent, one.wallet().held) == (50, 55)


@pytest.mark.contract(14)
def test_a_limit_is_one_limit_however_many_ask(two: tuple[Caller, Caller]) -> None:
    two[0].apply("budgets:\n  all: {limit: 100 requests, window: total}")
    calls = [
        two[number % 2].budgets.Reserve.future(two[number % 2].ask(1), timeout=30) for number in range(300)
    ]
    assert sum(call.result().result == pb.RESULT_ALLOW for call in calls) == 100


@pytest.mark.contract(14)
def test_a_policy_holds_from_the_next_call_on_everywhere(two: tuple[Caller, Caller]) -> None:
    one, other = two
    rules = "budgets:\n  all: {limit: 0.0000001 USD, window: total}"
    assert one.apply(rules).version == 1
    for caller in two:
        caller.allowed(40)
    assert other.refused(40).shortfall == 20
    one.apply(rules.replace("0.0000001", "0.0000002"))
    state = other.allowed(40).budgets[0]
    assert (state.limit, state.held, state.remaining) == (200, 120, 80)  # usage stays
    other.apply(rules.replace("0.0000001", "0.00000005"))
    refusal = one.refused(1)
    assert (refusal.reason, refusal.shortfall) == (pb.REASON_BUDGET_EXHAUSTED, 71)
    other.apply(ORG + rules.replace("0.0000001", "0.000001"))
    assert one.refused(1).reason == pb.REASON_INSUFFICIENT_FUNDS
    assert one.balance().policy_version == 4


@pytest.mark.contract(14)
def test_a_bad_policy_leaves_the_one_in_force(two: tuple[Caller, Caller]) -> None:
    one, other = two
    one.apply("budgets:\n  all: {limit: 0.0000001 USD, window: total}")
    for bad, line in (("budgets:\n  all: {limit: 5 EUR, window: total}", "line 3"), ("wallet: {}", "line 2")):
        with fails(grpc.StatusCode.INVALID_ARGUMENT, line):
            other.apply(bad)
    with fails(grpc.StatusCode.ABORTED, "version 1"):
        other.apply("unmatched: allow", expected=7)
    assert not other.apply("budgets:\n  all: {limit: 0.0000001 USD, window: total}").changed
    for caller in two:
        assert caller.balance().policy_version == 1
        assert caller.refused(101).reason == pb.REASON_CAN_NEVER_FIT
    assert other.apply("unmatched: allow", expected=1).version == 2


@pytest.mark.contract(14)
def test_one_dies_and_the_other_goes_on_with_the_same_truth(pair: Pair, two: tuple[Caller, Caller]) -> None:
    one, other = two
    one.apply(ORG)
    one.credit(1_000)
    tallies = [one.allowed(10, reservation_id=f"r{n}").tally for n in range(20)]
    before = one.balance()
    pair.sidecars[0].kill()
    try:
        assert other.balance() == before
        for n in range(10):
            assert other.settle(f"r{n}", 7, tally=tallies[n] if n % 2 else b"").charged.nano_usd == 7
        assert other.refused(831).shortfall == 1
        other.allowed(830, reservation_id="rest")
        with books_of(pair.store) as books:
            books.check()
    finally:
        pair.sidecars[0].start()
    assert one.settle("rest", 1).charged.nano_usd == 1
    assert one.wallet().spent == 71


@pytest.mark.contract(14)
def test_a_tenant_suspended_by_one_is_refused_by_the_other(two: tuple[Caller, Caller]) -> None:
    one, other = two
    one.apply(ORG)
    one.credit(1_000)
    other.allowed(1)  # with a plan that it remembers
    suspend(one)
    assert other.refused(1).reason == pb.REASON_TENANT_SUSPENDED
    resume(other)
    one.allowed(1)


@pytest.mark.contract(14)
def test_tokens_of_one_are_taken_by_the_other(two: tuple[Caller, Caller]) -> None:
    one, other = two
    one.apply(ORG)
    one.credit(1_000)
    for number in range(3):
        one.allowed(1, reservation_id=f"r-{number}")
    first = one.list_holds(page_size=1)
    following = other.list_holds(page_size=5, page_token=first.next_page_token).holds
    assert [hold.reservation_id for hold in [*first.holds, *following]] == ["r-0", "r-1", "r-2"]
    request = apb.TailLedgerRequest(tenant=one.tenant)
    position = next(one.administration.TailLedger(request, timeout=LONG_S)).position
    one.release("r-0")
    request = apb.TailLedgerRequest(tenant=one.tenant, position=position)
    (answer,) = other.administration.TailLedger(request, timeout=LONG_S)
    assert [(entry.kind, entry.of) for entry in answer.entries] == [("release", "r-0")]
