import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tallystick.store.address import parse_store_url
from tallystick.store.embedded import bundled_binary
from tallystick.store.valkey import ValkeyStore
from tests.servers import REDIS
from tests.store_nodes import Cluster, Sentinels

Connect = Callable[..., Awaitable[ValkeyStore]]


@pytest.fixture(params=["valkey", "redis"])
def binary(request: pytest.FixtureRequest) -> str:
    """The server that nodes run."""
    if request.param == "valkey":
        return str(bundled_binary())
    if REDIS is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    return REDIS


@pytest.fixture
def cluster(directory: Path, binary: str) -> Iterator[Cluster]:
    """Three masters, each with a replica."""
    made = Cluster(directory, binary)
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture
def sentinels(directory: Path, binary: str) -> Iterator[Sentinels]:
    """A master, two replicas, three Sentinels."""
    made = Sentinels(directory, binary)
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Opens a store by its URL."""
    made: list[ValkeyStore] = []

    async def open_store(url: str, partitions: int, **options: object) -> ValkeyStore:
        store = ValkeyStore(parse_store_url(url), partitions=partitions, **options)  # type: ignore[arg-type]
        made.append(store)
        await asyncio.wait_for(store.open(), 30)
        return store

    yield open_store
    for store in made:
        await store.close()
    await asyncio.sleep(0)
