"""Every order of messages that Envoy produces, and where each of them ends."""

import asyncio
import gzip
import json
import threading

import grpc
import pytest
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.errors import Draining, StoreUnavailable
from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.proxied.calls import Allowed, Ending, Passed, Turned
from tallystick.services import ext_proc_bodies, ext_proc_exchange
from tallystick.services.boundary import INTERNAL_MESSAGE
from tests.e2e.envoy.answers import CHAT, chat_chunks
from tests.servers import until
from tests.unit.services.ext_proc_calls import (
    ASK,
    CALL,
    JSON,
    SSE,
    Aborted,
    CountingGate,
    Points,
    Stream,
    answer_head,
    part,
    parts,
    play,
    played,
    request_body,
    request_head,
    service_with,
)

ALLOWED = Allowed(CALL, {})
REPORTED = Usage(input=36, cache_read=64, output=20, reasoning=8)
WHOLE = b"".join(chat_chunks(3))


def fields(answer: ProcessingResponse, kind: str) -> dict[str, str]:
    """The headers that an answer sets."""
    mutation = getattr(answer, kind).response.header_mutation
    return {each.header.key: each.header.raw_value.decode() for each in mutation.set_headers}


async def test_a_call_is_seen_from_its_request_to_its_usage() -> None:
    head = request_head(authorization="Bearer consumer", X_Team="a")
    gate, stream = await played(ALLOWED, head, request_body(), answer_head(), *parts(list(chat_chunks(3))))
    (request,) = gate.asked
    assert (request.method, request.path, request.prefix) == ("POST", "/v1/chat/completions", "/openai")
    assert (request.provider, request.kind, request.request_id) == ("openai", "openai", "id-of-envoy")
    assert request.headers["authorization"] == "Bearer consumer"
    assert not any(name.startswith(":") for name in request.headers)
    assert json.loads(request.body) == ASK
    assert request.body_bytes == len(request.body)
    assert request.context == {"tallystick.service": "crm"}
    kinds = [answer.WhichOneof("response") for answer in stream.answers]
    assert kinds == ["request_headers", "request_body", "response_headers", *["response_body"] * 5]
    assert fields(stream.answers[1], "request_body") == {"accept-encoding": "identity"}
    assert not stream.answers[1].request_body.response.HasField("body_mutation")
    ending = Ending(
        sent=True, status=200, usage=REPORTED, complete=True, tier="priority", output_bytes=6, text_seen=True,
        streamed=True,
    )  # fmt: skip
    assert gate.ends == [(CALL, ending)]


async def test_who_calls_is_told_by_what_envoy_verified() -> None:
    head = request_head(attributes={"connection__uri_san_peer_certificate": "spiffe://acme/ns/a/sa/b"})
    head.metadata_context.filter_metadata["envoy.filters.http.jwt_authn"].update(
        {"payload": {"email": "ivo@acme.example", "groups": ["a", "b"]}}
    )
    head.metadata_context.filter_metadata["envoy.filters.http.other"].update({"payload": {"email": "eve"}})
    gate, _ = await played(Passed("free"), head, request_body())
    (request,) = gate.asked
    assert request.claims == {"email": "ivo@acme.example", "groups": ["a", "b"]}
    assert request.principal == "spiffe://acme/ns/a/sa/b"
    gate, _ = await played(Passed("free"), request_head(), request_body())
    assert (dict(gate.asked[0].claims), gate.asked[0].principal) == ({}, "")


@pytest.mark.parametrize("path", ["/v1/models", "/openaix/v1/models", "/openai"])
async def test_a_path_without_the_prefix_is_the_providers_own(path: str) -> None:
    gate, _ = await played(Passed("free"), request_head(path, "GET", last=True))
    assert (gate.asked[0].path, gate.asked[0].prefix) == (path, "")


async def test_headers_that_come_twice_are_both_told() -> None:
    head = request_head(authorization="Bearer a")
    head.request_headers.headers.headers.add(key="authorization", value="Bearer b")
    gate, _ = await played(Passed("free"), head, request_body())
    assert gate.asked[0].headers["authorization"] == "Bearer a,Bearer b"


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"model": "big", "stream": true, "stream_options": {"include_usage": true}, "n": 2, "x": "%b"}',
         {"model": "big", "stream": True, "stream_options.include_usage": True, "n": 2}),
        (b'{"model": "big", "model": "small", "x": "%b"}', {}),
        (b'["%b"]', {}),
        (b"%b", {}),
    ],
)  # fmt: skip
async def test_of_a_very_long_body_the_beginning_and_what_decides_its_cost_are_shown(
    body: bytes, read: dict[str, object]
) -> None:
    whole = body % (b"a" * (17 << 20))
    gate, stream = await played(Allowed(CALL, {"stream_options": {}}), request_head(), request_body(whole))
    (request,) = gate.asked
    assert (request.body, request.body_bytes, request.read) == (whole[: 1 << 20], len(whole), read)
    assert not stream.answers[1].request_body.response.HasField("body_mutation")


async def test_what_the_verdict_changes_is_changed() -> None:
    patch = {"model": "small", "stream_options": {"include_usage": True}}
    verdict = Allowed(CALL, patch, "/openai/v2/x", ("authorization",), (("x-tallystick-model", "small"),))
    body = b'{"model" : "big", "stream": true, "n": 1e0}'
    gate, stream = await played(
        verdict, request_head(), request_body(body), answer_head(), part(WHOLE, last=True)
    )
    common = stream.answers[1].request_body.response
    sent = common.body_mutation.body
    assert sent == b'{"model" : "small", "stream": true, "stream_options": {"include_usage": true}, "n": 1e0}'
    assert fields(stream.answers[1], "request_body") == {
        "accept-encoding": "identity", ":path": "/openai/v2/x", "content-length": str(len(sent)),
    }  # fmt: skip
    assert list(common.header_mutation.remove_headers) == ["authorization"]
    assert not common.clear_route_cache
    assert fields(stream.answers[2], "response_headers") == {"x-tallystick-model": "small"}
    assert gate.ending.usage == REPORTED


async def test_a_model_that_cant_be_named_anew_is_not_sent() -> None:
    gate = CountingGate(Allowed(CALL, {"model": "small"}))
    with pytest.raises(Aborted, match="request_body: expected JSON"):
        await play(gate, Stream([request_head(), request_body(b"{")]))
    assert gate.ending == Ending(sent=False)


async def test_a_refusal_is_the_answer_and_ends_the_stream() -> None:
    turned = Turned(429, (("content-type", JSON), ("retry-after", "9")), b'{"error": {}}', "RATE_LIMITED")
    gate, stream = await played(turned, request_head(), request_body(), answer_head())
    immediate = stream.answers[1].immediate_response
    assert (immediate.status.code, immediate.body) == (429, b'{"error": {}}')
    assert [each.header.key for each in immediate.headers.set_headers] == ["content-type", "retry-after"]
    assert immediate.details == "tallystick_rate_limited"
    assert (stream.unread, gate.ends) == (1, [])


@pytest.mark.parametrize("bodiless", [True, False])
async def test_what_costs_nothing_passes_and_is_seen_no_more(bodiless: bool) -> None:
    messages = [request_head(last=bodiless)] + ([] if bodiless else [request_body()])
    gate, stream = await played(Passed("free", ("x-api-key",), "/v1/models"), *messages, answer_head())
    kind = "request_headers" if bodiless else "request_body"
    mutation = getattr(stream.answers[-1], kind).response.header_mutation
    assert list(mutation.remove_headers) == ["x-api-key"]
    assert fields(stream.answers[-1], kind) == {":path": "/v1/models"}
    assert (stream.unread, len(gate.asked), gate.ends) == (1, 1, [])


async def test_a_local_reply_before_the_decision_is_nobodys_call() -> None:
    gate, _ = await played(ALLOWED, answer_head("404", JSON, details="route_not_found"))
    assert (gate.asked, gate.ends) == ([], [])
    gate, _ = await played(ALLOWED, answer_head("404", JSON, details=""))
    assert (gate.asked, gate.ends) == ([], [])
    too_long = answer_head("413", "text/plain", details="request_payload_too_large")
    gate, _ = await played(ALLOWED, request_head(), too_long, part(b"Payload Too Large", last=True))
    assert (gate.asked, gate.ends) == ([], [])


@pytest.mark.parametrize(
    ("details", "sent"),
    [
        ("upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error}", False),
        ("upstream_reset_before_response_started{overflow}", False),
        ("upstream_reset_before_response_started{connection_termination}", True),
        ("response_timeout", True),
        ("no_healthy_upstream", False),
    ],
)
async def test_a_local_reply_after_the_decision_tells_whether_it_was_sent(details: str, sent: bool) -> None:
    gate, stream = await played(
        ALLOWED, request_head(), request_body(), answer_head("503", "text/plain", details=details)
    )
    assert (gate.ending.sent, gate.ending.status, gate.ending.usage) == (sent, 0, None)
    assert stream.answers[-1].HasField("response_headers")


async def test_an_answer_without_a_body_and_one_with_trailers_end_too() -> None:
    gate, _ = await played(ALLOWED, request_head(), request_body(), answer_head("204", "", last=True))
    assert gate.ending == Ending(sent=True, status=204, output_bytes=0, text_seen=True, streamed=False)
    trailers = ProcessingRequest()
    trailers.response_trailers.SetInParent()
    gate, _ = await played(ALLOWED, request_head(), request_body(), answer_head(), part(WHOLE), trailers)
    assert (gate.ending.usage, gate.ending.complete) == (REPORTED, True)


async def test_an_encoding_that_cant_be_undone_says_nothing() -> None:
    gate, _ = await played(
        ALLOWED, request_head(), request_body(), answer_head("200", SSE, "br"), part(b"abc", last=True)
    )
    assert gate.ending == Ending(sent=True, status=200, output_bytes=None, streamed=True)


@pytest.mark.parametrize("last", [True, False])
async def test_a_server_that_never_says_done(last: bool) -> None:
    body = WHOLE.removesuffix(b"data: [DONE]\n\n")
    gate, _ = await played(ALLOWED, request_head(), request_body(), answer_head(), part(body, last=last))
    assert (gate.ending.usage, gate.ending.complete, gate.ending.client_left) == (REPORTED, last, not last)


async def test_compressed_answers_are_read() -> None:
    body = gzip.compress(json.dumps(CHAT).encode())
    pieces = [body[at : at + 1] for at in range(len(body))]
    gate, _ = await played(
        ALLOWED, request_head(), request_body(), answer_head("200", JSON, "gzip"), *parts(pieces)
    )
    assert (gate.ending.usage, gate.ending.complete) == (REPORTED, True)


@settings(deadline=None)  # a busy machine may be slow
@given(st.integers(0, len(WHOLE)), st.integers(1, 60))
def test_wherever_the_answer_breaks_off_what_passed_is_told(passed: int, size: int) -> None:
    seen = [part(WHOLE[at : min(at + size, passed)]) for at in range(0, passed, size)]
    gate, _ = asyncio.run(played(ALLOWED, request_head(), request_body(), answer_head(), *seen))
    ending, text = gate.ending, WHOLE[:passed]
    done = b"[DONE]" in text
    assert (ending.complete, ending.client_left, ending.streamed) == (done, not done, True)
    events = text[: text.rfind(b"}")].count(b'"delta": {"content"')
    assert 2 * (events - 1) <= (ending.output_bytes or 0) <= 2 * events
    assert (ending.usage == REPORTED) == (WHOLE.rfind(b"}}}") + 3 <= passed)


async def test_a_client_that_leaves_before_the_answer_leaves_a_question() -> None:
    gate, _ = await played(ALLOWED, request_head(), request_body())
    assert gate.ending == Ending(sent=True)
    gate, _ = await played(ALLOWED, request_head())
    assert (gate.asked, gate.ends) == ([], [])


async def test_an_error_in_a_stream_is_the_providers() -> None:
    error = b'data: {"error": {"message": "overloaded"}}\n\n'
    gate, _ = await played(
        ALLOWED, request_head(), request_body(), answer_head(), part(chat_chunks(1)[0]), part(error)
    )
    assert (gate.ending.provider_broke_off, gate.ending.client_left) == (True, False)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([ProcessingRequest()], "request: expected"),
        ([request_body()], "request_body: expected after request_headers"),
        ([request_head(), request_head()], "request_headers: expected once"),
        ([request_head(), request_body(), request_body()], "whole and once"),
        ([part(b"x")], "response_body: expected after"),
        ([request_head(), request_body(), part(b"x")], "response_body: expected after"),
        ([request_head(), request_body(), answer_head(), answer_head()], "response_headers: expected once"),
        ([request_head(), answer_head()], "after the request and its whole body"),
        ([request_head(old=True), answer_head(details="")], "after the request and its whole body"),
        ([answer_head()], "after the request and its whole body"),
        ([request_head("")], "expected :method and :path"),
        ([request_head(), request_body(), answer_head("abc")], "three digits"),
        ([request_head(body_mode=ProcessingMode.NONE)], "request_body_mode: expected BUFFERED"),
        ([request_head(body_mode=ProcessingMode.STREAMED)], "request_body_mode: expected BUFFERED"),
        ([request_head(answer_mode=ProcessingMode.NONE)], "response_body_mode: expected STREAMED"),
    ],
)
async def test_an_envoy_that_is_set_up_otherwise_is_told_how(
    messages: list[ProcessingRequest], expected: str
) -> None:
    gate = CountingGate(ALLOWED)
    with pytest.raises(Aborted, match=expected) as aborted:
        await play(gate, Stream(messages))
    assert aborted.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert len(gate.ends) == gate.held


async def test_no_unexpected_text_gets_out() -> None:
    gate = CountingGate(RuntimeError("the password is swordfish"))
    with pytest.raises(Aborted) as aborted:
        await play(gate, Stream([request_head(), request_body()]))
    assert (aborted.value.code, aborted.value.details) == (grpc.StatusCode.INTERNAL, INTERNAL_MESSAGE)
    for error in (Draining("x"), StoreUnavailable("x")):
        with pytest.raises(Aborted) as aborted:
            await play(CountingGate(error), Stream([request_head(), request_body()]))
        assert aborted.value.code == grpc.StatusCode.UNAVAILABLE


def of_call(number: int) -> list[ProcessingRequest]:
    """Whole calls of each shape."""
    begun = [request_head(), request_body()]
    return [
        [*begun, answer_head(), *parts(list(chat_chunks(2)))],
        [*begun, answer_head("200", JSON), part(json.dumps(CHAT).encode(), last=True)],
        [*begun, answer_head("503", "text/plain", details="no_healthy_upstream")],
        [*begun, answer_head("204", "", last=True)],
        [*begun, answer_head(), part(WHOLE[:50])],
        begun,
    ][number]


@given(st.integers(0, 5), st.integers(1, 24), st.booleans())
def test_wherever_a_stream_is_cancelled_what_was_held_is_ended_once(
    shape: int, cancel_at: int, patched: bool
) -> None:
    async def call() -> tuple[CountingGate, Stream]:
        points = Points(cancel_at)
        gate = CountingGate(Allowed(CALL, {"model": "small"} if patched else {}), points)
        stream = Stream(of_call(shape), points)
        await play(gate, stream, points)
        return gate, stream

    gate, stream = asyncio.run(call())
    assert len(gate.ends) == gate.held <= 1
    if gate.held:
        if stream.writing < 2:
            assert gate.ending == Ending(sent=False)
        elif gate.ending.status == 0 and shape != 2:
            assert gate.ending == Ending(sent=True)


async def test_one_that_leaves_before_our_consent_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    changing = threading.Event()

    def change(_api: Api, body: bytes, **_wanted: object) -> bytes:
        assert changing.wait(10)
        return body

    monkeypatch.setattr(ext_proc_bodies, "LARGE_BYTES", 0)  # so that the body is changed in a thread
    monkeypatch.setattr(ext_proc_bodies, "rewrite", change)
    gate = CountingGate(Allowed(CALL, {"model": "small"}))
    service = service_with(gate)
    task = asyncio.ensure_future(service.Process(None, Stream([request_head(), request_body()])))  # type: ignore[arg-type]
    await until(lambda: gate.held)
    task.cancel()
    await asyncio.wait([task])
    changing.set()
    await service.drain(1)
    assert gate.ending == Ending(sent=False)


async def test_to_end_a_stream_that_is_not_decided_is_no_consent() -> None:
    class Waiting(Stream):
        async def read(self) -> object:
            return await super().read() if self.unread else await asyncio.Event().wait()

    service = service_with(CountingGate(ALLOWED))
    stream = Waiting([request_head()])
    task = asyncio.ensure_future(service.Process(None, stream))  # type: ignore[arg-type]
    await until(lambda: stream.answers)
    await service.drain(0.01)
    assert task.cancelled()


async def test_long_streams_keep_their_hold_and_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ext_proc_exchange, "KEEP_EVERY_S", 0.0)
    gate, _ = await played(
        ALLOWED, request_head(), request_body(), answer_head(), *parts(list(chat_chunks(3)))
    )
    text = [len(b"0 "), len(b"0 1 "), *[len(b"0 1 2 ")] * 2]
    lasting = Ending(sent=True, status=200, text_seen=True, streamed=True)
    assert gate.kept == [lasting._replace(output_bytes=seen) for seen in text]


async def test_a_stream_is_looked_at_when_its_text_passes_what_was_held() -> None:
    held = Allowed(CALL._replace(held=Usage(output=1)), {})
    gate, stream = await played(
        held, request_head(), request_body(), answer_head(), *parts(list(chat_chunks(9)))
    )
    assert [so_far.output_bytes for so_far in gate.kept][:3] == [4, 6, 8]
    assert gate.ending.usage == REPORTED
    assert not stream.answers[-1].HasField("immediate_response")


async def test_a_stream_for_which_there_is_no_room_is_cut_and_charged() -> None:
    held = Allowed(CALL._replace(held=Usage(output=1)), {})
    gate = CountingGate(held)
    gate.cuts = True
    stream = Stream([request_head(), request_body(), answer_head(), *parts(list(chat_chunks(9)))])
    await play(gate, stream)
    assert stream.answers[-1].immediate_response.details == "tallystick_outgrown"
    assert stream.unread
    ending = gate.ending
    assert (ending.client_left, ending.complete, ending.usage) == (True, False, None)
    assert ending.output_bytes is not None
    assert ending.output_bytes >= 4


async def test_streams_take_a_place_only_while_they_are_decided_and_ended() -> None:
    gate, hung = CountingGate(ALLOWED), asyncio.Event()

    class Hanging(Stream):
        async def read(self) -> object:
            if not self.unread:
                await hung.wait()
            return await super().read()

    service = service_with(gate, most_at_work=1)
    streams = [Hanging([request_head(), request_body(), answer_head(), part(WHOLE[:99])]) for _ in range(20)]
    tasks = [asyncio.ensure_future(service.Process(None, each)) for each in streams]  # type: ignore[arg-type]
    await until(lambda: all(len(each.answers) == 4 for each in streams))
    assert service._admission.at_work == 0
    hung.set()
    await asyncio.gather(*tasks)
    await service.drain(1)
    assert len(gate.ends) == 20
    assert service._admission.at_work == 0
    assert not service._open
    assert not service._beside


async def test_at_the_end_of_the_grace_calls_go_on_without_us() -> None:
    gate = CountingGate(ALLOWED)

    class Hanging(Stream):
        async def read(self) -> object:
            return await super().read() if self.unread else await asyncio.Event().wait()

    service = service_with(gate)
    stream = Hanging([request_head(), request_body(), answer_head(), part(WHOLE[:99])])
    task = asyncio.ensure_future(service.Process(None, stream))  # type: ignore[arg-type]
    await until(lambda: len(stream.answers) == 4)
    await service.drain(0.01)
    await task  # it was not cancelled: its stream ends as if all were said
    assert gate.ending == Ending(sent=True)
