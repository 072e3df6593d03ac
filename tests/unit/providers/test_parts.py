"""Requests of which only the beginning is at hand."""

from typing import Any

import pytest

from tallystick.core.errors import InvalidArgument
from tallystick.providers import Api, CacheWrite
from tallystick.providers.parts import parse_part

PART = b'{"messages": [{"role": "user", "content": "hello wor'
BLOB = b"QUJD" * 500

LIMITS: dict[str, tuple[Api, dict[str, Any], int | None]] = {
    "chat": (Api.OPENAI_CHAT, {"max_tokens": 7.0}, 7),
    "chat, both": (Api.OPENAI_CHAT, {"max_tokens": 7.0, "max_completion_tokens": 9.0}, 9),
    "chat, several answers": (Api.OPENAI_CHAT, {"max_tokens": 7.0, "n": 3.0}, 21),
    "chat, none": (Api.OPENAI_CHAT, {"n": 3.0}, None),
    "chat, another's": (Api.OPENAI_CHAT, {"max_output_tokens": 7.0}, None),
    "responses": (Api.OPENAI_RESPONSES, {"max_output_tokens": 7}, 7),
    "embeddings": (Api.OPENAI_EMBEDDINGS, {}, 0),
    "messages": (Api.ANTHROPIC_MESSAGES, {"max_tokens": 7.0, "n": 3.0}, 7),
    "gemini": (Api.GEMINI_GENERATE, {"generationConfig.maxOutputTokens": 7.0}, 7),
    "bedrock": (Api.BEDROCK_CONVERSE, {"inferenceConfig.maxTokens": 7.0}, 7),
}


@pytest.mark.parametrize(("api", "read", "limit"), LIMITS.values(), ids=LIMITS.keys())
def test_the_limit_is_the_one_that_was_read(api: Api, read: dict[str, Any], limit: int | None) -> None:
    call = parse_part(api, PART, {"model": "m"} | read)
    assert (call.model, call.max_output, call.stream) == ("m", limit, False)
    assert call.texts == (PART.decode(),)


def test_the_path_names_the_model_where_nothing_was_read() -> None:
    assert parse_part(Api.GEMINI_GENERATE, PART, {}, model="g").model == "g"
    assert parse_part(Api.OPENAI_CHAT, PART, {"model": "m", "stream": True}, model="deployment").stream


WRONG = [
    {}, {"model": ""}, {"model": 7.0}, {"model": "a\nb"}, {"model": "x" * 257},
    {"model": "m", "max_tokens": "7"}, {"model": "m", "max_tokens": -1.0}, {"model": "m", "max_tokens": 0.5},
    {"model": "m", "max_tokens": True}, {"model": "m", "max_tokens": 2.0**40},
    {"model": "m", "max_tokens": float("inf")}, {"model": "m", "max_tokens": float("nan")},
    {"model": "m", "n": 5_000.0},
]  # fmt: skip


@pytest.mark.parametrize("read", WRONG, ids=str)
def test_what_was_read_may_be_wrong(read: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse_part(Api.OPENAI_CHAT, PART, read)
    assert error.value.field.startswith("request.body.")


def test_long_words_are_images_or_files() -> None:
    image = parse_part(Api.OPENAI_CHAT, PART + BLOB + b'", "' + BLOB, {"model": "m"})
    assert (image.extra_tokens, image.media) == (2 * 4_800, True)
    assert b"QUJDQUJD".decode() not in image.texts[0]
    file = b'{"type": "document", "source": {"media_type": "application/pdf", "data": "' + b"QUJD" * 50_000
    assert parse_part(Api.ANTHROPIC_MESSAGES, file, {"model": "m"}).extra_tokens == 150_000 // 4
    assert not parse_part(Api.OPENAI_CHAT, PART, {"model": "m"}).media


def test_cache_writes_are_the_dearest_that_the_part_tells_of() -> None:
    def write(api: Api, more: bytes = b"") -> CacheWrite:
        return parse_part(api, PART + more, {"model": "m"}).cache_write

    assert write(Api.OPENAI_CHAT) is CacheWrite.SHORT
    assert write(Api.ANTHROPIC_MESSAGES) is CacheWrite.NONE
    assert write(Api.ANTHROPIC_MESSAGES, b'"cache_control": {"type": "ephemeral"}') is CacheWrite.SHORT
    assert write(Api.ANTHROPIC_MESSAGES, b'"cache_control": {"ttl": "1h"}') is CacheWrite.LONG
    assert write(Api.BEDROCK_CONVERSE, b'"cachePoint": {}') is CacheWrite.SHORT


def test_tiers_with_prices_of_their_own() -> None:
    for tier, priced in {"flex": "flex", "priority": "priority", "auto": "", None: "", 7.0: ""}.items():
        assert parse_part(Api.OPENAI_CHAT, PART, {"model": "m", "service_tier": tier}).tier == priced
