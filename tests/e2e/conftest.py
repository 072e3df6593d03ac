import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.books import Books, books_of
from tests.e2e.caller import Caller
from tests.servers import SidecarProcess, short_directory

Start = Callable[..., SidecarProcess]


@pytest.fixture(scope="session", params=["native", "grpcio"])
def served(request: pytest.FixtureRequest) -> Iterator[SidecarProcess]:
    """A sidecar of each transport with its embedded store; every test has a tenant of its own in it."""
    with short_directory() as directory:
        process = SidecarProcess(
            directory,
            TRANSPORT=request.param,
            LISTEN="127.0.0.1:0",
            HTTP_LISTEN="127.0.0.1:0",
            LOG_LEVEL="debug",
            ENVOY="true",
        )
        process.start()
        try:
            yield process
        finally:
            code = process.stop()
    assert code == 0


@pytest.fixture(params=["tcp", "unix"])
def caller(request: pytest.FixtureRequest, served: SidecarProcess) -> Iterator[Caller]:
    """A tenant's caller, over TCP and over the Unix socket."""
    with Caller(served, request.param) as caller:
        yield caller


@pytest.fixture
def books(served: SidecarProcess) -> Iterator[Books]:
    with books_of(served) as books:
        yield books


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a sidecar of the test's own: `start(wait=True, directory=None, **settings)`."""
    with contextlib.ExitStack() as ending:

        def start(*, wait: bool = True, directory: Path | None = None, **settings: str) -> SidecarProcess:
            directory = directory or ending.enter_context(short_directory())
            process = SidecarProcess(directory, **settings)
            process.start(wait=False)
            ending.callback(process.stop)
            if wait:
                process.wait_serving()
            return process

        yield start
