"""Which node of a cluster has a partition: the slot map, and what MOVED and ASK say of it."""

import asyncio
import binascii
import contextlib
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from tallystick.core.errors import StoreUnavailable
from tallystick.store.address import StoreAddress
from tallystick.store.connection import ConnectionLost, Reply, after
from tallystick.store.dial import ask_once
from tallystick.store.durability import Promise
from tallystick.store.keys import hash_tag
from tallystick.store.nodes import Nodes
from tallystick.store.resp import encode
from tallystick.store.wire import Wire

SLOTS = 16_384
CALM_S, HURRY_S = 10.0, 0.2
"""How often the map is read, and how often while a node is away."""
PAUSE_S = 0.02
PASSING = ("TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "LOADING")
"""What a node answers while it is not, or not yet, the one to ask. Nothing was done."""
ASKING = encode(["ASKING"])

log = logging.getLogger("tallystick.store")


def slot_of(partition: int) -> int:
    """The slot in which all keys of a partition lie."""
    return binascii.crc_hqx(hash_tag(partition).encode(), 0) % SLOTS


class ClusterNodes(Nodes):
    """The masters of a cluster that have partitions, a wire to each."""

    def __init__(
        self,
        address: StoreAddress,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        on_change: Callable[[bool], None],
        promise: Promise,
    ) -> None:
        self._wire_by_place: dict[str, Wire] = {}
        self._slots: list[int] = [slot_of(0)]
        self._up = False
        self._stale = asyncio.Event()
        self._mapped = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._told = ""
        self._known = list(address.seeds)
        super().__init__(address, timeout_s, tls, on_change, promise)

    def _first(self) -> Wire:
        return Wire(self._address, self._timeout_s)  # of no use until the map is known

    def start(self) -> None:
        """Begins to read the map, and to connect."""
        self._keeper = asyncio.create_task(self._keep(), name="store-cluster")

    async def connected(self) -> None:
        """Returns when partition 0 can be asked."""
        await self._mapped.wait()
        await self.wires[0].connected()

    def spread(self, partitions: int) -> None:
        """Makes room for so many partitions, all where partition 0 is until the map is read again."""
        self._slots = [slot_of(partition) for partition in range(partitions)]
        super().spread(partitions)
        self._stale.set()

    async def check(self) -> bool:
        """See `Nodes.check`: of the nodes that have partitions by now."""
        await self._read_map()
        return await super().check()

    async def run(self, partition: int, message: bytes) -> Reply:
        """See `Nodes.run`; a node that was replaced meanwhile is not waited for."""
        wire = self.wires[partition]
        try:
            return await wire.run(message)
        except StoreUnavailable as lost:
            self._stale.set()
            if self.wires[partition] is wire:
                raise
            with after(lost):
                return await self.wires[partition].run(message)

    async def follow(self, partition: int, message: bytes, refusal: Reply) -> Reply:
        """What comes of it: at the node that the refusal names, or a little later."""
        code, *told = str(refusal).split()
        if code == "ASK":
            return await self._ask(partition, told[1], message)
        if code == "MOVED" and not told[1].startswith(":"):
            self._move(int(told[0]), self._wire_to(*_split(told[1])))
        elif code in PASSING or code == "MOVED":
            await asyncio.sleep(PAUSE_S)
        else:
            return refusal
        self._stale.set()
        return await self.run(partition, message)

    async def _ask(self, partition: int, place: str, message: bytes) -> Reply:
        """Asks the node that a slot is about to move to."""
        try:
            connection = await self._wire_to(*_split(place)).ready()
            connection.flush()  # so that nothing gets between
            connection.send(ASKING)  # for the next command alone
            return await connection.send(message)
        except ConnectionLost as lost:
            with after(lost):
                return await self.run(partition, message)

    async def close(self) -> None:
        """Lets go of the connections."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for wire in self._wire_by_place.values():
            await wire.close()

    # --- the map

    async def _keep(self) -> None:
        while True:
            self._stale.clear()
            try:
                await self._read_map()
                self._told = ""
            except StoreUnavailable as error:
                self._tell(str(error))
            calm = self._mapped.is_set() and self.up
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALM_S if calm else HURRY_S):
                    await self._stale.wait()
            await asyncio.sleep(PAUSE_S)  # a thousand refusals of one moment are one reason

    def _tell(self, problem: str) -> None:
        if problem != self._told:
            log.warning("the cluster's map can't be read: %s", problem)
            self._told = problem

    async def _read_map(self) -> None:
        """Asks one node after another. Raises StoreUnavailable."""
        nodes = [wire.address for wire in self._wire_by_place.values() if wire.up]
        random.shuffle(nodes)  # one may have an old map
        problems = list[str]()
        for node in dict.fromkeys([*nodes, *self._known, *self._address.seeds]):
            try:
                rows = await ask_once(node, self._tls, "CLUSTER", "SLOTS", timeout_s=self._timeout_s)
            except StoreUnavailable as error:
                problems.append(str(error))
                continue
            if await self._take_map(rows, node):
                return
            problems.append(f"{node}: it knows of no node for the slot of a partition")
        raise StoreUnavailable("; ".join(problems))

    async def _take_map(self, rows: list[Any], told_by: StoreAddress) -> bool:
        """Puts every partition on its node; whether all have one."""
        found = list[Wire]()
        for slot in self._slots:
            row = next((row for row in rows if row[0] <= slot <= row[1]), None)
            if row is None:
                return False
            found.append(self._wire_to((row[2][0] or b"").decode() or told_by.host, row[2][1]))
        self._known = [self._node((n[0] or b"").decode() or told_by.host, n[1]) for r in rows for n in r[2:]]
        for partition, wire in enumerate(found):
            self._place(partition, wire)
        self._mapped.set()
        for place, wire in list(self._wire_by_place.items()):
            if wire not in found:
                self._wire_by_place.pop(place, None)
                await wire.close()
        self._changed(self._up)
        return True

    def _partitions_at(self, address: StoreAddress) -> Sequence[int]:
        return [p for p, wire in enumerate(self.wires) if wire.address == address]

    def _node(self, host: str, port: int) -> StoreAddress:
        return self._address.node(host, port)

    def _move(self, slot: int, wire: Wire) -> None:
        for partition, its in enumerate(self._slots):
            if its == slot:
                self._place(partition, wire)

    def _place(self, partition: int, wire: Wire) -> None:
        before, self.wires[partition] = self.wires[partition], wire
        if self.ways[partition] is before:
            self.ways[partition] = wire

    def _wire_to(self, host: str, port: int) -> Wire:
        node = self._node(host, port)
        wire = self._wire_by_place.get(node.place)
        if wire is None:
            wire = self._wire(node, self._changed)
            self._wire_by_place[node.place] = wire
            wire.start()
        return wire

    def _changed(self, _: bool) -> None:
        """Tells when the first node comes and when the last one goes: calls of the others are answered."""
        up = any(wire.up for wire in self.wires)
        if not self.up:
            self._stale.set()
        if up != self._up:
            self._up = up
            self._on_change(up)


def _split(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)
