"""Way authz: how a call can end, and what the entry says of it."""

import contextlib
import http.client
import time

import pytest

from tallystick.envoy import Way
from tests.e2e.envoy.adapters import Adapters, wait
from tests.e2e.envoy.answers import chat_chunks
from tests.e2e.envoy.gateways import Gateway, chunks, running
from tests.e2e.envoy.provider import SSE, Script, ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.e2e.envoy.usage import usage_of

CHAT_PATH = "/openai/v1/chat/completions"
ASK = {"model": "m", "messages": [], "stream": True}
CLOSED, OPEN = "closed", "open"


def test_no_event_of_a_stream_is_held_back(authz: Gateway) -> None:
    parts = chat_chunks(10)
    script = authz.script(Script(parts, content_type=SSE, delay_s=0.05))
    with contextlib.closing(authz.connect()) as connection:
        response = authz.send(connection, script, CHAT_PATH, ASK)
        seen = list(chunks(response))
    assert b"".join(part for _, part in seen) == b"".join(parts)
    assert len(seen) > len(parts) / 2
    assert seen[-1][0] - seen[0][0] > 0.4


def test_a_long_stream_is_reported_while_it_lasts(authz: Gateway) -> None:
    parts = chat_chunks(12)
    script = authz.script(Script(parts, content_type=SSE, delay_s=0.1))
    authz.call(script, CHAT_PATH, ASK)
    end = authz.adapters.end_of(script)
    reports = authz.adapters.entries_of(script, ends=False)
    assert len(reports) >= 3
    sizes = [report.response.response_body_bytes for report in reports]
    assert sizes == sorted(sizes)
    assert 0 < sizes[0] < sizes[-1] < end.response.response_body_bytes
    for report in reports:
        assert report.common_properties.access_log_type == 5
        assert report.common_properties.intermediate_log_entry
        assert report.common_properties.stream_id == end.common_properties.stream_id
        assert usage_of(report) is None
    assert usage_of(end) is not None


def test_a_client_that_leaves_is_told_of_with_the_bytes_so_far(authz: Gateway) -> None:
    parts = chat_chunks(100)
    script = authz.script(Script(parts, content_type=SSE, delay_s=0.05))
    with contextlib.closing(authz.connect()) as connection:
        response = authz.send(connection, script, CHAT_PATH, ASK)
        assert response.read1(1 << 16)
        response.close()
    entry = authz.adapters.end_of(script)
    assert entry.common_properties.response_flags.downstream_connection_termination
    assert entry.response.response_code_details == "downstream_remote_disconnect"
    assert len(parts[0]) <= entry.response.response_body_bytes < len(b"".join(parts)) / 2
    assert usage_of(entry) is None


def test_an_upstream_that_breaks_off_is_told_of(authz: Gateway) -> None:
    parts = chat_chunks(5)[:3]
    script = authz.script(Script(parts, content_type=SSE, reset=True))
    with pytest.raises(http.client.IncompleteRead):
        authz.call(script, CHAT_PATH, ASK)
    entry = authz.adapters.end_of(script)
    assert entry.response.response_code.value == 200
    assert entry.response.response_code_details.startswith("upstream_reset_after_response_started")
    assert entry.common_properties.response_flags.upstream_protocol_error
    assert entry.response.response_body_bytes == len(b"".join(parts))
    assert usage_of(entry) is None


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_an_error_of_the_provider_is_no_local_reply(authz: Gateway, status: int) -> None:
    script = authz.script(Script((b'{"error": {}}',), status=status))
    assert authz.call(script, CHAT_PATH, ASK).status == status
    entry = authz.adapters.end_of(script)
    assert entry.response.response_code_details == "via_upstream"
    assert entry.common_properties.upstream_request_attempt_count == 1
    assert len(authz.provider.of(script)) == 1  # nothing is tried again


def test_a_provider_that_is_not_there_is_a_local_reply(
    scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    gone = ScriptedProvider()
    loop_thread.run(gone.start())
    loop_thread.run(gone.stop())
    with running(Way.AUTHZ, gone, loop_thread) as gateway:
        script = gateway.script()
        assert gateway.call(script, CHAT_PATH, ASK).status == 503
        entry = gateway.adapters.end_of(script)
    assert entry.common_properties.response_flags.upstream_connection_failure
    assert entry.response.response_code_details.startswith("upstream_reset_before_response_started")


def test_a_body_that_is_too_long_is_refused_and_nobody_is_asked(
    scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    with running(Way.AUTHZ, scripted, loop_thread, max_body_bytes=1 << 20) as gateway:
        script = gateway.script()
        assert gateway.call(script, CHAT_PATH, b'{"a": "' + b"a" * (1 << 20) + b'"}').status == 413
        assert not gateway.adapters.checks_of(script)
        wait(lambda: gateway.adapters.entries)
        (entry,) = gateway.adapters.entries
    assert entry.response.response_code_details == "request_payload_too_large"
    assert "envoy.filters.http.ext_authz" not in entry.common_properties.metadata.filter_metadata


@pytest.mark.parametrize(("mode", "status"), [(CLOSED, 503), (OPEN, 200)])
@pytest.mark.parametrize("how", ["gone", "draining"])
def test_without_the_sidecar_calls_are_refused_or_let_through(
    scripted: ScriptedProvider, loop_thread: LoopThread, mode: str, status: int, how: str
) -> None:
    with running(Way.AUTHZ, scripted, loop_thread, fail_open=mode == OPEN, access_log="") as gateway:
        script = gateway.script()
        assert gateway.call(script, CHAT_PATH, ASK).status == 200
        if how == "gone":
            loop_thread.run(gateway.adapters.stop())
        else:
            loop_thread.run(gateway.adapters.say_not_serving())
        healthy = "cluster.tallystick.membership_healthy"
        wait(lambda: gateway.envoy.stat(healthy) == 0)
        asked = len(gateway.adapters.checks)
        script = gateway.script()
        assert gateway.call(script, CHAT_PATH, ASK, authorization="Bearer consumer").status == status
        assert len(gateway.adapters.checks) == asked
        assert len(gateway.provider.of(script)) == (mode == OPEN)
        for seen in gateway.provider.of(script):
            assert seen.headers["authorization"] == "Bearer key-of-openai"


def test_a_sidecar_that_says_nothing_is_given_up(scripted: ScriptedProvider, loop_thread: LoopThread) -> None:
    with running(Way.AUTHZ, scripted, loop_thread, decision_timeout_s=0.3) as gateway:
        script = gateway.script()
        gateway.adapters.slow[script] = 5.0
        began = time.monotonic()
        assert gateway.call(script, CHAT_PATH, ASK).status == 503
        assert 0.25 < time.monotonic() - began < 3
        assert not gateway.provider.of(script)
        wait(lambda: gateway.adapters.entries)
        (entry,) = gateway.adapters.entries
    assert entry.response.response_code_details == "ext_authz_error"
    assert "envoy.filters.http.ext_authz" not in entry.common_properties.metadata.filter_metadata


def test_a_drain_lets_streams_end(scripted: ScriptedProvider, loop_thread: LoopThread) -> None:
    parts = chat_chunks(10)
    with running(Way.AUTHZ, scripted, loop_thread) as gateway:
        script = gateway.script(Script(parts, content_type=SSE, delay_s=0.15))
        with contextlib.closing(gateway.connect()) as connection:
            response = gateway.send(connection, script, CHAT_PATH, ASK)
            first = response.read1(1 << 16)
            gateway.envoy.admin("/drain_listeners?graceful", "POST")
            assert first + response.read() == b"".join(parts)
        wait(lambda: refused(gateway))
        assert usage_of(gateway.adapters.end_of(script)) is not None


def refused(gateway: Gateway) -> bool:
    """Whether new connections are."""
    with contextlib.closing(gateway.connect()) as connection:
        try:
            connection.connect()
        except ConnectionRefusedError:
            return True
    return False


def test_a_stream_whose_sidecar_dies_goes_on_and_is_in_the_file(
    scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    with running(Way.AUTHZ, scripted, loop_thread) as gateway:
        script = gateway.script(Script(chat_chunks(10), content_type=SSE, delay_s=0.05))
        with contextlib.closing(gateway.connect()) as connection:
            response = gateway.send(connection, script, CHAT_PATH, ASK)
            assert response.read1(1 << 16)
            loop_thread.run(gateway.adapters.stop())
            rest = response.read()
        assert rest.endswith(b"data: [DONE]\n\n")
        wait(lambda: gateway.lines_of(script))
        (line,) = gateway.lines_of(script)
        assert line["usage"]["total_tokens"] == "120"


def test_entries_wait_for_the_sidecar_to_come_back(
    scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    count = 50
    with running(Way.AUTHZ, scripted, loop_thread, fail_open=True) as gateway:
        loop_thread.run(gateway.adapters.stop())
        wait(lambda: gateway.envoy.stat("cluster.tallystick.membership_healthy") == 0)
        for _ in range(count):
            assert gateway.call(gateway.script(), CHAT_PATH, ASK).status == 200
        again = Adapters()
        loop_thread.run(again.start(f"unix:{gateway.envoy.directory}/sidecar.sock"))
        try:
            wait(lambda: len(again.entries) >= count)
        finally:
            loop_thread.run(again.stop())
        assert len({entry.common_properties.stream_id for entry in again.entries}) == count
        assert gateway.envoy.stat("access_logs.grpc_access_log.logs_dropped") == 0
