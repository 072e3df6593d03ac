import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.seeds import seed_of_run
from tests.servers import REDIS, StoreServer
from tests.store.backends import Backend, MemoryBackend, ServerBackend

MakeBackend = Callable[..., Backend]


@pytest.fixture(params=["memory", "valkey", "redis"])
def kind_of_backend(request: pytest.FixtureRequest) -> MakeBackend:
    """How a store of each kind is made."""
    if request.param == "memory":
        return MemoryBackend
    server: StoreServer = request.getfixturevalue(f"{request.param}_server")
    return lambda **options: ServerBackend(server, **options)


@pytest.fixture
async def make_backend(kind_of_backend: MakeBackend) -> AsyncIterator[MakeBackend]:
    """Makes an empty store of each kind; as keywords, `partitions` and `retention_ms`."""
    made: list[Backend] = []

    def make(**options: int) -> Backend:
        made.append(kind_of_backend(**options))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()


@pytest.fixture
def backend(make_backend: MakeBackend) -> Backend:
    """An empty store of one partition."""
    return make_backend()


@pytest.fixture
async def server_backend(store_server: StoreServer) -> AsyncIterator[ServerBackend]:
    """An empty store of one partition, where only real servers will do."""
    made = ServerBackend(store_server)
    yield made
    await made.close()


@pytest.fixture(params=["valkey", "redis"])
def own_server(request: pytest.FixtureRequest, directory: Path) -> Iterator[StoreServer]:
    """A server that a test may stop, kill or starve."""
    if request.param == "redis" and REDIS is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    server = StoreServer(directory, None if request.param == "valkey" else REDIS)
    server.start()
    yield server
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGCONT)
    server.stop()


@pytest.fixture
async def own_backend(own_server: StoreServer) -> AsyncIterator[ServerBackend]:
    """An empty store of one partition on such a server."""
    made = ServerBackend(own_server)
    yield made
    await made.close()


@pytest.fixture
def dice() -> random.Random:
    """Random choices, whose seed is told at the end of a run."""
    return random.Random(seed_of_run())
