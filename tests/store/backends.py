"""A store of each kind, with a clock that tests move and a state that they can read.

Every backend shows its state in the same words (`State`), so that one suite
proves the contract on each of them, and two can be compared field for field.
"""

import abc
import asyncio
import copy
import json
from dataclasses import dataclass, field
from typing import Any, cast

from redis import Redis

from tallystick.core.ledger import Entry
from tallystick.store.base import Store
from tallystick.store.keys import partition_keys
from tallystick.store.memory import MemoryStore
from tallystick.store.valkey import ValkeyStore
from tests.servers import StoreServer

START_MS = 1_760_000_000_000
"""When tests begin: 2025-10-09 08:53:20 UTC."""
RETENTION_MS = 86_400_000
OF_THE_STORE = frozenset({b"schema", b"partitions", b"tally_key", b"tokens", b"shadows", b"time", b"frozen"})
"""Fields of `meta` that are no partition's state."""
SUSPENDED = b"suspended:"


@dataclass
class State:
    """One partition; the names are those of the keys."""

    meta: dict[str, int] = field(default_factory=dict)
    suspensions: dict[str, str] = field(default_factory=dict)
    """The fields of `meta` that tell who is suspended, by tenant."""
    count: dict[str, int] = field(default_factory=dict)
    """The numbers of the key `count`."""
    hold: dict[str, str] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    policy: dict[str, str] = field(default_factory=dict)
    ticket: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """The other fields of `count`: lots, the periods last granted, alerts that fired."""

    def comparable(self) -> dict[str, Any]:
        """By key. Stores write one JSON in more than one way, so it is compared by what it says."""
        return {
            "meta": self.meta,
            "suspensions": self.suspensions,
            "count": self.count,
            "texts": {name: json.loads(v) if name.endswith(":l") else v for name, v in self.texts.items()},
            "hold": {name: record_cells(v) if ":r:" in name else v for name, v in self.hold.items()},
            "due": self.due,
            "log": [(entry_id, {k: _said(k, v) for k, v in told.items()}) for entry_id, told in self.log],
            "policy": self.policy,
            "ticket": self.ticket,
        }


def record_cells(text: str) -> list[Any]:
    """The three lines of a hold's record."""
    return [json.loads(line) for line in text.split("\n", 2)]


def _said(name: str, value: str) -> Any:
    if name == "tally" and value:
        return record_cells(value)
    return json.loads(value) if name in ("drawn", "body") and value else value


class Backend(abc.ABC):
    """A store, emptied, whose clock stands still until it is moved."""

    partitions: int
    now_ms: int = START_MS

    @abc.abstractmethod
    async def client(self) -> Store:
        """One more client of the store, as another sidecar has it."""

    @abc.abstractmethod
    def set_clock(self, now_ms: int) -> None:
        """Stops the store's clock at this time."""

    @abc.abstractmethod
    def state(self, partition: int = 0) -> State:
        """A partition's state."""

    @abc.abstractmethod
    def dump(self) -> object:
        """Everything that is kept, in no words but its own: to see that nothing changed."""

    @abc.abstractmethod
    def snapshot(self) -> object:
        """A backup, for `restore`."""

    @abc.abstractmethod
    def restore(self, snapshot: Any) -> None:
        """What a store does that was restored from a backup: it forgets. The clock goes on."""

    def move(self, ms: int) -> None:
        """Moves the clock."""
        self.set_clock(self.now_ms + ms)

    @abc.abstractmethod
    async def close(self) -> None:
        """Ends the clients."""


class MemoryBackend(Backend):
    """The executable specification."""

    def __init__(self, partitions: int = 1, retention_ms: int = RETENTION_MS) -> None:
        self.partitions = partitions
        self._store = MemoryStore(partitions, retention_ms, lambda: self.now_ms)

    async def client(self) -> Store:
        return self._store

    async def close(self) -> None:
        await self._store.close()

    def set_clock(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def state(self, partition: int = 0) -> State:
        kept = self._store.state(partition)
        suspensions = {name: "\t".join(map(str, told)) for name, told in kept.suspensions.items()}
        return State(
            kept.meta, suspensions, kept.count, kept.hold, kept.due, kept.log, kept.policy, kept.ticket,
            kept.texts,
        )  # fmt: skip

    def dump(self) -> object:
        return copy.deepcopy([self.state(partition) for partition in range(self.partitions)])

    def snapshot(self) -> object:
        store = self._store
        return copy.deepcopy((store._partitions, store._shadows, store._shadows_stamp))

    def restore(self, snapshot: Any) -> None:
        store = self._store
        store._partitions, store._shadows, store._shadows_stamp = copy.deepcopy(snapshot)


class ServerBackend(Backend):
    """A real Valkey or Redis."""

    def __init__(self, server: StoreServer, partitions: int = 1, retention_ms: int = RETENTION_MS) -> None:
        self.partitions = partitions
        self.address = server.address
        self.raw = Redis(unix_socket_path=server.address.path)
        self._retention_ms = retention_ms
        self._clients: list[ValkeyStore] = []
        self.empty()

    def empty(self) -> None:
        """Begins anew."""
        self.raw.flushall()
        self.set_clock(START_MS)
        self._forget()

    async def client(self) -> Store:
        store = ValkeyStore(self.address, partitions=self.partitions, retention_ms=self._retention_ms)
        self._clients.append(store)
        await store.open()
        return store

    def set_clock(self, now_ms: int) -> None:
        self.now_ms = now_ms
        for partition in range(self.partitions):
            self.raw.hset(partition_keys(partition)[0], "time", str(now_ms))

    def state(self, partition: int = 0) -> State:
        return state_of(self.raw, partition)

    def names(self) -> list[str]:
        """Every key there is."""
        return sorted(key.decode() for key in cast(list[bytes], self.raw.keys("*")))

    def dump(self) -> object:
        return {key: self._content(key) for key in self.names()}

    def _content(self, key: str) -> object:
        kind = cast(bytes, self.raw.type(key))
        if kind == b"hash":
            return self.raw.hgetall(key)
        if kind == b"zset":
            return self.raw.zrange(key, 0, -1, withscores=True)
        assert kind == b"stream", f"{key} is a {kind!r}"
        return self.raw.xrange(key), self.raw.xinfo_stream(key)

    def snapshot(self) -> object:
        return {key: self.raw.dump(key) for key in self.names()}

    def restore(self, snapshot: Any) -> None:
        self.raw.flushall()
        for key, content in snapshot.items():
            self.raw.restore(key, 0, content)
        self.set_clock(self.now_ms)
        self._forget()

    def _forget(self) -> None:
        """Clients are as if they had just begun; what those do who saw it: test_contract_freezing."""
        for store in self._clients:
            store.forget_sequences()

    async def close(self) -> None:
        for store in self._clients:
            await store.close()
        self._clients.clear()
        self.raw.close()
        await asyncio.sleep(0)  # an aborted transport closes in the next tick


def state_of(raw: Redis, partition: int) -> State:
    """A partition's state, as it is on a server."""
    meta, count, hold, due, log, policy, ticket = partition_keys(partition)
    pipe = raw.pipeline(transaction=False)
    for key in (meta, count, hold, policy, ticket):
        pipe.hgetall(key)
    pipe.zrange(due, 0, -1, withscores=True)
    pipe.xrange(log)
    metas, counts, holds, policies, tickets, dues, entries = pipe.execute()
    counted = {k.decode(): v.decode() for k, v in counts.items()}
    return State(
        numbers_of(metas),
        suspensions_of(metas),
        {k: int(v) for k, v in counted.items() if not _is_text(k)},
        {k.decode(): v.decode() for k, v in holds.items()},
        {k.decode(): int(v) for k, v in dues},
        [_entry(entry_id, fields) for entry_id, fields in entries],
        {k.decode(): v.decode() for k, v in policies.items()},
        {k.decode(): v.decode() for k, v in tickets.items()},
        {k: v for k, v in counted.items() if _is_text(k)},
    )


def numbers_of(metas: Any) -> dict[str, int]:
    """The numbers of the key `meta`."""
    return {
        k.decode(): int(v)
        for k, v in metas.items()
        if k not in OF_THE_STORE and not k.startswith((SUSPENDED, b"token:", b"shadow:"))
    }


def suspensions_of(metas: Any) -> dict[str, str]:
    """What it tells of suspended tenants, by tenant."""
    return {
        k.removeprefix(SUSPENDED).decode(): v.decode() for k, v in metas.items() if k.startswith(SUSPENDED)
    }


def _is_text(name: str) -> bool:
    return name.rpartition(":")[2] in ("l", "g", "a")


def _entry(entry_id: bytes, fields: Any) -> Entry:
    return Entry(entry_id.decode(), {name.decode(): value.decode() for name, value in fields.items()})
