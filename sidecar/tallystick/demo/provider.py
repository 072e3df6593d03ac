"""The stand-in for a model provider: OpenAI's chat completions, and a bill of its own.

It shares nothing with the sidecar: it counts tokens in its own way, knows its
own prices and does its own sums. As with the original, a stored completion can
be asked for again, with its usage.
"""

import asyncio
import contextlib
import itertools
import json
import re
import socket
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

PRICES = {
    "demo-max": (Decimal("20.00"), Decimal("2.00"), Decimal("100.00")),
    "demo-large": (Decimal("15.00"), Decimal("1.50"), Decimal("75.00")),
    "demo-small": (Decimal("1.00"), Decimal("0.10"), Decimal("5.00")),
}
"""US dollars per million tokens of input, cached input and output."""

NANO_USD_PER_USD_A_MILLION = 1_000
CACHE_FROM_TOKENS, CACHE_STEP_TOKENS = 1_024, 128
WORDS_A_CHUNK = 16
WORDS_A_SECOND = 550
TEXT = """the first half of the stick stays with the one who lends and the other half goes to the one
who owes and when the debt is paid both are laid side by side and every notch has to match"""


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


class _Stream(StreamingResponse):
    """Ends what was served with the response, also when the reader leaves."""

    def __init__(self, content: AsyncIterator[bytes], served: Served) -> None:
        super().__init__(content, media_type="text/event-stream")
        self._served = served

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._served.ended.set()


class _Server(uvicorn.Server):
    """Leaves the signals of the process alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class StandIn:
    """Serves on a free port of the loopback: `async with StandIn() as provider`.

    Below `/v1` it answers; below `/overloaded/v1` it is a region that has no capacity.
    """

    def __init__(self) -> None:
        self.served: dict[str, Served] = {}
        self._cached: set[str] = set()
        self._app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/chat/completions/{completion_id}", self._stored),
                Route("/overloaded/v1/chat/completions", self._overloaded, methods=["POST"]),
            ]
        )
        self._ending = contextlib.AsyncExitStack()
        self.url = ""

    @property
    def bill(self) -> dict[str, tuple[int, int]]:
        """For each model how many calls were served, and what they cost in nano-dollars."""
        amounts: dict[str, list[int]] = {}
        for served in self.served.values():
            amounts.setdefault(served.model, []).append(served.nano_usd)
        return {model: (len(each), sum(each)) for model, each in amounts.items()}

    async def __aenter__(self) -> "StandIn":
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = _Server(config)
        serving = asyncio.create_task(server.serve([listener]), name="stand-in provider")

        async def stop() -> None:
            server.should_exit = True
            await serving

        self._ending.push_async_callback(stop)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._ending.aclose()

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        if body["model"] not in PRICES:
            return _error(404, f"The model `{body['model']}` does not exist", "model_not_found")
        served = self._admit(body)
        words = list(itertools.islice(itertools.cycle(TEXT.split()), _length(body)))
        if body.get("stream"):
            wants_usage = (body.get("stream_options") or {}).get("include_usage", False)
            return _Stream(_speak(served, words, wants_usage), served)
        await asyncio.sleep(0.1 + len(words) / WORDS_A_SECOND)
        served.output_tokens = len(words)
        served.ended.set()
        return JSONResponse(served.answer(" ".join(words)))

    async def _stored(self, request: Request) -> Response:
        served = self.served.get(request.path_params["completion_id"])
        if served is None:
            return _error(404, "No such completion", "not_found")
        await served.ended.wait()
        return JSONResponse(served.answer(""))

    async def _overloaded(self, _request: Request) -> Response:
        return _error(503, "The engine is currently overloaded, please try again later", "overloaded")

    def _admit(self, body: dict[str, Any]) -> Served:
        """Count the prompt. A long system prompt that came before is read from the cache."""
        tokens, cached = 3, 0
        for message in body["messages"]:
            size = len(re.findall(r"\w+|[^\w\s]", message["content"]))
            tokens += size + 3
            if message["role"] == "system" and size >= CACHE_FROM_TOKENS:
                if message["content"] in self._cached:
                    cached += size - size % CACHE_STEP_TOKENS
                self._cached.add(message["content"])
        served = Served(f"chatcmpl-{len(self.served) + 1:04d}", body["model"], tokens, cached)
        self.served[served.completion_id] = served
        return served


async def _speak(served: Served, words: list[str], wants_usage: bool) -> AsyncIterator[bytes]:
    yield served.chunk({"role": "assistant", "content": ""})
    for start in range(0, len(words), WORDS_A_CHUNK):
        await asyncio.sleep(WORDS_A_CHUNK / WORDS_A_SECOND)
        spoken = words[start : start + WORDS_A_CHUNK]
        served.output_tokens += len(spoken)
        yield served.chunk({"content": " ".join(spoken) + " "})
    yield served.chunk({}, finish="stop")
    if wants_usage:
        yield served.last_chunk()
    yield b"data: [DONE]\n\n"


def _length(body: dict[str, Any]) -> int:
    """Half to nine tenths of what is allowed, by the prompt."""
    percent = 50 + zlib.crc32(body["messages"][-1]["content"].encode()) % 40
    return int(body["max_completion_tokens"]) * percent // 100


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content)}\n\n".encode()


def _error(status: int, message: str, code: str) -> JSONResponse:
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status_code=status)
