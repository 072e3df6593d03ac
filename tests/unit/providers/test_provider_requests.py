import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.errors import InvalidArgument
from tallystick.providers import Api, CacheWrite, ProviderCall, parse_request

VECTORS = Path(__file__).parents[2] / "vectors" / "providers"
REQUESTS: list[dict[str, Any]] = json.loads((VECTORS / "requests.json").read_text())

CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}
MESSAGES = {"model": "claude-opus-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
RESPONSES = {"model": "gpt-5", "input": "hi"}
GEMINI = {"contents": [{"parts": [{"text": "hi"}]}]}
CONVERSE = {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
NAMED = {Api.GEMINI_GENERATE: "gemini-2.5-pro", Api.BEDROCK_CONVERSE: "amazon.nova-pro-v1:0"}
"""The models of APIs whose path names them."""
EMBEDDINGS = {"model": "text-embedding-3-small", "input": "hi"}


def refused(api: Api, body: bytes) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        parse_request(api, body, model=NAMED.get(api, ""))
    return caught.value


def as_body(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("vector", REQUESTS, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    call = parse_request(Api(vector["api"]), as_body(vector["body"]), model=vector.get("model", ""))
    for field, expected in vector["expect"].items():
        value = getattr(call, field)
        assert (list(value) if isinstance(value, tuple) else value) == expected, field


def test_vectors_cover_every_api() -> None:
    assert {Api(vector["api"]) for vector in REQUESTS} == set(Api)


@pytest.mark.parametrize(
    ("api", "body", "field"),
    [
        (Api.OPENAI_CHAT, CHAT | {"model": ""}, "request.body.model"),
        (Api.OPENAI_CHAT, CHAT | {"model": None}, "request.body.model"),
        (Api.OPENAI_CHAT, CHAT | {"model": 5}, "request.body.model"),
        (Api.OPENAI_CHAT, CHAT | {"model": "a\nb"}, "request.body.model"),
        (Api.OPENAI_CHAT, CHAT | {"model": "x" * 257}, "request.body.model"),
        (Api.OPENAI_CHAT, CHAT | {"messages": None}, "request.body.messages"),
        (Api.OPENAI_CHAT, CHAT | {"messages": "hi"}, "request.body.messages"),
        (Api.OPENAI_CHAT, CHAT | {"messages": ["hi"]}, "request.body.messages[0]"),
        (Api.OPENAI_CHAT, CHAT | {"messages": [{"content": "hi"}]}, "request.body.messages[0].role"),
        (
            Api.OPENAI_CHAT,
            CHAT | {"messages": [{"role": "user", "content": 7}]},
            "request.body.messages[0].content",
        ),
        (
            Api.OPENAI_CHAT,
            CHAT | {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
            "request.body.messages[0].content[0].text",
        ),
        (
            Api.OPENAI_CHAT,
            CHAT | {"messages": [{"role": "user", "content": "\ud800"}]},
            "request.body.messages[0].content",
        ),
        (Api.OPENAI_CHAT, CHAT | {"max_tokens": -1}, "request.body.max_tokens"),
        (Api.OPENAI_CHAT, CHAT | {"max_tokens": True}, "request.body.max_tokens"),
        (Api.OPENAI_CHAT, CHAT | {"max_tokens": 1.0}, "request.body.max_tokens"),
        (Api.OPENAI_CHAT, CHAT | {"max_tokens": "9"}, "request.body.max_tokens"),
        (Api.OPENAI_CHAT, CHAT | {"max_completion_tokens": 2**31}, "request.body.max_completion_tokens"),
        (Api.OPENAI_CHAT, CHAT | {"n": 0}, "request.body.n"),
        (Api.OPENAI_CHAT, CHAT | {"stream": 1}, "request.body.stream"),
        (Api.OPENAI_CHAT, CHAT | {"tools": {}}, "request.body.tools"),
        (Api.OPENAI_CHAT, CHAT | {"tools": [1]}, "request.body.tools[0]"),
        (Api.OPENAI_RESPONSES, RESPONSES | {"input": 5}, "request.body.input"),
        (Api.OPENAI_RESPONSES, RESPONSES | {"input": [5]}, "request.body.input[0]"),
        (Api.OPENAI_RESPONSES, RESPONSES | {"max_output_tokens": False}, "request.body.max_output_tokens"),
        (Api.OPENAI_EMBEDDINGS, EMBEDDINGS | {"input": None}, "request.body.input"),
        (Api.OPENAI_EMBEDDINGS, EMBEDDINGS | {"input": [1, True]}, "request.body.input[0]"),
        (Api.OPENAI_EMBEDDINGS, EMBEDDINGS | {"input": [[1, -1]]}, "request.body.input[0]"),
        (Api.ANTHROPIC_MESSAGES, MESSAGES | {"system": 1}, "request.body.system"),
        (Api.ANTHROPIC_MESSAGES, MESSAGES | {"messages": 1}, "request.body.messages"),
        (Api.ANTHROPIC_MESSAGES, MESSAGES | {"max_tokens": 10**30}, "request.body.max_tokens"),
        (Api.GEMINI_GENERATE, {}, "request.body.contents"),
        (Api.GEMINI_GENERATE, GEMINI | {"contents": [7]}, "request.body.contents[0]"),
        (Api.GEMINI_GENERATE, {"contents": {"parts": [7]}}, "request.body.contents.parts[0]"),
        (Api.GEMINI_GENERATE, {"contents": {"parts": {"text": 7}}}, "request.body.contents.parts.text"),
        (Api.GEMINI_GENERATE, GEMINI | {"cached_content": "a", "cachedContent": "b"}, "request.body"),
        (
            Api.GEMINI_GENERATE,
            GEMINI | {"generationConfig": {"maxOutputTokens": 1.5}},
            "request.body.generationConfig.maxOutputTokens",
        ),
        (
            Api.GEMINI_GENERATE,
            GEMINI | {"generationConfig": {"candidateCount": "-1"}},
            "request.body.generationConfig.candidateCount",
        ),
        (Api.GEMINI_GENERATE, GEMINI | {"tools": [7]}, "request.body.tools[0]"),
        (Api.BEDROCK_CONVERSE, CONVERSE | {"messages": {}}, "request.body.messages"),
        (Api.BEDROCK_CONVERSE, {"messages": [{"content": []}]}, "request.body.messages[0].role"),
        (
            Api.BEDROCK_CONVERSE,
            {"messages": [{"role": "user", "content": "hi"}]},
            "request.body.messages[0].content",
        ),
        (Api.BEDROCK_CONVERSE, CONVERSE | {"system": [1]}, "request.body.system[0]"),
        (
            Api.BEDROCK_CONVERSE,
            CONVERSE | {"inferenceConfig": {"maxTokens": "9"}},
            "request.body.inferenceConfig.maxTokens",
        ),
        (Api.BEDROCK_CONVERSE, CONVERSE | {"toolConfig": {"tools": [1]}}, "request.body.toolConfig"),
    ],
)
def test_wrong_field(api: Api, body: object, field: str) -> None:
    assert refused(api, as_body(body)).field == field


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe{}",
        b'{"model": NaN}',
        b'{"model": "cheap", "model": "dear", "messages": []}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"model": 1' + b"0" * 5_000 + b"}",
        b" " * (16 * 2**20 + 1),
    ],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("api", Api)
def test_not_a_request(api: Api, body: bytes) -> None:
    assert refused(api, body).field == "request.body"


@pytest.mark.parametrize(("api", "body"), [(Api.GEMINI_GENERATE, GEMINI), (Api.BEDROCK_CONVERSE, CONVERSE)])
@pytest.mark.parametrize("model", ["", "a\nb", "x" * 257])
def test_a_model_that_neither_path_nor_body_names(api: Api, body: object, model: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_request(api, as_body(body), model=model)
    assert caught.value.field == "model"


@pytest.mark.parametrize("spelling", ["maxOutputTokens", "max_output_tokens", "max__output_tokens"])
def test_no_spelling_of_a_limit_goes_unseen(spelling: str) -> None:
    body = GEMINI | {"generation_config": {spelling: 9}}
    assert parse_request(Api.GEMINI_GENERATE, as_body(body), model="m").max_output == 9


def test_deeply_nested_tools_are_refused() -> None:
    depth = 900
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"model": "m", "messages": [], "tools": [' + nested + b"]}"
    with contextlib.suppress(InvalidArgument):
        parse_request(Api.OPENAI_CHAT, body)


def test_errors_never_quote_the_body() -> None:
    secret = "hunter2"
    for body in (
        CHAT | {"messages": [{"role": "user", "content": {secret: secret}}]},
        CHAT | {"messages": [{"role": secret, "content": [secret]}]},
        CHAT | {"messages": [{"role": "user", "content": [{"type": secret, secret: "\ud800"}]}]},
        CHAT | {"model": secret + "\n"},
        CHAT | {"max_tokens": secret},
    ):
        assert secret not in str(refused(Api.OPENAI_CHAT, as_body(body)))
    assert secret not in str(refused(Api.OPENAI_CHAT, b'{"' + secret.encode() + b'": }'))


def test_cache_control_written_with_escapes_is_found() -> None:
    body = as_body(MESSAGES | {"system": [{"type": "text", "text": "a", "cache_control": {}}]})
    escaped = body.replace(b"cache_control", b"cache\\u005fcontrol")
    assert parse_request(Api.ANTHROPIC_MESSAGES, escaped).cache_write is CacheWrite.SHORT


def test_text_that_looks_like_media_is_text() -> None:
    url = "data:image/png;base64," + "word " * 50
    disguised = {"type": "image", "text": "word " * 50}
    content = [{"type": "tool_use", "name": "t", "input": disguised}]
    chat = CHAT | {"messages": [{"role": "user", "content": url}, {"role": "user", "content": content}]}
    call = parse_request(Api.OPENAI_CHAT, as_body(chat))
    assert url in call.texts
    assert json.dumps(disguised, separators=(",", ":")) in call.texts
    assert not call.media
    item = {"type": "input_image", "role": "user", "content": "word"}
    assert "word" in parse_request(Api.OPENAI_RESPONSES, as_body(RESPONSES | {"input": [item]})).texts


def test_pdf_is_charged_by_its_size() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "A" * 400_000}
    message = {"role": "user", "content": [{"type": "document", "source": source}]}
    call = parse_request(Api.ANTHROPIC_MESSAGES, as_body(MESSAGES | {"messages": [message]}))
    assert call.extra_tokens == 8 + 4 + 75_000
    assert not any("A" in text for text in call.texts)


KEYS = st.sampled_from(
    [
        "model",
        "messages",
        "input",
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "detail",
        "name",
        "tools",
        "functions",
        "function",
        "arguments",
        "tool_calls",
        "custom",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "stream",
        "system",
        "cache_control",
        "ttl",
        "source",
        "data",
        "file",
        "file_data",
        "summary",
        "output",
        "encrypted_content",
        "input_audio",
        "response_format",
        "prompt",
        "input_schema",
        "conversation",
        "speed",
        "service_tier",
        "contents",
        "parts",
        "inlineData",
        "file_data",
        "functionResponse",
        "generationConfig",
        "maxOutputTokens",
        "image",
        "document",
        "bytes",
        "toolResult",
        "guardContent",
        "cachePoint",
        "inferenceConfig",
        "maxTokens",
        "additionalModelRequestFields",
    ]
)
WORDS = st.sampled_from(
    [
        "gpt-5",
        "claude-opus-5",
        "user",
        "text",
        "input_text",
        "image_url",
        "image",
        "document",
        "file",
        "input_audio",
        "tool_result",
        "function",
        "item_reference",
        "data:image/png;base64,AA",
        "1h",
        "\ud800",
        "ü",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)
BODIES = st.binary(max_size=200) | st.dictionaries(KEYS, VALUES, max_size=8).map(as_body)


def check_sane(call: ProviderCall) -> None:
    assert call.model
    assert call.extra_tokens >= 0
    assert call.choices >= 1
    assert call.max_output is None or 0 <= call.max_output < 2**63
    for text in call.texts:
        text.encode()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(Api), BODIES)
def test_any_bytes_give_a_call_or_invalid_argument(api: Api, body: bytes) -> None:
    try:
        check_sane(parse_request(api, body, model="m"))
    except InvalidArgument as error:
        assert error.field.startswith("request.body")


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(Api), VALUES, VALUES)
def test_any_messages_give_a_call_or_invalid_argument(api: Api, messages: object, tools: object) -> None:
    body = {"model": "m", "messages": messages, "input": messages, "system": tools, "tools": tools}
    body |= {"contents": messages, "systemInstruction": tools, "toolConfig": {"tools": tools}}
    try:
        check_sane(parse_request(api, as_body(body), model="m"))
    except InvalidArgument as error:
        assert error.field.startswith("request.body")
