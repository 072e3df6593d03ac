"""The boundary of every method that streams: a bounded number of them, which end when the sidecar drains."""

import asyncio
import functools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

import grpc

from tallystick.core.errors import Draining, Overloaded
from tallystick.observe.metrics import Metrics
from tallystick.services.boundary import status_of

Request = TypeVar("Request")
Response = TypeVar("Response")
Awaited = TypeVar("Awaited")
Batches = AsyncGenerator[Response, None]
"""The answers of a stream, one after another."""


class Streams:
    """The streams of a servicer. Those who listen for ever take no place from other calls."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._draining = asyncio.Event()
        self.open = 0

    def enter(self) -> None:
        """A stream begins.

        Raises:
            Overloaded, Draining.
        """
        if self._draining.is_set():
            raise Draining("the sidecar is draining")
        if self.open >= self._most:
            raise Overloaded(f"{self.open} streams are open already; end one of them")
        self.open += 1

    def leave(self) -> None:
        """A stream has ended."""
        self.open -= 1

    def drain(self) -> None:
        """Ends them all; no more begin."""
        self._draining.set()

    async def unless_draining(self, work: Awaitable[Awaited]) -> Awaited:
        """The outcome of the work, unless the sidecar drains before it. Raises Draining."""
        task, draining = asyncio.ensure_future(work), asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait((task, draining), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Draining("the sidecar is draining")
            return task.result()
        finally:
            draining.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


class Streaming(Protocol):
    """A servicer that the boundary can stand around."""

    streams: Streams
    metrics: Metrics


def streamed(
    method: Callable[[Any, Request], Batches[Response]],
) -> Callable[[Any, Request, "grpc.aio.ServicerContext[Request, Response]"], Awaitable[None]]:
    """Stands around a method of a servicer, which itself sees no context.

    What the caller does not take in is not asked of the method: nothing is piled up for it.
    """
    name = method.__name__

    @functools.wraps(method)
    async def handler(
        self: Streaming, request: Request, context: "grpc.aio.ServicerContext[Request, Response]"
    ) -> None:
        began, code, streams = time.perf_counter(), "OK", self.streams
        try:
            streams.enter()
        except (Overloaded, Draining) as error:
            await context.abort(*status_of(error))
        responses = method(self, request)
        try:
            while (response := await streams.unless_draining(_following(responses))) is not None:
                await streams.unless_draining(context.write(response))
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except Exception as error:  # noqa: BLE001 - the table says what of it gets out
            status, text = status_of(error)
            code = status.name
            await context.abort(status, text)
        finally:
            await responses.aclose()
            streams.leave()
            self.metrics.rpc(name, code).observe(time.perf_counter() - began)

    return handler


async def _following(responses: Batches[Response]) -> Response | None:
    """The next one; None at the end."""
    return await anext(responses, None)
