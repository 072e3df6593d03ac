"""A real master with replicas and Sentinels, on loopback."""

import asyncio
import signal

import pytest

from tests.nodes.conftest import Connect
from tests.nodes.load import Load
from tests.servers import until
from tests.store_nodes import SERVICE, Sentinels, errors_of, wait_for

PARTITIONS = 4


async def test_a_master_killed_in_mid_load_is_replaced(sentinels: Sentinels, connect: Connect) -> None:
    load = Load(await connect(sentinels.url, PARTITIONS), 4, thaws=True)  # not all had reached the replica
    await load.start(16)
    await load.more(300)
    sentinels.master.kill()
    await load.more(300)
    await load.stop()
    load.check(lambda p: sentinels.master.raw, PARTITIONS, all_kept=False)


async def test_a_master_that_sentinels_replaced_is_left_before_it_knows_of_that(
    sentinels: Sentinels, connect: Connect
) -> None:
    store = await connect(sentinels.url, PARTITIONS)
    load = Load(store, 4, thaws=True)  # not all had reached the replica
    await load.start(16)
    await load.more(200)
    before, wire = sentinels.master, store._runner.nodes.wires[0]
    await asyncio.to_thread(sentinels.sentinels[0].raw.execute_command, "SENTINEL", "FAILOVER", SERVICE)
    await until(lambda: wire.up and wire.address.port != before.port)
    await load.more(200)
    await load.stop()
    now = next(node for node in sentinels.nodes if node.port == wire.address.port)
    load.check(lambda p: now.raw, PARTITIONS, all_kept=False)


async def test_a_demoted_master_answers_readonly_and_the_new_one_is_looked_for(
    sentinels: Sentinels, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick.store.nodes.FOLLOW_S", 1_000.0)  # nothing else tells of it
    store = await connect(sentinels.url, PARTITIONS)
    load = Load(store, 4, thaws=True)  # not all had reached the replica
    await load.start(16)
    await load.more(200)
    old, new = sentinels.nodes[:2]
    for node in sentinels.sentinels:
        node.tell(signal.SIGSTOP)  # so that none of them mends it
    await asyncio.to_thread(new.raw.replicaof, "NO", "ONE")
    await asyncio.to_thread(old.raw.replicaof, "127.0.0.1", str(new.port))
    await asyncio.to_thread(wait_for, lambda: errors_of(old, "READONLY"), "a call was answered READONLY")
    for node in sentinels.sentinels:
        node.tell(signal.SIGCONT)
    await asyncio.to_thread(sentinels.name, new)
    await load.more(200)
    await load.stop()
    load.check(lambda p: new.raw, PARTITIONS, all_kept=False)
