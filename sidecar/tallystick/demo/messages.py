"""What the stand-in provider says in Anthropic's words: messages, whole and as events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from tallystick.demo.served import WORDS_A_CHUNK, WORDS_A_SECOND, Served


def whole(served: Served, text: str) -> dict[str, Any]:
    """Write the whole message."""
    return _message(served) | {
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "usage": _usage(served),
    }


async def speak(served: Served, words: list[str]) -> AsyncIterator[bytes]:
    """Write the message as its words come; the first event has the input, the last but one the output."""
    block = {"type": "text", "text": ""}
    yield _event("message_start", message=_message(served) | {"content": [], "usage": _usage(served)})
    yield _event("content_block_start", index=0, content_block=block)
    for start in range(0, len(words), WORDS_A_CHUNK):
        await asyncio.sleep(WORDS_A_CHUNK / WORDS_A_SECOND)
        spoken = words[start : start + WORDS_A_CHUNK]
        served.output_tokens += len(spoken)
        delta = {"type": "text_delta", "text": " ".join(spoken) + " "}
        yield _event("content_block_delta", index=0, delta=delta)
    yield _event("content_block_stop", index=0)
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield _event("message_delta", delta=end, usage={"output_tokens": served.output_tokens})
    yield _event("message_stop")


def error_body(message: str, kind: str) -> dict[str, Any]:
    """Write an error."""
    return {"type": "error", "error": {"type": kind, "message": message}}


def _message(served: Served) -> dict[str, Any]:
    head = {"id": served.completion_id, "type": "message", "role": "assistant", "model": served.model}
    return head | {"stop_reason": None, "stop_sequence": None}


def _usage(served: Served) -> dict[str, int]:
    return {
        "input_tokens": served.input_tokens - served.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": served.cached_tokens,
        "output_tokens": served.output_tokens,
    }


def _event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()
