"""Runs scripts on a store: one connection, all partitions, scripts loaded when needed."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from tallystick.core.errors import StoreUnavailable, StoreUnusable
from tallystick.store.address import StoreAddress
from tallystick.store.keys import SCHEMA, partition_keys, partition_of
from tallystick.store.resp import bulks, encode
from tallystick.store.scripts import load_script
from tallystick.store.wire import Connection, Wire

SCRIPTS = (
    *("reserve", "settle", "release", "extend", "resolve", "balance", "charge", "take"),
    *("credit", "move", "apply_policy", "suspend", "learn", "sweep"),
    *("make_token", "revoke_token", "list_tokens"),
    *("open_ticket", "answer_ticket"),
)

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
SCAN_COUNT = 1_000
KEYS = 7
COMMAND_CELLS = 3 + KEYS
"""Of a script's command, before its arguments."""


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
    ) -> None:
        self._wire = Wire(address, timeout_s, on_change, tls)
        self._wanted = partitions
        self.partitions = 0
        self._scripts = {name: load_script(name) for name in SCRIPTS}
        self._keys: list[bytes] = []

    async def open(self) -> None:
        """Connects, waiting as long as it takes, and makes sure that the store is of use.

        Raises:
            StoreUnusable: its schema is of another version, or it evicts keys.
        """
        self._wire.start()
        while not self.partitions:
            await self._wire.connected()
            try:
                self.partitions = await self._first_use()
            except StoreUnusable:
                raise
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)  # it went away again, or can't be written
        self._keys = [bulks(partition_keys(p)) for p in range(self.partitions)]

    async def _first_use(self) -> int:
        """How many partitions the store has, now that it certainly has some."""
        key = partition_keys(0)[0]
        eviction = await self._wire.run(encode(["CONFIG", "GET", "maxmemory-policy"]))
        if isinstance(eviction, list) and len(eviction) == 2 and eviction[1].startswith(b"allkeys"):
            raise StoreUnusable(f"the store evicts keys ({eviction[1].decode()}); set noeviction")
        for name, value in (("schema", SCHEMA), ("partitions", str(self._wanted))):
            await self.ask("HSETNX", key, name, value)
        schema, kept = await self.ask("HMGET", key, "schema", "partitions")
        if schema.decode() != SCHEMA:
            raise StoreUnusable(f"the store has schema {schema.decode()}; this version reads {SCHEMA}")
        return int(kept)

    def partition(self, tenant: str) -> int:
        """The partition of a tenant."""
        if not self.partitions:
            raise StoreUnavailable("the store has not answered yet")
        return partition_of(tenant, self.partitions)

    async def ask(self, *command: bytes | str | int) -> Any:
        """The reply to a plain command."""
        return checked(await self._wire.run(encode(command)))

    async def scan(self, key: str, pattern: str) -> dict[str, bytes]:
        """Fields of a hash; they are read in several steps, so not at one moment."""
        found, cursor = dict[str, bytes](), b"0"
        while True:
            cursor, cells = await self.ask("HSCAN", key, cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            found.update({cells[i].decode(): cells[i + 1] for i in range(0, len(cells), 2)})
            if cursor == b"0":
                return found

    async def run(self, name: str, tenant: str, args: Sequence[object]) -> list[Any]:
        """The reply of a script on a tenant's partition."""
        return await self.evaluate(name, self.message(name, self.partition(tenant), args))

    def message(self, name: str, partition: int, args: Sequence[object]) -> bytes:
        """The command that runs a script."""
        return b"*%d\r\n%b" % (COMMAND_CELLS + len(args), self.command(name, partition, args))

    def command(self, name: str, partition: int, args: Sequence[object]) -> bytes:
        """The cells of such a command, to which more arguments may be added: `COMMAND_CELLS` and `args`."""
        head = bulks(("EVALSHA", self._scripts[name].sha, KEYS))
        return b"%b%b%b" % (head, self._keys[partition], bulks(args))

    @property
    def connection(self) -> Connection | None:
        """The one that is up, for who sends on it without waiting."""
        return self._wire.connection

    async def evaluate(self, name: str, message: bytes) -> list[Any]:
        """The reply to such a command. A script that the store doesn't know is sent whole."""
        reply = await self._wire.run(message)
        return reply if type(reply) is list else await self.refused(reply, name, message)

    async def refused(self, reply: object, name: str, message: bytes) -> list[Any]:
        """The reply after all, where the store only lacks the script."""
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            script = self._scripts[name]
            known, whole = bulks(("EVALSHA", script.sha)), bulks(("EVAL", script.source))
            reply = await self._wire.run(message.replace(known, whole, 1))  # which keeps it, too
        found = checked(reply)
        assert isinstance(found, list)
        return found

    async def close(self) -> None:
        """Lets go of the connection."""
        await self._wire.close()


def checked(reply: Any) -> Any:
    """A reply that is no error. Raises StoreUnavailable or StoreUnusable."""
    if isinstance(reply, hiredis.ReplyError):
        code = str(reply).split(" ", 1)[0]
        if code in PASSING:
            raise StoreUnavailable(f"the store answers {code}")
        raise StoreUnusable(f"the store answers {reply}")
    return reply
