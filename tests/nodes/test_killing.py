"""Store, replicas and sidecars are killed at random moments under load: what was promised holds after it."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.caller import ALLOW, Caller
from tests.e2e.faults import eventually
from tests.e2e.test_store_away import is_back
from tests.seeds import seed_of_run
from tests.servers import SidecarProcess, free_port, short_directory
from tests.store.audit import check_holds, check_kept, check_ledger, check_money
from tests.store.backends import State, state_of
from tests.store_nodes import SERVICE, Node, Sentinels, wait_for

PARTITIONS = 4
LIMIT, ALLOWANCE, COST = 600, 60, 3
AMPLE = "wallets: {org: {}}\nholds: {ttl: 1h}\nbudgets: {all: {limit: 1000 USD, window: year}}"
TIGHT = (
    "holds: {ttl: 1h}\n"
    f"budgets: {{b: {{limit: 0.{LIMIT:09d} USD, window: year, "
    f"store_away: {{allowance: 0.{ALLOWANCE:09d} USD}}}}}}"
)
DEADLINE_S, PATIENCE_S = 10.0, 60.0


@pytest.fixture
def sentinels(directory: Path, binary: str) -> Iterator[Sentinels]:
    """A master and two replicas, both of which confirm what is answered: either may become the master.

    With one that confirms, Sentinels were seen to choose the other: they go by what they heard before.
    """
    made = Sentinels(directory, binary, ["--appendfsync", "always", "--min-replicas-to-write", "2"])
    try:
        made.start()
        yield made
    finally:
        made.end()


@contextmanager
def two_sidecars(store: Sentinels) -> Iterator[list[SidecarProcess]]:
    with ExitStack() as ending:
        sidecars = [
            SidecarProcess(
                ending.enter_context(short_directory()),
                STORE_URL=store.url,
                DURABILITY="replicated",
                REPLICAS="2",
                PARTITIONS=str(PARTITIONS),
                STORE_TIMEOUT_MS="1000",
                HTTP_LISTEN=f"127.0.0.1:{free_port()}",
            )
            for _ in range(2)
        ]
        for each in sidecars:
            each.start()
            ending.callback(each.stop)
        yield sidecars


class Spenders:
    """Callers of a tenant who reserve and settle through either sidecar, and insist with the same id."""

    def __init__(self, callers: Sequence[Caller], count: int, seed: int) -> None:
        self._callers = callers
        self._seed = seed
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]
        self._lock = threading.Lock()
        self.settled = Counter[str]()
        """Acknowledged, by id."""
        self.refused = set[str]()
        self.problems: list[BaseException] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        assert not self.problems, self.problems[:3]

    def _run(self, number: int) -> None:
        dice, asked = random.Random(f"{self._seed} {number}"), 0
        try:
            while not self._ending.is_set():
                asked += 1
                self._spend(dice, f"s-{number}-{asked}")
        except BaseException as problem:  # noqa: BLE001 - it is raised where they end
            self.problems.append(problem)

    def _spend(self, dice: random.Random, name: str) -> None:
        one = self._callers[0]
        held = self._insist(dice, "Reserve", one.ask(COST, reservation_id=name))
        if held.result != ALLOW:
            with self._lock:
                self.refused.add(name)
            time.sleep(0.02)
            return
        self._insist(dice, "Settle", one.end(name, COST, tally=held.tally))
        with self._lock:
            self.settled[name] += 1

    def _insist(self, dice: random.Random, method: str, request: Any) -> Any:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return getattr(dice.choice(self._callers).budgets, method)(request, timeout=DEADLINE_S)
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), error
                assert time.monotonic() < until, error.details()
                time.sleep(dice.uniform(0.01, 0.05))


class Killer:
    """kill -9 of one thing at a time, at random moments; it comes back after a random time."""

    def __init__(self, store: Sentinels, sidecars: Sequence[SidecarProcess], dice: random.Random) -> None:
        self._store, self._sidecars, self._dice = store, sidecars, dice
        self.killed = Counter[str]()

    def run(self, kinds: Sequence[str]) -> None:
        """One of each kind, in this order."""
        for kind in kinds:
            time.sleep(self._dice.uniform(0.2, 1.0))
            {"master": self._master, "replica": self._replica, "sidecar": self._sidecar}[kind]()
            self.killed[kind] += 1

    def _master(self) -> None:
        victim = self._named()
        victim.kill()
        wait_for(lambda: self._named() is not victim and self._named().role() == "master", "a failover")
        self._follow(victim)

    def _replica(self) -> None:
        victim = self._dice.choice([node for node in self._store.nodes if node is not self._named()])
        victim.kill()
        time.sleep(self._dice.uniform(0.1, 1.0))
        self._follow(victim)

    def _sidecar(self) -> None:
        victim = self._dice.choice(self._sidecars)
        victim.kill()
        time.sleep(self._dice.uniform(0.0, 0.5))
        victim.start()

    def _named(self) -> Node:
        """The master, as a Sentinel knows it."""
        sentinel: Any = self._store.sentinels[0].raw
        _, port = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(node for node in self._store.nodes if node.port == int(port))

    def _follow(self, node: Node) -> None:
        """Starts it again, as one that follows the master, and waits until it has all of it."""
        node.start()
        node.raw.replicaof("127.0.0.1", str(self._named().port))
        wait_for(lambda: node.replication().get("master_link_status") == "up", "it follows")


def settles(state: State, tenant: str) -> list[str]:
    told = (entry.fields for entry in state.log)
    return [f["id"] for f in told if f["kind"] == "settle" and f["tenant"] == tenant]


def check(store: Sentinels, spenders: dict[str, Spenders]) -> None:
    """Open holds are what is held, the ledger is the counters, and each settle is in it once."""
    states = [state_of(store.master.raw, partition) for partition in range(PARTITIONS)]
    for state in states:
        check_holds(state)
        check_kept(state)
        check_ledger(state)
        check_money(state)
    for tenant, each in spenders.items():
        found = Counter(name for state in states for name in settles(state, tenant))
        assert max(found.values()) == 1
        assert found.keys() == each.settled.keys()


def rounds(seconds: float, dice: random.Random) -> Iterator[list[str]]:
    """Each kind once, in random order, until the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield dice.sample(["master", "replica", "sidecar"], 3)


@pytest.mark.contract(1)
@pytest.mark.contract(4)
@pytest.mark.contract(13)
@pytest.mark.contract(14)
@pytest.mark.parametrize(
    "seconds", [pytest.param(5, id="short"), pytest.param(60, id="minute", marks=pytest.mark.long)]
)
def test_whatever_is_killed_each_settle_counts_once_and_no_limit_is_passed_by_more_than_is_said(
    sentinels: Sentinels, seconds: float
) -> None:
    dice = random.Random(seed_of_run())
    with two_sidecars(sentinels) as sidecars, ExitStack() as ending:
        ample, tight = (both(ending, sidecars, policy) for policy in (AMPLE, TIGHT))
        ample[0].credit(10**12)
        spenders = {callers[0].tenant: Spenders(callers, 6, seed_of_run()) for callers in (ample, tight)}
        for spender in spenders.values():
            spender.start()
        killer = Killer(sentinels, sidecars, dice)
        try:
            for kinds in rounds(seconds, dice):
                killer.run(kinds)
        finally:
            for spender in spenders.values():
                spender.end()
        eventually(lambda: all(is_back(each) for each in sidecars), PATIENCE_S)
        for caller in (ample[0], tight[0]):  # a channel waits a while before it tries again
            grpc.channel_ready_future(caller.channel).result(PATIENCE_S)
        check(sentinels, spenders)
        of_ample, of_tight = spenders[ample[0].tenant], spenders[tight[0].tenant]
        wallet, state = ample[0].wallet(), tight[0].budget("b")
        assert (wallet.spent, wallet.held) == (len(of_ample.settled) * COST, 0)
        assert state.spent == len(of_tight.settled) * COST
        assert state.spent + state.held <= LIMIT + len(sidecars) * ALLOWANCE
        # Sent by one sidecar, whose answer was lost, and refused by the other, which knew of nothing.
        assert {hold.reservation_id for hold in tight[0].list_holds().holds} <= of_tight.refused
        assert of_tight.refused
        assert min(killer.killed.values()) >= 1


def both(ending: ExitStack, sidecars: Sequence[SidecarProcess], policy: str) -> list[Caller]:
    """A tenant's callers of each sidecar, which know the policy."""
    first = ending.enter_context(Caller(sidecars[0]))
    callers = [first, ending.enter_context(Caller(sidecars[1], tenant=first.tenant))]
    first.apply(policy)
    for each in callers:
        each.budgets.Balance(pb.BalanceRequest(tenant=each.tenant))
    return callers
