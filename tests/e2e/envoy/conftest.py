from collections.abc import Iterator

import pytest

from tallystick.envoy import Way
from tests.e2e.envoy.gateways import Gateway, running
from tests.e2e.envoy.provider import ScriptedProvider
from tests.e2e.envoy.thread import LoopThread


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    try:
        yield thread
    finally:
        thread.stop()


@pytest.fixture(scope="session")
def scripted(loop_thread: LoopThread) -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider()
    loop_thread.run(provider.start())
    try:
        yield provider
    finally:
        loop_thread.run(provider.stop())


@pytest.fixture(scope="session")
def authz(scripted: ScriptedProvider, loop_thread: LoopThread) -> Iterator[Gateway]:
    """Way authz, with short intervals, over a Unix socket."""
    with running(Way.AUTHZ, scripted, loop_thread, progress_interval_s=0.25) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def proc(scripted: ScriptedProvider, loop_thread: LoopThread) -> Iterator[Gateway]:
    """Way proc, over TCP."""
    with running(Way.PROC, scripted, loop_thread, unix=False) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def ratelimit(scripted: ScriptedProvider, loop_thread: LoopThread) -> Iterator[Gateway]:
    """Way ratelimit, over a Unix socket."""
    with running(Way.RATELIMIT, scripted, loop_thread) as gateway:
        yield gateway
