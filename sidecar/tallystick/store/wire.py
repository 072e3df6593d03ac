"""The wire: one connection to a store, multiplexed.

Commands of one loop tick leave in few writes; replies come back in order through
hiredis's parser. A cancelled caller leaves its reply to be dropped in its turn,
so nothing gets out of step. What is sent twice says so: `Wire.run`.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import hiredis

from tallystick.core.errors import StoreUnavailable
from tallystick.store.address import StoreAddress
from tallystick.store.resp import encode

GRACE_S = 1.0
"""Calls wait this long for a lost connection to come back; after it they fail at once."""
FIRST_RETRY_S, LAST_RETRY_S = 0.02, 1.0
MOST_UNSENT_BYTES = 4_096
"""So much leaves at once, so that the store works while the next commands are encoded: seen at 32
in flight, a sixth more decisions than when all of a tick left together."""

Reply = Any

log = logging.getLogger("tallystick.store")


class Receiver(Protocol):
    """Who waits for a reply; a future, for example."""

    def done(self) -> bool:
        """Whether it waits no more."""

    def set_result(self, reply: Reply, /) -> None:
        """The reply; store errors are values."""

    def set_exception(self, error: StoreUnavailable, /) -> None:
        """There will be none."""


class Party(Protocol):
    """A command that others may join until it leaves."""

    def depart(self) -> bytes:
        """The command; nobody joins it any more."""


class ConnectionLost(StoreUnavailable):
    """The connection broke before the answer came: the outcome is unknown."""


class Connection(asyncio.Protocol):
    """One connection. `lost` is called once, when it has ended."""

    def __init__(self, lost: Callable[["Connection"], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._pending: deque[Receiver] = deque()
        self._unsent: list[tuple[bytes | Party, Receiver]] = []
        self._unsent_bytes = 0
        self._transport: asyncio.Transport | None = None
        self.progress_at = 0.0
        """When the store last answered, or was first asked since (loop time)."""

    @property
    def waiting(self) -> int:
        """How many commands have no answer yet."""
        return len(self._pending)

    def send(self, message: bytes) -> asyncio.Future[Reply]:
        """Sends a command at the end of this loop tick; the reply, errors included."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send_for(message, future)
        return future

    def send_for(self, message: "bytes | Party", receiver: Receiver) -> None:
        """Sends a command at the end of this loop tick; the receiver is told the reply."""
        if not self._unsent:
            self._loop.call_soon(self.flush)
        self._unsent.append((message, receiver))
        if isinstance(message, bytes):
            self._unsent_bytes += len(message)
            if self._unsent_bytes >= MOST_UNSENT_BYTES:
                self.flush()

    def flush(self) -> None:
        """Sends at once what waits for the end of the tick."""
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if not unsent:
            return
        if not self._pending:
            self.progress_at = self._loop.time()
        self._pending.extend([receiver for _, receiver in unsent])
        if self._transport is None or self._transport.is_closing():
            return  # `connection_lost` is about to tell them
        messages = [each if isinstance(each, bytes) else each.depart() for each, _ in unsent]
        self._transport.write(b"".join(messages))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._reader.feed(data)
        self.progress_at = self._loop.time()
        pending, gets = self._pending, self._reader.gets
        while (reply := gets()) is not False:
            receiver = pending.popleft()
            if not receiver.done():
                receiver.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        lost, unsent = list(self._pending), self._unsent
        self._pending.clear()
        self._unsent = []
        _lose([*lost, *(receiver for _, receiver in unsent)])
        self._lost(self)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()


def _lose(receivers: Sequence[Receiver]) -> None:
    for receiver in receivers:
        if not receiver.done():
            receiver.set_exception(ConnectionLost("the store's connection broke before it answered"))
            if isinstance(receiver, asyncio.Future):
                receiver.exception()  # a caller that was cancelled does not come to look


class Wire:
    """Keeps one connection up, and sends on it.

    `timeout_s`: a connection on which the store answers nothing for this long,
    while it owes an answer, is given up. `on_change` is told when the store comes
    and goes. `tls` is used where the address asks for it.
    """

    def __init__(
        self,
        address: StoreAddress,
        timeout_s: float,
        on_change: Callable[[bool], None] = lambda up: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._tls = tls
        self._timeout_s = timeout_s
        self._on_change = on_change
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._refusing = True
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._told = ""
        self.reconnects = 0

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def start(self) -> None:
        """Begins to connect, and to reconnect whenever the connection breaks."""
        self._refusing = False
        self._keeper = asyncio.create_task(self._keep(), name="store-wire")

    async def connected(self) -> None:
        """Returns when there is a connection."""
        await self._up.wait()

    async def close(self) -> None:
        """Ends the connection and the keeping of it."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._connection:
            self._connection.abort()
            self._connection = None

    async def run(self, message: bytes) -> Reply:
        """The reply to a command; store errors come back as values.

        A command whose connection breaks is asked once more: every script of ours
        may be repeated with the same id.

        Raises:
            StoreUnavailable: no connection, or it broke twice.
        """
        connection = self._connection
        try:
            return await (connection or await self._wait()).send(message)
        except ConnectionLost:
            return await (await self._wait()).send(message)

    @property
    def connection(self) -> Connection | None:
        """The one that is up."""
        return self._connection

    async def _wait(self) -> Connection:
        if not self._refusing:
            try:
                async with asyncio.timeout(GRACE_S):
                    await self._up.wait()
            except TimeoutError:
                self._refusing = self._connection is None
        if self._connection is None:
            raise StoreUnavailable(f"the store at {self._address} can't be reached")
        return self._connection

    async def _keep(self) -> None:
        pause = FIRST_RETRY_S
        while True:
            self._lost.clear()
            try:
                async with asyncio.timeout(self._timeout_s):
                    connection = await self._connect()
            except (OSError, TimeoutError, StoreUnavailable) as error:
                self._refusing = True
                self._tell(str(error) or f"no answer within {self._timeout_s:g} s")
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_RETRY_S)
                continue
            pause, self._told = FIRST_RETRY_S, ""
            self._connection, self._refusing = connection, False
            self._up.set()
            self._on_change(True)
            await self._watch(connection)
            self._connection = None
            self._up.clear()
            self.reconnects += 1
            self._on_change(False)

    def _tell(self, problem: str) -> None:
        """Logs why there is no connection, once for each reason in a row."""
        if problem != self._told:
            log.warning("no connection to the store at %s: %s", self._address, problem)
            self._told = problem

    async def _watch(self, connection: Connection) -> None:
        """Returns when the connection has ended; ends it when the store falls silent."""
        loop = asyncio.get_running_loop()
        while not self._lost.is_set():
            if connection.waiting and loop.time() - connection.progress_at > self._timeout_s:
                connection.abort()
            try:
                async with asyncio.timeout(self._timeout_s / 4):  # wait_for may swallow a cancellation
                    await self._lost.wait()
            except TimeoutError:
                continue

    async def _connect(self) -> Connection:
        loop, address = asyncio.get_running_loop(), self._address
        if address.path:
            _, connection = await loop.create_unix_connection(self._protocol, address.path)
        else:
            _, connection = await loop.create_connection(
                self._protocol, address.host, address.port, ssl=self._tls if address.tls else None
            )
        try:
            await self._greet(connection)
        except BaseException:  # also when it took too long, or nobody wants it any more
            connection.abort()
            raise
        return connection

    async def _greet(self, connection: Connection) -> None:
        address = self._address
        hello: list[list[str | int]] = []
        if address.password:
            hello.append(["AUTH", *([address.username] if address.username else []), address.password])
        if address.database:
            hello.append(["SELECT", address.database])
        hello.append(["PING"])
        for command in hello:
            reply = await connection.send(encode(command))
            if isinstance(reply, hiredis.ReplyError):
                raise StoreUnavailable(f"it refused {command[0]}: {reply}")

    def _protocol(self) -> Connection:
        return Connection(self._ended)

    def _ended(self, connection: Connection) -> None:
        if self._connection in (None, connection):
            self._connection = None
            self._up.clear()  # at once: its callers ask again before the keeper wakes
            self._lost.set()
