"""Durability `replicated`: what was answered is on the replicas, whoever is killed."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.core.errors import StoreUnavailable, StoreUnusable
from tallystick.store.asks import Replayed
from tallystick.store.durability import Durability, Promise
from tests.nodes.conftest import Connect
from tests.nodes.load import COST, Load
from tests.store.audit import check_holds
from tests.store.backends import state_of
from tests.store_nodes import Cluster, Node, Sentinels, wait_for

PARTITIONS = 4
KEPT = ("--appendfsync", "always", "--min-replicas-to-write", "1")
REPLICATED = Promise(Durability.REPLICATED, 1)


@pytest.fixture
def sentinels(directory: Path, binary: str) -> Iterator[Sentinels]:
    """As they must be."""
    made = Sentinels(directory, binary, KEPT)
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture
def cluster(directory: Path, binary: str) -> Iterator[Cluster]:
    """As it must be."""
    made = Cluster(directory, binary, KEPT)
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture
def pair(directory: Path, binary: str) -> Iterator[tuple[Node, Node]]:
    """A master with one replica."""
    master, replica = (Node(directory, binary, ["--appendonly", "yes", *KEPT]) for _ in range(2))
    try:
        master.start()
        replica.start()
        replica.raw.replicaof("127.0.0.1", str(master.port))
        wait_for(lambda: replica.replication()["master_link_status"] == "up", "the replica follows")
        wait_for(lambda: master.replication()["min_slaves_good_slaves"] == 1, "the replica is good")
        yield master, replica
    finally:
        master.end(signal.SIGKILL)
        replica.end(signal.SIGKILL)


async def test_a_killed_master_takes_no_acknowledged_settle_with_it(
    sentinels: Sentinels, connect: Connect
) -> None:
    load = Load(await connect(sentinels.url, PARTITIONS, promise=REPLICATED), 4)
    await load.start(16)
    await load.more(300)
    sentinels.master.kill()
    await load.more(300)
    await load.stop()
    load.check(lambda p: sentinels.master.raw, PARTITIONS, all_kept=True)


async def test_a_killed_master_of_a_cluster_takes_none_either(cluster: Cluster, connect: Connect) -> None:
    load = Load(await connect(cluster.url, PARTITIONS, promise=REPLICATED), 8)
    await load.start(16)
    await load.more(300)
    victim = cluster.owner(0)
    replica = cluster.replica_of(victim)
    victim.kill()
    await asyncio.to_thread(wait_for, lambda: replica.role() == "master", "the replica is a master")
    victim.start()  # as its replica, without which nothing is answered
    await load.more(300)
    await load.stop()
    await asyncio.to_thread(wait_for, lambda: len(cluster.masters) == 3, "there are three masters again")
    load.check(lambda p: cluster.owner(p).raw, PARTITIONS, all_kept=True)


async def test_what_no_replica_has_is_not_answered_and_the_same_id_finds_it(
    pair: tuple[Node, Node], connect: Connect
) -> None:
    master, replica = pair
    store = await connect(f"redis://{master.place}", 1, promise=REPLICATED, timeout_s=1.0)
    load = Load(store, 1)
    await load.start(0)
    (desk,) = load.desks
    other = await connect(f"redis://{master.place}", 1, promise=REPLICATED, timeout_s=1.0)
    replica.tell(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed"):
        await desk.reserve(COST, reservation_id="a")
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas confirmed"):  # a replay of what others wrote
        await desk.at(other).reserve(COST, reservation_id="a")
    replica.tell(signal.SIGCONT)
    await load.until_answered(lambda: desk.release("b"))
    assert isinstance(await desk.reserve(COST, reservation_id="a"), Replayed)
    await desk.settle("a", COST)
    check_holds(state_of(master.raw, 0))
    assert [entry.fields["id"] for entry in state_of(replica.raw, 0).log][-1] == "a"


async def test_a_fast_store_that_keeps_no_file_is_used_with_a_warning(
    pair: tuple[Node, Node], connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    master, _ = pair
    master.raw.config_set("appendonly", "no")
    await connect(f"redis://{master.place}", 1)
    assert "keeps no append-only file; set appendonly yes" in caplog.text


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("appendonly", "no", "keeps no append-only file; set appendonly yes"),
        ("appendfsync", "everysec", "has appendfsync everysec; set always"),
        ("min-replicas-to-write", "0", "has min-replicas-to-write 0; set 1"),
    ],
)
async def test_a_store_that_does_not_keep_the_promise_is_refused(
    pair: tuple[Node, Node], connect: Connect, setting: str, value: str, says: str
) -> None:
    master, _ = pair
    master.raw.config_set(setting, value)
    with pytest.raises(StoreUnusable, match=f"^durability replicated: the store {says}"):
        await connect(f"redis://{master.place}", 1, promise=REPLICATED)


@pytest.mark.parametrize("more", [0, 1])
async def test_replicas_that_confirm_nothing_are_told_of(
    pair: tuple[Node, Node], directory: Path, binary: str, connect: Connect, more: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    master, _ = pair
    others = [Node(directory, binary, ["--appendonly", "yes", *KEPT]) for _ in range(more)]
    try:
        for each in others:
            each.start()
            each.raw.replicaof("127.0.0.1", str(master.port))
        known = "connected_slaves"
        wait_for(lambda: master.replication()[known] == 1 + more, "the master knows its replicas")
        await connect(f"redis://127.0.0.1:{master.port}", PARTITIONS, promise=REPLICATED)
    finally:
        for each in others:
            each.end(signal.SIGKILL)
    told = [record.getMessage() for record in caplog.records if "replicas confirm" in record.getMessage()]
    assert bool(told) == bool(more)
    assert all("1 of 2 replicas" in text and "TALLYSTICK_REPLICAS to 2" in text for text in told)
