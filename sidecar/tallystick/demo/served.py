"""What the stand-in provider served: tokens in and out, and what they cost, by prices of its own."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

PRICES = {
    "demo-max": (Decimal("20.00"), Decimal("2.00"), Decimal("100.00")),
    "demo-large": (Decimal("15.00"), Decimal("1.50"), Decimal("75.00")),
    "demo-voice": (Decimal("3.00"), Decimal("0.30"), Decimal("120.00")),
    "demo-giant": (Decimal("100.00"), Decimal("10.00"), Decimal("600.00")),
    "demo-small": (Decimal("1.00"), Decimal("0.10"), Decimal("5.00")),
}
"""US dollars per million tokens of input, cached input and output."""

NANO_USD_PER_USD_A_MILLION = 1_000
WORDS_A_CHUNK = 16
WORDS_A_SECOND = 550


@dataclass
class Served:
    """One completion, with what it used so far."""

    completion_id: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def usage(self) -> dict[str, Any]:
        """As OpenAI reports it."""
        return {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }

    @property
    def nano_usd(self) -> int:
        """What it costs."""
        fresh, cached, output = PRICES[self.model]
        amount = (self.input_tokens - self.cached_tokens) * fresh + self.cached_tokens * cached
        amount += self.output_tokens * output
        return int((amount * NANO_USD_PER_USD_A_MILLION).to_integral_value(ROUND_HALF_EVEN))

    def answer(self, text: str) -> dict[str, Any]:
        """Write the whole completion."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return self._head("chat.completion") | {"choices": [choice], "usage": self.usage}

    def chunk(self, delta: dict[str, str], finish: str | None = None) -> bytes:
        """Write one event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event(self._head("chat.completion.chunk") | {"choices": [choice], "usage": None})

    def last_chunk(self) -> bytes:
        """Write the event that carries the usage."""
        return _event(self._head("chat.completion.chunk") | {"choices": [], "usage": self.usage})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.completion_id, "object": kind, "created": int(time.time()), "model": self.model}


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()
