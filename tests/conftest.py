from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import REDIS, StoreServer, short_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture(scope="session", params=["valkey", "redis"])
def store_server(request: pytest.FixtureRequest) -> Iterator[StoreServer]:
    """The bundled Valkey, and Debian's Redis where it is installed."""
    if request.param == "redis" and REDIS is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    with short_directory() as path:
        server = StoreServer(path, None if request.param == "valkey" else REDIS)
        server.start()
        try:
            yield server
        finally:
            server.stop()
