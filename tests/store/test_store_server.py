"""What a real server may do to the store: forget scripts, refuse, load, fill up, be someone else's."""

import asyncio

import pytest

from tallystick.core.errors import StoreUnavailable, StoreUnusable
from tallystick.core.outcome import Mode
from tallystick.core.policy import WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import Extended, Held, Replayed
from tallystick.store.script_runner import SCRIPTS
from tallystick.store.scripts import load_script
from tallystick.store.valkey import ValkeyStore
from tests.servers import StoreServer, until
from tests.store.audit import check_holds, check_ledger
from tests.store.backends import ServerBackend
from tests.store.desk import Desk, budget, policy_of
from tests.store.test_wire import PATIENCE_S, raw

ORG = WalletTemplate("org")


async def desk_at(backend: ServerBackend) -> Desk:
    desk = Desk(backend, await backend.client(), policy_of(ORG, budget("d", 10**12)))
    await desk.credit("org", 10**12)
    return desk


def calls(backend: ServerBackend) -> dict[str, int]:
    """How often each command was run."""
    stats = backend.raw.info("commandstats")
    assert isinstance(stats, dict)
    return {name.removeprefix("cmdstat_"): row["calls"] for name, row in stats.items()}


# --- scripts -----------------------------------------------------------------------------------------


async def test_every_verb_is_one_evalsha(server_backend: ServerBackend) -> None:
    desk = await desk_at(server_backend)
    for _ in range(2):  # the second time all scripts are known
        server_backend.raw.config_resetstat()
        names = [f"a{next(desk.ids)}" for _ in range(2)]
        for name in names:
            await desk.hold(name, 10)
        await desk.extend(names[0], "e", 5)
        await desk.settle(names[0], 7)
        await desk.release(names[1])
        await desk.charge(nano_usd=3)
        await desk.take(desk.taking(1), desk.taking(2))
        await desk.balance()
        await desk.credit("org", 1)
        await desk.store.sweep(0, 10)
        await desk.store.apply_policy("other", "a document", None)
    counted = calls(server_backend)
    assert counted["evalsha"] == 11
    assert counted.keys().isdisjoint({"eval", "script|load", "multi"})


async def test_a_script_that_the_store_forgot_is_sent_once(server_backend: ServerBackend) -> None:
    desk = await desk_at(server_backend)
    await desk.hold("a", 1)
    server_backend.raw.script_flush()
    server_backend.raw.config_resetstat()
    await desk.hold("b", 1)
    await desk.hold("c", 1)
    counted = calls(server_backend)
    assert (counted["evalsha"], counted["eval"]) == (2, 1)  # the one that was unknown does not count


async def test_scripts_flushed_in_mid_load_lose_and_double_nothing(server_backend: ServerBackend) -> None:
    desk = await desk_at(server_backend)
    tasks = []
    for n in range(2_000):
        tasks.append(asyncio.create_task(desk.reserve(10, reservation_id=f"a{n}")))
        if n % 100 == 0:
            await asyncio.sleep(0.001)
            server_backend.raw.script_flush()
    replies = await asyncio.gather(*tasks)
    assert all(isinstance(reply, Held) for reply in replies)
    state = server_backend.state()
    check_holds(state)
    check_ledger(state)
    assert state.meta["open"] == 2_000


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_whole_and_say_what_they_take(name: str) -> None:
    script = load_script(name)
    assert "-- include" not in script.source
    assert script.source.startswith("#!lua")
    assert "-- ARGV" in script.source
    assert len(script.sha) == 40
    assert load_script(name) is script


# --- the first use -----------------------------------------------------------------------------------


async def test_a_store_of_another_schema_is_refused(server_backend: ServerBackend) -> None:
    server_backend.raw.hset("ts:{t.0}:meta", "schema", "999")
    with pytest.raises(StoreUnusable, match="has schema 999"):
        await server_backend.client()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
async def test_a_store_that_evicts_keys_is_refused(own_server: StoreServer, policy: str) -> None:
    with raw(own_server) as admin:
        admin.config_set("maxmemory-policy", policy)
    store = ValkeyStore(own_server.address)
    with pytest.raises(StoreUnusable, match=rf"evicts keys \({policy}\); set noeviction"):
        await store.open()
    await store.close()
    await asyncio.sleep(0)


async def test_a_store_that_does_not_tell_its_settings_is_used(own_server: StoreServer) -> None:
    with raw(own_server) as admin:
        admin.acl_setuser("default", enabled=True, reset=False, commands=["-config"])
        store = ValkeyStore(own_server.address, partitions=7)
        await store.open()
        assert store.partitions == 7
        await store.close()
        await asyncio.sleep(0)


async def test_a_key_of_another_kind_is_no_store_of_ours(server_backend: ServerBackend) -> None:
    server_backend.raw.delete("ts:{t.0}:meta")
    server_backend.raw.set("ts:{t.0}:meta", "text")
    with pytest.raises(StoreUnusable, match="WRONGTYPE"):
        await server_backend.client()


async def test_nothing_is_answered_before_it_is_open(store_server: StoreServer) -> None:
    store = ValkeyStore(store_server.address)
    assert store.partitions == 0
    with pytest.raises(StoreUnavailable, match="has not answered yet"):
        await store.release("acme", "a")
    with pytest.raises(StoreUnavailable, match="can't be reached"):
        await store.ping()


async def test_open_waits_until_the_server_is_there(own_server: StoreServer) -> None:
    own_server.stop()
    seen: list[bool] = []
    store = ValkeyStore(own_server.address, partitions=3, on_change=seen.append)
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0.1)
    assert not opening.done()
    own_server.start()
    await asyncio.wait_for(opening, PATIENCE_S)
    assert (store.partitions, seen) == (3, [True])
    await store.close()
    await asyncio.sleep(0)


# --- errors that pass --------------------------------------------------------------------------------


async def test_a_full_store_refuses_to_spend_and_still_ends(own_backend: ServerBackend) -> None:
    backend = own_backend
    desk = await desk_at(backend)
    for name in ("settled", "released", "open"):
        await desk.hold(name, 10)
    backend.raw.config_set("maxmemory", "1mb")
    before = backend.dump()
    takes = desk.take(desk.taking(1))
    for spend in (desk.reserve(10), desk.extend("open", "e", 1), desk.credit("org", 1), takes):
        with pytest.raises(StoreUnavailable, match="answers OOM"):
            await spend
    with pytest.raises(StoreUnavailable, match="answers OOM"):
        await desk.store.apply_policy("acme", "a document", None)
    assert backend.dump() == before
    assert (await desk.settle("settled", 7)).nano_usd == 7
    assert (await desk.release("released")).known
    assert (await desk.charge("charged", 3)).nano_usd == 3
    assert (await desk.balance())[1:3] == [10**12 - 10, 10]
    assert (await desk.store.sweep(0, 10)).open_holds == 1
    backend.raw.config_set("maxmemory", "0")
    assert isinstance(await desk.extend("open", "e", 1), Extended)
    check_ledger(backend.state())


async def test_a_replica_answers_nothing(own_backend: ServerBackend) -> None:
    """It may lag; what it says is no decision."""
    backend = own_backend
    desk = await desk_at(backend)
    await desk.hold("a", 10)
    backend.raw.replicaof("127.0.0.1", "1")
    asks = (desk.reserve(10), desk.settle("a", 1), desk.release("a"), desk.extend("a"), desk.balance())
    for ask in asks:
        with pytest.raises(StoreUnavailable, match=r"answers (READONLY|MASTERDOWN)"):
            await ask
    backend.raw.replicaof("NO", "ONE")
    assert (await desk.settle("a", mode=Mode.HOLD)).nano_usd == 10


async def test_a_store_that_is_loading_is_waited_for(
    own_server: StoreServer, own_backend: ServerBackend
) -> None:
    backend = own_backend
    desk = await desk_at(backend)
    held = await desk.hold("a", 10)
    for n in range(3_000):
        backend.raw.hset("filler", str(n), "x")
    own_server.stop()
    slowed = StoreServer(own_server.directory, own_server._binary, ["--key-load-delay", "300"])
    slowed.start()
    try:
        with pytest.raises(StoreUnavailable):
            await desk.reserve(10, reservation_id="a")
        store = desk.store
        assert isinstance(store, ValkeyStore)
        await until(lambda: store._runner.nodes.up)
        reply = await desk.reserve(10, reservation_id="a", content="10/0")
        assert isinstance(reply, Replayed)
        assert reply.hold.expires_ms == held.expires_ms
    finally:
        slowed.stop()


async def test_a_killed_store_keeps_its_holds(own_server: StoreServer, own_backend: ServerBackend) -> None:
    backend = own_backend
    desk = await desk_at(backend)
    backend.raw.config_set("appendfsync", "always")
    await asyncio.gather(*(desk.reserve(10, reservation_id=f"a{n}") for n in range(500)))
    own_server.kill()
    with pytest.raises(StoreUnavailable):
        await desk.release("a0")
    own_server.start()
    store = desk.store
    assert isinstance(store, ValkeyStore)
    await until(lambda: store._runner.nodes.up)
    assert backend.state().meta["open"] == 500
    await asyncio.gather(*(desk.settle(f"a{n}", 9) for n in range(500)))
    assert (await desk.balance())[1:] == [10**12 - 4_500, 0, 4_500, 0]
    check_ledger(backend.state())


async def test_an_error_that_does_not_pass_is_told_apart(server_backend: ServerBackend) -> None:
    desk = await desk_at(server_backend)
    server_backend.raw.delete("ts:{t.0}:due")
    server_backend.raw.set("ts:{t.0}:due", "text")
    with pytest.raises(StoreUnusable, match="WRONGTYPE"):
        await desk.store.sweep(0, 1)


async def test_a_plan_that_is_remembered_serves_every_call(server_backend: ServerBackend) -> None:
    """Its part of the command is encoded once; what is of the call is not."""
    desk = await desk_at(server_backend)
    plan = desk.plan()
    for name, amount in (("a", 1), ("bb", 20), ("c", 300)):
        await desk.hold(name, amount, plan=plan)
    refused = await desk.refused(10**13, plan=plan, refusal=Reason.MODEL_NOT_ALLOWED)
    assert refused.reason is Reason.MODEL_NOT_ALLOWED
    refused = await desk.refused(1, plan=plan, refusal=Reason.INSUFFICIENT_FUNDS)
    assert refused.reason is Reason.INSUFFICIENT_FUNDS
    kept = [await desk.store.hold("acme", name) for name in ("a", "bb", "c")]
    assert [hold.nano_usd for hold in kept if hold] == [1, 20, 300]
