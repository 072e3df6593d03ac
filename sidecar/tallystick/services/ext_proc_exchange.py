"""One call that passes through ext_proc, message by message.

    head ─▶ (body) ─▶ admitted ─▶ answer's head ─▶ its parts … ─▶ over
                └──▶ turned, passed: over

Whatever ends it, a call that was admitted is ended exactly once.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from tallystick.core.errors import InvalidArgument
from tallystick.providers.answers import AnswerReader
from tallystick.proxied.calls import Allowed, Ending, HeldCall, Passed, ProxiedRequest, Turned
from tallystick.proxied.entries import ANSWERED
from tallystick.proxied.rates import BYTES_PER_TOKEN
from tallystick.services.ext_proc_bodies import LARGE_BYTES, patched, with_body
from tallystick.services.ext_proc_endings import ending_of, ending_of_reply, so_far
from tallystick.services.ext_proc_messages import (
    IDENTITY,
    PASSED_ON,
    AnswerHead,
    check_modes,
    cut_off,
    let_through,
    read_answer,
    read_request,
    refuse,
)

KEEP_EVERY_S = 30.0
"""How often a stream that lasts says so."""
Verdict = Allowed | Passed | Turned


class Desk(Protocol):
    """What an exchange asks of the sidecar."""

    async def admit(self, request: ProxiedRequest) -> Verdict:
        """Decide whether a request may be sent."""
        ...

    async def keep(self, call: HeldCall, so_far: Ending) -> bool:
        """Keep the hold of a call that lasts; False if the call is to be cut."""
        ...

    async def end(self, call: HeldCall, ending: Ending) -> None:
        """End a call."""
        ...

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the stream, and whatever becomes of the stream."""
        ...


class Exchange:
    """What was seen of one call. `told` is the metadata that the stream came with."""

    def __init__(self, desk: Desk, told: Mapping[str, str]) -> None:
        self._desk = desk
        self._told = told
        self._begun = False
        self._asked: ProxiedRequest | None = None
        """A request whose body has yet to come."""
        self._call: HeldCall | None = None
        """Admitted, and not ended."""
        self.consented = False
        """It may have been sent."""
        self._headers: tuple[tuple[str, str], ...] = ()
        self._head: AnswerHead | None = None
        self._reader: AnswerReader | None = None
        self._kept_s = 0.0
        self._room_bytes = 0
        """Text from which on the hold may be outgrown."""
        self._cut = False
        self.over = False
        """No more messages need to be seen: the stream can be ended, and Envoy goes on without it."""

    async def answer(self, message: ProcessingRequest) -> ProcessingResponse:
        """Takes the next message, and answers it.

        Raises:
            InvalidArgument: Envoy is not set up as it must be; says how.
            Whatever `Desk.admit` raises.
        """
        kind = message.WhichOneof("request")
        if kind == "response_body":
            return self._part(message.response_body.body, last=message.response_body.end_of_stream)
        if not self._begun:
            self._begun = True
            check_modes(message)
        match kind:
            case "request_headers":
                return await self._request_head(message)
            case "request_body":
                return await self._request_body(message.request_body.body)
            case "response_headers":
                return self._answer_head(message)
            case "response_trailers":
                self._ended()
                return PASSED_ON[kind]
            case "request_trailers":
                return PASSED_ON[kind]
            case _:
                raise InvalidArgument("request", "expected headers, a body or trailers")

    def leave(self, *, cut: bool = False) -> None:
        """The stream is gone; `cut` if it is we who ended it, and the call may go on."""
        if self._call is None:
            return
        if self._head is None or cut:
            ending = Ending(sent=self.consented)
            self._desk.soon(self._desk.end(self._take_call(), ending))
        else:
            self._desk.soon(self._read_to_end(self._take_call(), self._head, whole=False))

    async def _request_head(self, message: ProcessingRequest) -> ProcessingResponse:
        if self._asked or self._call:
            raise InvalidArgument("request_headers", "expected once")
        request = read_request(message, self._told)
        if message.request_headers.end_of_stream:
            return await self._decide("request_headers", request)
        self._asked = request
        return PASSED_ON["request_headers"]

    async def _request_body(self, body: bytes) -> ProcessingResponse:
        request, self._asked = self._asked, None
        if request is None:
            raise InvalidArgument("request_body", "expected after request_headers, whole and once")
        return await self._decide("request_body", await with_body(request, body), body)

    async def _decide(self, kind: str, request: ProxiedRequest, body: bytes = b"") -> ProcessingResponse:
        verdict = await self._desk.admit(request)
        if isinstance(verdict, Turned):
            self.over = True
            return refuse(verdict)
        if isinstance(verdict, Passed):
            self.over = True
            return let_through(kind, path=verdict.path, removed=verdict.remove_headers)
        self._call, self._headers = verdict.call, verdict.headers
        new_body = await patched(verdict.call.api, body, verdict.patch)
        self.consented = True
        self._kept_s = time.monotonic()
        self._room_bytes = verdict.call.held.output * BYTES_PER_TOKEN
        return let_through(
            kind, path=verdict.path, removed=verdict.remove_headers, headers=IDENTITY, body=new_body
        )

    def _answer_head(self, message: ProcessingRequest) -> ProcessingResponse:
        if self._head is not None:
            raise InvalidArgument("response_headers", "expected once")
        head = read_answer(message)
        if self._call is None:
            _check_local(head, awaited=self._asked is not None)
            self.over = True
        elif head.is_local:
            self.over = True
            ending = ending_of_reply(head, self._call.api)
            self._desk.soon(self._desk.end(self._take_call(), ending))
        else:
            self._head = head
            self._reader = AnswerReader(self._call.api, head.status, head.content_type, head.content_encoding)
            if message.response_headers.end_of_stream:
                self._ended()
            if self._headers:
                return let_through("response_headers", headers=self._headers)
        return PASSED_ON["response_headers"]

    def _part(self, part: bytes, *, last: bool) -> ProcessingResponse:
        if self._reader is None or self._call is None:
            raise InvalidArgument("response_body", "expected after response_headers, and a request before")
        self._reader.feed(part)
        if last:
            self._ended()
        elif self._cut:
            self.over = True
            return cut_off()
        else:
            self._look_at_hold(self._call, self._reader.output_bytes)
        return PASSED_ON["response_body"]

    def _look_at_hold(self, call: HeldCall, text_bytes: int | None) -> None:
        """Keep the hold every while, and whenever the text may have outgrown it. Nothing waits for it."""
        now, seen = time.monotonic(), text_bytes or 0
        if now - self._kept_s < KEEP_EVERY_S and seen <= self._room_bytes:
            return
        assert self._head is not None
        self._kept_s, self._room_bytes = now, max(self._room_bytes, seen + seen // 8)
        self._desk.soon(self._keep(call, so_far(self._head, text_bytes)))

    async def _keep(self, call: HeldCall, ending: Ending) -> None:
        self._cut = not await self._desk.keep(call, ending)

    def _ended(self) -> None:
        """The answer came to its end. It is charged beside the stream, so that no part of it waits."""
        self.over = True
        if self._call is not None and self._head is not None:
            self._desk.soon(self._read_to_end(self._take_call(), self._head, whole=True))

    def _take_call(self) -> HeldCall:
        call, self._call = self._call, None
        assert call is not None
        return call

    async def _read_to_end(self, call: HeldCall, head: AnswerHead, *, whole: bool) -> None:
        reader, self._reader = self._reader, None
        assert reader is not None
        large = reader.body_bytes > LARGE_BYTES
        answer = await asyncio.to_thread(reader.finish) if large else reader.finish()
        await self._desk.end(call, ending_of(call.api, head, answer, whole=whole))


def _check_local(head: AnswerHead, *, awaited: bool) -> None:
    """Refuses the answer to a request that we were not shown, or whose body is `awaited`.

    Raises:
        InvalidArgument: it is the provider's.
    """
    said_nothing = not head.details and awaited and head.status < 400
    if said_nothing or head.details == ANSWERED:
        raise InvalidArgument("response_headers", "expected after the request and its whole body")
