"""Answers of providers as they write them, with the usage that they tell."""

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.e2e.envoy.provider import SSE, Script


def events(*documents: Any, named: bool = False) -> tuple[bytes, ...]:
    """Server-sent events; with their type as a name, as Anthropic and Responses have it."""
    found = []
    for document in documents:
        data = document if isinstance(document, str) else json.dumps(document)
        name = f"event: {document['type']}\n" if named else ""
        found.append(f"{name}data: {data}\n\n".encode())
    return tuple(found)


@dataclass(frozen=True)
class Told:
    """An answer to a request at `path`, and the counts that Envoy should read of it."""

    name: str
    path: str
    script: Script
    protocol: str
    model: str
    input: int
    output: int
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0
    tool_use: int = 0

    def slowly(self, delay_s: float) -> "Told":
        return replace(self, script=replace(self.script, delay_s=delay_s))


def _json(document: Any) -> Script:
    return Script((json.dumps(document).encode(),))


def _stream(parts: Sequence[bytes]) -> Script:
    return Script(parts, content_type=SSE)


CHAT_USAGE = {
    "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 8},
}  # fmt: skip
CHAT = {
    "id": "c", "object": "chat.completion", "model": "gpt-5-mini", "service_tier": "priority",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": CHAT_USAGE,
}  # fmt: skip


def chat_chunks(count: int, *, usage: bool = True) -> tuple[bytes, ...]:
    """A stream of `count` deltas."""
    head = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-5-mini", "service_tier": "priority"}
    deltas = [
        head | {"choices": [{"index": 0, "delta": {"content": f"{n} "}}], "usage": None} for n in range(count)
    ]
    last = [head | {"choices": [], "usage": CHAT_USAGE}] if usage else []
    return events(*deltas, *last, "[DONE]")


RESPONSE = {
    "id": "r", "object": "response", "model": "gpt-5", "status": "completed", "output": [],
    "service_tier": "flex",
    "usage": {
        "input_tokens": 90, "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 120,
    },
}  # fmt: skip
RESPONSE_EVENTS = events(
    {"type": "response.created", "response": RESPONSE | {"service_tier": "auto", "usage": None}},
    {"type": "response.output_text.delta", "delta": "yes"},
    {"type": "response.completed", "response": RESPONSE},
    named=True,
)
MESSAGE_USAGE = {
    "input_tokens": 40, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 20,
    "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 5},
    "output_tokens": 25, "service_tier": "standard",
}  # fmt: skip
MESSAGE = {
    "id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "yes"}], "usage": MESSAGE_USAGE,
}  # fmt: skip
MESSAGE_EVENTS = events(
    {
        "type": "message_start",
        "message": MESSAGE | {"content": [], "usage": MESSAGE_USAGE | {"output_tokens": 1}},
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "yes"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 25}},
    {"type": "message_stop"},
    named=True,
)
GENERATED = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "yes"}]}}],
    "usageMetadata": {
        "promptTokenCount": 70, "cachedContentTokenCount": 16, "candidatesTokenCount": 12,
        "thoughtsTokenCount": 9, "toolUsePromptTokenCount": 4, "totalTokenCount": 95,
    },
    "modelVersion": "gemini-2.5-flash",
}  # fmt: skip
_FIRST = GENERATED | {"usageMetadata": {"promptTokenCount": 70, "totalTokenCount": 70}}


def frames(*documents: tuple[str, Any]) -> bytes:
    """Bedrock's event stream: events with their type, each a frame with two checksums."""
    found = b""
    for event_type, document in documents:
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        fields = {":event-type": event_type, ":content-type": "application/json", ":message-type": "event"}
        headers = b"".join(
            bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
            for name, value in fields.items()
        )
        frame = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
        frame += struct.pack(">I", zlib.crc32(frame)) + headers + payload
        found += frame + struct.pack(">I", zlib.crc32(frame))
    return found


CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
    "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 13, "cacheReadInputTokens": 1},
    "serviceTier": {"type": "flex"},
}
CONVERSE_FRAMES = frames(
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"delta": {"text": "yes"}}),
    ("metadata", {name: CONVERSE[name] for name in ("usage", "serviceTier")}),
)
TOLD = (
    Told("chat", "/openai/v1/chat/completions", _json(CHAT), "OPENAI_CHAT_COMPLETIONS", "gpt-5-mini",
         100, 20, cached=64, reasoning=8),
    Told("chat-sse", "/openai/v1/chat/completions", _stream(chat_chunks(5)), "OPENAI_CHAT_COMPLETIONS",
         "gpt-5-mini", 100, 20, cached=64, reasoning=8),
    Told("responses", "/openai/v1/responses", _json(RESPONSE), "OPENAI_RESPONSES", "gpt-5", 90, 30,
         cached=10, reasoning=5),
    Told("responses-sse", "/openai/v1/responses", _stream(RESPONSE_EVENTS), "OPENAI_RESPONSES", "gpt-5",
         90, 30, cached=10, reasoning=5),
    Told("messages", "/anthropic/v1/messages", _json(MESSAGE), "ANTHROPIC_MESSAGES", "claude-sonnet-4-6",
         90, 25, cached=30, cache_written=20),
    Told("messages-sse", "/anthropic/v1/messages", _stream(MESSAGE_EVENTS), "ANTHROPIC_MESSAGES",
         "claude-sonnet-4-6", 90, 25, cached=30, cache_written=20),
    Told("gemini", "/gemini/v1beta/models/gemini-2.5-flash:generateContent", _json(GENERATED),
         "GEMINI_GENERATE_CONTENT", "gemini-2.5-flash", 74, 21, cached=16, reasoning=9, tool_use=4),
    Told("gemini-sse", "/gemini/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
         _stream(events(_FIRST, GENERATED)), "GEMINI_GENERATE_CONTENT", "gemini-2.5-flash",
         74, 21, cached=16, reasoning=9, tool_use=4),
)  # fmt: skip
