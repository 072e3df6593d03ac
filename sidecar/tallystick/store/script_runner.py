"""Runs scripts on a store, each on the node that has its partition; they are loaded when needed."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hiredis

from tallystick.core.errors import StoreUnavailable, StoreUnusable
from tallystick.store.address import StoreAddress
from tallystick.store.asks import Stamp
from tallystick.store.cluster import ClusterNodes
from tallystick.store.connection import Reply
from tallystick.store.durability import Promise
from tallystick.store.keys import SCHEMA, partition_keys, partition_of
from tallystick.store.nodes import Nodes, SentinelNodes
from tallystick.store.resp import bulks, encode
from tallystick.store.scripts import load_script
from tallystick.store.wire import GRACE_S

SCRIPTS = (
    *("reserve", "settle", "release", "extend", "restore", "resolve", "balance", "charge", "take"),
    *("credit", "move", "apply_policy", "suspend", "learn", "sweep", "freeze", "thaw"),
    *("make_token", "revoke_token", "list_tokens", "shadow"),
    *("open_ticket", "answer_ticket"),
)

STAMPED = frozenset({"release", "extend", "balance", "charge", "take", "credit", "move", "learn"})
"""Those whose reply tells after its code when and where it was answered: now, seq, epoch."""

PASSING = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "BUSY",
    "OOM",
    "NOREPLICAS",
    "MISCONF",
    "CLUSTERDOWN",
    "TRYAGAIN",
)
"""Store errors that another time may not bring."""

RETRY_S = 0.2
FAST = Promise()
SCAN_COUNT = 1_000
KEYS = 7
COMMAND_CELLS = 3 + KEYS
"""Of a script's command, before its arguments."""


async def _look_at_nothing(_partition: int, _stamp: Stamp) -> None:
    """Nobody compares."""


class ScriptRunner:
    """Speaks to one Valkey or Redis; nothing is answered before `open`.

    `partitions` counts only when the store is used for the first time. A store
    that answers nothing for `timeout_s` is taken to be away. `on_change` is told
    when it comes and goes.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        partitions: int,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        on_change: Callable[[bool], None],
        promise: Promise = FAST,
    ) -> None:
        kind = (SentinelNodes if address.service else ClusterNodes) if address.seeds else Nodes
        self.nodes = kind(address, timeout_s, tls, on_change, promise)
        self._wanted = partitions
        self.look: Callable[[int, Stamp], Awaitable[None]] = _look_at_nothing
        """Is told the stamps of replies that `run` has, and may raise StoreUnavailable."""
        self.told_settings = False
        """Whether all nodes told their settings, so that the promise could be checked."""
        self.partitions = 0
        self._scripts = {name: load_script(name) for name in SCRIPTS}
        self._keys: list[bytes] = []

    async def open(self) -> None:
        """Connects, waiting as long as it takes, and makes sure that the store is of use.

        Raises:
            StoreUnusable: its schema is of another version, it evicts keys, or it doesn't keep the promise.
        """
        self.nodes.start()
        while not self.partitions:
            await self.nodes.connected()
            try:
                await self.nodes.check()
                self.partitions = await self._first_use()
            except StoreUnusable:
                raise
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)  # it went away again, or can't be written
                continue
            self._keys = [bulks(partition_keys(p)) for p in range(self.partitions)]
            self.nodes.spread(self.partitions)
            await self._check()

    async def _check(self) -> None:
        """Checks all nodes, once each has answered. Raises StoreUnusable."""
        while True:
            try:
                self.told_settings = await self.nodes.check()
            except StoreUnusable:
                raise
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _first_use(self) -> int:
        """How many partitions the store has, now that it certainly has some."""
        key = partition_keys(0)[0]
        for name, value in (("schema", SCHEMA), ("partitions", str(self._wanted))):
            await self.ask(0, "HSETNX", key, name, value)
        schema, kept = await self.ask(0, "HMGET", key, "schema", "partitions")
        if schema.decode() != SCHEMA:
            raise StoreUnusable(f"the store has schema {schema.decode()}; this version reads {SCHEMA}")
        return int(kept)

    def partition(self, tenant: str) -> int:
        """The partition of a tenant."""
        if not self.partitions:
            raise StoreUnavailable("the store has not answered yet")
        return partition_of(tenant, self.partitions)

    async def ask(self, partition: int, *command: bytes | str | int) -> Any:
        """The reply to a plain command about keys of a partition."""
        message = encode(command)
        reply = await self.nodes.ways[partition].run(message)
        return checked(await self._followed(partition, message, reply))

    async def scan(self, partition: int, key: str, pattern: str) -> dict[str, bytes]:
        """Fields of a hash; they are read in several steps, so not at one moment."""
        found, cursor = dict[str, bytes](), b"0"
        while True:
            cursor, cells = await self.ask(
                partition, "HSCAN", key, cursor, "MATCH", pattern, "COUNT", SCAN_COUNT
            )
            found.update({cells[i].decode(): cells[i + 1] for i in range(0, len(cells), 2)})
            if cursor == b"0":
                return found

    async def run(self, name: str, tenant: str, args: Sequence[object]) -> list[Any]:
        """The reply of a script on a tenant's partition."""
        partition = self.partition(tenant)
        reply = await self.evaluate(name, partition, self.message(name, partition, args))
        if name in STAMPED and len(reply) > 3:
            await self.look(partition, Stamp(reply[1], int(reply[2]), int(reply[3])))
        return reply

    def message(self, name: str, partition: int, args: Sequence[object]) -> bytes:
        """The command that runs a script."""
        return b"*%d\r\n%b" % (COMMAND_CELLS + len(args), self.command(name, partition, args))

    def whole(self, name: str, message: bytes) -> bytes:
        """The same command for a node that may not know the script, and then does."""
        script = self._scripts[name]
        return message.replace(bulks(("EVALSHA", script.sha)), bulks(("EVAL", script.source)), 1)

    def command(self, name: str, partition: int, args: Sequence[object]) -> bytes:
        """The cells of such a command, to which more arguments may be added: `COMMAND_CELLS` and `args`."""
        head = bulks(("EVALSHA", self._scripts[name].sha, KEYS))
        return b"%b%b%b" % (head, self._keys[partition], bulks(args))

    async def evaluate(self, name: str, partition: int, message: bytes) -> list[Any]:
        """The reply to such a command. A script that the store doesn't know is sent whole."""
        reply = await self.nodes.ways[partition].run(message)
        return reply if type(reply) is list else await self.refused(reply, name, partition, message)

    async def evaluate_even_frozen(self, name: str, partition: int, args: Sequence[object]) -> list[Any]:
        """The reply of a script that is for frozen partitions, too."""
        message = self.message(name, partition, args)
        reply = await self.nodes.run(partition, message)
        return reply if type(reply) is list else await self.refused(reply, name, partition, message)

    async def refused(self, reply: object, name: str, partition: int, message: bytes) -> list[Any]:
        """The reply after all, where the store only lacks the script or another node has the partition."""
        reply = await self._followed(partition, message, reply, name)
        found = checked(reply)
        assert isinstance(found, list)
        return found

    async def _followed(self, partition: int, message: bytes, reply: Reply, name: str = "") -> Reply:
        """The reply in the end; what keeps being refused is given up after `GRACE_S`."""
        until = asyncio.get_running_loop().time() + GRACE_S
        while isinstance(reply, hiredis.ReplyError) and asyncio.get_running_loop().time() < until:
            refusal = reply
            if name and str(reply).startswith("NOSCRIPT"):
                message = self.whole(name, message)
                reply = await self.nodes.run(partition, message)
            else:
                reply = await self.nodes.follow(partition, message, refusal)
            if reply is refusal:
                break
        return reply

    async def close(self) -> None:
        """Lets go of the connections."""
        await self.nodes.close()


def checked(reply: Any) -> Any:
    """A reply that is no error. Raises StoreUnavailable or StoreUnusable."""
    if isinstance(reply, hiredis.ReplyError):
        code = str(reply).split(" ", 1)[0]
        if code in PASSING:
            raise StoreUnavailable(f"the store answers {code}")
        raise StoreUnusable(f"the store answers {reply}")
    return reply
