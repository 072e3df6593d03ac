"""A request of which only the beginning is at hand, beside what was read of the whole.

The text is counted as it stands, with JSON's own marks, and taken to go on as dense; what is longer
than any word is an image, sound or a file. That is rather high, as all estimates are.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import MAX_AMOUNT
from tallystick.providers import estimates
from tallystick.providers.body import MAX_MODEL_CHARACTERS
from tallystick.providers.call import Api, CacheWrite, ProviderCall
from tallystick.providers.fingerprint import DIGEST_BYTES
from tallystick.providers.openai import MAX_CHOICES, MAX_OUTPUT_TOKENS
from tallystick.providers.requests import FIELD

_BLOB = re.compile(rb"[A-Za-z0-9+/_=-]{512,}")
"""Base64: no language has such words."""
_FILES = re.compile(rb'application/pdf|"(?:input_file|file|document|inlineData|input_audio|audio|video)"')
"""Beside these a blob is no mere image; `inlineData` may be anything."""
_ONE_HOUR = re.compile(rb'"ttl"\s*:\s*"1h"')

_LIMITS: MappingProxyType[Api, tuple[str, ...]] = MappingProxyType(
    {
        Api.OPENAI_CHAT: ("max_completion_tokens", "max_tokens"),
        Api.OPENAI_RESPONSES: ("max_output_tokens",),
        Api.OPENAI_EMBEDDINGS: (),
        Api.ANTHROPIC_MESSAGES: ("max_tokens",),
        Api.GEMINI_GENERATE: ("generationConfig.maxOutputTokens",),
        Api.BEDROCK_CONVERSE: ("inferenceConfig.maxTokens",),
    }
)
_PROVIDERS: MappingProxyType[Api, str] = MappingProxyType(
    {Api.ANTHROPIC_MESSAGES: "anthropic", Api.GEMINI_GENERATE: "google", Api.BEDROCK_CONVERSE: "aws"}
)
_TIERS = frozenset({"flex", "priority", "fast"})


def parse_part(api: Api, part: bytes, read: Mapping[str, Any], *, model: str = "") -> ProviderCall:
    """Read what the part that came may cost; the caller scales its input to the size of the whole.

    `read` has fields of the whole body by dotted name, their numbers possibly as floats; `model` is the
    one that the path names.

    Raises:
        InvalidArgument: a field is not what was expected; it is named, and the body is never quoted.

    """
    named = read.get("model") or model
    if not isinstance(named, str) or not named.isprintable() or not 0 < len(named) <= MAX_MODEL_CHARACTERS:
        expected = f"a printable name of 1 to {MAX_MODEL_CHARACTERS} characters"
        raise InvalidArgument(f"{FIELD}.model", expected)
    limits = [_integer(read, name, MAX_OUTPUT_TOKENS) for name in _LIMITS[api]]
    choices = _integer(read, "n", MAX_CHOICES) or 1 if api is Api.OPENAI_CHAT else 1
    limit = max((each for each in limits if each is not None), default=None)
    if api is Api.OPENAI_EMBEDDINGS:
        limit = 0
    tier = read.get("service_tier")
    tokens, media = _blobs(part)
    return ProviderCall(
        model=named,
        provider=_PROVIDERS.get(api, "openai"),
        texts=(_BLOB.sub(b" ", part).decode(errors="replace"),),
        extra_tokens=tokens,
        max_output=None if limit is None else limit * choices,
        choices=choices,
        stream=read.get("stream") is True,
        cache_write=_cache_write(api, part),
        tier=tier if tier in _TIERS else "",
        media=media,
        fingerprint=blake2b(part, digest_size=DIGEST_BYTES).hexdigest(),
    )


def _integer(read: Mapping[str, Any], name: str, most: int) -> int | None:
    value = read.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 <= value <= most or value != int(value):
        raise InvalidArgument(f"{FIELD}.{name}", f"an integer from 0 to {most}")
    return int(value)


def _blobs(part: bytes) -> tuple[int, bool]:
    """Tokens of what is no text, and whether there is any."""
    sizes = [found.end() - found.start() for found in _BLOB.finditer(part)]
    if _FILES.search(part) is not None:
        tokens = [
            max(estimates.FILE_TOKENS_MIN, size * 3 // 4 // estimates.FILE_BYTES_PER_TOKEN) for size in sizes
        ]
        return min(sum(tokens), MAX_AMOUNT), bool(sizes)
    return estimates.ANTHROPIC_IMAGE.high * len(sizes), bool(sizes)


def _cache_write(api: Api, part: bytes) -> CacheWrite:
    """The dearest that the part tells of. OpenAI's needs no word in the request."""
    if api in (Api.OPENAI_CHAT, Api.OPENAI_RESPONSES):
        return CacheWrite.SHORT
    if b'"cache_control"' not in part and b'"cachePoint"' not in part:
        return CacheWrite.NONE
    return CacheWrite.LONG if _ONE_HOUR.search(part) is not None else CacheWrite.SHORT
