from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

from tests.seeds import SEED, seed_of_run
from tests.servers import REDIS, StoreServer, short_directory

settings.register_profile("proofs", print_blob=True, derandomize=False, deadline=None)
settings.load_profile("proofs")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One seed for all random choices of a run, its workers included, so that it can be told."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(seed_of_run())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.line(f"{SEED}={seed_of_run()}")


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as path:
        yield path


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[StoreServer]:
    """The bundled Valkey."""
    with _running(None) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[StoreServer]:
    """Debian's Redis, where it is installed."""
    if REDIS is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    with _running(REDIS) as server:
        yield server


@pytest.fixture(scope="session", params=["valkey", "redis"])
def store_server(request: pytest.FixtureRequest) -> StoreServer:
    """The bundled Valkey, and Debian's Redis where it is installed."""
    server: StoreServer = request.getfixturevalue(f"{request.param}_server")
    return server


@contextmanager
def _running(binary: str | None) -> Iterator[StoreServer]:
    with short_directory() as path:
        server = StoreServer(path, binary)
        server.start()
        try:
            yield server
        finally:
            server.stop()
