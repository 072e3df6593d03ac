"""The native transport, asked by grpcio's client."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from pygrpc_native import EVENT_CALL, EVENT_CANCEL
from structlog.testing import capture_logs

from tallystick.services.boundary import INTERNAL_MESSAGE
from tallystick.services.native_server import MOST_ANSWERS, MOST_EVENTS, SHUTTING_DOWN, NativeServer

CODE = grpc.StatusCode
MOST_BYTES = 1_000
LONG_S = 20.0
DETAILS = b"details"


def read(message: bytes) -> bytes:
    if message == b"no message":
        raise DecodeError("broken")
    return message


class Servicer:
    """Methods that do as their request says."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.at_work = 0
        self.ended: list[str] = []
        self.unheard: list[bytes] = []

    async def Do(self, request: bytes, call: Any) -> bytes:
        call.unheard = lambda: self.unheard.append(request)
        if request == DETAILS:
            left_s = call.time_remaining()
            names = sorted(name for name, _ in call.invocation_metadata() if name.startswith("x-"))
            words = (
                names,
                left_s is not None and 0 < left_s <= LONG_S + 1,
                call.peer()[:5],
                call.auth_context(),
            )
            return repr(words).encode()
        if request == b"abort":
            await call.abort(CODE.NOT_FOUND, "there is none")
        if request == b"fail":
            raise ValueError("the-password-is-swordfish")
        if request == b"grow":
            return bytes(MOST_BYTES + 1)
        if request == b"block":
            self.began.set()
            time.sleep(0.5)  # noqa: ASYNC251 - its caller leaves meanwhile, and the loop can't know
        return request

    async def Wait(self, request: bytes, call: Any) -> bytes:
        self.at_work += 1
        self.began.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        return request

    async def Count(self, request: bytes, call: Any) -> AsyncIterator[bytes]:
        for n in range(3):
            yield b"%d" % n


class Served:
    """A server with its servicer, and a channel to it."""

    def __init__(self) -> None:
        self.servicer = Servicer()
        self.server = NativeServer((), most_bytes=MOST_BYTES, most_streams=4_000)
        unary = {"Do": self.servicer.Do, "Wait": self.servicer.Wait}
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(method, request_deserializer=read)
            for name, method in unary.items()
        }
        handlers["Count"] = grpc.unary_stream_rpc_method_handler(self.servicer.Count)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
        self.server.add_registered_method_handlers("t.T", handlers)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def start(self) -> None:
        await self.server.start()
        self.channel: Any = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")

    def ask(self, request: bytes, method: str = "Do", **more: Any) -> Any:
        return self.channel.unary_unary(f"/t.T/{method}")(request, **{"timeout": LONG_S, **more})

    async def code(self, request: bytes, method: str = "Do", **more: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.ask(request, method, **more)
        return failed.value.code(), failed.value.details() or ""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    await made.start()
    yield made
    await made.channel.close()
    await made.server.stop(0)


async def until(true: Any) -> None:
    async with asyncio.timeout(LONG_S):
        while not true():  # noqa: ASYNC110 - it is the server's state
            await asyncio.sleep(0.01)


async def test_a_handler_sees_who_asks_and_for_how_long(served: Served) -> None:
    answer = await served.ask(DETAILS, metadata=(("x-b", "2"), ("x-a", "1")))
    assert answer == b"(['x-a', 'x-b'], True, 'ipv4:', {})"
    assert (await served.ask(DETAILS, timeout=None)).startswith(b"([], False")


@pytest.mark.parametrize("count", [1, 2, MOST_ANSWERS, MOST_ANSWERS + 1, MOST_EVENTS + 1, 1_000])
async def test_however_many_ask_at_once_each_gets_its_answer(served: Served, count: int) -> None:
    for _ in range(3):
        answers = await asyncio.gather(*(served.ask(b"%d" % n) for n in range(count)))
        assert answers == [b"%d" % n for n in range(count)]
    assert served.server._calls == {}
    assert served.servicer.unheard == []


async def test_errors_and_their_codes(served: Served) -> None:
    assert await served.code(b"abort") == (CODE.NOT_FOUND, "there is none")
    with capture_logs() as logs:
        assert await served.code(b"fail") == (CODE.INTERNAL, INTERNAL_MESSAGE)
    assert ["swordfish" in repr(line["exc_info"]) for line in logs] == [True]
    code, text = await served.code(b"no message")
    assert (code, "expected this method" in text) == (CODE.INTERNAL, True)
    assert (await served.code(b"", "Unknown"))[0] is CODE.UNIMPLEMENTED


async def test_messages_that_are_too_long(served: Served) -> None:
    assert await served.ask(bytes(MOST_BYTES)) == bytes(MOST_BYTES)
    for request in (bytes(MOST_BYTES + 1), b"grow"):
        code, text = await served.code(request)
        assert code is CODE.RESOURCE_EXHAUSTED
        assert f"a message of {MOST_BYTES + 1} bytes; at most {MOST_BYTES}" in text


async def test_streams_are_served_behind(served: Served) -> None:
    calls = [served.channel.unary_stream("/t.T/Count")(b"", timeout=LONG_S) for _ in range(2)]
    assert [[each async for each in call] for call in calls] == [[b"0", b"1", b"2"]] * 2


@pytest.mark.parametrize("late", [False, True])
async def test_a_caller_who_leaves_ends_its_handler(served: Served, late: bool) -> None:
    call = served.ask(b"", "Wait", timeout=0.2 if late else LONG_S)
    await served.servicer.began.wait()
    if not late:
        call.cancel()
    await until(lambda: served.servicer.ended == ["cancelled"])
    assert await call.code() is (CODE.DEADLINE_EXCEEDED if late else CODE.CANCELLED)
    assert served.server._calls == {}
    assert await served.ask(b"next") == b"next"


async def test_an_answer_that_nobody_hears_is_told(served: Served) -> None:
    began = threading.Event()

    def leave() -> None:
        opened: Any = grpc.insecure_channel(f"127.0.0.1:{served.port}")
        with opened as channel:
            call = channel.unary_unary("/t.T/Do").future(b"block", timeout=LONG_S)
            assert began.wait(LONG_S)
            call.cancel()

    thread = threading.Thread(target=leave)
    thread.start()
    served.servicer.began.set = began.set  # type: ignore[method-assign]
    await until(lambda: served.servicer.unheard == [b"block"])
    thread.join()
    assert await served.ask(b"next") == b"next"
    assert served.servicer.unheard == [b"block"]


async def test_a_caller_who_leaves_before_its_handler_begins_leaves_nothing_behind(served: Served) -> None:
    server, call_id = served.server, 10**9
    method = next(iter(server._methods))
    asked = (EVENT_CALL, call_id, method, b"", None, ((), "", None))
    server._begin([asked, (EVENT_CANCEL, call_id, 0, None, None, None)])  # as they come together
    for _ in range(3):
        await asyncio.sleep(0)
    assert server._calls == {}
    assert await served.ask(b"next") == b"next"


async def test_who_is_at_work_when_it_stops_may_finish(served: Served) -> None:
    calls = [served.ask(b"%d" % n, "Wait") for n in range(20)]
    await until(lambda: served.servicer.at_work == 20)
    stopping = asyncio.create_task(served.server.stop(LONG_S))
    await asyncio.sleep(0)
    assert await served.code(b"new") == (CODE.UNAVAILABLE, SHUTTING_DOWN)
    served.servicer.go_on.set()
    assert await asyncio.gather(*calls) == [b"%d" % n for n in range(20)]
    await stopping
    assert (await served.code(b"late"))[0] is CODE.UNAVAILABLE


async def test_who_does_not_finish_in_time_is_cut_off(served: Served) -> None:
    call = served.ask(b"", "Wait")
    await served.servicer.began.wait()
    await served.server.stop(0.05)
    assert served.servicer.ended == ["cancelled"]
    assert await call.code() is CODE.UNAVAILABLE


async def test_one_that_was_never_bound_can_be_stopped() -> None:
    await NativeServer((), most_bytes=MOST_BYTES, most_streams=1).stop(0)
