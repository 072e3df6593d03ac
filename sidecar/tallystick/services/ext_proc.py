"""`envoy.service.ext_proc.v3.ExternalProcessor`: calls whose every part passes through the sidecar."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

import grpc.aio
import structlog
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from envoy.service.ext_proc.v3.external_processor_pb2_grpc import (
    ExternalProcessorServicer,
    add_ExternalProcessorServicer_to_server,
)

from tallystick.core.errors import TallystickError
from tallystick.observe.metrics import Metrics
from tallystick.proxied.calls import Ending, HeldCall, ProxiedRequest
from tallystick.services.admission import Admission
from tallystick.services.boundary import status_of
from tallystick.services.ext_proc_exchange import Exchange, Verdict

log = structlog.get_logger("tallystick.services")

ENDING_S = 5.0
"""How long what is being ended at the last may take; the store answers, or not, in less."""

Context = grpc.aio.ServicerContext[ProcessingRequest, ProcessingResponse]


class Gate(Protocol):
    """Decides what a call is, and what its end costs."""

    async def admit(self, request: ProxiedRequest) -> Verdict:
        """Decide."""
        ...

    async def keep(self, call: HeldCall, output_bytes: int) -> None:
        """Keep."""
        ...

    async def end(self, call: HeldCall, ending: Ending) -> None:
        """End."""
        ...


class ExtProcService(ExternalProcessorServicer):  # type: ignore[misc] # it has no types
    """Translates between Envoy and the gate.

    A stream lasts as long as its call, so it takes a place among the calls at work only while it is
    decided, and when it ends.
    """

    def __init__(self, gate: Gate, admission: Admission, metrics: Metrics) -> None:
        self._gate = gate
        self._admission = admission
        self._metrics = metrics
        self._decided = metrics.rpc("Process")
        self._open: set[asyncio.Task[Any]] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._cut = False
        metrics.streams_open.set_function(lambda: len(self._open))

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers this service."""
        add_ExternalProcessorServicer_to_server(self, server)

    async def Process(self, _messages: object, context: Context) -> None:
        """Sees one call, from its request's head to the end of its answer."""
        metadata = context.invocation_metadata() or ()
        exchange = Exchange(self, {key: value for key, value in metadata if isinstance(value, str)})
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        began = time.perf_counter()
        try:
            while not exchange.over and await _turn(exchange, context):
                pass
        except asyncio.CancelledError:
            if not self._cut:
                raise
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of a library in Rust is no Exception
            status, text = status_of(error)
            self._metrics.rpc("Process", status.name).observe(time.perf_counter() - began)
            await context.abort(status, text)
        finally:
            self._open.discard(task)
            exchange.leave(cut=self._cut)

    async def admit(self, request: ProxiedRequest) -> Verdict:
        """See `Desk`. Raises Overloaded and Draining, too."""
        arrived = time.perf_counter()
        admission = self._admission
        if admission.full:
            await admission.wait(None)
        else:
            admission.enter()
        began = time.perf_counter()
        try:
            verdict = await self._gate.admit(request)
        finally:
            admission.leave(time.perf_counter() - began)
        self._decided.observe(time.perf_counter() - arrived)
        return verdict

    async def keep(self, call: HeldCall, output_bytes: int) -> None:
        """See `Desk`."""
        await self._gate.keep(call, output_bytes)

    async def end(self, call: HeldCall, ending: Ending) -> None:
        """See `Desk`. What was admitted is ended, however many calls are at work, and while we drain."""
        began = time.perf_counter()
        self._admission.enter()
        try:
            await self._gate.end(call, ending)
        finally:
            self._admission.leave(time.perf_counter() - began)

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Desk`."""
        task = asyncio.create_task(_told_of(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def drain(self, grace_s: float) -> None:
        """Waits for the open streams, `grace_s` at most. Calls that are left go on without us.

        Envoy takes the end of a stream for our consent to the rest; their holds are charged.
        """
        if self._open:
            await asyncio.wait(self._open, timeout=grace_s)
        self._cut = True
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=ENDING_S)
        if self._beside:
            await asyncio.wait(self._beside, timeout=ENDING_S)


async def _turn(exchange: Exchange, context: Context) -> bool:
    """Answers one message; False at the end of the stream. Keeps no message until the next one."""
    message = await context.read()
    if message is grpc.aio.EOF:  # type: ignore[attr-defined]
        return False
    await context.write(await exchange.answer(message))
    return True


async def _told_of(work: Coroutine[Any, Any, None]) -> None:
    """Does it, and logs what can't be told to anybody."""
    try:
        await work
    except TallystickError as error:
        log.warning("a call could not be ended; its hold will expire", reason=str(error))
