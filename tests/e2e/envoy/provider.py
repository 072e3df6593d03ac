"""A stand-in for the providers that does what a test says: answers, streams, errors, resets.

The header `x-script` of a request names the `Script` to play, so that many can run at once;
everything that arrived is kept in `seen`. It speaks HTTP/1.1 by hand, to have each byte and
each reset in its own hands.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

JSON, SSE = "application/json", "text/event-stream"


@dataclass(frozen=True)
class Script:
    """What to answer: `parts` one after another, `delay_s` before each but the first.

    With more than one part, or `reset`, the body is chunked. `reset` breaks the connection after the
    last part, with the answer unfinished.
    """

    parts: Sequence[bytes] = (b"{}",)
    status: int = 200
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()
    delay_s: float = 0.0
    reset: bool = False
    endless: bool = False
    """A body of several parts whose end never comes; the connection stays until the peer leaves."""

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    written: list[bytes] = field(default_factory=list)
    """Parts of the answer that were sent so far."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ScriptedProvider:
    """Serves on a port of the loopback, with TLS if there is a context."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[Seen] = []
        self.scripts: dict[str, Script] = {}
        self.mute: set[str] = set()
        """Scripts whose connection breaks before anything is said."""
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Serves on this port; 0 for a free one."""
        serve = self._serve
        self._server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=self._tls, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    def of(self, script: str) -> list[Seen]:
        """The requests that named a script."""
        return [seen for seen in self.seen if seen.headers.get("x-script") == script]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (seen := await _read(reader)) is not None:
                self.seen.append(seen)
                name = seen.headers.get("x-script", "")
                if name in self.mute:
                    _reset(writer)
                    return
                script = self.scripts.get(name, Script())
                await _play(script, seen, writer)
                if script.reset:
                    _reset(writer)
                    return
                if script.endless:
                    await reader.read()
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the peer has gone, which is what some tests are about
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head.decode("latin-1").strip().split("\r\n")
    method, path, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in fields)}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    return Seen(method, path, headers, body)


async def _play(script: Script, seen: Seen, writer: asyncio.StreamWriter) -> None:
    chunked = len(script.parts) > 1 or script.reset
    framing = ("transfer-encoding", "chunked") if chunked else ("content-length", str(len(script.body)))
    fields = [("content-type", script.content_type), framing, *script.headers]
    head = f"HTTP/1.1 {script.status} Scripted\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields)
    writer.write(head.encode() + b"\r\n")
    for number, part in enumerate(script.parts):
        if number:
            await asyncio.sleep(script.delay_s)
        writer.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        await writer.drain()
        seen.written.append(part)
    if script.reset:
        await asyncio.sleep(0.1)
    elif chunked and not script.endless:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST in place of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
