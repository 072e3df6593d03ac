"""Decisions while the store is away, by what each budget says of that.

What is let through is a hold like any other: its tally is sealed and its record names the
counters. `alone_calls` keeps it, and tells the store.
"""

import logging

from tallystick.core.alone import has_rule, judge
from tallystick.core.decision import Decision, Refusal
from tallystick.core.errors import IdMismatch, ReservationEnded, StoreFrozen, StoreUnavailable
from tallystick.core.hold import seal
from tallystick.core.outcome import Mode
from tallystick.core.plan import Plan, Taken
from tallystick.core.reasons import Reason
from tallystick.core.usage import Usage
from tallystick.engine.alone_answers import (
    let_through,
    record_for,
    refuse_by,
    refuse_for,
    refuse_unwritten,
    refused,
)
from tallystick.engine.alone_calls import Call, Calls, Place
from tallystick.engine.planner import Clock
from tallystick.engine.suspensions import Suspensions
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import Released, ReserveAsk, SettleAsk, Settled, Stamp
from tallystick.store.base import Store
from tallystick.store.journal import Journal, JournalFailed

BY_US = "without the store"
"""The content of a settle that nobody asked for."""
MOST_UNSURE = 4_096

log = logging.getLogger("tallystick.alone")


class Alone:
    """Decides without the store. Without a journal it decides nothing."""

    def __init__(
        self, store: Store, clock: Clock, metrics: Metrics, journal: Journal | None, suspensions: Suspensions
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._suspensions = suspensions
        self._calls = Calls(store, clock, journal) if journal else None
        self._unsure: dict[Place, None] = {}
        """The latest that were sent to the store, which may hold them: nobody was told."""
        self.tally_key = b""
        metrics.journaled.set_function(lambda: len(self._calls or ()))

    async def catch_up_for_ever(self) -> None:
        """Tells the store, whenever it is there, what was decided without it."""
        if self._calls is not None:
            await self._calls.catch_up_for_ever()

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
            StoreUnavailable: no budget of the call says that anything may be let through, the tenant's
                partition is frozen, or the store may hold the call.
        """
        if self._calls is None or not has_rule(plan) or isinstance(away, StoreFrozen):
            raise away
        place = (plan.tenant, ask.reservation_id)
        known = self._calls.get(place)
        if known is not None:  # ours, or one whose tally came with its end
            return await self._answer(plan, ask, known, usage)
        if away.may_stand:
            self._remember_unsure(place)
        refusal = self._refusal(plan, ask)
        if refusal:
            return self._refuse(plan, ask, refusal, away)
        call = self._calls.let_through(place, record_for(plan, ask, self._clock.now_ms()))
        try:
            return await self._answer(plan, ask, call, usage)
        except JournalFailed as error:
            self._calls.forget(place, call)
            log.warning("nothing is let through while the store is away: %s", error)
            return self._refuse(plan, ask, refuse_unwritten(), away)

    def _remember_unsure(self, place: Place) -> None:
        self._unsure[place] = None
        if len(self._unsure) > MOST_UNSURE:
            del self._unsure[next(iter(self._unsure))]

    def _refusal(self, plan: Plan, ask: ReserveAsk) -> Refusal | None:
        """What does not let a call through."""
        first, now_ms = ask.tries[0], self._clock.now_ms()
        taken = Taken(first.nano_usd, first.tokens)
        static = Reason.TENANT_SUSPENDED if plan.tenant in self._suspensions else first.refusal
        if static:
            return refuse_for(plan, static, taken, now_ms)
        assert self._calls is not None
        verdict = judge(plan, taken, self._calls.allowances, now_ms)
        return refuse_by(verdict.binds, verdict.shortfall) if verdict.binds else None

    def _refuse(self, plan: Plan, ask: ReserveAsk, refusal: Refusal, away: StoreUnavailable) -> Decision:
        """A DENY, which nobody may be told whose call the store may hold."""
        if (plan.tenant, ask.reservation_id) in self._unsure:
            raise StoreUnavailable(f"{away}; whether it holds this call is not known: the same id finds out")
        self._metrics.alone.inc()
        return refused(plan, ask, refusal, self._clock.now_ms())

    async def _answer(self, plan: Plan, ask: ReserveAsk, call: Call, usage: Usage | None) -> Decision:
        """The answer to a call that is let through, once it is on disk. Raises JournalFailed."""
        hold = call.hold
        if hold.content != ask.content:
            raise IdMismatch("reservation_id: was used before with other content")
        if call.released:
            raise ReservationEnded("reservation_id: was released before")
        await call.on_disk()
        self._metrics.alone.inc()
        tally = seal(self.tally_key, plan.tenant, ask.reservation_id, call.record)
        return let_through(plan, ask.reservation_id, hold, tally, usage)

    async def settle(self, tenant: str, ask: SettleAsk, away: StoreUnavailable) -> Settled:
        """Writes down how a call ended, for the store.

        Raises:
            IdMismatch, StoreUnavailable: it is neither a call of ours nor did its tally come.
        """
        if self._calls is None:
            raise away
        place = (tenant, ask.reservation_id)
        call = self._calls.get(place) or (Call(ask.tally, ours=False) if ask.tally else None)
        if call is None:
            raise away
        end = call.end
        if end is not None and (end.content == ask.content or (end.estimated and ask.estimated)):
            await call.on_disk()
            return self._settled(call, changed=False)
        if end is not None and not end.estimated and not call.released:
            raise IdMismatch(f"reservation {ask.reservation_id!r} was settled with other content")
        await self._write_end(place, call, ask, away)
        return self._settled(call, changed=True)

    async def release(self, tenant: str, reservation_id: str, away: StoreUnavailable) -> Released:
        """Gives back what was held here.

        Raises:
            ReservationEnded, StoreUnavailable: it is no call of ours.
        """
        place = (tenant, reservation_id)
        call = self._calls.get(place) if self._calls else None
        if call is None or not call.ours:
            raise away
        if call.end is not None and not call.released:
            raise ReservationEnded(f"reservation {reservation_id!r} was settled")
        if call.end is None:
            ask = SettleAsk(reservation_id, BY_US, Mode.NONE, 0, 0, False, "NOT_DISPATCHED", "", call.record)
            await self._write_end(place, call, ask, away)
        return Released(self._stamp(), call.hold.nano_usd, call.hold.tokens, known=True)

    async def _write_end(self, place: Place, call: Call, ask: SettleAsk, away: StoreUnavailable) -> None:
        assert self._calls is not None
        try:
            await self._calls.write_end(place, call, ask)
        except JournalFailed as error:
            log.warning("the end of a call is not taken while the store is away: %s", error)
            raise away from error

    def _settled(self, call: Call, *, changed: bool) -> Settled:
        hold, (nano_usd, tokens, _), end = call.hold, call.charged, call.end
        assert end is not None
        return Settled(
            self._stamp(), nano_usd, tokens, end.estimated, late=False, changed=changed,
            wallet=hold.wallet[0] if hold.wallet else "",
            held_nano_usd=hold.nano_usd, held_tokens=hold.tokens,
        )  # fmt: skip

    def _stamp(self) -> Stamp:
        return Stamp(self._clock.now_ms(), 0, 0)
