"""Streams that outgrow their holds, with a real Envoy and a real sidecar."""

import contextlib
import http.client
from collections.abc import Iterator

import pytest

from tallystick.envoy import Way
from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.answers import chat_chunks
from tests.e2e.envoy.cases import CHAT_PATH, CHAT_USED, charged
from tests.e2e.envoy.desks import DAILY, Desk, desk_at, usage_in
from tests.e2e.envoy.gateways import running
from tests.e2e.envoy.provider import SSE, Script, ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.servers import SidecarProcess, short_directory

ASK = {"model": "big", "messages": [{"role": "user", "content": "hello"}], "stream": True}
PARTS = chat_chunks(60)
QUICK, SLOW = Script(PARTS, content_type=SSE), Script(PARTS, content_type=SSE, delay_s=0.05)
FEW = "estimate: {max_output: 4}\n"
NARROW = "budgets: {daily: {per: [user], limit: 0.001 USD, window: day}}\n"
"""Room for nine tokens, and not for the twenty that the answer takes."""


@pytest.fixture(scope="module")
def sidecar() -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory, ENVOY="true", HTTP_LISTEN="127.0.0.1:0")
        process.start()
        try:
            yield process
        finally:
            process.stop()


@contextlib.contextmanager
def desk_of(
    way: Way, sidecar: SidecarProcess, scripted: ScriptedProvider, thread: LoopThread
) -> Iterator[Desk]:
    with (
        running(way, scripted, thread, sidecar=sidecar, progress_interval_s=0.25) as gateway,
        desk_at(gateway, sidecar) as desk,
    ):
        yield desk


def grown(desk: Desk) -> int:
    """Nano-dollars that were held in addition."""
    return sum(int(entry["nano"]) for entry in desk.entries("extend"))


@pytest.mark.parametrize("way", [Way.AUTHZ, Way.PROC])
def test_a_hold_grows_while_its_stream_goes_on(
    way: Way, sidecar: SidecarProcess, scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    with desk_of(way, sidecar, scripted, loop_thread) as desk:
        desk.apply(DAILY)
        desk.call(desk.script(QUICK), CHAT_PATH, ASK)  # by which the rate is learned
        desk.settled()
        desk.apply(DAILY, FEW)
        with contextlib.closing(desk.gateway.connect()) as connection:
            bearer = {"authorization": f"Bearer {desk.key}"}
            response = desk.gateway.send(connection, desk.script(SLOW), CHAT_PATH, ASK, **bearer)
            first = response.read1(1 << 16)
            wait(lambda: grown(desk))
            assert len(desk.entries("settle")) == 1  # it grew before its end
            assert first + response.read() == b"".join(PARTS)
        end = desk.ended(2)[-1]
        assert (usage_in(end), end["outcome"], end["estimated"]) == (CHAT_USED, "COMPLETED", "0")


@pytest.mark.parametrize("way", [Way.AUTHZ, Way.PROC])
def test_a_stream_without_room_goes_on_and_is_charged(
    way: Way, sidecar: SidecarProcess, scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    with desk_of(way, sidecar, scripted, loop_thread) as desk:
        desk.apply(NARROW, FEW)
        assert desk.call(desk.script(SLOW), CHAT_PATH, ASK).body == b"".join(PARTS)
        charged(desk, CHAT_USED)


def test_a_stream_without_room_is_cut_where_the_policy_says_so(
    sidecar: SidecarProcess, scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    with desk_of(Way.PROC, sidecar, scripted, loop_thread) as desk:
        desk.apply(NARROW, FEW + "holds: {on_outgrown: cut}\n")
        script = desk.script(Script(chat_chunks(600), content_type=SSE, delay_s=0.02))
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            desk.call(script, CHAT_PATH, ASK)
        end = desk.settled()
        assert (end["outcome"], end["estimated"]) == ("CLIENT_ABORTED", "1")
        assert usage_in(end).output > 4
        (seen,) = desk.sent(script)
        assert len(seen.written) < 600
        assert desk.metric('tallystick_proxied_kept_total{how="refused"}') >= 1
