"""Answers of 200 MB: what is needed of them is found, and memory stays where it was."""

import gc
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.core.usage import Usage
from tallystick.providers.answers import Answer, AnswerReader
from tallystick.providers.call import Api
from tallystick.providers.eventstream import CONTENT_TYPE
from tallystick.providers.kept import KEPT_BYTES, TAIL_BYTES, Kept

SIZE = 200 * 2**20
CHUNK = b"x" * 65_536
MOST = 96 * 2**20
"""A document of 32 MiB that is kept, its copy to be read, and room for the allocator."""

USAGE = {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29}
RESPONSES_USAGE = {"input_tokens": 19, "output_tokens": 10, "total_tokens": 29}
METADATA = {"promptTokenCount": 19, "candidatesTokenCount": 10, "totalTokenCount": 29}


def filler(around: tuple[str, str]) -> Iterator[bytes]:
    yield around[0].encode()
    for _ in range(SIZE // len(CHUNK)):
        yield CHUNK
    yield around[1].encode()


def one_completion() -> Iterator[bytes]:
    end = json.dumps({"usage": USAGE, "service_tier": "default"})[1:]
    return filler(('{"model": "m", "choices": [{"message": {"content": "', '"}}], ' + end))


def one_event() -> Iterator[bytes]:
    end = json.dumps({"usage": RESPONSES_USAGE})[1:]
    start = 'event: response.completed\ndata: {"type": "response.completed", "response": {"output": "'
    return filler((start, f'", {end}}}\n\n'))


def one_item() -> Iterator[bytes]:
    end = json.dumps({"usageMetadata": METADATA})[1:]
    last = json.dumps({"candidates": [{"finishReason": "STOP"}]})
    return filler(
        ('[{"candidates": [{"content": {"parts": [{"text": "', '"}]}}], ' + end + ", " + last + "]")
    )


def many_events() -> Iterator[bytes]:
    event = b"data: " + json.dumps({"choices": [{"delta": {"content": "x" * 10_000}}]}).encode() + b"\n\n"
    for _ in range(SIZE // len(event)):
        yield event
    yield f"data: {json.dumps({'choices': [], 'usage': USAGE})}\n\ndata: [DONE]\n\n".encode()


def comments() -> Iterator[bytes]:
    yield b":"
    yield from filler(("", f"\n\ndata: {json.dumps({'choices': [], 'usage': USAGE})}\n\ndata: [DONE]\n\n"))


def blanks() -> Iterator[bytes]:
    yield b"\xef\xbb\xbf"
    for _ in range(SIZE // len(CHUNK)):
        yield b" \n" * (len(CHUNK) // 2)
    yield json.dumps({"usage": USAGE}).encode()


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def read(api: Api, chunks: Iterator[bytes], kind: str = "", coding: str = "") -> tuple[Answer, int]:
    """The answer, and by how much memory grew meanwhile."""
    gc.collect()
    before, most = resident_bytes(), 0
    reader = AnswerReader(api, 200, kind, coding)
    for number, chunk in enumerate(chunks):
        reader.feed(chunk)
        if number % 64 == 0:
            most = max(most, resident_bytes())
    answer = reader.finish()
    return answer, max(most, resident_bytes()) - before


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")


@needs_proc
@pytest.mark.parametrize(
    ("api", "chunks", "complete"),
    [
        (Api.OPENAI_CHAT, one_completion, True),
        (Api.OPENAI_RESPONSES, one_event, True),
        (Api.GEMINI_GENERATE, one_item, True),
        (Api.OPENAI_CHAT, many_events, True),
        (Api.OPENAI_CHAT, comments, True),
        (Api.OPENAI_CHAT, blanks, True),
    ],
)
def test_200_megabytes_are_read_in_bounded_memory(api: Api, chunks: "object", complete: bool) -> None:
    assert callable(chunks)
    answer, grown = read(api, chunks())
    assert answer.usage == Usage(input=19, output=10)
    assert answer.complete == complete
    assert answer.body_bytes > 0.99 * SIZE
    assert grown < MOST


@needs_proc
def test_200_megabytes_out_of_a_few_are_read_in_bounded_memory() -> None:
    packed = gzip.compress(b"".join(one_completion()), compresslevel=6, mtime=0)
    gc.collect()
    assert len(packed) < SIZE // 100
    answer, grown = read(Api.OPENAI_CHAT, iter([packed]), coding="gzip")
    assert answer.usage == Usage(input=19, output=10)
    assert answer.body_bytes > SIZE
    assert grown < MOST


@needs_proc
def test_200_megabytes_of_a_binary_stream_that_promises_more_than_it_may() -> None:
    answer, grown = read(Api.BEDROCK_CONVERSE, filler(("", "")), CONTENT_TYPE)
    assert (answer.usage, answer.complete) == (None, False)
    assert answer.body_bytes == SIZE
    assert grown < MOST


def test_a_document_is_kept_to_the_byte_and_beyond_only_its_end() -> None:
    kept = Kept()
    for _ in range(KEPT_BYTES // len(CHUNK)):
        kept.add(CHUNK)
    assert kept.whole == b"x" * KEPT_BYTES
    kept.add(b"y")
    assert kept.whole is None
    assert kept.tail.endswith(b"xy")
    for _ in range(100):
        kept.add(CHUNK)
        assert TAIL_BYTES <= kept.held <= 2 * TAIL_BYTES + len(CHUNK)
