"""The native transport: HTTP/2 in Rust, and unary calls straight from it to coroutines of the loop.

`grpc.aio.Server` as far as servicers need it, on pygrpc-native's low-level API. Whatever is not
unary goes to a grpcio server behind it.
"""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from pygrpc_native import EVENT_CANCEL, NativeGrpcFront

from tallystick.services.boundary import status_of
from tallystick.services.native_call import NativeCall

MOST_EVENTS = 16
"""So many are taken from the transport at once: their commands leave while the next are taken."""

A_BURST = 4
"""From so many calls at work on the loop looks for more by itself; to look costs more than it brings where
they are fewer. Seen with four clients of one call each: 2 % more decisions than when two were a burst."""

MOST_ANSWERS = 8
"""So many leave without waiting for the end of the tick: they travel while the next are found. Seen at
32 in flight: a twelfth more decisions than when all of a tick left together."""

SENDING_S = 0.1
"""How long the last answers have to get away: the transport closes on those that it has not sent yet."""

MALFORMED = "the request can't be parsed: expected this method's message"
SHUTTING_DOWN = "the sidecar is shutting down"

MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class _Method(NamedTuple):
    answer: Callable[[Any, NativeCall], Awaitable[Any]]
    read: Callable[[bytes], Any]
    write: Callable[[Any], bytes]


class NativeServer:
    """One listener without TLS. `options` are gRPC's, of which the grpcio server behind it takes all.

    `most_bytes`: of a message; `most_streams`: of one connection.
    """

    def __init__(self, options: Sequence[tuple[str, Any]], *, most_bytes: int, most_streams: int) -> None:
        self._most_bytes = most_bytes
        self._most_streams = most_streams
        self._behind = grpc.aio.server(options=options)
        self._folder = ""
        self._unary: dict[str, _Method] = {}
        self._methods: dict[int, _Method] = {}
        self._front: Any = None
        self._loop: Any = None
        self._calls: dict[int, NativeCall] = {}
        self._answers: list[tuple[NativeCall, bytes]] = []
        self._taken = threading.Lock()
        self._stopping = False

    def add_generic_rpc_handlers(self, handlers: "Sequence[grpc.GenericRpcHandler[Any, Any]]") -> None:
        """As generated code calls it."""
        self._behind.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, MethodHandler]) -> None:
        """As generated code calls it."""
        for name, handler in handlers.items():
            if (answer := handler.unary_unary) is not None:
                reading, writing = handler.request_deserializer or bytes, handler.response_serializer or bytes
                self._unary[f"/{service}/{name}"] = _Method(answer, reading, writing)  # type: ignore[arg-type]

    def add_insecure_port(self, address: str) -> int:
        """Binds the one address of this server; the port. Raises OSError."""
        self._front = NativeGrpcFront(
            address,
            [],
            # One thread for HTTP/2 outruns the one loop that decides; a second only takes its core.
            io_threads=1,
            call_details=True,
            keepalive_permit_without_calls=False,
            max_concurrent_streams=self._most_streams,
        )
        return int(self._front.bound_port)

    async def start(self) -> None:
        """Serves from now on, by this loop."""
        self._loop = asyncio.get_running_loop()
        self._folder = tempfile.mkdtemp(prefix="native-grpc-")
        socket = f"{self._folder}/s"
        self._behind.add_insecure_port(f"unix:{socket}")
        await self._behind.start()
        self._front.set_fallback(socket)
        ids = self._front.add_methods([(path, False) for path in self._unary])
        self._methods = dict(zip(ids, self._unary.values(), strict=True))
        self._front.start()
        threading.Thread(target=self._ring, name="native-bell", daemon=True).start()

    async def stop(self, grace_s: float) -> None:
        """Turns new calls away; those at work have `grace_s` to finish."""
        self._stopping = True
        behind = asyncio.ensure_future(self._behind.stop(grace_s))
        tasks = [call.task for call in self._calls.values() if call.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(behind, *tasks, return_exceptions=True)
        if self._front is None:  # it could not be bound
            return
        await asyncio.sleep(SENDING_S)
        await asyncio.get_running_loop().run_in_executor(None, self._front.close)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ring(self) -> None:
        """Brings the loop what has come; while more does, the loop looks by itself: no change of threads."""
        self._taken.acquire()
        while (events := self._front.recv_batch_details(MOST_EVENTS)) is not None:
            few = len(events) + len(self._calls) < A_BURST
            self._loop.call_soon_threadsafe(self._begin if few else self._take, events)
            if not few:
                self._taken.acquire()

    def _take(self, events: Sequence[tuple[Any, ...]]) -> None:
        self._begin(events)
        self._loop.call_soon(self._look)

    def _look(self) -> None:
        events = self._front.recv_batch_details(MOST_EVENTS, 0)
        if events:
            self._take(events)
        else:
            self._taken.release()

    def _begin(self, events: Sequence[tuple[Any, ...]]) -> None:
        for kind, call_id, method, message, _, details in events:
            if kind == EVENT_CANCEL:
                # A task that was not begun never comes to its `finally`.
                if (call := self._calls.pop(call_id, None)) is not None:
                    call.leave()
            elif self._stopping:
                self._fail(call_id, grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
            else:
                call = self._calls[call_id] = NativeCall(call_id, details)
                serving = self._serve(call, self._methods[method], message)
                call.task = asyncio.Task(serving, loop=self._loop, name="call")

    async def _serve(self, call: NativeCall, method: _Method, message: bytes) -> None:
        try:
            request = self._read(call, method, message)
            if request is not None:
                self._answer(call, method.write(await method.answer(request, call)))
        except grpc.aio.AbortError:
            self._fail(call.id, call.code, call.text)
        except asyncio.CancelledError:
            if not call.left:
                self._fail(call.id, grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
        except Exception as error:  # noqa: BLE001 - of servicers that are not ours; `status_of` logs it
            self._fail(call.id, *status_of(error))
        finally:
            self._calls.pop(call.id, None)

    def _read(self, call: NativeCall, method: _Method, message: bytes) -> Any:
        """The request; None where the call was failed."""
        if len(message) > self._most_bytes:
            self._fail(call.id, *_too_long("got", len(message), self._most_bytes))
            return None
        try:
            return method.read(message)
        except DecodeError:
            self._fail(call.id, grpc.StatusCode.INTERNAL, MALFORMED)
            return None

    def _answer(self, call: NativeCall, message: bytes) -> None:
        if len(message) > self._most_bytes:
            self._fail(call.id, *_too_long("has to send", len(message), self._most_bytes))
            return
        self._answers.append((call, message))
        if len(self._answers) == 1:
            self._loop.call_soon(self._let_go)
        elif len(self._answers) == MOST_ANSWERS:
            self._let_go()

    def _let_go(self) -> None:
        """Answers leave one after another: each wakes the transport's thread, in a row they wake it once."""
        answers, self._answers = self._answers, []
        respond = self._front.respond
        for call, message in answers:
            if not respond(call.id, message) and call.unheard is not None:
                call.unheard()

    def _fail(self, call_id: int, code: grpc.StatusCode, text: str) -> None:
        self._front.fail(call_id, code.value[0], text)


def _too_long(what: str, size: int, most: int) -> tuple[grpc.StatusCode, str]:
    text = f"the sidecar {what} a message of {size} bytes; at most {most} are taken"
    return grpc.StatusCode.RESOURCE_EXHAUSTED, text
