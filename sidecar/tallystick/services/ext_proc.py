"""`envoy.service.ext_proc.v3.ExternalProcessor`: calls whose every part passes through the sidecar."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import grpc.aio
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse
from envoy.service.ext_proc.v3.external_processor_pb2_grpc import ExternalProcessorServicer

from tallystick.observe.metrics import Metrics
from tallystick.proxied.calls import Ending, HeldCall, ProxiedRequest
from tallystick.proxied.gate import Gate
from tallystick.services.admission import Admission
from tallystick.services.boundary import status_of
from tallystick.services.ext_proc_exchange import Exchange, Verdict

ENDING_S = 5.0
"""How long what is being ended at the last may take; the store answers, or not, in less."""

Context = grpc.aio.ServicerContext[ProcessingRequest, ProcessingResponse]


class ExtProcService(ExternalProcessorServicer):  # type: ignore[misc] # it has no types
    """Translates between Envoy and the gate.

    A stream lasts as long as its call; it takes a place among the calls at work only to be decided.
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
            if not (self._cut and exchange.consented):  # to end without an error is to consent
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
        if not admission.enter():
            await admission.wait(None)
        began = time.perf_counter()
        try:
            verdict = await self._gate.admit(request)
        finally:
            admission.leave(time.perf_counter() - began)
        self._decided.observe(time.perf_counter() - arrived)
        return verdict

    async def keep(self, call: HeldCall, so_far: Ending) -> bool:
        """See `Desk`."""
        return await self._gate.keep(call, so_far)

    async def end(self, call: HeldCall, ending: Ending) -> None:
        """See `Desk`. It takes no place: it may have to wait for the store, and decisions shall not."""
        await self._gate.end(call, ending)

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """See `Desk`."""
        task = asyncio.create_task(work, name="end of a call")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def drain(self, grace_s: float) -> None:
        """Waits for the open streams, `grace_s` at most. Calls that are left go on without us, as held."""
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
