"""Way proc: every part of a call passes through the sidecar, and nothing is held back."""

import contextlib
import http.client
import json
import time
from typing import Any

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as proc_pb2

from tallystick.envoy import Way
from tests.e2e.envoy.adapters import pass_on, wait
from tests.e2e.envoy.answers import chat_chunks
from tests.e2e.envoy.gateways import Gateway, chunks, running
from tests.e2e.envoy.provider import SSE, Script, ScriptedProvider
from tests.e2e.envoy.thread import LoopThread

CHAT_PATH = "/openai/v1/chat/completions"
ASK = {"model": "big", "messages": []}


def set_header(mutation: Any, name: str, value: str) -> None:
    option = mutation.set_headers.add()
    option.header.key, option.header.raw_value = name, value.encode()
    option.append_action = 2  # overwrite


def kinds(gateway: Gateway, script: str) -> list[str | None]:
    """The messages of a script's call; None is a stream that was cancelled."""
    return [message.WhichOneof("request") for _, message in gateway.adapters.messages[script]]


def test_a_call_is_told_in_parts_with_where_it_goes(proc: Gateway) -> None:
    told_of: list[dict[str, str]] = []

    def process(request: Any, told: dict[str, str]) -> Any:
        told_of.append(told)
        return pass_on(request, told)

    parts = chat_chunks(3)
    script = proc.script(Script(parts, content_type=SSE, delay_s=0.05))
    proc.adapters.on_process[script] = process
    answer = proc.call(script, CHAT_PATH, ASK, authorization="Bearer consumer")
    assert answer.body == b"".join(parts)
    messages = [message for _, message in proc.adapters.messages[script]]
    assert kinds(proc, script)[:3] == ["request_headers", "request_body", "response_headers"]
    assert set(kinds(proc, script)[3:]) - {None} == {"response_body"}  # its end may be told as a cancellation
    headers = {each.key: each.raw_value.decode() for each in messages[0].request_headers.headers.headers}
    assert (headers[":path"], headers["authorization"]) == (CHAT_PATH, "Bearer consumer")
    assert json.loads(messages[1].request_body.body) == ASK
    assert messages[1].request_body.end_of_stream
    assert b"".join(message.response_body.body for message in messages[3:]) == answer.body
    wait(lambda: is_told(proc, script))
    route = {name: told_of[0][f"x-tallystick-{name}"] for name in ("provider", "kind", "prefix")}
    assert route == {"provider": "openai", "kind": "openai", "prefix": "/openai"}
    fields = messages[0].attributes["envoy.filters.http.ext_proc"].fields
    assert fields["request.id"].string_value == headers["x-request-id"]


def test_no_event_of_a_stream_is_held_back(proc: Gateway) -> None:
    parts = chat_chunks(10)
    script = proc.script(Script(parts, content_type=SSE, delay_s=0.05))
    with contextlib.closing(proc.connect()) as connection:
        response = proc.send(connection, script, CHAT_PATH, ASK)
        seen = list(chunks(response))
    assert len(seen) > len(parts) / 2
    assert seen[-1][0] - seen[0][0] > 0.4
    bodies = [(when, m) for when, m in proc.adapters.messages[script] if m.HasField("response_body")]
    assert bodies[0][0] < seen[1][0]


def test_the_body_and_the_path_can_be_rewritten(proc: Gateway) -> None:
    def process(request: Any, told: dict[str, str]) -> Any:
        answer = pass_on(request, told)
        if request.HasField("request_body"):
            body = json.dumps(json.loads(request.request_body.body) | {"model": "small"}).encode()
            answer.request_body.response.body_mutation.body = body
            mutation = answer.request_body.response.header_mutation
            set_header(mutation, "content-length", str(len(body)))
            set_header(mutation, ":path", "/openai/v1/other")
        return answer

    script = proc.script()
    proc.adapters.on_process[script] = process
    assert proc.call(script, CHAT_PATH, ASK, authorization="Bearer consumer").status == 200
    seen = proc.seen(script)
    assert seen.json == ASK | {"model": "small"}
    assert seen.path == "/v1/other"
    assert seen.headers["authorization"] == "Bearer key-of-openai"


def test_a_rewritten_body_without_its_length_is_refused(proc: Gateway) -> None:
    def process(request: Any, told: dict[str, str]) -> Any:
        answer = pass_on(request, told)
        if request.HasField("request_body"):
            answer.request_body.response.body_mutation.body = b"{}"
        return answer

    script = proc.script()
    proc.adapters.on_process[script] = process
    assert proc.call(script, CHAT_PATH, ASK).status == 503
    assert not proc.provider.of(script)


def test_an_immediate_response_ends_the_call(proc: Gateway) -> None:
    def process(request: Any, told: dict[str, str]) -> Any:
        if not request.HasField("request_body"):
            return pass_on(request, told)
        answer = proc_pb2.ProcessingResponse()
        answer.immediate_response.status.code = 429
        answer.immediate_response.body = b'{"error": {}}'
        set_header(answer.immediate_response.headers, "retry-after", "9")
        set_header(answer.immediate_response.headers, "content-type", "application/json")
        return answer

    script = proc.script()
    proc.adapters.on_process[script] = process
    answer = proc.call(script, CHAT_PATH, ASK)
    assert (answer.status, answer.json, answer.headers["retry-after"]) == (429, {"error": {}}, "9")
    assert not proc.provider.of(script)
    assert kinds(proc, script)[:2] == ["request_headers", "request_body"]
    assert not any(kinds(proc, script)[2:])


def test_a_long_body_comes_whole(proc: Gateway) -> None:
    script = proc.script()
    body = b'{"messages": ["' + b"a" * (20 << 20) + b'"]}'
    assert proc.call(script, CHAT_PATH, body).status == 200
    assert proc.adapters.messages[script][1][1].request_body.body == body


def test_of_an_upstream_that_breaks_off_the_stream_just_ends(proc: Gateway) -> None:
    script = proc.script(Script(chat_chunks(5)[:3], content_type=SSE, reset=True))
    with pytest.raises(http.client.IncompleteRead):
        proc.call(script, CHAT_PATH, ASK)
    time.sleep(0.2)
    messages = [message for _, message in proc.adapters.messages[script]]
    assert messages[-1].response_body.body
    assert not any(message.response_body.end_of_stream for message in messages)


def test_of_a_client_that_leaves_the_stream_just_ends(proc: Gateway) -> None:
    script = proc.script(Script(chat_chunks(100), content_type=SSE, delay_s=0.02))
    with contextlib.closing(proc.connect()) as connection:
        response = proc.send(connection, script, CHAT_PATH, ASK)
        assert response.read1(1 << 16)
        response.close()
    time.sleep(0.3)
    seen = len(proc.adapters.messages[script])
    time.sleep(0.2)
    messages = [message for _, message in proc.adapters.messages[script]]
    assert len(messages) == seen < 50
    assert not any(message.response_body.end_of_stream for message in messages)


def test_an_answer_says_whether_it_is_envoys_own(proc: Gateway) -> None:
    script = proc.script()
    assert proc.call(script, CHAT_PATH, ASK).status == 200
    assert proc.call(script, CHAT_PATH, b'"' + b"a" * (33 << 20) + b'"').status == 413
    heads = [m for _, m in proc.adapters.messages[script] if m.HasField("response_headers")]
    told = [head.attributes["envoy.filters.http.ext_proc"].fields for head in heads]
    details = [fields["response.code_details"].string_value for fields in told]
    attempts = [fields["upstream.request_attempt_count"].number_value for fields in told]
    assert (details, attempts) == (["via_upstream", "request_payload_too_large"], [1, 0])


def test_a_sidecar_that_ends_the_stream_is_not_asked_again(
    scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    with running(Way.PROC, scripted, loop_thread) as gateway:
        parts = chat_chunks(5)
        script = gateway.script(Script(parts, content_type=SSE, delay_s=0.02))
        gateway.adapters.last[script] = "request_body"
        assert gateway.call(script, CHAT_PATH, ASK).body == b"".join(parts)
        assert kinds(gateway, script) == ["request_headers", "request_body"]


def test_what_leads_nowhere_is_not_asked_about(proc: Gateway) -> None:
    script = proc.script()
    assert proc.call(script, "/nobody/v1/x", ASK).status == 404
    assert script not in proc.adapters.messages


@pytest.mark.parametrize(("fail_open", "status"), [(False, 503), (True, 200)])
def test_without_the_sidecar_calls_are_refused_or_let_through(
    scripted: ScriptedProvider, loop_thread: LoopThread, fail_open: bool, status: int
) -> None:
    with running(Way.PROC, scripted, loop_thread, fail_open=fail_open) as gateway:
        loop_thread.run(gateway.adapters.stop())
        script = gateway.script()
        assert gateway.call(script, CHAT_PATH, ASK).status == status
        assert len(gateway.provider.of(script)) == fail_open


@pytest.mark.parametrize("fail_open", [False, True])
def test_a_sidecar_that_dies_in_mid_stream_breaks_the_stream_unless_open(
    scripted: ScriptedProvider, loop_thread: LoopThread, fail_open: bool
) -> None:
    with running(Way.PROC, scripted, loop_thread, fail_open=fail_open) as gateway:
        parts = chat_chunks(10)
        script = gateway.script(Script(parts, content_type=SSE, delay_s=0.1))
        with contextlib.closing(gateway.connect()) as connection:
            response = gateway.send(connection, script, CHAT_PATH, ASK)
            first = response.read1(1 << 16)
            loop_thread.run(gateway.adapters.stop())
            try:
                whole = first + response.read()
            except http.client.IncompleteRead as error:
                whole = first + error.partial
        assert (whole == b"".join(parts)) == fail_open


def is_told(gateway: Gateway, script: str) -> bool:
    """Whether the end is: after the client has it, and perhaps as a cancellation."""
    _, last = gateway.adapters.messages[script][-1]
    return bool(last.response_body.end_of_stream) or kinds(gateway, script)[-1] is None


def test_a_stream_may_last_longer_than_a_decision(
    scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    parts = chat_chunks(10)
    with running(Way.PROC, scripted, loop_thread, decision_timeout_s=0.5) as gateway:
        script = gateway.script(Script(parts, content_type=SSE, delay_s=0.15))
        assert gateway.call(script, CHAT_PATH, ASK).body == b"".join(parts)
        wait(lambda: is_told(gateway, script))


def test_a_sidecar_that_says_nothing_is_given_up(scripted: ScriptedProvider, loop_thread: LoopThread) -> None:
    with running(Way.PROC, scripted, loop_thread, decision_timeout_s=0.3) as gateway:
        script = gateway.script()
        gateway.adapters.slow[script] = 5.0
        began = time.monotonic()
        assert gateway.call(script, CHAT_PATH, ASK).status == 504
        assert 0.25 < time.monotonic() - began < 3
        assert not gateway.provider.of(script)
