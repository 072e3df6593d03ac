"""Way authz: what the sidecar is asked, what its answer does to the call, and what providers get."""

import gzip
import json
from typing import Any

import pytest
from envoy.service.auth.v3 import external_auth_pb2 as auth

from tests.e2e.envoy.adapters import Check
from tests.e2e.envoy.answers import CHAT
from tests.e2e.envoy.gateways import Gateway
from tests.e2e.envoy.provider import Script

CHAT_PATH = "/openai/v1/chat/completions"
ASK = {"model": "big", "max_tokens": 100, "messages": [{"role": "user", "content": "hé"}]}


def patch_with(**fields: Any) -> Check:
    """Allows, and has `fields` merged into the body."""

    def check(_: auth.CheckRequest) -> auth.CheckResponse:
        return auth.CheckResponse(dynamic_metadata={"rewrite": "yes", "patch": fields})

    return check


def deny(_: auth.CheckRequest) -> auth.CheckResponse:
    answer = auth.CheckResponse(dynamic_metadata={"reservation": "none"})
    answer.status.code = 7
    answer.denied_response.status.code = 402
    answer.denied_response.body = '{"error": {"code": "insufficient_tokens"}}'
    for name, value in (
        ("content-type", "application/json"),
        ("x-should-retry", "false"),
        ("retry-after", "9"),
    ):
        header = answer.denied_response.headers.add()
        header.header.key, header.header.value = name, value
    return answer


def read_of(check: auth.CheckRequest) -> dict[str, Any]:
    """The fields that Envoy read of the body."""
    return dict(check.attributes.metadata_context.filter_metadata["envoy.filters.http.json_to_metadata"])


def test_the_check_has_the_body_its_fields_and_where_it_goes(authz: Gateway) -> None:
    script = authz.script()
    body = ASK | {"stream": True, "n": 2, "stream_options": {"include_usage": False}, "service_tier": "flex"}
    assert authz.call(script, CHAT_PATH, body, authorization="Bearer consumer").status == 200
    (check,) = authz.adapters.checks_of(script)
    request = check.attributes.request.http
    assert json.loads(request.raw_body) == body
    assert (request.method, request.path) == ("POST", CHAT_PATH)
    assert request.headers["authorization"] == "Bearer consumer"
    assert request.headers["x-envoy-auth-partial-body"] == "false"
    assert read_of(check) == {
        "model": "big", "max_tokens": 100, "stream": True, "n": 2, "stream_options.include_usage": False,
        "service_tier": "flex",
    }  # fmt: skip
    assert dict(check.attributes.context_extensions) == {
        "provider": "openai", "kind": "openai", "prefix": "/openai",
    }  # fmt: skip


@pytest.mark.parametrize("size", [2 << 20, 20 << 20])
def test_of_a_long_body_a_part_is_shown_and_all_fields(authz: Gateway, size: int) -> None:
    script = authz.script()
    body = b'{"messages": ["' + b"a" * size + b'"], "model": "behind", "max_tokens": 7}'
    assert authz.call(script, CHAT_PATH, body).status == 200
    (check,) = authz.adapters.checks_of(script)
    request = check.attributes.request.http
    assert request.raw_body == body[: 1 << 20]
    assert request.size == len(body)
    assert request.headers["x-envoy-auth-partial-body"] == "true"
    assert read_of(check) == {"model": "behind", "max_tokens": 7}
    assert authz.seen(script).body == body


def test_of_a_key_that_comes_twice_the_last_is_read(authz: Gateway) -> None:
    script = authz.script()
    authz.call(script, CHAT_PATH, b'{"model": "cheap", "model": "dear"}')
    assert read_of(authz.adapters.checks_of(script)[0]) == {"model": "dear"}


def test_a_denial_reaches_the_client_as_it_is(authz: Gateway) -> None:
    script = authz.script()
    authz.adapters.on_check[script] = deny
    answer = authz.call(script, CHAT_PATH, ASK)
    assert answer.status == 402
    assert answer.json == {"error": {"code": "insufficient_tokens"}}
    assert (answer.headers["x-should-retry"], answer.headers["retry-after"]) == ("false", "9")
    assert answer.headers["content-type"] == "application/json"
    assert not authz.provider.of(script)
    entry = authz.adapters.end_of(script)
    assert entry.response.response_code_details == "ext_authz_denied"
    assert entry.common_properties.response_flags.unauthorized_details.reason == 1
    assert entry.common_properties.route_name == "openai"
    assert entry.common_properties.upstream_request_attempt_count == 0


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_the_patch_is_merged_into_the_body(authz: Gateway, kind: str) -> None:
    script = authz.script()
    authz.adapters.on_check[script] = patch_with(model="small", stream_options={"include_usage": True})
    body = ASK | {"temperature": 0.7, "stream_options": {"include_obfuscation": False}, "seed": 12345}
    authz.call(script, CHAT_PATH, body, content_type=kind)
    seen = authz.seen(script)
    assert seen.json == body | {"model": "small", "stream_options": {"include_usage": True}}
    assert b'"max_tokens":100' in seen.body  # whole numbers stay whole


def test_without_a_patch_the_body_is_passed_to_the_byte(authz: Gateway) -> None:
    script = authz.script()
    body = b'{"model" : "big",\n "seed": 9007199254740993, "x": "\\u00e9"}'
    authz.call(script, CHAT_PATH, body)
    assert authz.seen(script).body == body


def test_a_patch_makes_doubles_of_numbers(authz: Gateway) -> None:
    script = authz.script()
    authz.adapters.on_check[script] = patch_with(model="small")
    authz.call(script, CHAT_PATH, b'{"model": "big", "seed": 9007199254740993}')
    assert authz.seen(script).json == {"model": "small", "seed": 9007199254740992}


UNPATCHED = {
    "a key twice": (b'{"a": 1, "a": 2, "model": "big"}', {}),
    "no object": (b'["big"]', {}),
    "no json": (b"{big", {}),
    "another type": (b'{"model": "big"}', {"content_type": "text/plain"}),
    "a type of JSON": (b'{"model": "big"}', {"content_type": "application/x+json"}),
    "compressed": (gzip.compress(b'{"model": "big"}'), {"content_encoding": "gzip"}),
}


@pytest.mark.parametrize(("body", "headers"), UNPATCHED.values(), ids=UNPATCHED.keys())
def test_what_cannot_be_patched_is_passed_as_it_is(
    authz: Gateway, body: bytes, headers: dict[str, str]
) -> None:
    """So it is for the sidecar to refuse it, where the patch must hold."""
    script = authz.script()
    authz.adapters.on_check[script] = patch_with(model="small")
    assert authz.call(script, CHAT_PATH, body, **headers).status == 200
    assert authz.seen(script).body == body


def test_the_answer_may_choose_the_path(authz: Gateway) -> None:
    """Gemini and Bedrock have the model there."""

    def check(_: auth.CheckRequest) -> auth.CheckResponse:
        answer = auth.CheckResponse()
        header = answer.ok_response.headers.add()
        header.header.key, header.header.value = (
            ":path",
            "/gemini/v1beta/models/small:generateContent?alt=sse",
        )
        return answer

    script = authz.script()
    authz.adapters.on_check[script] = check
    authz.call(script, "/gemini/v1beta/models/big:generateContent?alt=sse", ASK)
    assert authz.seen(script).path == "/v1beta/models/small:generateContent?alt=sse"


CLIENT = {"authorization": "Bearer consumer", "x_api_key": "consumer", "api_key": "consumer"}
CLIENT |= {"x_goog_api_key": "consumer", "cookie": "session=1", "proxy_authorization": "Basic consumer"}
KEYS = {
    "openai": {"authorization": "Bearer key-of-openai"},
    "anthropic": {"x-api-key": "key-of-anthropic"},
    "gemini": {"x-goog-api-key": "key-of-gemini"},
    "azure": {"api-key": "key-of-azure"},
    "local": {},
    "own": {"authorization": "Bearer consumer", "x-api-key": "consumer", "api-key": "consumer",
            "x-goog-api-key": "consumer", "proxy-authorization": "Basic consumer"},
}  # fmt: skip


@pytest.mark.parametrize(("name", "keys"), KEYS.items(), ids=KEYS)
def test_a_provider_gets_its_own_key_and_nothing_of_the_client(
    authz: Gateway, name: str, keys: dict[str, str]
) -> None:
    script = authz.script()
    authz.call(
        script, f"/{name}/v1/x?key=consumer", ASK, x_tallystick_user="bob", accept_encoding="gzip", **CLIENT
    )
    seen = authz.seen(script)
    assert seen.path == ("/base" if name == "local" else "") + "/v1/x" + (
        "" if name == "gemini" else "?key=consumer"
    )
    credentials = {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"}
    assert {key: value for key, value in seen.headers.items() if key in credentials} == keys
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["host"] == f"127.0.0.1:{authz.provider.port}"
    others = {"host", "content-length", "content-type", "x-script", "x-request-id", "accept-encoding"}
    assert seen.headers.keys() - credentials == others
    (check,) = authz.adapters.checks_of(script)
    assert check.attributes.request.http.headers["x-tallystick-user"] == "bob"
    assert check.attributes.request.http.headers["authorization"] == "Bearer consumer"


def test_clients_cannot_say_what_only_envoy_may(authz: Gateway) -> None:
    script = authz.script(Script(status=503))
    told = {"x_envoy_retry_on": "5xx", "x_envoy_max_retries": "3", "x_request_id": "mine"}
    told |= {"x_envoy_internal": "true", "x_envoy_auth_partial_body": "true"}
    told |= {"x_envoy_upstream_rq_timeout_ms": "1", "x_forwarded_client_cert": "By=me"}
    assert authz.call(script, CHAT_PATH, ASK, **told).status == 503
    assert len(authz.provider.of(script)) == 1
    (check,) = authz.adapters.checks_of(script)
    headers = check.attributes.request.http.headers
    assert headers["x-request-id"] != "mine"
    assert headers["x-envoy-auth-partial-body"] == "false"
    known = {"x-envoy-external-address", "x-envoy-auth-partial-body"}
    assert {name for name in headers if name.startswith("x-envoy") or "cert" in name} == known


def test_a_path_is_made_plain_before_it_is_judged(authz: Gateway) -> None:
    script = authz.script()
    assert authz.call(script, "/openai/../anthropic//v1/./x", ASK).status == 200
    (check,) = authz.adapters.checks_of(script)
    assert check.attributes.request.http.path == "/anthropic/v1/x"
    assert check.attributes.context_extensions["provider"] == "anthropic"
    assert authz.seen(script).headers["x-api-key"] == "key-of-anthropic"


@pytest.mark.parametrize("path", ["/", "/openai", "/openaix/v1/x", "/nobody/v1/x"])
def test_what_leads_nowhere_is_told_where_to_go_and_nobody_is_asked(authz: Gateway, path: str) -> None:
    script = authz.script()
    answer = authz.call(script, path, ASK)
    assert answer.status == 404
    assert "/anthropic/" in answer.json["error"]["message"]
    assert not authz.adapters.checks_of(script)


def test_connections_that_would_not_be_metered_are_refused(authz: Gateway) -> None:
    script = authz.script()
    answer = authz.call(script, "/openai/v1/realtime", None, "GET", Connection="Upgrade", upgrade="websocket")
    assert answer.status == 403
    assert not authz.provider.of(script)


def test_calls_without_a_body_are_asked_about_too(authz: Gateway) -> None:
    script = authz.script(Script((json.dumps(CHAT).encode(),)))
    assert authz.call(script, "/openai/v1/models").status == 200
    (check,) = authz.adapters.checks_of(script)
    assert check.attributes.request.http.method == "GET"
    assert not check.attributes.request.http.raw_body
