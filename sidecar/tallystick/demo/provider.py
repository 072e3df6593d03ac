"""The stand-in for a model provider: OpenAI's chat completions, Anthropic's messages, a bill of its own.

It shares nothing with the sidecar: it counts tokens in its own way, knows its
own prices and does its own sums. As with the original, a stored completion can
be asked for again, with its usage.
"""

import asyncio
import contextlib
import itertools
import re
import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tallystick.demo import messages
from tallystick.demo.served import PRICES, WORDS_A_CHUNK, WORDS_A_SECOND, Served

TALKATIVE = frozenset({"demo-giant"})
CACHE_FROM_TOKENS, CACHE_STEP_TOKENS = 1_024, 128
TEXT = """the first half of the stick stays with the one who lends and the other half goes to the one
who owes and when the debt is paid both are laid side by side and every notch has to match"""


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
                Route("/v1/messages", self._message, methods=["POST"]),
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
        words = _words(body)
        if body.get("stream"):
            wants_usage = (body.get("stream_options") or {}).get("include_usage", False)
            return _Stream(_speak(served, words, wants_usage), served)
        await _think(served, words)
        return JSONResponse(served.answer(" ".join(words)))

    async def _message(self, request: Request) -> Response:
        body = await request.json()
        if body["model"] not in PRICES:
            told = messages.error_body(f"model: {body['model']}", "not_found_error")
            return JSONResponse(told, status_code=404)
        served = self._admit(body)
        words = _words(body)
        if body.get("stream"):
            return _Stream(messages.speak(served, words), served)
        await _think(served, words)
        return JSONResponse(messages.whole(served, " ".join(words)))

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


async def _think(served: Served, words: list[str]) -> None:
    """Take as long as the answer would take to be spoken."""
    await asyncio.sleep(0.1 + len(words) / WORDS_A_SECOND)
    served.output_tokens = len(words)
    served.ended.set()


def _words(body: dict[str, Any]) -> list[str]:
    """An answer of half to nine tenths of what is allowed, by the prompt; the talkative take all of it."""
    percent = 50 + zlib.crc32(body["messages"][-1]["content"].encode()) % 40
    allowed = int(body.get("max_completion_tokens") or body["max_tokens"])
    length = allowed if body["model"] in TALKATIVE else allowed * percent // 100
    return list(itertools.islice(itertools.cycle(TEXT.split()), length))


def _error(status: int, message: str, code: str) -> JSONResponse:
    error = {"message": message, "type": "server_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status_code=status)
