"""A partition that went back answers nothing, until an administrator says that it goes on."""

import asyncio

import pytest

from tallystick.background.sweeper import sweep_for_ever
from tallystick.core.errors import StoreFrozen
from tallystick.core.ledger import replay
from tallystick.core.outcome import Mode
from tallystick.core.policy import WalletTemplate
from tallystick.engine.suspensions import Suspensions
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import Held
from tallystick.store.keys import partition_keys, partition_of
from tests.servers import until
from tests.store.audit import check_holds, check_ledger
from tests.store.backends import Backend, ServerBackend
from tests.store.conftest import MakeBackend
from tests.store.desk import TTL_MS, Desk, budget, desk_at

ORG = WalletTemplate("org")


async def desk_of(backend: Backend, tenant: str = "acme") -> Desk:
    return await desk_at(backend, ORG, budget("d", 10_000), funds=10_000, tenant=tenant)


async def test_a_partition_that_is_as_far_as_was_seen_stays_as_it_is(backend: Backend) -> None:
    desk = await desk_of(backend)
    await desk.hold("a", 10)
    before = backend.dump()
    assert await desk.store.freeze(0, 1, 2) is None
    assert await desk.store.freeze(0, 0, 900) is None
    assert await desk.store.thaw(0, "ann", "to see") is None
    assert backend.dump() == before
    assert not desk.store.frozen


async def test_a_frozen_partition_answers_and_ends_nothing(backend: Backend) -> None:
    desk = await desk_of(backend)
    await desk.hold("a", 10)
    frozen = await desk.store.freeze(0, 1, 3)
    assert frozen is not None
    assert frozen == (backend.now_ms, "1-3", "1-2")
    assert await desk.store.freeze(0, 1, 99) == frozen  # the first word stands
    assert dict(desk.store.frozen) == {0: frozen}
    backend.move(2 * TTL_MS)
    before = backend.dump()
    asks = (desk.reserve(1), desk.settle("a", 1), desk.release("a"), desk.extend("a"), desk.balance())
    for ask in (*asks, desk.charge(nano_usd=1), desk.credit("org", 1), desk.store.wallets("acme")):
        with pytest.raises(
            StoreFrozen, match=r"^partition 0 of the store went back from 1-3 to 1-2 and is fro"
        ):
            await ask
    swept = await desk.store.sweep(0, 10)
    assert (swept.open_holds, swept.more, swept.frozen) == (1, False, frozen)
    assert backend.dump() == before


async def test_other_partitions_go_on(make_backend: MakeBackend) -> None:
    backend = make_backend(partitions=2)
    names = ("acme", next(f"t{n}" for n in range(99) if partition_of(f"t{n}", 2) != partition_of("acme", 2)))
    here, there = [await desk_of(backend, name) for name in names]
    await here.store.freeze(partition_of("acme", 2), 1, 500)
    with pytest.raises(StoreFrozen):
        await here.reserve(1)
    assert isinstance(await there.reserve(1), Held)


async def test_it_keeps_no_other_from_being_swept(make_backend: MakeBackend) -> None:
    """Nor where it was frozen before the sweeper had looked at it once."""
    backend = make_backend(partitions=2)
    names = [
        next(f"t{n}" for n in range(99) if partition_of(f"t{n}", 2) == partition) for partition in (0, 1)
    ]
    frozen, swept = [await desk_of(backend, name) for name in names]
    await frozen.hold("a", 10)
    await swept.hold("a", 10)
    await swept.store.freeze(0, 1, 500)
    backend.move(2 * TTL_MS)
    metrics = Metrics("test")
    sweeper = asyncio.create_task(sweep_for_ever(swept.store, Suspensions(swept.store), metrics))
    try:
        await until(lambda: metrics.registry.get_sample_value("tallystick_partitions_frozen") == 1)
    finally:
        sweeper.cancel()
    assert [int(backend.state(partition).meta["open"]) for partition in (0, 1)] == [1, 0]


async def test_thawed_it_goes_on_in_a_new_epoch(backend: Backend) -> None:
    desk = await desk_of(backend)
    await desk.hold("a", 10)
    frozen = await desk.store.freeze(0, 3, 7)
    assert await desk.store.thaw(0, "ann", "the backup will do") == frozen
    assert not desk.store.frozen
    held = await desk.hold("b", 20)
    assert (held.stamp.epoch, held.stamp.seq) == (4, 4)
    await desk.settle("a", 7)
    state = backend.state()
    entry = state.log[2]
    told = {"kind": "thaw", "at": str(backend.now_ms), "tenant": "", "id": "3-7", "found": "1-2"}
    assert entry == ("4-3", told | {"by": "ann", "reason": "the backup will do"})
    check_holds(state)
    check_ledger(state)
    assert replay(state.log)


# --- what a client sees by itself --------------------------------------------------------------------


async def went_back(backend: ServerBackend) -> tuple[Desk, Desk]:
    """Two sidecars' clients, and a store that lost the second hold of the first."""
    desk = await desk_of(backend)
    other = desk.at(await backend.client())
    await desk.hold("kept", 10)
    snapshot = backend.snapshot()
    await desk.hold("lost", 10)
    await desk.hold("lost, too", 10)
    for client in (desk.store, other.store):
        await client.sweep(0, 1)
    seen = [client._seen for client in backend._clients]
    backend.restore(snapshot)
    for client, places in zip(backend._clients, seen, strict=True):
        client._seen = places
    return desk, other


@pytest.mark.parametrize("verb", ["reserve", "settle", "sweep"])
async def test_a_store_that_lost_what_was_seen_is_frozen_by_the_first_reply(
    server_backend: ServerBackend, verb: str
) -> None:
    desk, other = await went_back(server_backend)
    if verb == "sweep":
        assert (await desk.store.sweep(0, 1)).frozen
    else:
        ask = desk.refused(10**9) if verb == "reserve" else desk.settle("kept", 1, mode=Mode.COST)
        with pytest.raises(StoreFrozen, match="went back from 1-4 to 1-"):
            await ask
    assert list(desk.store.frozen) == [0]
    with pytest.raises(StoreFrozen):
        await desk.reserve(1)
    assert (await other.store.sweep(0, 1)).frozen == desk.store.frozen[0]  # others hear of it
    with pytest.raises(StoreFrozen):
        await other.reserve(1)
    await desk.store.thaw(0, "ann", "")
    assert isinstance(await desk.reserve(1), Held)
    assert not (await other.store.sweep(0, 1)).frozen
    assert isinstance(await other.reserve(1), Held)
    check_ledger(server_backend.state())


async def test_a_reply_that_was_overtaken_on_its_way_freezes_nothing(server_backend: ServerBackend) -> None:
    """While a slot moves two nodes answer, and their replies may cross."""
    desk = await desk_of(server_backend)
    await desk.hold("a", 10)
    (client,) = server_backend._clients
    client._seen[0] = (1, 3)
    server_backend.raw.hset(partition_keys(0)[0], "seq", "3")  # by now
    stale = (await desk.store.sweep(0, 1)).stamp._replace(seq=2)
    assert client._behind(0, stale)
    await client._look_again(0)
    assert not client.frozen
