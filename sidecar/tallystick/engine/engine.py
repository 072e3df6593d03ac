"""The use-cases. Each walks straight through: ask → plan → one step in the store → answer."""

import asyncio
import contextlib
import os
import time

from tallystick.core.decision import Decision
from tallystick.core.errors import ReservationNotFound, StoreUnavailable
from tallystick.core.hold import seal, unseal
from tallystick.core.outcome import Mode, settle_mode
from tallystick.core.plan import Plan, Taken
from tallystick.core.policy import OutputRule
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject, subject_text
from tallystick.engine.actual import NOTHING, actual_of
from tallystick.engine.advice import Adviser
from tallystick.engine.alone import Alone
from tallystick.engine.answers import Balance, Extension, allow, deny, deny_more, repeat, weigh_up
from tallystick.engine.asks import limits_of, more_of, tries_of
from tallystick.engine.calls import BalanceCall, ChargeCall, Cost, ExtendCall, ReserveCall, SettleCall
from tallystick.engine.charging import Charging
from tallystick.engine.estimates import Estimate, Estimator, cost_of
from tallystick.engine.explaining import Explanation, explain, refusal_of
from tallystick.engine.hindsight import Hindsight
from tallystick.engine.learned import Learned
from tallystick.engine.limiting import Limiter
from tallystick.engine.planner import Planner
from tallystick.engine.rules import Rules
from tallystick.engine.tickets import Tickets
from tallystick.engine.waiting import Room, look_ahead
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import (
    Again,
    Charged,
    Counters,
    ExtendAsk,
    Held,
    Refused,
    Released,
    Replayed,
    ReserveAsk,
    SettleAsk,
    Settled,
)
from tallystick.store.base import Store
from tallystick.store.journal import Journal
from tallystick.tokens import TokenCounter

MOST_TRIES = 100
"""How often one call is planned again: each time the store had more to end, or news."""


class Engine:
    """Decides. It holds no authority of its own: everything is in the store."""

    def __init__(
        self,
        store: Store,
        planner: Planner,
        counter: TokenCounter,
        metrics: Metrics,
        journal: Journal | None = None,
        *,
        learned: Learned | None = None,
    ) -> None:
        self._store = store
        self._planner = planner
        self.learned = learned or Learned()
        self._estimator = Estimator(counter, self.learned)
        self._hindsight = Hindsight(self.learned, metrics)
        self._adviser = Adviser(planner)
        self.charging = Charging(store, planner, metrics, self._check_ready)
        self.limiter = Limiter(store, planner, metrics, self.charging)
        self.tickets = Tickets(self, store, planner)
        self._store_seconds = metrics.store
        self._reserve_seconds, self._settle_seconds = metrics.store("reserve"), metrics.store("settle")
        self._alone = Alone(store, planner.clock, metrics, journal, planner.suspensions)
        self._tally_key = b""
        self._tidying: set[asyncio.Task[None]] = set()

    def seal_with(self, tally_key: bytes) -> None:
        """Sets the key that all sidecars of the store share. Before it, no call is answered."""
        self._tally_key = self._alone.tally_key = tally_key

    async def catch_up_for_ever(self) -> None:
        """Tells the store, whenever it is there, what was decided without it."""
        await self._alone.catch_up_for_ever()

    def _check_ready(self) -> None:
        if not self._tally_key:
            raise StoreUnavailable("the sidecar is starting")

    async def _rules(self, tenant: str) -> Rules:
        self._check_ready()
        return await self._planner.rules(tenant)

    async def reserve(self, call: ReserveCall) -> Decision:
        """Holds the estimated cost, or says why not.

        Raises:
            InvalidArgument, IdMismatch, ReservationEnded, StoreUnavailable.
        """
        reservation_id = call.reservation_id or f"r-{os.urandom(12).hex()}"
        self._check_ready()
        rules = self._planner.known(call.tenant) or await self._planner.rules(call.tenant)
        estimate = self._estimator.at_once(call, rules) or await self._estimator.estimate(call, rules)
        subject = estimate.subject(call.subject)
        for _ in range(MOST_TRIES):
            plan = self._planner.plan(rules, subject, estimate)
            tries = tries_of(plan, estimate, subject_text(subject))
            ask = ReserveAsk(reservation_id, call.content, call.ttl_ms or plan.hold_ttl_ms, tries)
            started = time.perf_counter()
            try:
                reply = await self._store.reserve(plan, ask)
            except asyncio.CancelledError:
                self._left(call, reservation_id)
                raise
            except StoreUnavailable as away:
                return await self._without_store(call, plan, ask, estimate, away)
            self._reserve_seconds.observe(time.perf_counter() - started)
            if isinstance(reply, Held):
                return allow(self._tally_key, plan, ask, reply, estimate.usage)
            if isinstance(reply, Refused):
                return await self._refuse(rules, subject, estimate, ask, reply)
            if isinstance(reply, Replayed):
                return repeat(self._tally_key, plan, reservation_id, reply.hold, estimate.usage)
            before, rules = rules, await self._planner.again(call.tenant, reply.now_ms, reply.policy_version)
            if rules is not before:  # another policy may look at other things
                estimate = await self._estimator.estimate(call, rules)
                subject = estimate.subject(call.subject)
        raise StoreUnavailable("the store has too much to end; ask again")

    async def _without_store(
        self, call: ReserveCall, plan: Plan, ask: ReserveAsk, estimate: Estimate, away: StoreUnavailable
    ) -> Decision:
        try:
            return await self._alone.reserve(plan, ask, estimate.usage, away)
        except asyncio.CancelledError:
            self._left(call, ask.reservation_id)
            raise

    def _left(self, call: ReserveCall, reservation_id: str) -> None:
        """The caller has: an id of ours is then known to nobody else."""
        if not call.reservation_id:
            self.give_back(call.tenant, reservation_id)

    async def _refuse(
        self, rules: Rules, subject: Subject, estimate: Estimate, ask: ReserveAsk, reply: Refused
    ) -> Decision:
        plan = ask.tries[0].plan
        if reply.reason is Reason.TENANT_SUSPENDED:
            self._planner.suspensions.note(plan.tenant, suspended=True)
        room = await self._room(rules, estimate, plan, reply)
        decision = deny(plan, ask, reply, room.binding_ms)
        advice = self._adviser.advise(rules, subject, estimate, plan, reply)
        decision.advice = advice._replace(at_ms=room.call_ms)
        return decision

    async def _room(self, rules: Rules, estimate: Estimate, plan: Plan, refused: Refused) -> Room:
        taken = Taken(*cost_of(estimate, plan.price))
        try:
            return await look_ahead(self._store, rules.policy, plan, refused, taken)
        except StoreUnavailable:
            return Room()  # the refusal stands, and is told without it

    def give_back(self, tenant: str, reservation_id: str) -> None:
        """Releases a hold whose caller left before the answer, in the background."""

        async def release() -> None:
            with contextlib.suppress(StoreUnavailable):  # it expires by itself
                await self.release(tenant, reservation_id)

        task = asyncio.create_task(release(), name="give-back")
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def settle(self, call: SettleCall) -> Settled:
        """Charges what was really spent.

        Raises:
            InvalidArgument, IdMismatch, ReservationNotFound, ReservationEnded, StoreUnavailable.
        """
        self._check_ready()
        mode, estimated = settle_mode(call.outcome, call.actual is not None, estimated=call.estimated)
        place = (call.tenant, call.reservation_id)
        tally = unseal(self._tally_key, *place, call.tally) if call.tally else self._alone.record_of(place)
        actual = await actual_of(self._store, call, tally) if mode is Mode.COST else NOTHING
        started = time.perf_counter()
        ask = SettleAsk(
            call.reservation_id,
            call.content,
            mode,
            actual.nano_usd,
            actual.tokens,
            estimated,
            call.outcome.name,
            actual.usage,
            tally,
        )
        try:
            settled = await self._store.settle(call.tenant, ask)
        except StoreUnavailable as away:
            return await self._alone.settle(call.tenant, ask, away)
        self._settle_seconds.observe(time.perf_counter() - started)
        if mode is Mode.COST and settled.changed and not estimated:
            rules = self._planner.known(call.tenant)
            learns = rules is None or rules.policy.output_rule is OutputRule.LEARNED
            self._hindsight.settled(call, actual.terms if learns else None, settled)
        return settled

    async def charge(self, call: ChargeCall) -> Charged:
        """Charges what nothing was held for; see `Charging.charge`."""
        return await self.charging.charge(call)

    async def release(self, tenant: str, reservation_id: str) -> Released:
        """Gives everything back: nothing was sent."""
        started = time.perf_counter()
        if self._alone.record_of((tenant, reservation_id)):
            return await self._alone.release(tenant, reservation_id, StoreUnavailable("it is yet to be told"))
        try:
            released = await self._store.release(tenant, reservation_id)
        except StoreUnavailable as away:
            return await self._alone.release(tenant, reservation_id, away)
        self._store_seconds("release").observe(time.perf_counter() - started)
        return released

    async def extend(self, call: ExtendCall) -> Extension | Decision:
        """Gives an open hold more; a refusal is a decision."""
        rules = await self._rules(call.tenant)
        hold = await self._store.hold(call.tenant, call.reservation_id)
        if hold is None or hold.empty:
            raise ReservationNotFound(f"no reservation {call.reservation_id!r}")
        if call.tally:
            unseal(self._tally_key, call.tenant, call.reservation_id, call.tally)
        extension_id, nano_usd, tokens = more_of(call, hold)
        for _ in range(MOST_TRIES):
            ask = ExtendAsk(
                call.reservation_id,
                extension_id,
                rules.policy.version,
                call.ttl_ms or hold.ttl_ms,
                nano_usd,
                tokens,
                limits_of(hold, rules.policy),
            )
            reply = await self._store.extend(call.tenant, ask)
            if isinstance(reply, Again):
                rules = await self._planner.again(call.tenant, reply.now_ms, reply.policy_version)
            elif isinstance(reply, Refused):
                return deny_more(hold, ask, reply)
            else:
                hold.expires_ms, hold.nano_usd, hold.tokens = reply.expires_ms, reply.nano_usd, reply.tokens
                tally = seal(self._tally_key, call.tenant, call.reservation_id, hold.text())
                return Extension(tally, hold.expires_ms, hold.nano_usd, hold.tokens)
        raise StoreUnavailable("the store has too much to end; ask again")

    async def explain(self, call: ReserveCall) -> Explanation:
        """What a Reserve would be told, and why; nothing is held.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        rules = await self._rules(call.tenant)
        estimate = await self._estimator.estimate(call, rules)
        subject = estimate.subject(call.subject)
        for _ in range(MOST_TRIES):
            plan = self._planner.plan(rules, subject, estimate)
            tries = tries_of(plan, estimate, "")
            states: list[Counters] = []
            for each in dict.fromkeys(one.plan for one in tries):
                reply = await self._store.balance(each, each.allowances)
                if isinstance(reply, Again):
                    rules = await self._planner.again(call.tenant, reply.now_ms, reply.policy_version)
                    break
                states.append(reply)
            else:
                explanation, refused = explain(plan, tries, states)
                if refused is None:
                    return explanation
                room = await self._room(rules, estimate, plan, refused)
                taken = Taken(explanation.nano_usd, explanation.tokens)
                advice = self._adviser.advise(rules, subject, estimate, plan, refused)
                refusal = refusal_of(plan, refused, taken, room.binding_ms)
                return explanation._replace(refusal=refusal, advice=advice._replace(at_ms=room.call_ms))
        raise StoreUnavailable("the store has too much to end; ask again")

    async def balance(self, call: BalanceCall) -> Balance:
        """The wallets and budgets that a call of this subject would meet."""
        rules = await self._rules(call.tenant)
        estimate = Estimate(call.model, call.provider, None, Cost(0, 0))
        for _ in range(MOST_TRIES):
            plan = self._planner.plan(rules, call.subject, estimate)
            reply = await self._store.balance(plan)
            if isinstance(reply, Counters):
                return weigh_up(plan, reply)
            rules = await self._planner.again(call.tenant, reply.now_ms, reply.policy_version)
        raise StoreUnavailable("the store has too much to end; ask again")
