"""Which node has a partition, and the wire to it: one node, or the master that Sentinels name."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tallystick.core.errors import StoreUnavailable
from tallystick.store.address import StoreAddress
from tallystick.store.breaker import Breaker
from tallystick.store.confirming import ConfirmingConnection
from tallystick.store.connection import Connection, Reply
from tallystick.store.dial import ask_once
from tallystick.store.durability import Promise
from tallystick.store.node_check import Run, check_node
from tallystick.store.resp import encode
from tallystick.store.wire import Wire

FOLLOW_S = 1.0
"""How often Sentinels are asked whether the master is another by now."""


Compare = Callable[[Run, Sequence[int]], Awaitable[None]]


async def _compare_nothing(_run: Run, _partitions: Sequence[int]) -> None:
    """There is nothing to compare with."""


class Way(Protocol):
    """Where commands of a partition go."""

    @property
    def connection(self) -> Connection | None:
        """The connection that is up."""

    async def run(self, message: bytes) -> Reply:
        """See `Wire.run`."""


class Frozen:
    """The way to a partition to which nothing may go."""

    connection = None

    def __init__(self, why: StoreUnavailable) -> None:
        self.why = why

    async def run(self, message: bytes) -> Reply:
        """Raises what tells why."""
        raise type(self.why)(str(self.why))


class Nodes:
    """One node. Once `checked` it is connected to only while it keeps the promise."""

    def __init__(
        self,
        address: StoreAddress,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        on_change: Callable[[bool], None],
        promise: Promise,
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._tls = tls
        self._on_change = on_change
        self._promise = promise
        self.checked = False
        self.compare: Compare = _compare_nothing
        """Has a new connection before anybody else, with the partitions that lie there."""
        self.wires: list[Wire] = [self._first()]
        """By partition."""
        self.ways: list[Way] = list(self.wires)
        """By partition: the wire, but where it is frozen."""

    def _first(self) -> Wire:
        return self._wire(self._address, self._on_change)

    def _wire(
        self,
        address: StoreAddress,
        on_change: Callable[[bool], None],
        find: Callable[[], Awaitable[StoreAddress]] | None = None,
    ) -> Wire:
        make = ConfirmingConnection if self._promise.replicas else Connection
        return Wire(
            address, self._timeout_s, on_change, self._tls, find=find, prepare=self._prepare, make=make
        )

    async def _prepare(self, connection: Connection, address: StoreAddress) -> None:
        """See `Wire`. A node that took another's place must keep the promise, too."""
        if self.checked:
            await check_node(connection.send, self._promise)
        partitions = self._partitions_at(address)
        await self.compare(connection.send, partitions)
        if isinstance(connection, ConfirmingConnection):
            touched = partitions[0] if partitions else None
            connection.confirm(self._promise.replicas, self._timeout_s / 2, touched)

    def _partitions_at(self, _address: StoreAddress) -> Sequence[int]:
        return range(len(self.wires))

    @property
    def up(self) -> bool:
        """Whether every partition has its connection."""
        return all(wire.up for wire in self.wires)

    def breakers(self) -> dict[str, Breaker]:
        """By node."""
        return {str(wire.address): wire.breaker for wire in dict.fromkeys(self.wires)}

    def start(self) -> None:
        """Begins to connect."""
        self.wires[0].start()

    async def connected(self) -> None:
        """Returns when partition 0 can be asked."""
        await self.wires[0].connected()

    def spread(self, partitions: int) -> None:
        """Makes room for so many partitions."""
        self.wires += [self.wires[0]] * (partitions - len(self.wires))
        self.ways[:] = self.wires

    def freeze(self, partition: int, why: StoreUnavailable) -> None:
        """Lets nothing go to a partition any more, but by `run`."""
        self.ways[partition] = Frozen(why)

    def thaw(self, partition: int) -> None:
        """Ends that."""
        self.ways[partition] = self.wires[partition]

    async def check(self) -> bool:
        """Whether all nodes told their settings.

        Raises:
            StoreUnusable: one doesn't keep the promise.
            StoreUnavailable: one doesn't answer.
        """
        told = [await check_node(wire.run, self._promise) for wire in dict.fromkeys(self.wires)]
        self.checked = True
        return all(told)

    async def run(self, partition: int, message: bytes) -> Reply:
        """The reply to a command of a partition, frozen or not; errors of the store are values.

        Raises:
            StoreUnavailable: see `Wire.run`.
        """
        return await self.wires[partition].run(message)

    async def follow(self, partition: int, message: bytes, refusal: Reply) -> Reply:
        """What comes of it where the refusal points elsewhere or passes at once; else the refusal."""
        return refusal

    async def close(self) -> None:
        """Lets go of the connections."""
        await self.wires[0].close()


class SentinelNodes(Nodes):
    """The master of a service, and after a failover the new one."""

    def __init__(
        self,
        address: StoreAddress,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        on_change: Callable[[bool], None],
        promise: Promise,
    ) -> None:
        self._sentinels = list(address.seeds)
        self._following: asyncio.Task[None] | None = None
        super().__init__(address, timeout_s, tls, on_change, promise)

    def _first(self) -> Wire:
        return self._wire(self._address, self._on_change, self._find)

    def start(self) -> None:
        """Begins to look for the master, and to connect."""
        super().start()
        self._following = asyncio.create_task(self._follow_master(), name="store-sentinels")

    async def follow(self, partition: int, message: bytes, refusal: Reply) -> Reply:
        """A master that was demoted did nothing; the new one is asked."""
        if str(refusal).startswith(("READONLY", "MASTERDOWN", "LOADING")):
            self.wires[0].drop()
            return await self.wires[0].run(message)
        return refusal

    async def close(self) -> None:
        """Lets go of the connections."""
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await super().close()

    async def _find(self) -> StoreAddress:
        """Where the Sentinels say that the master is. Raises StoreUnavailable."""
        problems = list[str]()
        for sentinel in list(self._sentinels):
            command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
            try:
                found = await ask_once(
                    sentinel, self._tls, *command, timeout_s=self._timeout_s / (1 + len(self._sentinels))
                )
            except StoreUnavailable as error:
                problems.append(str(error))
                continue
            if found is None:
                problems.append(f"{sentinel}: it knows no service {self._address.service}")
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)  # the next question goes to who knew
            return self._address.node(found[0].decode(), int(found[1]))
        raise StoreUnavailable(f"no Sentinel says where the master is ({'; '.join(problems)})")

    async def _prepare(self, connection: Connection, address: StoreAddress) -> None:
        """A Sentinel may be late: what it names must be a master."""
        role = await connection.send(encode(["ROLE"]))
        if not isinstance(role, list) or role[0] != b"master":
            raise StoreUnavailable(f"{address.place} is no master")
        await super()._prepare(connection, address)

    async def _follow_master(self) -> None:
        """Leaves a master that the Sentinels have replaced, and that does not know it yet."""
        wire = self.wires[0]
        while True:
            await asyncio.sleep(FOLLOW_S)
            with contextlib.suppress(StoreUnavailable):
                if wire.up and await self._find() != wire.address:
                    wire.drop()
