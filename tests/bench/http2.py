"""A small HTTP/2 client, for what h2load can't do: another message in every call.

It knows only what it needs of RFC 9113: frames, windows, and a block of headers
that is the same for every request and needs no table of HPACK. An answer to
gRPC counts when it has a message and ends with trailers: errors have none. One
to JSON counts when it begins with status 200 and has a body.
"""

import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack

from tests.bench.load import GRPC_HEADERS, Load, connections_of, framed

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
FRAME_BYTES = 9
LARGEST_FRAME = 16_384
FIRST_WINDOW, LARGEST_WINDOW = 65_535, 2**31 - 1
INITIAL_WINDOW_SETTING = 4
RECEIVE_BYTES = 1 << 18
PATIENCE_S = 30.0
STATUS_200 = 0x88
"""The first byte of a block of headers that begins with it (RFC 7541)..."""
TABLE_SIZES = range(0x20, 0x40)
"""...unless a new size of the table goes before it, in one byte."""

FRAME = struct.Struct(">BHBBI")
"""The upper byte and the two lower ones of the length, type, flags, stream."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame as it is sent."""
    return FRAME.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, stream) + payload


def request_headers(path: str, authority: str, headers: Mapping[str, str] = GRPC_HEADERS) -> bytes:
    """The block of headers of a call: literals, and the static table's indices (RFC 7541)."""

    def text(value: str) -> bytes:
        assert len(value) < 127, "a longer text has its length in several bytes"
        return bytes([len(value)]) + value.encode()

    method_post, scheme_http = b"\x83", b"\x86"
    named = b"".join(b"\x00" + text(name) + text(value) for name, value in headers.items())
    return method_post + scheme_http + b"\x04" + text(path) + b"\x01" + text(authority) + named


class Connection:
    """Keeps `streams` calls in flight until `messages`, which others share, has no more."""

    def __init__(
        self, port: int, path: str, streams: int, messages: Iterator[bytes], headers: Mapping[str, str]
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.latencies_us: list[int] = []
        self.in_flight = 0
        self._headers = request_headers(path, f"127.0.0.1:{port}", headers)
        self._is_grpc = headers["content-type"] == GRPC_HEADERS["content-type"]
        self._streams, self._messages = streams, messages
        self._waiting: bytes | None = None
        self._window, self._next = FIRST_WINDOW, 1
        self._started: dict[int, float] = {}
        self._with_message: set[int] = set()
        self._received = b""
        self._unsent = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SETTING, LARGEST_WINDOW)),
            frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - FIRST_WINDOW)),
        ]

    def send(self) -> None:
        """Begins as many calls as may be in flight."""
        while self.in_flight < self._streams:
            message = self._waiting or next(self._messages, None)
            if message is None:
                break
            body = framed(message) if self._is_grpc else message
            assert len(body) <= LARGEST_FRAME, "a message must fit into one frame"
            self._waiting = message if len(body) > self._window else None
            if self._waiting is not None:
                break  # the server's WINDOW_UPDATE lets it go
            self._window -= len(body)
            self._unsent.append(frame(HEADERS, END_HEADERS, self._next, self._headers))
            self._unsent.append(frame(DATA, END_STREAM, self._next, body))
            self._started[self._next] = time.perf_counter()
            self._next += 2
            self.in_flight += 1
        if self._unsent:
            self.socket.sendall(b"".join(self._unsent))
            self._unsent.clear()

    def receive(self) -> None:
        """Reads what has come. Raises AssertionError when a call failed."""
        data = self.socket.recv(RECEIVE_BYTES)
        assert data, "the server closed the connection"
        data = self._received + data
        at, end = 0, len(data)
        while end - at >= FRAME_BYTES:
            high, low, kind, flags, stream = FRAME.unpack_from(data, at)
            after = at + FRAME_BYTES + (high << 16 | low)
            if after > end:
                break
            if kind == DATA:
                if after - at > FRAME_BYTES:
                    self._with_message.add(stream)
            elif kind == HEADERS:
                self._begun(data[at + FRAME_BYTES : after])
            else:
                self._control(kind, flags, stream, data[at + FRAME_BYTES : after])
            if flags & END_STREAM and kind in (DATA, HEADERS):
                self._answered(stream)
            at = after
        self._received = data[at:]

    def _begun(self, block: bytes) -> None:
        first = block[1] if block[0] in TABLE_SIZES else block[0]
        assert self._is_grpc or first == STATUS_200, "a call failed: its answer is not 200"

    def _answered(self, stream: int) -> None:
        assert stream in self._with_message, "a call failed: its answer has no message"
        self._with_message.remove(stream)
        self.latencies_us.append(int((time.perf_counter() - self._started.pop(stream)) * 1e6))
        self.in_flight -= 1

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        assert kind not in (RST_STREAM, GOAWAY), f"the server ended stream {stream}: {payload!r}"
        if kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._unsent.append(frame(kind, ACK, 0, payload if kind == PING else b""))


def run(
    port: int,
    path: str,
    messages: Iterable[bytes],
    calls: int,
    in_flight: int,
    headers: Mapping[str, str] = GRPC_HEADERS,
) -> Load:
    """Makes `calls` calls with these messages. Raises AssertionError unless each got an answer.

    With other headers than gRPC's the messages are sent as they are.
    """
    count, streams = connections_of(in_flight)
    left = _first(messages, calls)
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        connections = [Connection(port, path, streams, left, headers) for _ in range(count)]
        for connection in connections:
            stack.enter_context(connection.socket)
        started = time.perf_counter()
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        while any(connection.in_flight for connection in connections):
            ready = selector.select(PATIENCE_S)
            assert ready, "no answer came"
            for key, _ in ready:
                key.data.receive()
                key.data.send()
        seconds = time.perf_counter() - started
    latencies = sorted(latency for connection in connections for latency in connection.latencies_us)
    assert len(latencies) == calls, f"{len(latencies)} answers to {calls} calls"
    return Load(calls, seconds, latencies)


def _first(messages: Iterable[bytes], calls: int) -> Iterator[bytes]:
    for _, message in zip(range(calls), messages, strict=False):
        yield message
