"""Envoy's Check to a request and a verdict to its answer, without Envoy."""

import json

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.protobuf.json_format import MessageToDict

from tallystick.proxied.calls import Allowed, Passed, Turned
from tallystick.proxied.open_calls import OpenCalls
from tallystick.proxied.packing import unpack
from tallystick.services.admission import Admission
from tallystick.services.ext_authz import AuthorizationService, write_verdict
from tallystick.services.reading_checks import read_check
from tests.servers import until
from tests.unit.proxied.counter import CHAT, KEY, POLICY, Counter, held_call


def check() -> CheckRequest:
    request = CheckRequest()
    attributes = request.attributes
    http = attributes.request.http
    http.method, http.path, http.raw_body = "POST", "/mine/v1/chat/completions?x=1", json.dumps(CHAT).encode()
    http.size = 5_000_000
    http.headers.update(
        {"x-request-id": "i", "authorization": f"Bearer {KEY}", "content-type": "application/json"}
    )
    attributes.context_extensions.update({"provider": "mine", "kind": "openai", "prefix": "/mine"})
    attributes.source.principal = "spiffe://acme/sa/x"
    metadata = attributes.metadata_context.filter_metadata
    metadata["envoy.filters.http.json_to_metadata"].update({"model": "big", "stream": True, "n": 2})
    claims = {"sub": "a", "groups": ["x", {"y": 1}], "exp": 5}
    metadata["envoy.filters.http.jwt_authn"].update({"header": "no claims", "payload": claims})
    return request


def test_a_check_is_read_whole() -> None:
    request = read_check(check())
    assert (request.method, request.path, request.prefix) == ("POST", "/v1/chat/completions?x=1", "/mine")
    assert json.loads(request.body) == CHAT
    assert request.body_bytes == 5_000_000
    assert dict(request.read) == {"model": "big", "stream": True, "n": 2.0}
    assert (request.provider, request.kind, request.request_id) == ("mine", "openai", "i")
    assert request.principal == "spiffe://acme/sa/x"
    assert request.claims == {"sub": "a", "groups": ["x", {"y": 1.0}], "exp": 5.0}


def test_an_empty_check_is_read_too() -> None:
    request = read_check(CheckRequest())
    assert (request.method, request.path, request.body, dict(request.read)) == ("", "", b"", {})


def test_nothing_secret_is_in_a_request_s_text() -> None:
    text = repr(read_check(check()))
    assert KEY not in text
    assert "hello" not in text


def test_an_allowed_call_is_written_with_all_that_changes() -> None:
    patch = {
        "model": "small",
        "stream_options": {"include_usage": True, "n": 1, "x": None, "y": [1, "a", {}]},
    }
    verdict = Allowed(held_call(), patch, "/mine/x", ("authorization",), (("x-tallystick-model", "small"),))
    answer = write_verdict(verdict)
    metadata = MessageToDict(answer.dynamic_metadata)
    assert unpack(metadata["call"]) == verdict.call
    assert (metadata["rewrite"], metadata["patch"]) == ("yes", patch)
    ok = answer.ok_response
    assert list(ok.headers_to_remove) == ["authorization"]
    assert [(each.header.key, each.header.value) for each in ok.headers] == [(":path", "/mine/x")]
    (header,) = ok.response_headers_to_add
    assert (header.header.key, header.header.value) == ("x-tallystick-model", "small")
    assert answer.status.code == 0


def test_what_is_not_changed_is_not_written() -> None:
    answer = write_verdict(Allowed(held_call(), {}))
    assert list(answer.dynamic_metadata.fields) == ["call"]
    passed = write_verdict(Passed("free", ("x-api-key",)))
    assert passed.status.code == 0
    assert list(passed.ok_response.headers_to_remove) == ["x-api-key"]
    assert not passed.dynamic_metadata.fields


def test_a_refusal_is_written_to_the_byte() -> None:
    answer = write_verdict(Turned(402, (("retry-after", "9"),), b'{"error": "\xc3\xbc"}', "x"))
    denied = answer.denied_response
    assert (answer.status.code, denied.status.code, denied.body) == (7, 402, '{"error": "ü"}')
    assert [(each.header.key, each.header.value) for each in denied.headers] == [("retry-after", "9")]


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_verdict_that_envoy_did_not_hear_holds_nothing(allowed: bool) -> None:
    counter = Counter()
    await counter.office.apply(POLICY)
    metrics = counter.office.metrics
    service = AuthorizationService(counter.gate, Admission(1, 1, metrics), metrics, OpenCalls())
    answer = CheckResponse()
    if allowed:
        answer = write_verdict(await counter.allowed())
        assert counter.office.held()
    service.unheard(check(), answer)
    await until(lambda: not counter.office.held())
