"""The wire: a connection to one node of a store, kept up, on which all callers' commands go.

What is sent twice says so: `Wire.run`.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

from tallystick.core.errors import StoreUnavailable
from tallystick.store.address import StoreAddress
from tallystick.store.breaker import Breaker
from tallystick.store.connection import Connection, ConnectionLost, Reply, after
from tallystick.store.dial import dial

GRACE_S = 1.0
"""Calls wait this long for a lost connection to come back; after it they fail at once."""
FIRST_RETRY_S, LAST_RETRY_S = 0.02, 1.0

Make = Callable[[Callable[[Connection], None]], Connection]

log = logging.getLogger("tallystick.store")


async def _nothing_more(_connection: Connection, _address: StoreAddress) -> None:
    """A node that answers is as good as any."""


class Wire:
    """Keeps one connection up, and sends on it.

    `timeout_s`: a connection on which the store answers nothing for this long,
    while it owes an answer, is given up. `on_change` is told when the store comes
    and goes. `tls` is used where the address asks for it.

    `find` says before each connection where the node is by now; `prepare` has the
    connection before anybody else, and raises StoreUnavailable where it won't do.
    """

    def __init__(
        self,
        address: StoreAddress,
        timeout_s: float,
        on_change: Callable[[bool], None] = lambda up: None,
        tls: ssl.SSLContext | None = None,
        *,
        find: Callable[[], Awaitable[StoreAddress]] | None = None,
        prepare: Callable[[Connection, StoreAddress], Awaitable[None]] = _nothing_more,
        make: Make = Connection,
    ) -> None:
        self.address = address
        """The node's, or as it was last."""
        self._told_address = str(address)
        self._tls = tls
        self._timeout_s = timeout_s
        self._on_change = on_change
        self._find = find
        self._prepare = prepare
        self._make = make
        self._connection: Connection | None = None
        self._up = asyncio.Event()
        self._refusing = True
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._told = ""
        self._trying = False
        self.reconnects = 0

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    @property
    def breaker(self) -> Breaker:
        """Whether calls go to the node."""
        if self._connection is not None:
            return Breaker.CLOSED
        return Breaker.OPEN if self._refusing and not self._trying else Breaker.HALF_OPEN

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
        self.drop()

    def drop(self) -> None:
        """Ends the connection, for it leads to the wrong node; the next one is looked for at once."""
        if self._connection:
            self._connection.abort()
            self._connection = None
            self._up.clear()

    async def run(self, message: bytes) -> Reply:
        """The reply to a command; store errors come back as values.

        A command whose connection breaks is asked once more: every script of ours
        may be repeated with the same id.

        Raises:
            StoreUnavailable: no connection, or it broke twice.
        """
        connection = self._connection
        try:
            return await (connection or await self.ready()).send(message)
        except ConnectionLost as lost:
            with after(lost):
                return await (await self.ready()).send(message)

    @property
    def connection(self) -> Connection | None:
        """The one that is up."""
        return self._connection

    async def ready(self) -> Connection:
        """The connection, which may take `GRACE_S` to come back.

        Raises:
            StoreUnavailable: it did not.
        """
        if not self._refusing:
            try:
                async with asyncio.timeout(GRACE_S):
                    await self._up.wait()
            except TimeoutError:
                self._refusing = self._connection is None
        if self._connection is None:
            raise StoreUnavailable(f"the store at {self._told_address} can't be reached")
        return self._connection

    async def _keep(self) -> None:
        pause = FIRST_RETRY_S
        while True:
            self._lost.clear()
            self._trying = True
            try:
                async with asyncio.timeout(self._timeout_s):
                    connection = await self._connect()
            except (OSError, TimeoutError, StoreUnavailable) as error:
                self._refusing = True
                self._trying = False
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
            log.warning("no connection to the store at %s: %s", self._told_address, problem)
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
        if self._find:
            self.address = await self._find()
        connection = await dial(self.address, self._tls, lambda: self._make(self._ended))
        try:
            await self._prepare(connection, self.address)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _ended(self, connection: Connection) -> None:
        if self._connection in (None, connection):
            self._connection = None
            self._up.clear()  # at once: its callers ask again before the keeper wakes
            self._lost.set()
