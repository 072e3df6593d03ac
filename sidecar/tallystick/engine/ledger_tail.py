"""The ledger as it is written: read from a place on, of one tenant or of all, and followed."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from tallystick.core.errors import LedgerGap, StoreUnavailable
from tallystick.core.ledger import Entry
from tallystick.core.shadow import is_namespace
from tallystick.engine.calls import TailCall
from tallystick.engine.paging import Pages
from tallystick.engine.planner import Clock
from tallystick.store.base import Store
from tallystick.store.keys import OF_TOKENS, partition_of

AT_ONCE = 1_024
"""So many entries are in memory for one reader: what it does not take is not read."""
OF_A_BATCH = 100
POLL_S = 0.2
"""How often a reader that has all looks for more."""

EVENTS = frozenset(
    {"alert", "policy", "suspend", "resume", "grant", "ticket", "approve", "reject", "ticket_end"}
)
"""The kinds of entries that are events: what nobody who calls is told by an answer."""
TOKENS = frozenset({"token", "revoke", "shadow"})
"""The kinds that stand in one ledger, whatever the tenant."""


class TailedEntry(NamedTuple):
    """An entry, and the partition in whose ledger it stands."""

    partition: int
    entry: Entry


class Batch(NamedTuple):
    """Entries in their order; with the position, sealed, that goes on after them."""

    entries: list[TailedEntry]
    position: str


class LedgerTail:
    """Reads ledgers. Every reader reads for itself, at its own pace."""

    def __init__(self, store: Store, clock: Clock, pages: Pages) -> None:
        self._store = store
        self._clock = clock
        self._pages = pages

    async def read(self, call: TailCall) -> AsyncIterator[Batch]:
        """Entries of one tenant in their order; those of others nearly in that of time.

        Raises:
            InvalidArgument: the position is of another tenant, or forged.
            LedgerGap: entries after the position are gone.
            StoreUnavailable: what was told stands, and the last position goes on.
        """
        partitions = self._partitions(call)
        places = await self._begin(call, partitions)
        count = max(1, AT_ONCE // len(partitions))
        while True:
            found = await asyncio.gather(
                *(self._store.ledger(partition, places[partition], count) for partition in partitions)
            )
            for partition, entries in zip(partitions, found, strict=True):
                _check_gap(places[partition], entries)
            rows = _in_order(dict(zip(partitions, found, strict=True)))
            for batch in _batches(call, rows, places):
                yield Batch(batch, self._pages.token(call.page, _text(places)))
            if any(len(entries) == count for entries in found):
                continue
            if not call.follow:
                return
            await asyncio.sleep(POLL_S)

    def _partitions(self, call: TailCall) -> Sequence[int]:
        partitions = self._store.partitions
        if not partitions:
            raise StoreUnavailable("the sidecar is starting")
        if not call.tenant:
            return range(partitions)
        own = partition_of(call.tenant, partitions)
        asks_for_tokens = not call.kinds or call.kinds & TOKENS
        return sorted({own, OF_TOKENS}) if asks_for_tokens else [own]

    async def _begin(self, call: TailCall, partitions: Sequence[int]) -> dict[int, str]:
        """The id after which each partition is read."""
        if call.page.token:
            places = self._pages.place(call.page, "position").split(" ")
            return dict(zip(partitions, places, strict=True))
        since_ms = self._clock.now_ms() if call.from_now else call.since_ms
        if not since_ms:
            return dict.fromkeys(partitions, "0")
        ids = await asyncio.gather(*(self._store.ledger_before(each, since_ms) for each in partitions))
        return dict(zip(partitions, ids, strict=True))


def _batches(
    call: TailCall, rows: Sequence[TailedEntry], places: dict[int, str]
) -> Iterator[list[TailedEntry]]:
    """What is asked for, in small numbers; `places` moves with it."""
    batch = list[TailedEntry]()
    for row in rows:
        places[row.partition] = row.entry.entry_id
        if _is_meant(call, row.entry.fields):
            batch.append(row)
        if len(batch) == OF_A_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _is_meant(call: TailCall, fields: dict[str, str]) -> bool:
    if int(fields["at"]) < call.since_ms or (call.kinds and fields["kind"] not in call.kinds):
        return False
    # What a shadow would have spent is nobody's money, and its alerts are no alarm.
    return fields["tenant"] == call.tenant if call.tenant else not is_namespace(fields["tenant"])


def _in_order(found: dict[int, Sequence[Entry]]) -> list[TailedEntry]:
    """By time; those of a partition as they stand there, even if its clock was put back."""
    rows = list[tuple[int, TailedEntry]]()
    for partition, entries in found.items():
        latest = 0
        for entry in entries:
            latest = max(latest, int(entry.fields["at"]))
            rows.append((latest, TailedEntry(partition, entry)))
    rows.sort(key=itemgetter(0))
    return [row for _, row in rows]


def _text(places: dict[int, str]) -> str:
    return " ".join(places.values())


def _check_gap(after: str, entries: Sequence[Entry]) -> None:
    """Ids of one epoch follow one another."""
    if after == "0" or not entries:
        return
    (epoch, seq), (next_epoch, following) = (each.split("-") for each in (after, entries[0].entry_id))
    if epoch == next_epoch and int(following) != int(seq) + 1:
        raise LedgerGap(f"entries after {after} are gone from the store; begin without a position")
