"""Way authz: calls whose end the sidecar was not there to hear of, and the file that has them all."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tallystick.envoy import Way
from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.answers import chat_chunks
from tests.e2e.envoy.cases import ASK, CHAT_JSON, CHAT_PATH, CHAT_STREAM, CHAT_USED, MESSAGE_STREAM, SAY
from tests.e2e.envoy.desks import Desk, desk_at, usage_in
from tests.e2e.envoy.gateways import Gateway, running
from tests.e2e.envoy.late import LateSocket
from tests.e2e.envoy.provider import SSE, Script, ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.servers import SidecarProcess, short_directory

HEALTHY = "cluster.tallystick.membership_healthy"
STREAM = ASK | {"stream": True}


@pytest.fixture(scope="module")
def sidecar() -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory, ENVOY="true", HTTP_LISTEN="127.0.0.1:0", TRANSPORT="grpcio")
        process.start()
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture(scope="module")
def gateway(
    sidecar: SidecarProcess, scripted: ScriptedProvider, loop_thread: LoopThread
) -> Iterator[Gateway]:
    with running(Way.AUTHZ, scripted, loop_thread, sidecar=sidecar, progress_interval_s=0.25) as gateway:
        yield gateway


@pytest.fixture
def desk(gateway: Gateway, sidecar: SidecarProcess) -> Iterator[Desk]:
    """A desk, with the sidecar there and nothing in the file."""
    wait(lambda: gateway.envoy.stat(HEALTHY) == 1)
    gateway.access_log.write_text("")
    with desk_at(gateway, sidecar) as desk:
        yield desk


def replayed(desk: Desk, file: Path, code: int = 0) -> dict[str, Any]:
    """What `tallystick settle --access-log FILE --json` says."""
    command = [sys.executable, "-m", "tallystick", "settle", "--access-log", str(file), "--json"]
    done = subprocess.run(
        [*command, "--address", desk.sidecar.socket], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    return dict(json.loads(done.stdout))


def lines(desk: Desk) -> list[dict[str, Any]]:
    return [json.loads(line) for line in desk.gateway.access_log.read_text().splitlines()]


def test_a_sidecar_that_dies_in_mid_stream_hears_of_the_end_when_it_is_back(desk: Desk) -> None:
    parts = chat_chunks(10)
    script = desk.script(Script(parts, content_type=SSE, delay_s=0.4))
    with contextlib.closing(desk.gateway.connect()) as connection:
        response = desk.gateway.send(
            connection, script, CHAT_PATH, STREAM, authorization=f"Bearer {desk.key}"
        )
        assert response.status == 200
        first = response.read1(1 << 16)
        desk.sidecar.kill()
        wait(lambda: desk.gateway.envoy.stat(HEALTHY) == 0)
        assert first + response.read() == b"".join(parts)
    desk.sidecar.start()
    end = desk.settled()
    assert (usage_in(end), end["outcome"], end["estimated"]) == (CHAT_USED, "COMPLETED", "0")


def test_an_end_that_nobody_heard_of_is_in_the_file(desk: Desk) -> None:
    script = desk.script(Script(chat_chunks(10), content_type=SSE, delay_s=0.02))
    with contextlib.closing(desk.gateway.connect()) as connection:
        response = desk.gateway.send(
            connection, script, CHAT_PATH, STREAM, authorization=f"Bearer {desk.key}"
        )
        assert response.status == 200
        response.read1(1 << 16)
        desk.sidecar.kill()
        response.read()
    wait(lambda: len(lines(desk)) == 1)
    wait(lambda: desk.gateway.envoy.stat(HEALTHY) == 0)  # else it may find so once the next test has begun
    desk.sidecar.start()
    wait(lambda: desk.gateway.envoy.stat(HEALTHY) == 1)
    told = replayed(desk, desk.gateway.access_log)
    assert (told["lines"], told["settled"], told["released"], told["failed"]) == (1, 1, 0, 0)
    end = desk.settled()
    assert (usage_in(end), end["outcome"], end["estimated"]) == (CHAT_USED, "COMPLETED", "0")
    assert told["charged_nano_usd"] == int(end["nano"])
    assert replayed(desk, desk.gateway.access_log) == told
    assert desk.ended() == [end]


def test_a_replay_of_what_was_settled_changes_nothing(desk: Desk) -> None:
    desk.call(desk.script(CHAT_JSON), CHAT_PATH, ASK)
    desk.call(desk.script(MESSAGE_STREAM), "/anthropic/v1/messages", SAY | {"stream": True})
    desk.call(desk.script(Script((b"{}",), status=500)), CHAT_PATH, ASK)
    desk.call(desk.script(Script((b"{}",))), CHAT_PATH, ASK | {"model": "small"})  # nothing was learned yet
    silent = Script(chat_chunks(3, usage=False)[:3], content_type=SSE, reset=True)
    with pytest.raises(http.client.IncompleteRead):
        desk.call(desk.script(silent), CHAT_PATH, STREAM)
    done = desk.script(replace(CHAT_STREAM, endless=True))
    small = ASK | {"model": "small"}  # nothing is learned of the other by it
    assert list(desk.of_openai(done).chat.completions.create(**small, stream=True))
    desk.call(desk.script(), CHAT_PATH, {"model": "nobody-has-it", "messages": []})  # refused
    ends = desk.ended(6)
    outcomes = [end["outcome"] for end in ends]
    assert sorted(outcomes) == sorted(
        [*["COMPLETED"] * 3, "PROVIDER_ERROR_UNBILLED", "COMPLETED_NO_USAGE", "PROVIDER_ERROR_BILLED"]
    )
    wait(lambda: len(lines(desk)) == 7)
    told = replayed(desk, desk.gateway.access_log)
    assert (told["settled"], told["unheld"], told["failed"], told["late"]) == (6, 1, 0, 0)
    assert told["charged_nano_usd"] == sum(int(end["nano"]) for end in ends)
    assert desk.ended(6) == ends


def test_lines_that_are_none_are_told_and_passed_over(desk: Desk, tmp_path: Path) -> None:
    desk.call(desk.script(CHAT_JSON), CHAT_PATH, ASK)
    end = desk.settled()
    wait(lambda: len(lines(desk)) == 1)
    whole = desk.gateway.access_log.read_text()
    forged = json.loads(whole)
    call = forged["decision"]["call"].split("\t")
    forged["decision"]["call"] = "\t".join([call[0], "e-another", *call[2:]])
    file = tmp_path / "access.log"
    file.write_text(f"{whole}[]\n{json.dumps(forged)}\n{whole[:-20]}\n")
    told = replayed(desk, file, code=1)
    assert (told["lines"], told["settled"], told["failed"], told["unreadable"]) == (4, 1, 1, 1)
    assert sorted(problem.split(":")[0] for problem in told["problems"]) == ["line 3", "line 4"]
    assert desk.settled() == end


def test_a_provider_that_cannot_be_reached_costs_nothing(
    sidecar: SidecarProcess, loop_thread: LoopThread
) -> None:
    gone = ScriptedProvider()
    loop_thread.run(gone.start())
    loop_thread.run(gone.stop())
    with running(Way.AUTHZ, gone, loop_thread, sidecar=sidecar) as gateway, desk_at(gateway, sidecar) as desk:
        assert desk.call(desk.script(), CHAT_PATH, ASK).status == 503
        (end,) = desk.ended()
        assert end["kind"] == "release"


def test_a_provider_that_breaks_off_before_its_first_byte_is_charged_the_hold(desk: Desk) -> None:
    script = desk.script(Script((), reset=True, status=200))
    desk.gateway.provider.mute.add(script)
    assert desk.call(script, CHAT_PATH, ASK).status == 503
    end = desk.settled()
    (reserved,) = desk.entries("reserve")
    assert (end["outcome"], end["estimated"], end["nano"]) == ("UNKNOWN", "1", reserved["nano"])


def test_a_long_stream_outlives_its_hold(desk: Desk) -> None:
    desk.apply(more="holds: {ttl: 2s}\n")
    script = desk.script(Script(chat_chunks(12), content_type=SSE, delay_s=0.4))
    assert desk.call(script, CHAT_PATH, STREAM).status == 200
    end = desk.settled()
    assert (usage_in(end), end["outcome"]) == (CHAT_USED, "COMPLETED")
    assert not desk.entries("expire")


def test_a_drain_ends_the_stream_of_entries(desk: Desk) -> None:
    desk.call(desk.script(CHAT_JSON), CHAT_PATH, ASK)
    assert usage_in(desk.settled()) == CHAT_USED
    began = time.monotonic()
    assert desk.sidecar.stop() == 0
    assert (
        time.monotonic() - began < 25
    )  # of the 30 that it may: Envoy, whose stream never ends, is not waited for
    wait(lambda: desk.gateway.envoy.stat(HEALTHY) == 0)
    desk.sidecar.start()
    # Envoy's workers hear a moment later than its statistics.
    wait(lambda: desk.call(desk.script(CHAT_JSON), CHAT_PATH, ASK).status == 200)
    assert [usage_in(end) for end in desk.ended(2)] == [CHAT_USED] * 2


def test_a_decision_that_came_too_late_holds_nothing(
    sidecar: SidecarProcess, scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    with (
        running(Way.AUTHZ, scripted, loop_thread, sidecar=sidecar, decision_timeout_s=0.7) as gateway,
        desk_at(gateway, sidecar) as desk,
    ):
        # The policy is known for a second from here; on a slow machine that may be over too soon.
        wait(lambda: desk.call(desk.script(CHAT_JSON), CHAT_PATH, ASK).status == 200)
        store, script = desk.books.pid, desk.script(CHAT_JSON)
        os.kill(store, signal.SIGSTOP)
        try:
            assert desk.call(script, CHAT_PATH, ASK).status == 503
        finally:
            os.kill(store, signal.SIGCONT)
        assert not desk.sent(script)
        wait(lambda: desk.entries("release"))
        wait(lambda: not desk.held())


@pytest.mark.parametrize("fail_open", [False, True], ids=["turned away", "sent unasked"])
def test_a_call_whose_decision_envoy_did_not_wait_for_ends_as_it_ended(
    sidecar: SidecarProcess, scripted: ScriptedProvider, loop_thread: LoopThread, fail_open: bool
) -> None:
    with short_directory() as directory:
        late = LateSocket(directory / "late.sock", sidecar.socket, loop_thread)
        loop_thread.run(late.start())
        options: dict[str, Any] = {"decision_timeout_s": 1.0, "fail_open": fail_open}
        with (
            running(Way.AUTHZ, scripted, loop_thread, sidecar=late, **options) as gateway,
            desk_at(gateway, sidecar) as desk,
        ):
            wait(lambda: desk.call(desk.script(CHAT_JSON), CHAT_PATH, ASK).status == 200)
            before = len(desk.entries("reserve"))
            wait(lambda: len(desk.entries("settle", "release")) == before)
            script = desk.script(CHAT_JSON)
            with late.kept_back():
                assert desk.call(script, CHAT_PATH, ASK).status == (200 if fail_open else 503)
            assert len(desk.sent(script)) == fail_open
            end = desk.ended(before + 1)[-1]
        loop_thread.run(late.stop())
    assert end["kind"] == ("settle" if fail_open else "release")
    if fail_open:
        assert usage_in(end) == CHAT_USED
