"""Decisions while the store is away, by what each budget says of that; and how the store is told after.

What is let through is a hold like any other: its tally is sealed and its record names the
counters. It is in the journal before it is answered, and so is its end. When the store is
back every record goes there as a settle of a hold that it has lost, which counts once: with
the cost that was reported, or else as an estimate, which a later Settle corrects.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from tallystick.core.alone import Allowances, has_rule, judge
from tallystick.core.decision import Decision, Refusal
from tallystick.core.errors import IdMismatch, ReservationEnded, StoreFrozen, StoreUnavailable
from tallystick.core.hold import Hold, read_hold, seal
from tallystick.core.outcome import Mode
from tallystick.core.plan import Plan, Taken
from tallystick.core.usage import Usage
from tallystick.engine.alone_answers import (
    let_through,
    record_for,
    refuse_by,
    refuse_for,
    refuse_unwritten,
    refused,
)
from tallystick.engine.planner import Clock
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import Released, ReserveAsk, SettleAsk, Settled, Stamp
from tallystick.store.base import Store
from tallystick.store.journal import Entry, Journal, JournalFailed

RETRY_S = 0.2
MARK = "WITHOUT_STORE"
"""In the ledger's outcome of what was decided here."""
BY_US = "without the store"
"""The content of a settle that nobody asked for."""

Place = tuple[str, str]
"""Tenant and reservation id."""

log = logging.getLogger("tallystick.alone")


@dataclass(slots=True)
class _Call:
    record: str
    """As in its tally."""
    ours: bool
    """Decided here; else only its end came while the store was away."""
    end: SettleAsk | None = None
    written: "asyncio.Task[None] | None" = None

    @property
    def hold(self) -> Hold:
        return read_hold(self.record)

    @property
    def charged(self) -> tuple[int, int, int]:
        """Nano-dollars, tokens and requests."""
        hold, end = self.hold, self.end
        if end is None or end.mode is Mode.HOLD:
            return hold.nano_usd, hold.tokens, 1
        if end.mode is Mode.NONE:
            return 0, 0, 0
        nano_usd = hold.nano_usd if end.nano_usd is None else end.nano_usd
        return nano_usd, hold.tokens if end.tokens is None else end.tokens, 1


class Alone:
    """Decides without the store. Without a journal it decides nothing."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, journal: Journal | None) -> None:
        self._store = store
        self._clock = clock
        self._journal = journal
        self._metrics = metrics
        self._calls: dict[Place, _Call] = {}
        self._allowances = Allowances()
        self._news = asyncio.Event()
        self.tally_key = b""
        for entry in journal.entries if journal else ():
            self._restore(entry)
        metrics.journaled.set_function(lambda: len(self._calls))

    def _restore(self, entry: Entry) -> None:
        place, record = (entry["tenant"], entry["id"]), entry["record"]
        call = self._calls.setdefault(place, _Call(record, ours=entry["kind"] == "reserve"))
        if entry["kind"] == "reserve":
            self._allowances.hold(record)
        else:
            self._end(call, SettleAsk._make([entry["id"], *_read_end(entry["end"]), record]))
        self._news.set()

    def _end(self, call: _Call, end: SettleAsk) -> None:
        if call.ours:
            if call.end is not None:
                self._allowances.reopen(call.record, call.charged)
            call.end = end
            self._allowances.end(call.record, call.charged)
        call.end = end

    def record_of(self, place: Place) -> str:
        """The record of a call of ours that the store has not been told of; else empty."""
        call = self._calls.get(place) if self._calls else None
        return call.record if call is not None and call.ours else ""

    async def reserve(
        self, plan: Plan, ask: ReserveAsk, usage: Usage | None, away: StoreUnavailable
    ) -> Decision:
        """Holds the cost here, or says which budget does not let it through.

        Raises:
            IdMismatch, ReservationEnded.
            StoreUnavailable: no budget of the call says that anything may be let through, or the
                tenant's partition is frozen.
        """
        if self._journal is None or not has_rule(plan) or isinstance(away, StoreFrozen):
            raise away
        first, now_ms = ask.tries[0], self._clock.now_ms()
        taken, place = Taken(first.nano_usd, first.tokens), (plan.tenant, ask.reservation_id)
        known = self._calls.get(place)
        if known is not None and known.ours:
            return await self._repeat(plan, ask, known, usage)
        if first.refusal:
            return self._refused(plan, ask, refuse_for(plan, first.refusal, taken, now_ms))
        verdict = judge(plan, taken, self._allowances.used)
        if verdict.binds is not None:
            return self._refused(plan, ask, refuse_by(verdict.binds, verdict.shortfall))
        call = _Call(record_for(plan, ask, now_ms), ours=True)
        self._allowances.hold(call.record)
        self._calls[place] = call
        self._news.set()
        entry = {"kind": "reserve", "tenant": place[0], "id": place[1], "record": call.record}
        call.written = asyncio.create_task(self._journal.append(entry))
        return await self._repeat(plan, ask, call, usage)

    async def _repeat(self, plan: Plan, ask: ReserveAsk, call: _Call, usage: Usage | None) -> Decision:
        """The answer to a call that is let through, once it is on disk."""
        hold = call.hold
        if hold.content != ask.content:
            raise IdMismatch("reservation_id: was used before with other content")
        if call.end is not None and call.end.mode is Mode.NONE:
            raise ReservationEnded("reservation_id: was released before")
        try:
            await _on_disk(call)
        except JournalFailed as error:
            self._forget((plan.tenant, ask.reservation_id), call)
            log.warning("nothing is let through while the store is away: %s", error)
            return self._refused(plan, ask, refuse_unwritten())
        self._metrics.alone.inc()
        tally = seal(self.tally_key, plan.tenant, ask.reservation_id, call.record)
        return let_through(plan, ask.reservation_id, hold, tally, usage)

    def _forget(self, place: Place, call: _Call) -> None:
        if self._calls.get(place) is call:
            del self._calls[place]
            self._allowances.give_back(call.record)

    def _refused(self, plan: Plan, ask: ReserveAsk, refusal: Refusal) -> Decision:
        self._metrics.alone.inc()
        return refused(plan, ask, refusal, self._clock.now_ms())

    async def settle(self, tenant: str, ask: SettleAsk, away: StoreUnavailable) -> Settled:
        """Writes down how a call ended, for the store.

        Raises:
            IdMismatch, StoreUnavailable: it is neither a call of ours nor did its tally come.
        """
        place = (tenant, ask.reservation_id)
        call = self._calls.get(place) or (_Call(ask.tally, ours=False) if ask.tally else None)
        if self._journal is None or call is None:
            raise away
        end = call.end
        if end is not None and (end.content == ask.content or (end.estimated and ask.estimated)):
            await _on_disk(call)
            return self._settled(call, changed=False)
        if end is not None and not end.estimated and end.mode is not Mode.NONE:
            raise IdMismatch(f"reservation {ask.reservation_id!r} was settled with other content")
        await self._write_end(place, call, ask, away)
        return self._settled(call, changed=True)

    async def release(self, tenant: str, reservation_id: str, away: StoreUnavailable) -> Released:
        """Gives back what was held here.

        Raises:
            ReservationEnded, StoreUnavailable: it is no call of ours.
        """
        place = (tenant, reservation_id)
        call = self._calls.get(place)
        if self._journal is None or call is None or not call.ours:
            raise away
        if call.end is not None and call.end.mode is not Mode.NONE:
            raise ReservationEnded(f"reservation {reservation_id!r} was settled")
        if call.end is None:
            ask = SettleAsk(reservation_id, BY_US, Mode.NONE, 0, 0, False, "NOT_DISPATCHED", "", call.record)
            await self._write_end(place, call, ask, away)
        return Released(self._stamp(), call.hold.nano_usd, call.hold.tokens, known=True)

    async def _write_end(self, place: Place, call: _Call, ask: SettleAsk, away: StoreUnavailable) -> None:
        assert self._journal is not None
        end = ask._replace(tally=call.record)
        entry = {"kind": "end", "tenant": place[0], "id": place[1], "record": call.record, "end": end[1:-1]}
        try:
            await self._journal.append(entry, spare=True)
        except JournalFailed as error:
            log.warning("the end of a call is not taken while the store is away: %s", error)
            raise away from error
        self._end(call, end)
        self._calls[place] = call
        self._news.set()

    def _settled(self, call: _Call, *, changed: bool) -> Settled:
        hold, (nano_usd, tokens, _), end = call.hold, call.charged, call.end
        assert end is not None
        return Settled(
            self._stamp(), nano_usd, tokens, end.estimated, late=False, changed=changed,
            wallet=hold.wallet[0] if hold.wallet else "",
            held_nano_usd=hold.nano_usd, held_tokens=hold.tokens,
        )  # fmt: skip

    def _stamp(self) -> Stamp:
        return Stamp(self._clock.now_ms(), 0, 0)

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
        for place, call in list(self._calls.items()):
            with contextlib.suppress(JournalFailed):
                await _on_disk(call)
            end = call.end
            if self._calls.get(place) is call:
                try:
                    await self._tell(place, call)
                except StoreFrozen:  # it waits for an administrator; others need not
                    frozen = True
                    continue
                told += 1
            if call.end is end:  # else its end came meanwhile, and is told next
                self._calls.pop(place, None)
        assert self._journal is not None
        if not self._calls and self._journal.idle:
            self._news.clear()
            self._allowances.used.clear()
            self._journal.clear()
            log.info("the store knows of all that was decided without it: %d calls", told)
        else:
            await asyncio.sleep(RETRY_S if frozen else 0)

    async def _tell(self, place: Place, call: _Call) -> None:
        tenant, reservation_id = place
        end = call.end or SettleAsk(reservation_id, BY_US, Mode.HOLD, 0, 0, True, "", "", call.record)
        if call.ours:
            end = end._replace(outcome=f"{end.outcome} {MARK}".strip())
        try:
            await self._store.settle(tenant, end)
        except IdMismatch:
            log.info("reservation %s was settled otherwise since; that stands", reservation_id)
        except ReservationEnded as error:
            log.warning("a call that was let through without the store is not charged: %s", error)


async def _on_disk(call: _Call) -> None:
    if call.written is not None:
        await asyncio.shield(call.written)


def _read_end(cells: list[object]) -> list[object]:
    content, mode, *rest = cells
    return [content, Mode(str(mode)), *rest]
