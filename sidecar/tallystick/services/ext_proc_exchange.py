"""One call that passes through ext_proc, message by message.

    head ─▶ (body) ─▶ admitted ─▶ answer's head ─▶ its parts … ─▶ over
                └──▶ turned, passed: over

Whatever ends it, a call that was admitted is ended exactly once.
"""

import asyncio
import dataclasses
import time
from collections.abc import Coroutine, Mapping
from typing import Any, Protocol

from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from tallystick.core.errors import InvalidArgument
from tallystick.providers.answers import Answer, AnswerReader
from tallystick.providers.call import Api
from tallystick.providers.rewriting import model_in_body, rewrite
from tallystick.proxied.calls import Allowed, Ending, HeldCall, Passed, ProxiedRequest, Turned
from tallystick.services.ext_proc_messages import (
    IDENTITY,
    PASSED_ON,
    VIA_UPSTREAM,
    AnswerHead,
    check_modes,
    let_through,
    read_answer,
    read_request,
    refuse,
)

KEEP_EVERY_S = 30.0
"""How often a stream that lasts says so."""
LARGE_BYTES = 256 * 1024
"""From here on a body is read in a thread: the loop has other calls."""
Verdict = Allowed | Passed | Turned


class Desk(Protocol):
    """What an exchange asks of the sidecar."""

    async def admit(self, request: ProxiedRequest) -> Verdict:
        """Decide whether a request may be sent."""
        ...

    async def keep(self, call: HeldCall, output_bytes: int) -> None:
        """Keep the hold of a call that lasts; so many bytes of its answer passed."""
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
        self._consented = False
        self._headers: tuple[tuple[str, str], ...] = ()
        self._head: AnswerHead | None = None
        self._reader: AnswerReader | None = None
        self._kept_s = 0.0
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
        call = self._take_call()
        if call is None:
            return
        if not self._consented:
            self._desk.soon(self._desk.end(call, Ending(sent=False)))
        elif self._head is None or cut:
            self._desk.soon(self._desk.end(call, Ending(sent=True)))
        else:
            self._desk.soon(self._read_to_end(call, self._head, whole=False))

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
        request = dataclasses.replace(request, body=body, body_bytes=len(body))
        return await self._decide("request_body", request)

    async def _decide(self, kind: str, request: ProxiedRequest) -> ProcessingResponse:
        verdict = await self._desk.admit(request)
        if isinstance(verdict, Turned):
            self.over = True
            return refuse(verdict)
        if isinstance(verdict, Passed):
            self.over = True
            return let_through(kind, path=verdict.path, removed=verdict.remove_headers)
        self._call, self._headers = verdict.call, verdict.headers
        body = await _patched(verdict.call.api, request.body, verdict.patch)
        self._consented = True
        self._kept_s = time.monotonic()
        return let_through(
            kind, path=verdict.path, removed=verdict.remove_headers, headers=IDENTITY, body=body
        )

    def _answer_head(self, message: ProcessingRequest) -> ProcessingResponse:
        if self._head is not None:
            raise InvalidArgument("response_headers", "expected once")
        head = read_answer(message)
        is_local = head.details not in ("", VIA_UPSTREAM)
        if self._call is None:
            unseen = head.details == VIA_UPSTREAM or (self._asked and not is_local and head.status < 400)
            if unseen:
                raise InvalidArgument("response_headers", "expected after the request and its whole body")
            self.over = True
        elif is_local:
            self.over = True
            never_sent = was_never_sent(head.details)
            call = self._take_call()
            assert call is not None
            self._desk.soon(self._desk.end(call, Ending(sent=not never_sent)))
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
            raise InvalidArgument(
                "response_body", "expected after response_headers of a request that was seen"
            )
        self._reader.feed(part)
        if last:
            self._ended()
        elif (now := time.monotonic()) - self._kept_s >= KEEP_EVERY_S:
            self._kept_s = now
            self._desk.soon(self._desk.keep(self._call, self._reader.body_bytes))
        return PASSED_ON["response_body"]

    def _ended(self) -> None:
        """The answer came to its end. It is charged beside the stream, so that no part of it waits."""
        self.over = True
        call = self._take_call()
        if call is not None and self._head is not None:
            self._desk.soon(self._read_to_end(call, self._head, whole=True))

    def _take_call(self) -> HeldCall | None:
        call, self._call = self._call, None
        return call

    async def _read_to_end(self, call: HeldCall, head: AnswerHead, *, whole: bool) -> None:
        reader, self._reader = self._reader, None
        assert reader is not None
        large = reader.body_bytes > LARGE_BYTES
        answer = await asyncio.to_thread(reader.finish) if large else reader.finish()
        await self._desk.end(call, ending_of(head, answer, whole=whole))


async def _patched(api: Api, body: bytes, patch: Mapping[str, Any]) -> bytes | None:
    """Makes the body that is to be sent; None: as it is.

    Raises:
        InvalidArgument: another model is to be named, and can't be.
    """
    if not patch:
        return None
    model = str(patch.get("model", ""))

    def change() -> bytes:
        return rewrite(api, body, model=model, include_usage="stream_options" in patch)

    changed = await asyncio.to_thread(change) if len(body) > LARGE_BYTES else change()
    if changed != body:
        return changed
    if model and model_in_body(api):
        raise InvalidArgument("request_body", "expected JSON of at most 16 MiB that names a model")
    return None


_NEVER_SENT = ("connection_failure", "connection_pool_overflow", "overflow", "no_healthy_upstream")


def was_never_sent(details: str) -> bool:
    """Tells by `response.code_details` whether Envoy can't have reached the provider."""
    if details.startswith("upstream_reset_before_response_started"):
        return any(cause in details for cause in _NEVER_SENT)
    return not details.startswith(("upstream_", "response_timeout", "request_overall_timeout"))


def ending_of(head: AnswerHead, answer: Answer, *, whole: bool) -> Ending:
    """Says how a call ended whose answer had begun; `whole` if it came to its end.

    Whether it is the client or the provider who broke off, ext_proc is not told.
    """
    text_seen = answer.output_bytes > 0 or answer.complete
    return Ending(
        sent=True,
        status=head.status,
        client_left=not whole and not answer.complete and not answer.failed,
        provider_broke_off=answer.failed and not answer.complete,
        usage=answer.usage,
        complete=answer.complete,
        tier=answer.tier,
        output_bytes=answer.output_bytes if text_seen else answer.body_bytes,
        text_seen=text_seen,
    )
