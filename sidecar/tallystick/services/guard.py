"""The guard of a listener: of every call it finds out who makes it, and whether that is allowed.

It stands before the boundary, so that a call of nobody takes no place among those at work.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc.aio

from tallystick.core.callers import Caller
from tallystick.core.errors import TallystickError, Unauthenticated
from tallystick.engine.callers import Callers
from tallystick.observe.metrics import Metrics
from tallystick.services.boundary import status_of
from tallystick.services.permissions import Judge, judge_of, set_caller

Context = grpc.aio.ServicerContext[Any, Any]
Register = Callable[[grpc.aio.Server], object]
Handler = Callable[[Any, Context], Any]

MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

BEARER = "bearer "
STREAM_CHECKED_S = 0.25
"""How often it is seen whether the caller of an open stream is still one."""

_HANDLERS = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""By (request_streaming, response_streaming)."""


class Guard:
    """Of one listener.

    `tokens`, `certificates`: what is asked for; `otherwise` tells who calls with neither.
    """

    def __init__(
        self,
        callers: Callers,
        metrics: Metrics,
        *,
        tokens: bool,
        certificates: bool = False,
        otherwise: Callable[[], Caller | None] = lambda: None,
    ) -> None:
        self._callers = callers
        self._metrics = metrics
        self._tokens = tokens
        self._certificates = certificates
        self._otherwise = otherwise

    def around(self, register: Register) -> Register:
        """Registers the same services, each method behind this guard."""
        return lambda server: register(_GuardedServer(server, self._behind))  # type: ignore[arg-type]

    def _behind(self, service: str, method: str, handler: MethodHandler) -> MethodHandler:
        """A handler that asks first. Raises KeyError for a method without a rule."""
        judge = judge_of(service, method)
        if judge is None:
            return handler
        kind, make = _HANDLERS[handler.request_streaming, handler.response_streaming]
        inner = getattr(handler, kind)
        asking = self._unary if kind == "unary_unary" else self._stream
        guarded = asking(method, judge, inner, handler.request_streaming)
        made: MethodHandler = make(guarded, handler.request_deserializer, handler.response_serializer)
        return made

    def _unary(self, method: str, judge: Judge, inner: Handler, _request_streaming: bool) -> Handler:
        async def handler(request: Any, context: Context) -> Any:
            try:
                caller = self.identify(context)
                judge(caller, request)
            except TallystickError as error:
                await self._refuse(method, context, error)
            set_caller(caller)
            return await inner(request, context)

        return handler

    def _stream(self, method: str, judge: Judge, inner: Handler, request_streaming: bool) -> Handler:
        """A stream's requests are not judged: a rule of one takes a caller who may touch everything."""

        async def enter(request: Any, context: Context) -> None:
            try:
                caller = self.identify(context)
                judge(caller, None if request_streaming else request)
            except TallystickError as error:
                await self._refuse(method, context, error)
            set_caller(caller)

        async def answers(request: Any, context: Context) -> Any:
            await enter(request, context)
            try:
                with self._watched(context) as ended:
                    async for answer in inner(request, context):
                        yield answer
            except asyncio.CancelledError:
                await self._refuse_ended(method, context, ended)
                raise

        async def handler(request: Any, context: Context) -> Any:
            await enter(request, context)
            try:
                with self._watched(context) as ended:
                    return await inner(request, context)
            except asyncio.CancelledError:
                await self._refuse_ended(method, context, ended)
                raise

        return answers if inspect.isasyncgenfunction(inner) else handler

    def identify(self, context: Context) -> Caller:
        """Who makes a call.

        Raises:
            Unauthenticated: says what was expected, and quotes no token.
            StoreUnavailable: the tokens are not known yet.
        """
        if self._tokens:
            token = _token(context)
            if token:
                return self._callers.by_token(token)
        if self._certificates:
            names = _certificate_names(context.auth_context())
            caller = self._callers.by_certificate(names)
            if caller is not None:
                return caller
        caller = self._otherwise()
        if caller is None:
            raise Unauthenticated(f"expected {self._expected()}")
        return caller

    def _expected(self) -> str:
        ways = ["the metadata `authorization: Bearer TOKEN`"] if self._tokens else []
        if self._certificates:
            ways.append("a client certificate with a name that the file of callers has")
        return " or ".join(ways) or "a caller whom the file of callers has for this socket"

    async def _refuse(self, method: str, context: Context, error: TallystickError) -> None:
        status, text = status_of(error)
        self._metrics.rpc(method, status.name).observe(0.0)
        await context.abort(status, text)

    async def _refuse_ended(self, method: str, context: Context, ended: list[TallystickError]) -> None:
        """A stream was cancelled because its caller is none any more, or for another reason."""
        if ended:
            await self._refuse(method, context, ended[0])

    @contextmanager
    def _watched(self, context: Context) -> Iterator[list[TallystickError]]:
        """Cancels the task of a stream once its caller is not let in any more; yields why."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        ended: list[TallystickError] = []
        timers: list[asyncio.TimerHandle] = []

        def look() -> None:
            try:
                self.identify(context)
            except Unauthenticated as error:
                ended.append(error)
                task.cancel()
            else:
                timers[:] = [loop.call_later(STREAM_CHECKED_S, look)]

        timers.append(loop.call_later(STREAM_CHECKED_S, look))
        try:
            yield ended
        finally:
            timers[0].cancel()


class _GuardedServer:
    """What generated code registers a service with."""

    def __init__(
        self,
        server: Any,  # the types of grpc.aio lack the method that generated code calls
        behind: Callable[[str, str, MethodHandler], MethodHandler],
    ) -> None:
        self._server = server
        self._behind = behind

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Does nothing: the same methods come as registered ones, by name."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, MethodHandler]) -> None:
        """Registers the methods behind the guard."""
        guarded = {name: self._behind(service, name, handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
        self._server.add_registered_method_handlers(service, guarded)


def _token(context: Context) -> str:
    """The token in the metadata; empty where there is none. Raises Unauthenticated."""
    found = ""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            said = value if isinstance(value, str) else ""
            if said[: len(BEARER)].lower() != BEARER or found:
                raise Unauthenticated("authorization: expected `Bearer TOKEN`, once")
            found = said[len(BEARER) :].strip()
            if not found:
                raise Unauthenticated("authorization: expected `Bearer TOKEN`, got no token")
    return found


def _certificate_names(peer: Mapping[str, Any]) -> list[str]:
    """The alternative names (SPIFFE id, DNS name) of a verified certificate; else its common name."""
    names = peer.get("x509_subject_alternative_name") or peer.get("x509_common_name") or ()
    return [name.decode("utf-8", "replace") for name in names]
