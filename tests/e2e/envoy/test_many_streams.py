"""Ten thousand streams, two thousand of them open at once: `pytest -m long`, some minutes."""

import asyncio
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.envoy import Way
from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.answers import chat_chunks
from tests.e2e.envoy.cases import ASK, CHAT_COST, CHAT_PATH
from tests.e2e.envoy.desks import Desk, desk_at
from tests.e2e.envoy.gateways import running
from tests.e2e.envoy.provider import ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.servers import SidecarProcess, short_directory

AT_ONCE, WAVES = 2_000, 5
OPENING = 32
"""Calls that are being decided at a time."""
PARTS = chat_chunks(3)
BODY = json.dumps(ASK | {"stream": True}).encode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
RICH = "budgets: {daily: {per: [user], limit: 100000 USD, window: day}}\n"
COMPLETED = 'tallystick_proxied_ends_total{end="COMPLETED"}'
OVERFLOWS = tuple(
    f"cluster.{cluster}.upstream_{what}_overflow"
    for cluster in ("tallystick", "provider-openai")
    for what in ("cx", "rq_pending")
)
MOST_GROWTH_KIB = 16 * 1024
"""Of the sidecar from the second wave to the last: of 6,000 streams, so 2.7 KiB for each would fail."""


class HeldBack(ScriptedProvider):
    """Sends the beginning of each answer, and the rest once `AT_ONCE` of them have begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.all_begun = asyncio.Event()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                writer.write(HEAD + _chunk(PARTS[0]))
                self.begun += 1
                gate = self.all_begun
                if self.begun == AT_ONCE:
                    self.begun, self.all_begun = 0, asyncio.Event()
                    gate.set()
                await gate.wait()
                writer.write(b"".join(map(_chunk, PARTS[1:])) + b"0\r\n\r\n")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # Envoy closes connections that it needs no more
        finally:
            writer.close()


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


@pytest.fixture
def sidecar() -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory, ENVOY="true", HTTP_LISTEN="127.0.0.1:0")
        process.start()
        try:
            yield process
        finally:
            process.stop()


async def _wave(port: int, key: str) -> None:
    """Opens `AT_ONCE` streams, none of which ends before all are open, and reads them to their ends."""
    opening = asyncio.Semaphore(OPENING)
    head = (
        f"POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
    ).encode()

    async def stream() -> None:
        async with opening:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + BODY)
            seen = await reader.readuntil(b"\n\n")  # the first event
        assert seen.startswith(b"HTTP/1.1 200"), seen
        rest = await reader.read(-1)
        writer.close()
        assert b"[DONE]" in rest

    await asyncio.gather(*(stream() for _ in range(AT_ONCE)))


def _settled(desk: Desk, count: int) -> None:
    wait(lambda: desk.metric(COMPLETED) == count, 60)


def _resident_kib(desk: Desk) -> int:
    status = Path(f"/proc/{desk.sidecar.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_thousand_streams_leave_nothing_behind(sidecar: SidecarProcess, loop_thread: LoopThread) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    provider = HeldBack()
    loop_thread.run(provider.start())
    try:
        with (
            running(Way.AUTHZ, provider, loop_thread, sidecar=sidecar) as gateway,
            desk_at(gateway, sidecar) as desk,
        ):
            desk.apply(RICH)
            resident = []
            for number in range(1, WAVES + 1):
                asyncio.run(_wave(gateway.envoy.port, desk.key))
                _settled(desk, number * AT_ONCE)
                resident.append(_resident_kib(desk))
                print(f"{number * AT_ONCE} streams: {resident[-1]} KiB resident")
            ends = desk.entries("settle")
            assert (len(ends), {end["nano"] for end in ends}) == (WAVES * AT_ONCE, {str(CHAT_COST)})
            assert [gateway.envoy.stat(name) for name in OVERFLOWS] == [0] * len(OVERFLOWS)
            assert resident[-1] - resident[1] < MOST_GROWTH_KIB
    finally:
        loop_thread.run(provider.stop())
