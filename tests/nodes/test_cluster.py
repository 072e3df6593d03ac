"""A real cluster on loopback: whatever happens to its nodes, each call has one effect."""

import asyncio

import pytest

from tallystick.store.keys import partition_of
from tests.nodes.conftest import Connect
from tests.nodes.load import Load
from tests.store_nodes import Cluster, errors_of, migrate, wait_for

PARTITIONS = 12


async def test_partitions_lie_on_all_masters_and_each_is_asked_where_it_is(
    cluster: Cluster, connect: Connect
) -> None:
    load = Load(await connect(cluster.url, PARTITIONS), 12)
    await load.start(24)
    await load.more(500)
    await load.stop()
    assert {cluster.owner(p).port for p in range(PARTITIONS)} == {node.port for node in cluster.nodes[:3]}
    load.check(lambda p: cluster.owner(p).raw, PARTITIONS, all_kept=True)
    assert not load.refusals


async def test_a_master_killed_in_mid_load_is_replaced_by_its_replica(
    cluster: Cluster, connect: Connect
) -> None:
    load = Load(await connect(cluster.url, PARTITIONS), 12, thaws=True)  # not all had reached the replica
    await load.start(24)
    await load.more(300)
    victim = cluster.owner(partition_of("tenant-0", PARTITIONS))
    replica = cluster.replica_of(victim)
    victim.kill()
    await load.more(300)  # of tenants on the other nodes, too
    await asyncio.to_thread(wait_for, lambda: replica.role() == "master", "the replica is a master")
    await load.more(100, load.desks[0])
    await load.stop()
    load.check(lambda p: cluster.owner(p).raw, PARTITIONS, all_kept=False)


async def test_a_slot_moves_in_mid_load(
    cluster: Cluster, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick.store.cluster.CALM_S", 600)  # the idle one's map is an old one
    idle, store = await connect(cluster.url, PARTITIONS), await connect(cluster.url, PARTITIONS)
    load = Load(store, 12)
    desk = load.desks[0]
    await load.start(24)
    await load.more(100, desk)
    partition = partition_of("tenant-0", PARTITIONS)
    source = cluster.owner(partition)
    target = next(node for node in cluster.masters if node is not source)
    for _ in migrate(cluster, partition, source, target):
        await load.more(50)
        await asyncio.sleep(0.1)
    await load.more(100, desk)
    await load.stop()
    assert cluster.owner(partition) is target
    assert errors_of(source, "ASK")
    moved = errors_of(source, "MOVED")
    assert await idle.policy("tenant-0")
    assert errors_of(source, "MOVED") == moved + 1
    load.check(lambda p: cluster.owner(p).raw, PARTITIONS, all_kept=True)
