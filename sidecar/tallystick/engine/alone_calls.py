"""The calls that were let through, or ended, while the store was away, until it has been told of them.

Each is in the journal before anybody is answered. When the store is back it is told in order: what
has ended is settled there by its tally, and what has not is held.
"""

import asyncio
import logging
from dataclasses import dataclass

from tallystick.core.alone import Allowances
from tallystick.core.errors import IdMismatch, ReservationEnded, StoreFrozen, StoreUnavailable
from tallystick.core.hold import Hold, read_hold
from tallystick.core.outcome import Mode
from tallystick.engine.planner import Clock
from tallystick.store.asks import SettleAsk
from tallystick.store.base import Store
from tallystick.store.journal import Entry, Journal, JournalFailed

RETRY_S = 0.2
MARK = "WITHOUT_STORE"
"""In the ledger's outcome of what was decided here."""

Place = tuple[str, str]
"""Tenant and reservation id."""

log = logging.getLogger("tallystick.alone")


@dataclass(slots=True)
class Call:
    """One of them."""

    record: str
    """As in its tally."""
    ours: bool
    """Decided here; else only its end came while the store was away."""
    end: SettleAsk | None = None
    written: "asyncio.Task[None] | None" = None

    @property
    def hold(self) -> Hold:
        """Its hold, as it was made."""
        return read_hold(self.record)

    @property
    def released(self) -> bool:
        """Whether nothing of it is charged."""
        return self.end is not None and self.end.mode is Mode.NONE

    @property
    def charged(self) -> tuple[int, int, int]:
        """Nano-dollars, tokens and requests, as far as is known."""
        hold, end = self.hold, self.end
        if end is None or end.mode is Mode.HOLD:
            return hold.nano_usd, hold.tokens, 1
        if end.mode is Mode.NONE:
            return 0, 0, 0
        nano_usd = hold.nano_usd if end.nano_usd is None else end.nano_usd
        return nano_usd, hold.tokens if end.tokens is None else end.tokens, 1

    async def on_disk(self) -> None:
        """Returns once it is. Raises JournalFailed."""
        if self.written is not None:
            await asyncio.shield(self.written)


class Calls:
    """All of them, with what they took of the allowances; at the start those of the journal."""

    def __init__(self, store: Store, clock: Clock, journal: Journal) -> None:
        self._store = store
        self._clock = clock
        self._journal = journal
        self._by_place: dict[Place, Call] = {}
        self._news = asyncio.Event()
        self.allowances = Allowances()
        for entry in journal.entries:
            self._read(entry)

    def __len__(self) -> int:
        return len(self._by_place)

    def _read(self, entry: Entry) -> None:
        if entry["kind"] == "used":
            self.allowances.restore(entry["of"])
            return
        place, record = (entry["tenant"], entry["id"]), entry["record"]
        call = self._by_place.setdefault(place, Call(record, ours=entry["kind"] == "reserve"))
        if entry["kind"] == "reserve":
            self.allowances.hold(record)
        else:
            self._end(call, SettleAsk._make([entry["id"], *_read_end(entry["end"]), record]))
        self._news.set()

    def get(self, place: Place) -> Call | None:
        """What is known of a call."""
        return self._by_place.get(place)

    def let_through(self, place: Place, record: str) -> Call:
        """Takes a call's cost out of the allowances, and begins to write it down."""
        call = self._by_place[place] = Call(record, ours=True)
        self.allowances.hold(record)
        entry = {"kind": "reserve", "tenant": place[0], "id": place[1], "record": record}
        call.written = asyncio.create_task(self._journal.append(entry))
        self._news.set()
        return call

    def forget(self, place: Place, call: Call) -> None:
        """It was not let through, after all."""
        if self._by_place.get(place) is call:
            del self._by_place[place]
            self.allowances.give_back(call.record)

    async def write_end(self, place: Place, call: Call, ask: SettleAsk) -> None:
        """Returns once a call's end is on disk. Raises JournalFailed."""
        end = ask._replace(tally=call.record)
        entry = {"kind": "end", "tenant": place[0], "id": place[1], "record": call.record, "end": end[1:-1]}
        await self._journal.append(entry, spare=True)
        self._end(call, end)
        self._by_place[place] = call
        self._news.set()

    def _end(self, call: Call, end: SettleAsk) -> None:
        if call.ours and call.end is not None:
            self.allowances.reopen(call.record, call.charged)
        call.end = end
        if call.ours:
            self.allowances.end(call.record, call.charged)

    async def catch_up_for_ever(self) -> None:
        """Tells the store, whenever it is there, what it has not heard of."""
        while True:
            await self._news.wait()
            try:
                await self._catch_up()
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)

    async def _catch_up(self) -> None:
        told, frozen = 0, False
        for place, call in list(self._by_place.items()):
            try:
                await call.on_disk()
            except JournalFailed:
                self.forget(place, call)
                continue
            if self._by_place.get(place) is not call:
                continue
            end = call.end
            try:
                await self._tell(place, call)
            except StoreFrozen:  # it waits for an administrator; others need not
                frozen = True
                continue
            told += 1
            if call.end is end:  # else its end came meanwhile, and is told next
                del self._by_place[place]
        if self._by_place or not self._journal.idle:
            await asyncio.sleep(RETRY_S if frozen else 0)
            return
        self._news.clear()
        await self._begin_anew()
        log.info("the store knows of all that was decided without it: %d calls", told)

    async def _begin_anew(self) -> None:
        """Of all that is written down the store knows; what went of the allowances stays."""
        self.allowances.forget_ended(self._clock.now_ms())
        self._journal.clear()
        used = self.allowances.cells()
        if used:
            try:
                await self._journal.append({"kind": "used", "of": used})
            except JournalFailed as error:
                log.warning("after a restart allowances begin anew: %s", error)

    async def _tell(self, place: Place, call: Call) -> None:
        (tenant, reservation_id), end = place, call.end
        try:
            if end is None:
                await self._store.restore(tenant, reservation_id, call.record, MARK)
            else:
                outcome = f"{end.outcome} {MARK}".strip() if call.ours else end.outcome
                await self._store.settle(tenant, end._replace(outcome=outcome))
        except IdMismatch:
            log.info("reservation %s was settled otherwise since; that stands", reservation_id)
        except ReservationEnded as error:
            log.warning("a call that was let through without the store is not charged: %s", error)


def _read_end(cells: list[object]) -> list[object]:
    content, mode, *rest = cells
    return [content, Mode(str(mode)), *rest]
