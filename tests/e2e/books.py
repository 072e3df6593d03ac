"""What the store of a sidecar holds, read behind the sidecar's back."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from redis import Redis

from tallystick.core.ledger import Entry
from tallystick.store.keys import partition_keys, partition_of
from tests.servers import SidecarProcess, StoreServer
from tests.store.audit import check_holds, check_kept, check_ledger, check_money
from tests.store.backends import State, numbers_of, suspensions_of

PARTITIONS = 64
"""Of a store that has forgotten their number: the default."""


TEXTS = (b"l", b"g", b"a")
"""The last letters of counters that are no numbers."""


class Books:
    """A store's keys."""

    went_back: ClassVar[set[tuple[str, str]]] = set()
    """Servers and partitions whose clock was put back."""

    def __init__(self, raw: "Redis") -> None:
        self.raw: Any = raw
        self._shifted: set[str] = set()
        self._server = str(raw.connection_pool.connection_kwargs.get("path"))

    @property
    def partitions(self) -> int:
        return int(self.raw.hget(partition_keys(0)[0], "partitions") or PARTITIONS)

    @property
    def pid(self) -> int:
        return int(self.raw.info("server")["process_id"])

    def forget(self) -> None:
        """Empties the store, as one that was thawed after it had lost everything: in a new epoch."""
        keys = [partition_keys(partition)[0] for partition in range(self.partitions)]
        epochs = [int(self.raw.hget(key, "epoch") or 1) for key in keys]
        pipe = self.raw.pipeline(transaction=True)  # between the two, a sweep would freeze what it sees
        pipe.flushall()
        for key, epoch in zip(keys, epochs, strict=True):
            pipe.hset(key, "epoch", str(epoch + 1))
        pipe.execute()

    def state(self, partition: int) -> State:
        meta, count, hold, due, log, policy, ticket = partition_keys(partition)
        pipe = self.raw.pipeline()
        for key in (meta, count, hold, policy, ticket):
            pipe.hgetall(key)
        pipe.zrange(due, 0, -1, withscores=True)
        pipe.xrange(log)
        metas, counts, holds, policies, tickets, dues, entries = pipe.execute()
        return State(
            numbers_of(metas),
            suspensions_of(metas),
            {k.decode(): int(v) for k, v in counts.items() if k[-1:] not in TEXTS},
            {k.decode(): v.decode() for k, v in holds.items()},
            {k.decode(): int(v) for k, v in dues},
            [
                Entry(name.decode(), {k.decode(): v.decode() for k, v in cells.items()})
                for name, cells in entries
            ],
            {k.decode(): v.decode() for k, v in policies.items()},
            {k.decode(): v.decode() for k, v in tickets.items()},
            {k.decode(): v.decode() for k, v in counts.items() if k[-1:] in TEXTS},
        )

    def of_tenant(self, tenant: str) -> State:
        """What of its partition is this tenant's."""
        state, own = self.state(partition_of(tenant, self.partitions)), f"{tenant}:"
        return State(
            {name: value for name, value in state.meta.items() if name == f"policy:{tenant}"},
            {name: told for name, told in state.suspensions.items() if name == tenant},
            {name: value for name, value in state.count.items() if name.startswith(own)},
            {name: value for name, value in state.hold.items() if name.startswith(own)},
            {name: value for name, value in state.due.items() if name[2:].startswith(own)},
            [entry for entry in state.log if entry.fields["tenant"] == tenant],
            {name: value for name, value in state.policy.items() if name.startswith(own)},
            {name: value for name, value in state.ticket.items() if name.startswith(own)},
            {name: value for name, value in state.texts.items() if name.startswith(own)},
        )

    def shift_clock(self, tenant: str, ms: int) -> None:
        """Puts the clock of the tenant's partition ahead, until `put_clocks_right`."""
        self._set_clock(tenant, f"+{ms}")

    def stop_clock(self, tenant: str, now_ms: int) -> None:
        """Stops the clock of the tenant's partition at a Unix time, until `put_clocks_right`."""
        self._set_clock(tenant, str(now_ms))

    def _set_clock(self, tenant: str, time: str) -> None:
        key = partition_keys(partition_of(tenant, self.partitions))[0]
        self.raw.hset(key, "time", time)
        self._shifted.add(key)
        Books.went_back.add((self._server, key))

    def put_clocks_right(self) -> None:
        for key in self._shifted:
            self.raw.hdel(key, "time")
            self.raw.hset(key, "clock", str(time.time_ns() // 1_000_000))

    def check(self) -> None:
        """Holds, ledger and money agree in every partition.

        Where a clock was put back, as only tests do, what had left its window meanwhile is gone
        and the ledger alone would have it back: there the ledger is not replayed.
        """
        for partition in range(self.partitions):
            state = self.state(partition)
            check_holds(state)
            check_kept(state)
            if (self._server, partition_keys(partition)[0]) not in Books.went_back:
                check_ledger(state)
            check_money(state)

    def open_holds(self) -> int:
        return sum(self.state(partition).meta.get("open", 0) for partition in range(self.partitions))


@contextmanager
def books_of(owner: SidecarProcess | StoreServer) -> Iterator[Books]:
    """Of a sidecar's embedded store, or of a store."""
    name = "valkey.sock" if isinstance(owner, SidecarProcess) else "s"
    raw = Redis(unix_socket_path=str(owner.directory / name))
    try:
        books = Books(raw)
        yield books
        books.put_clocks_right()
    finally:
        raw.close()
