"""The table of cases, by way: a real Envoy asks a real sidecar."""

from collections.abc import Iterator

import pytest

from tallystick.envoy import Way
from tests.e2e.envoy.cases import CASES, Story
from tests.e2e.envoy.desks import Desk, desk_at
from tests.e2e.envoy.gateways import Gateway, running
from tests.e2e.envoy.provider import ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.servers import SidecarProcess, short_directory

WAYS = [Way.AUTHZ, Way.PROC]


@pytest.fixture(scope="module")
def sidecar() -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory, ENVOY="true", HTTP_LISTEN="127.0.0.1:0")
        process.start()
        try:
            yield process
        finally:
            code = process.stop()
    assert code == 0


@pytest.fixture(scope="module", params=WAYS)
def gateway(
    request: pytest.FixtureRequest, sidecar: SidecarProcess, scripted: ScriptedProvider,
    loop_thread: LoopThread,
) -> Iterator[Gateway]:  # fmt: skip
    with running(request.param, scripted, loop_thread, sidecar=sidecar, progress_interval_s=0.25) as gateway:
        yield gateway


@pytest.fixture
def desk(gateway: Gateway, sidecar: SidecarProcess) -> Iterator[Desk]:
    with desk_at(gateway, sidecar) as desk:
        yield desk


@pytest.mark.parametrize("story", CASES, ids=lambda story: story.__name__)
def test_case(desk: Desk, story: Story) -> None:
    story(desk)
