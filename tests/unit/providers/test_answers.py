"""Each answer of `tests/vectors/providers/answers.json`, whole and in pieces, and what is no answer."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.price import Price, Rate
from tallystick.core.usage import Usage
from tallystick.providers import eventstream
from tallystick.providers.answers import Answer, AnswerReader
from tallystick.providers.call import Api
from tallystick.providers.encodings import PIECE_BYTES, Decoding

VECTORS = Path(__file__).parents[2] / "vectors" / "providers"
ANSWERS: list[dict[str, Any]] = json.loads((VECTORS / "answers.json").read_text())
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
FEMTO_USD = 10**9
"""A token's, at one dollar a million."""


def body_of(vector: dict[str, Any]) -> bytes:
    if "base64" in vector:
        return base64.b64decode(vector["base64"])
    return str("\n".join(vector["lines"]) if "lines" in vector else vector["text"]).encode()


def reader_of(vector: dict[str, Any]) -> AnswerReader:
    api, status = Api(vector["api"]), vector.get("status", 200)
    return AnswerReader(api, status, vector["content_type"], vector.get("content_encoding", ""))


def read(vector: dict[str, Any], chunks: Iterable[bytes]) -> Answer:
    reader = reader_of(vector)
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


by_name = pytest.mark.parametrize("vector", ANSWERS, ids=lambda vector: vector["name"])


@by_name
def test_vector(vector: dict[str, Any]) -> None:
    body, expected = body_of(vector), dict(vector["expect"])
    usage = expected.pop("usage")
    answer = read(vector, [body])
    assert answer.usage == (None if usage is None else Usage(**usage))
    assert answer._asdict() | expected == answer._asdict()
    assert answer.unreadable == expected.get("unreadable", False)
    if not vector.get("content_encoding") or answer.unreadable:
        assert answer.body_bytes == len(body)
    if "cost_nano_usd" in vector:
        rates = [Rate(round(vector["usd_per_million"][name] * FEMTO_USD)) for name in CLASSES]
        price = Price("v", rates[0], rates[1], rates[2], rates[3], rates[4])
        assert answer.usage is not None
        assert price.charge_nano_usd(answer.usage) == vector["cost_nano_usd"]


def test_vectors_cover_every_api() -> None:
    assert {Api(vector["api"]) for vector in ANSWERS} == set(Api)
    assert len({vector["name"] for vector in ANSWERS}) == len(ANSWERS)


@by_name
def test_it_is_the_same_split_at_every_byte(vector: dict[str, Any]) -> None:
    body = body_of(vector)
    whole = read(vector, [body])
    assert read(vector, (body[at : at + 1] for at in range(len(body)))) == whole
    for at in range(len(body)):
        assert read(vector, [body[:at], body[at:]]) == whole, at


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 2_500), max_size=12))
def test_it_is_the_same_in_any_chunks(vector: dict[str, Any], cuts: list[int]) -> None:
    body = body_of(vector)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges)]
    assert read(vector, chunks) == read(vector, [body])


TYPES = st.sampled_from(
    ["application/json", "text/event-stream", eventstream.CONTENT_TYPE, "", "text/html; charset=\udcff"]
)
CODINGS = st.sampled_from(
    ["", "identity", "gzip", "deflate", "gzip, deflate", "br", "zstd", "gzip," * 9, ";"]
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(Api), st.integers(0, 999), TYPES, CODINGS, st.lists(st.binary(max_size=80), max_size=8)
)
def test_no_bytes_raise(api: Api, status: int, kind: str, coding: str, chunks: list[bytes]) -> None:
    reader = AnswerReader(api, status, kind, coding)
    for chunk in chunks:
        reader.feed(chunk)
    check_sane(reader.finish())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ANSWERS), st.sampled_from(Api), st.data())
def test_no_damage_raises(vector: dict[str, Any], api: Api, data: st.DataObject) -> None:
    body = bytearray(body_of(vector))
    for at in data.draw(st.lists(st.integers(0, max(0, len(body) - 1)), max_size=5)) if body else []:
        body[at] = data.draw(st.integers(0, 255))
    check_sane(read(vector | {"api": api.value}, [bytes(body)]))


WORDS = st.sampled_from([
    "response.completed", "message_start", "message_delta", "content_block_delta", "x.delta", "\ud800",
])  # fmt: skip
KEYS = st.sampled_from([
    "type", "delta", "response", "message", "usage", "choices", "model", "service_tier", "x_groq", "content",
    "content_block", "status", "output", "usageMetadata", "candidates", "finishReason", "parts", "text",
    "promptFeedback", "blockReason", "modelVersion", "trafficType", "trace", "promptRouter",
    "invokedModelId", "serviceTier", "start", "error", "speed", "input_tokens", "output_tokens",
    "prompt_tokens", "promptTokenCount", "inputTokens", "totalTokens", "cache_creation", "iterations",
    "cacheDetails", "ttl",
])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**64) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(Api), st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=4))
def test_no_document_raises(api: Api, documents: list[dict[str, Any]]) -> None:
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in documents)
    for body in (events, json.dumps(documents), json.dumps(documents[0])):
        reader = AnswerReader(api, 200, "text/event-stream", "")
        reader.feed(body.encode())
        check_sane(reader.finish())


def check_sane(answer: Answer) -> None:
    assert answer.usage is None or all(tokens >= 0 for tokens in answer.usage)
    assert answer.output_bytes >= 0
    assert answer.body_bytes >= 0
    assert (answer.model + answer.tier).isprintable()


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b'{"usage":' + b"9" * 10_000 + b"}"])
@pytest.mark.parametrize("api", Api)
def test_what_is_nested_deeply_or_very_long_is_not_read(api: Api, body: bytes) -> None:
    for prefix in (b"", b"data: "):
        reader = AnswerReader(api, 200, "", "")
        reader.feed(prefix + body)
        assert reader.finish().usage is None


@by_name
def test_a_reader_may_be_asked_again(vector: dict[str, Any]) -> None:
    reader = reader_of(vector)
    reader.feed(body_of(vector))
    answer = reader.finish()
    reader.feed(b"more")
    assert reader.finish() == answer


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 50), st.booleans())
def test_what_was_compressed_comes_back(parts: list[bytes], step: int, in_members: bool) -> None:
    if in_members:
        packed = b"".join(gzip.compress(part, mtime=0) for part in parts)
    else:
        packed = zlib.compress(b"".join(parts))
    decoding = Decoding("gzip" if in_members else "deflate")
    found = [piece for at in range(0, len(packed), step) for piece in decoding.feed(packed[at : at + step])]
    assert b"".join(found) == b"".join(parts)
    assert decoding.readable


def test_what_swells_comes_in_small_pieces() -> None:
    packed = gzip.compress(gzip.compress(bytes(20 * 2**20), mtime=0), mtime=0)
    assert len(packed) < 2_000
    decoding = Decoding("gzip, gzip")
    sizes = [len(piece) for piece in decoding.feed(packed)]
    assert sum(sizes) == 20 * 2**20
    assert max(sizes) <= PIECE_BYTES


def test_a_thousand_members_in_one_chunk() -> None:
    packed = gzip.compress(b"x", mtime=0) * 3_000
    assert b"".join(Decoding("gzip").feed(packed)) == b"x" * 3_000


def test_what_breaks_the_encoding_says_so_and_keeps_what_was_read() -> None:
    vector = next(v for v in ANSWERS if v["name"] == "chat stream: gzip that is broken off")
    answer = read(vector, [body_of(vector), b"\xff" * 50])
    assert answer.unreadable
    assert answer.output_bytes == 2
