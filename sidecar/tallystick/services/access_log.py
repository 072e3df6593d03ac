"""`envoy.service.accesslog.v3.AccessLogService`: Envoy tells how calls ended."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Literal

from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage, StreamAccessLogsResponse
from envoy.service.accesslog.v3.als_pb2_grpc import AccessLogServiceServicer

from tallystick.observe.metrics import Metrics
from tallystick.proxied.calls import HeldCall
from tallystick.proxied.entries import Entry, ending_of
from tallystick.proxied.gate import Gate
from tallystick.proxied.open_calls import OpenCalls
from tallystick.proxied.packing import CALL, unpack
from tallystick.services.reading_checks import values_of
from tallystick.services.reading_usage import read_record

DECISION, ANSWER = "envoy.filters.http.ext_authz", "tallystick.answer"
USAGE = "envoy.ai.token_usage"
REFUSED = "ext_authz_denied"
PERIODIC, END = 5, 6
MOST_AT_WORK = 32
"""Ends being charged, so that calls that are asked for don't wait behind all that ended. Beyond them Envoy
is not read, and keeps its entries."""


class AccessLogService(AccessLogServiceServicer):  # type: ignore[misc] # it has no types
    """Translates entries for the gate."""

    def __init__(self, gate: Gate, metrics: Metrics, open_calls: OpenCalls) -> None:
        self._gate = gate
        self._metrics = metrics
        self._open_calls = open_calls
        self._room = asyncio.Semaphore(MOST_AT_WORK)
        self._at_work: set[asyncio.Task[None]] = set()
        self._draining = asyncio.Event()

    async def StreamAccessLogs(
        self, request_iterator: AsyncIterator[StreamAccessLogsMessage], context: object
    ) -> StreamAccessLogsResponse:
        """Takes entries until Envoy leaves, or the sidecar does."""
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            while (message := await self._next(request_iterator, draining)) is not None:
                for entry in message.http_logs.log_entry:
                    await self._take(entry)
        finally:
            draining.cancel()
        return StreamAccessLogsResponse()

    async def drain(self, grace_s: float) -> None:
        """Reads no more, and lets the ends at work be charged, for `grace_s` at most."""
        self._draining.set()
        if self._at_work:
            await asyncio.wait(self._at_work, timeout=grace_s)

    async def _next(
        self, messages: AsyncIterator[StreamAccessLogsMessage], draining: "asyncio.Future[Literal[True]]"
    ) -> StreamAccessLogsMessage | None:
        reading = asyncio.ensure_future(anext(messages, None))
        try:
            await asyncio.wait((reading, draining), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else None
        finally:
            reading.cancel()

    async def _take(self, entry: Any) -> None:
        common = entry.common_properties
        metadata = common.metadata.filter_metadata
        packed = metadata[DECISION].fields[CALL].string_value if DECISION in metadata else ""
        call = unpack(packed) if packed else None
        if common.access_log_type == END:
            if call is not None:
                self._open_calls.end(entry.request.request_id)
            else:
                call = self._unheard(entry)
            if call is None:
                self._metrics.proxied_end("UNHELD").inc()
            else:
                await self._start(self._gate.end(call, ending_of(read_entry(entry), call.api, call.held)))
        elif common.access_log_type == PERIODIC and call is not None:
            await self._start(self._keep(call, read_entry(entry)))

    def _unheard(self, entry: Any) -> HeldCall | None:
        """A call that was let through just as Envoy gave up: only we know it. One that we refused is none."""
        if entry.response.response_code_details == REFUSED:
            return None
        return self._open_calls.end(entry.request.request_id)

    async def _keep(self, call: HeldCall, entry: Entry) -> None:
        """The stream doesn't pass through here, so it can't be cut."""
        await self._gate.keep(call, ending_of(entry, call.api))

    async def _start(self, work: Coroutine[Any, Any, None]) -> None:
        await self._room.acquire()
        task = asyncio.create_task(work, name="end of a call")
        self._at_work.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._at_work.discard(task)
        self._room.release()


def read_entry(entry: Any) -> Entry:
    """Translates."""
    common, response = entry.common_properties, entry.response
    metadata, typed = common.metadata.filter_metadata, common.metadata.typed_filter_metadata
    counts, complete = read_record(typed[USAGE].value) if USAGE in typed else ({}, False)
    headers = response.response_headers
    return Entry(
        details=response.response_code_details,
        code=response.response_code.value,
        attempts=common.upstream_request_attempt_count,
        body_bytes=response.response_body_bytes,
        content_type=headers.get("content-type", ""),
        content_encoding=headers.get("content-encoding", ""),
        counts=counts,
        complete=complete,
        answer=values_of(metadata[ANSWER]) if ANSWER in metadata else {},
    )
