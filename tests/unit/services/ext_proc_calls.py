"""Calls through ext_proc without Envoy: its messages, a stream that they come by, and a gate that counts."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from tallystick.core.usage import Usage
from tallystick.observe.metrics import Metrics
from tallystick.providers import Api
from tallystick.proxied.calls import Allowed, Ending, HeldCall, ProxiedRequest
from tallystick.services.admission import Admission
from tallystick.services.ext_proc import ExtProcService
from tallystick.services.ext_proc_exchange import Verdict

CALL = HeldCall("acme", "r-1", b"tally", Api.OPENAI_CHAT, "small", Usage(input=7, output=9))
ASK = {"model": "big", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
ROUTE = (
    ("x-tallystick-provider", "openai"),
    ("x-tallystick-kind", "openai"),
    ("x-tallystick-prefix", "/openai"),
)
JSON, SSE = "application/json", "text/event-stream"


def _fill(headers: Any, fields: dict[str, str]) -> None:
    for name, value in fields.items():
        headers.headers.add(key=name, raw_value=value.encode())


def _attributes(message: ProcessingRequest, **values: str) -> None:
    for name, value in values.items():
        message.attributes["envoy.filters.http.ext_proc"][name.replace("__", ".")] = value


def request_head(
    path: str = "/openai/v1/chat/completions", method: str = "POST", *, last: bool = False,
    body_mode: int = ProcessingMode.BUFFERED, answer_mode: int = ProcessingMode.STREAMED,
    old: bool = False, attributes: dict[str, str] | None = None, **headers: str,
) -> ProcessingRequest:  # fmt: skip
    """As Envoy tells the head of a request; `old` leaves out what older ones don't say."""
    message = ProcessingRequest()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    _fill(message.request_headers.headers, {":method": method, ":path": path, ":authority": "x"} | named)
    message.request_headers.end_of_stream = last
    if not old:
        message.protocol_config.request_body_mode = body_mode
        message.protocol_config.response_body_mode = answer_mode
    _attributes(message, **{"request__id": "id-of-envoy", **(attributes or {})})
    return message


def request_body(body: Any = ASK, *, last: bool = True) -> ProcessingRequest:
    message = ProcessingRequest()
    message.request_body.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    message.request_body.end_of_stream = last
    return message


def answer_head(
    status: str = "200", content_type: str = SSE, encoding: str = "", details: str = "via_upstream",
    *, last: bool = False,
) -> ProcessingRequest:  # fmt: skip
    message = ProcessingRequest()
    fields = {":status": status, "content-type": content_type} | (
        {"content-encoding": encoding} if encoding else {}
    )
    _fill(message.response_headers.headers, fields)
    message.response_headers.end_of_stream = last
    if details:
        _attributes(message, response__code_details=details)
    return message


def part(body: bytes, *, last: bool = False) -> ProcessingRequest:
    message = ProcessingRequest()
    message.response_body.body = body
    message.response_body.end_of_stream = last
    return message


def parts(pieces: Sequence[bytes]) -> list[ProcessingRequest]:
    """The pieces of a body, the last of them marked."""
    return [part(piece, last=number == len(pieces) - 1) for number, piece in enumerate(pieces)]


class Points:
    """Counts the places where a call waits; at one of them it is cancelled."""

    def __init__(self, cancel_at: int = 0) -> None:
        self.passed = 0
        self._cancel_at = cancel_at
        self.task: asyncio.Task[None] | None = None

    async def pass_by(self) -> None:
        self.passed += 1
        if self.passed == self._cancel_at and self.task:
            self.task.cancel()
        await asyncio.sleep(0)


class CountingGate:
    """Says what it was told to, and keeps what it is asked."""

    def __init__(self, verdict: Verdict | BaseException, points: Points | None = None) -> None:
        self.verdict = verdict
        self.asked: list[ProxiedRequest] = []
        self.held = 0
        self.ends: list[tuple[HeldCall, Ending]] = []
        self.kept: list[Ending] = []
        """What was known at each time that a call was kept."""
        self.cuts = False
        self._points = points or Points()

    async def admit(self, request: ProxiedRequest) -> Verdict:
        self.asked.append(request)
        await self._points.pass_by()
        if isinstance(self.verdict, BaseException):
            raise self.verdict
        if isinstance(self.verdict, Allowed):
            self.held += 1
            try:
                await self._points.pass_by()
            except asyncio.CancelledError:
                self.held -= 1  # as the gate gives back what nobody waited for
                raise
        return self.verdict

    async def keep(self, call: HeldCall, so_far: Ending) -> bool:
        self.kept.append(so_far)
        return not self.cuts

    async def end(self, call: HeldCall, ending: Ending) -> None:
        await asyncio.sleep(0)
        self.ends.append((call, ending))

    @property
    def ending(self) -> Ending:
        """The one end."""
        ((_, ending),) = self.ends
        return ending


class Aborted(Exception):
    """What `abort` raises."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self.code, self.details = code, details


class Stream:
    """The stream of one call, as its handler has it."""

    def __init__(self, messages: Sequence[ProcessingRequest], points: Points | None = None) -> None:
        self._messages = list(messages)
        self._points = points or Points()
        self.answers: list[ProcessingResponse] = []
        self.writing = 0
        self.read_whole = False

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return (*ROUTE, ("tallystick.service", "crm"), ("x-bin", b"\x00"))

    async def read(self) -> Any:
        await self._points.pass_by()
        if self._messages:
            return self._messages.pop(0)
        self.read_whole = True
        return grpc.aio.EOF  # type: ignore[attr-defined]

    async def write(self, answer: ProcessingResponse) -> None:
        self.writing += 1
        await self._points.pass_by()
        self.answers.append(answer)

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        raise Aborted(code, details)

    @property
    def unread(self) -> int:
        return len(self._messages)


def service_with(gate: CountingGate, most_at_work: int = 4) -> ExtProcService:
    metrics = Metrics("0")
    return ExtProcService(gate, Admission(most_at_work, 64, metrics), metrics)  # type: ignore[arg-type]


async def play(gate: CountingGate, stream: Stream, points: Points | None = None) -> ExtProcService:
    """One call, to its end and what is done beside it."""
    service = service_with(gate)
    task = asyncio.ensure_future(service.Process(None, stream))  # type: ignore[arg-type]
    if points is not None:
        points.task = task
    await asyncio.wait([task])
    await service.drain(1)
    if not task.cancelled():
        task.result()
    return service


async def played(
    verdict: Verdict | BaseException, *messages: ProcessingRequest
) -> tuple[CountingGate, Stream]:
    """A call of these messages."""
    gate, stream = CountingGate(verdict), Stream(messages)
    await play(gate, stream)
    return gate, stream
