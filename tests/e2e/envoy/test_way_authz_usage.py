"""Way authz: what the access log's entry tells after the answer, and what Envoy can't see in it."""

import contextlib
import gzip
import json
from typing import Any

import pytest
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry

from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.answers import (
    CHAT,
    CHAT_USAGE,
    CONVERSE,
    CONVERSE_FRAMES,
    TOLD,
    Told,
    chat_chunks,
    events,
    frames,
)
from tests.e2e.envoy.gateways import Gateway
from tests.e2e.envoy.provider import SSE, Script
from tests.e2e.envoy.usage import Usage, usage_of

ASK = {"model": "m", "messages": []}


FRAMES = "application/vnd.amazon.eventstream"


def answer_of(entry: HTTPAccessLogEntry) -> dict[str, Any]:
    """What was read beside the record of usage."""
    return dict(entry.common_properties.metadata.filter_metadata["tallystick.answer"])


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize("told", TOLD, ids=lambda told: told.name)
def test_the_entry_has_the_usage_of_every_api(authz: Gateway, told: Told) -> None:
    script = authz.script(told.script)
    answer = authz.call(script, told.path, ASK)
    assert answer.body == told.script.body
    entry = authz.adapters.end_of(script)
    usage = usage_of(entry)
    assert usage is not None
    assert (usage.protocol, usage.model, usage.status) == (told.protocol, told.model, "COMPLETE")
    assert (usage.input, usage.output, usage.total) == (told.input, told.output, told.input + told.output)
    assert (usage.cached or 0, usage.cache_written or 0) == (told.cached, told.cache_written)
    assert (usage.reasoning or 0, usage.tool_use or 0) == (told.reasoning, told.tool_use)
    assert entry.response.response_body_bytes == len(answer.body)
    assert entry.response.response_code_details == "via_upstream"
    assert entry.common_properties.route_name == told.path.split("/")[1]
    assert dict(entry.response.response_headers) == {"content-type": told.script.content_type}


@pytest.mark.parametrize("told", TOLD, ids=lambda told: told.name)
def test_the_file_has_what_the_entry_has(authz: Gateway, told: Told) -> None:
    script = authz.script(told.script)
    authz.call(script, told.path, ASK)
    wait(lambda: authz.lines_of(script))
    (line,) = authz.lines_of(script)
    usage = line["usage"]
    assert usage["extraction_status"] == "COMPLETE"
    assert (usage["llm_protocol"], usage["model"]) == (told.protocol, told.model)
    assert int(usage["input_tokens"]) == told.input
    assert int(usage["output_tokens"]) == told.output
    details = usage.get("input_token_details", {})
    assert int(details.get("cached_tokens", 0)) == told.cached
    assert int(details.get("cache_creation_tokens", 0)) == told.cache_written
    assert line["body"] == {"model": "m"}
    assert (line["code"], line["code_details"], line["flags"]) == (200, "via_upstream", "-")
    assert line["response_bytes"] == len(told.script.body)
    assert "?" not in line["path"]


@pytest.mark.parametrize("kind", ["openai", "azure", "local"])
def test_embeddings_and_servers_that_do_not_name_their_answers_are_read(authz: Gateway, kind: str) -> None:
    document = {"object": "list", "data": [], "model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    script = authz.script(Script((_json(document),)))
    authz.call(script, f"/{kind}/v1/embeddings?api-version=1", ASK)
    usage = usage_of(authz.adapters.end_of(script))
    assert usage == Usage("OPENAI_CHAT_COMPLETIONS", "e", "COMPLETE", input=8, provider_total=8)
    nameless = {"model": "own", "choices": [], "usage": CHAT_USAGE}
    script = authz.script(Script((_json(nameless),)))
    authz.call(script, f"/{kind}/v1/chat/completions", ASK)
    usage = usage_of(authz.adapters.end_of(script))
    assert usage is not None
    assert (usage.input, usage.output, usage.cached) == (100, 20, 64)


def test_a_stream_cut_at_any_place_is_read(authz: Gateway) -> None:
    whole = b"".join(chat_chunks(2))
    parts = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    script = authz.script(Script(parts, content_type=f"{SSE}; charset=utf-8"))
    answer = authz.call(script, "/openai/v1/chat/completions", ASK)
    assert answer.body == whole
    usage = usage_of(authz.adapters.end_of(script))
    assert usage is not None
    assert (usage.input, usage.output, usage.status) == (100, 20, "COMPLETE")


def test_large_answers_are_read(authz: Gateway) -> None:
    document = CHAT | {"choices": [{"message": {"content": "a" * (6 << 20)}}]}
    script = authz.script(Script((_json(document),)))
    authz.call(script, "/openai/v1/chat/completions", ASK)
    usage = usage_of(authz.adapters.end_of(script))
    assert usage is not None
    assert usage.input == 100


SAID = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
FEINTS = (
    'the model says "usage": {"prompt_tokens": 900}, and so on',
    "\ndata: [DONE]\n\n",
    "{" * 300,
)


@pytest.mark.parametrize("width", [1, 7, 1 << 16])
def test_usage_said_before_done_is_kept_though_the_answer_never_ends(authz: Gateway, width: int) -> None:
    deltas = [{"choices": [{"delta": {"content": text}}], "usage": None} for text in FEINTS]
    whole = b"".join(events(*deltas, {"choices": [], "usage": SAID}, "[DONE]"))
    parts = [whole[at : at + width] for at in range(0, len(whole), width)]
    script = authz.script(Script([*parts[:-1], *halved(parts[-1])], content_type=SSE, endless=True))
    with contextlib.closing(authz.connect()) as connection:
        response = authz.send(connection, script, "/openai/v1/chat/completions", ASK)
        seen = b""
        while seen != whole:
            seen += response.read1(1 << 16)
        response.close()
    entry = authz.adapters.end_of(script)
    assert usage_of(entry) is None
    assert entry.response.response_code_details == "downstream_remote_disconnect"
    assert json.loads(answer_of(entry)["usage"]) == SAID


def halved(part: bytes) -> tuple[bytes, ...]:
    return (part[:-1], part[-1:]) if len(part) > 1 else (part,)


def test_a_stream_that_is_not_done_has_said_nothing(authz: Gateway) -> None:
    text = {"choices": [{"delta": {"content": FEINTS[1]}}], "usage": SAID}
    parts = events(text, text)
    script = authz.script(Script(parts, content_type=SSE, endless=True))
    with contextlib.closing(authz.connect()) as connection:
        response = authz.send(connection, script, "/openai/v1/chat/completions", ASK)
        seen = b""
        while seen != b"".join(parts):
            seen += response.read1(1 << 16)
        response.close()
    entry = authz.adapters.end_of(script)
    assert "tallystick.answer" not in entry.common_properties.metadata.filter_metadata


UNSEEN = {
    "compressed": Script((gzip.compress(_json(CHAT)),), headers=[("content-encoding", "gzip")]),
    "no usage in the stream": Script(chat_chunks(3, usage=False), content_type=SSE),
    "a broken stream of frames": Script((b"\0\0\0\x10\1\2\3\4" * 9,), content_type=FRAMES),
    "an error": Script((_json(CHAT),), status=500),
    "no json": Script((b"<html>",), content_type="text/html"),
}


@pytest.mark.parametrize("script", UNSEEN.values(), ids=UNSEEN.keys())
def test_what_envoy_cannot_see_leaves_no_record_but_bytes(authz: Gateway, script: Script) -> None:
    name = authz.script(script)
    assert authz.call(name, "/openai/v1/chat/completions", ASK).body == script.body
    entry = authz.adapters.end_of(name)
    assert usage_of(entry) is None
    assert entry.response.response_body_bytes == len(script.body)
    assert entry.response.response_code.value == script.status
    expected = {"content-type": script.content_type, **dict(script.headers)}
    assert dict(entry.response.response_headers) == expected


UNREAD = {
    "longer than Envoy looks at": _json(CHAT | {"choices": ["a" * (11 << 20)]}),
    "cut": _json(CHAT)[:-9],
}


@pytest.mark.parametrize("body", UNREAD.values(), ids=UNREAD.keys())
def test_an_answer_that_cannot_be_read_is_told_as_failed(authz: Gateway, body: bytes) -> None:
    script = authz.script(Script((body,)))
    assert authz.call(script, "/openai/v1/chat/completions", ASK).body == body
    assert usage_of(authz.adapters.end_of(script)) == Usage("OPENAI_CHAT_COMPLETIONS", "", "FAILED")


def test_only_where_json_is_collected_can_an_answer_be_too_long(authz: Gateway) -> None:
    long = Script((_json({"data": "a" * (33 << 20)}),))
    assert authz.call(authz.script(long), "/openai/v1/embeddings", ASK).body == long.body
    assert authz.call(authz.script(long), "/openai/v1/chat/completions", ASK).status == 500


MESSAGES_READ = {"service_tier": "standard", "cache_write_5m": 15, "cache_write_1h": 5}
CONVERSE_READ = {"input": 5, "output": 7, "cache_read": 1, "service_tier": "flex"}
BESIDE = {
    "chat": ("/openai/v1/chat/completions", {"service_tier": "priority"}),
    "chat-sse": ("/openai/v1/chat/completions", {"usage": json.dumps(CHAT_USAGE)}),
    "responses": ("/openai/v1/responses", {"service_tier": "flex"}),
    "responses-sse": ("/openai/v1/responses", {}),
    "messages": ("/anthropic/v1/messages", MESSAGES_READ),
    "messages-sse": ("/anthropic/v1/messages", {}),
}


@pytest.mark.parametrize(("name", "path", "read"), [(name, *rest) for name, rest in BESIDE.items()])
def test_what_the_record_leaves_out_is_read_beside_it(
    authz: Gateway, name: str, path: str, read: dict[str, Any]
) -> None:
    (told,) = (told for told in TOLD if told.name == name)
    script = authz.script(told.script)
    authz.call(script, path, ASK)
    entry = authz.adapters.end_of(script)
    assert answer_of(entry) == read
    record = entry.common_properties.metadata.typed_filter_metadata["envoy.ai.token_usage"]
    assert b"service_tier" not in record.value
    wait(lambda: authz.lines_of(script))
    assert authz.lines_of(script)[0].get("answer", {}) == read


@pytest.mark.parametrize("scalar", ["null", "1", "true", '"x"', "[1]", "{"])
@pytest.mark.parametrize("kind", [SSE, FRAMES])
def test_events_whose_json_is_no_object_harm_nobody(authz: Gateway, scalar: str, kind: str) -> None:
    """Envoy 1.40 dies of them where events are read by rules of ours."""
    before = authz.envoy.pid
    payload = f"data: {scalar}\n\n".encode() if kind == SSE else frames(("metadata", scalar.encode()))
    answer = authz.call(authz.script(Script((payload,), content_type=kind)), "/openai/v1/responses", ASK)
    assert (answer.status, answer.body) == (200, payload)
    assert authz.call(authz.script(Script((b"{}",))), "/openai/v1/models").status == 200
    assert authz.envoy.pid == before


@pytest.mark.parametrize("size", [3, 50, 10_000])
def test_bedrock_is_read_beside_it_too(authz: Gateway, size: int) -> None:
    parts = [CONVERSE_FRAMES[at : at + size] for at in range(0, len(CONVERSE_FRAMES), size)]
    script = authz.script(Script(parts, content_type=FRAMES))
    answer = authz.call(script, "/aws/model/claude/converse-stream", ASK)
    assert answer.body == CONVERSE_FRAMES
    entry = authz.adapters.end_of(script)
    assert (usage_of(entry), answer_of(entry)) == (None, CONVERSE_READ)
    script = authz.script(Script((_json(CONVERSE),)))
    authz.call(script, "/aws/model/claude/converse", ASK)
    entry = authz.adapters.end_of(script)
    assert (usage_of(entry), answer_of(entry)) == (None, CONVERSE_READ)


def test_fields_that_are_not_there_are_not_told(authz: Gateway) -> None:
    script = authz.script(Script((_json({"type": "message", "role": "assistant", "usage": {}}),)))
    authz.call(script, "/anthropic/v1/messages", {})
    entry = authz.adapters.end_of(script)
    assert answer_of(entry) == {}
    assert "key:" not in authz.envoy.log
