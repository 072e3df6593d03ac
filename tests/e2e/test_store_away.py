"""What happens to calls while the store is away, and what the store is told after."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books, books_of
from tests.e2e.caller import ALLOW, DENY, Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import eventually, is_serving, metric
from tests.journals import entries_in
from tests.servers import SidecarProcess, StoreServer, free_port, http_get, short_directory

CODE = grpc.StatusCode
AWAY = pb.REASON_STORE_UNAVAILABLE
TRANSPORTS = pytest.mark.parametrize("transport", ["native", "grpcio"])
USD = 10**9
BUDGETS = """\
wallets: {org: {}}
holds: {ttl: 1h}
budgets:
  daily: {per: [user], limit: 100 USD, window: day, store_away: {allowance: 5 USD}}
  slots: {per: [user], limit: 100 concurrent, store_away: allow}
  told: {limit: 1 USD, window: day, on_exhausted: alert}
"""


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with short_directory() as directory:
        server = StoreServer(directory, extra=["--appendfsync", "always"])
        server.start()
        try:
            yield server
        finally:
            server.stop()


def begin(start: Start, store: StoreServer, transport: str = "native", **settings: Any) -> SidecarProcess:
    http = f"127.0.0.1:{free_port()}"
    return start(TRANSPORT=transport, STORE_URL=store.url, HTTP_LISTEN=http, **settings)


def prepare(caller: Caller, policy: str = BUDGETS) -> None:
    """A policy that the sidecar knows, and funds."""
    caller.apply(policy)
    if "wallets" in policy:
        caller.credit(1000 * USD)
    caller.budgets.Balance(pb.BalanceRequest(tenant=caller.tenant))


def told(sidecar: SidecarProcess) -> bool:
    return metric(sidecar, "tallystick_journaled") == 0


def is_back(sidecar: SidecarProcess) -> bool:
    """Whether the store is, and knows of everything."""
    return told(sidecar) and is_serving(sidecar) and metric(sidecar, "tallystick_store_up") == 1


def marked(books: Books, caller: Caller) -> dict[str, str]:
    """What the ledger tells of calls that were decided without the store: kind and outcome by id."""
    told = [entry.fields for entry in books.of_tenant(caller.tenant).log]
    return {
        each["id"]: f"{each['kind']} {each['outcome']}"
        for each in told
        if "WITHOUT_STORE" in each.get("outcome", "")
    }


@TRANSPORTS
@pytest.mark.contract(13)
def test_an_allowance_is_let_through_and_no_more_and_the_store_is_told_of_it(
    start: Start, store: StoreServer, transport: str
) -> None:
    sidecar = begin(start, store, transport)
    with Caller(sidecar) as caller:
        prepare(caller)
        store.kill()
        first = caller.reserve(3 * USD, reservation_id="a")
        assert (first.result, first.store_away, first.wallet) == (ALLOW, True, "org")
        assert caller.reserve(3 * USD, reservation_id="a") == first
        with fails(CODE.ALREADY_EXISTS):
            caller.reserve(2 * USD, reservation_id="a")
        denied = caller.reserve(3 * USD, reservation_id="b")
        assert (denied.result, denied.refusal.reason, denied.refusal.budget) == (DENY, AWAY, "daily")
        assert (denied.refusal.shortfall, denied.refusal.retryable) == (1 * USD, True)
        assert caller.reserve(3 * USD, subject={"user": "bob"}).result == ALLOW
        assert caller.reserve(2 * USD, reservation_id="c").result == ALLOW
        settled = caller.settle("a", 1 * USD, tally=first.tally)
        assert (settled.charged.nano_usd, settled.estimated, settled.wallet) == (1 * USD, False, "org")
        assert caller.settle("a", 1 * USD, tally=first.tally) == settled
        with fails(CODE.ALREADY_EXISTS):
            caller.settle("a", 2 * USD, tally=first.tally)
        assert caller.reserve(2 * USD, reservation_id="d").result == ALLOW
        caller.release("d")
        assert caller.reserve(3 * USD).refusal.shortfall == 1 * USD
        store.start()
        eventually(lambda: is_back(sidecar))
        assert (caller.wallet().spent, caller.wallet().held) == (1 * USD, 5 * USD)
        with books_of(store) as books:
            assert len(marked(books, caller)) == 4
            assert marked(books, caller)["a"] == "settle COMPLETED WITHOUT_STORE"
            assert marked(books, caller)["c"] == "reserve WITHOUT_STORE"
            books.check()
        assert caller.settle("c", USD // 2).charged.nano_usd == USD // 2  # a hold until now
        assert (caller.wallet().spent, caller.wallet().held) == (1 * USD + USD // 2, 3 * USD)
        assert caller.reserve(3 * USD).store_away is False


@pytest.mark.contract(13)
@pytest.mark.parametrize(
    ("rules", "result", "budget"),
    [
        ("", None, ""),
        ("store_away: deny", None, ""),
        ("store_away: allow", ALLOW, ""),
        ("store_away: {allowance: 2 USD}", DENY, "one"),
        ("store_away: {allowance: 3 USD}", ALLOW, ""),
    ],
)
def test_each_budget_says_what_happens(
    start: Start, store: StoreServer, rules: str, result: "pb.Result | None", budget: str
) -> None:
    """None: there is no decision, as no budget lets anything through."""
    sidecar = begin(start, store)
    rules = f", {rules}" if rules else ""
    with Caller(sidecar) as caller, Caller(sidecar) as strict:
        prepare(caller, f"budgets:\n  one: {{limit: 9 USD, window: day{rules}}}")
        second = "two: {limit: 9 USD, window: day}"
        prepare(strict, f"budgets:\n  one: {{limit: 9 USD, window: day{rules}}}\n  {second}")
        store.kill()
        if result is None:
            with fails(CODE.UNAVAILABLE):
                caller.reserve(3 * USD)
        else:
            answer = caller.reserve(3 * USD)
            assert (answer.result, answer.refusal.budget) == (result, budget)
            answer = strict.reserve(3 * USD)  # every budget must let it through
            assert (answer.result, answer.refusal.budget) == (DENY, budget or "two")
        with Caller(sidecar) as stranger, fails(CODE.UNAVAILABLE):
            stranger.reserve(1)


@pytest.mark.contract(13)
def test_health_tells_whether_calls_are_decided(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller:
        prepare(caller, "budgets: {one: {limit: 9 USD, window: day}}")
        store.kill()
        eventually(lambda: not is_serving(sidecar))
        status, body = http_get(sidecar.http_port, "/readyz")
        assert status == 503
        assert json.loads(body)["parts"]["store"].startswith("away (circuit breaker: ")
        store.start()
        eventually(lambda: is_serving(sidecar))
        prepare(caller)
        store.kill()
        eventually(lambda: "without it" in http_get(sidecar.http_port, "/readyz")[1])
        assert http_get(sidecar.http_port, "/readyz")[0] == 200
        assert is_serving(sidecar)


@pytest.mark.contract(13)
@pytest.mark.contract(14)
def test_two_sidecars_and_a_limit_overspend_by_their_allowances_at_the_most(
    start: Start, store: StoreServer
) -> None:
    policy = "budgets: {one: {limit: 10 USD, window: day, store_away: {allowance: 3 USD}}}"
    sidecars = [begin(start, store), begin(start, store)]
    with Caller(sidecars[0]) as first, Caller(sidecars[1], tenant=first.tenant) as second:
        prepare(first, policy)
        second.budgets.Balance(pb.BalanceRequest(tenant=first.tenant))
        assert first.reserve(10 * USD).result == ALLOW
        store.kill()

        def ask(caller: Caller) -> int:
            return sum(caller.reserve(USD // 2).result == ALLOW for _ in range(10))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ask, [first, second] * 4)) == 2 * 6
        store.start()
        eventually(lambda: all(is_back(each) for each in sidecars))
        state = first.budgets.Balance(pb.BalanceRequest(tenant=first.tenant)).budgets[0]
        assert state.spent + state.held == 10 * USD + 2 * 3 * USD
        assert first.reserve(1).refusal.reason == pb.REASON_BUDGET_EXHAUSTED


@TRANSPORTS
@pytest.mark.contract(13)
def test_a_sidecar_that_is_killed_while_the_store_is_away_has_written_down_what_it_said(
    start: Start, store: StoreServer, transport: str
) -> None:
    sidecar = begin(start, store, transport)
    with Caller(sidecar) as caller:
        prepare(caller)
        store.kill()
        tally = caller.allowed(3 * USD, reservation_id="a").tally
        assert caller.allowed(1 * USD, reservation_id="b").store_away
        caller.settle("a", 2 * USD, tally=tally)
        sidecar.kill()
    with (sidecar.directory / "journal").open("ab") as journal:
        journal.write(b"0badc0de {")  # what nobody was told of
    store.start()
    again = start(
        directory=sidecar.directory,
        TRANSPORT=transport,
        STORE_URL=store.url,
        HTTP_LISTEN=f"127.0.0.1:{free_port()}",
    )
    eventually(lambda: told(again))
    with Caller(again, tenant=caller.tenant) as caller, books_of(store) as books:
        assert (caller.wallet().spent, caller.wallet().held) == (2 * USD, 1 * USD)
        assert caller.settle("b", 1, tally=b"").charged.nano_usd == 1
        assert caller.wallet().spent == 2 * USD + 1
        assert sorted(marked(books, caller)) == ["a", "b"]
        books.check()
    assert [each["kind"] for each in entries_in(sidecar.directory / "journal")] == ["used"]


@pytest.mark.contract(13)
def test_what_can_not_be_written_down_is_not_let_through(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store, JOURNAL_BYTES="2000")
    with Caller(sidecar) as caller:
        prepare(caller)
        store.kill()
        first = caller.reserve(1, reservation_id="a")
        assert first.result == ALLOW
        results = [caller.reserve(1) for _ in range(5)]
        assert results[-1].result == DENY
        assert (results[-1].refusal.reason, results[-1].refusal.budget) == (AWAY, "")
        assert caller.settle("a", 1, tally=first.tally).charged.nano_usd == 1  # an end has room of its own


@pytest.mark.contract(5)
@pytest.mark.contract(13)
def test_the_end_of_a_call_from_before_is_taken_with_its_tally(start: Start, store: StoreServer) -> None:
    sidecar = begin(start, store)
    with Caller(sidecar) as caller:
        prepare(caller, "wallets: {org: {}}")
        tally = caller.allowed(50, reservation_id="one").tally
        caller.allowed(60, reservation_id="two")
        store.kill()
        assert caller.settle("one", 30, tally=tally).charged.nano_usd == 30
        with fails(CODE.UNAVAILABLE):
            caller.settle("two", 30)
        store.start()
        eventually(lambda: is_back(sidecar))
        assert (caller.wallet().spent, caller.wallet().held) == (30, 60)
        assert caller.settle("one", 30, tally=tally).charged.nano_usd == 30
        with books_of(store) as books:
            assert marked(books, caller) == {}
            books.check()
