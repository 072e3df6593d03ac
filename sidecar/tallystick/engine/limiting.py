"""Rate limits: calls of which only the start, or only the end, is told."""

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from tallystick.core.decision import NOTHING, BudgetState, Refusal, explain_refusal, too_small
from tallystick.core.errors import StoreUnavailable
from tallystick.core.hold import hold_body
from tallystick.core.plan import SLOTS, Plan, Taken
from tallystick.core.policy import Unit
from tallystick.core.reasons import FIXED_MESSAGES, Reason
from tallystick.core.subject import subject_text
from tallystick.core.weigh import weigh
from tallystick.engine.calls import ChargeCall, Cost, HitKind, Hits
from tallystick.engine.charging import MOST_TRIES, Charging
from tallystick.engine.estimates import Estimate
from tallystick.engine.planner import Planner
from tallystick.engine.rules import Rules
from tallystick.engine.waiting import look_ahead
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import ChargeAsk, Charged, Refused, TakeAsk, Took, Verdict
from tallystick.store.base import Store

KEEP_MS = 10_000
"""No caller comes back with an id of ours; only the store's connection may repeat a command."""
UNMET = (Reason.NO_BUDGET_MATCHED, Reason.INSUFFICIENT_FUNDS)
"""What a plan refuses that meets no budget or no wallet."""


class Limited(NamedTuple):
    """What became of one descriptor."""

    refusal: Refusal | None
    budgets: list[BudgetState]
    """As they stand now."""
    needs: Taken
    """What there had to be room for."""
    now_ms: int


class Limiter:
    """Answers descriptors: each is one call against all budgets and wallets that match it."""

    def __init__(self, store: Store, planner: Planner, metrics: Metrics, charging: Charging) -> None:
        self._store = store
        self._planner = planner
        self._metrics = metrics
        self._seconds = metrics.store("take")
        self._charging = charging

    async def limit(self, tenant: str, hits: Sequence[Hits]) -> list[Limited]:
        """Records all reports; takes all checks, or, where anything is refused, none.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        found: dict[int, Limited] = {}
        for i, each in enumerate(hits):
            if each.kind is not HitKind.CHECK:
                found[i] = await self._report(tenant, each)
        checks = {i: each for i, each in enumerate(hits) if i not in found}
        if any(each.refusal for each in found.values()):
            checks = {i: each._replace(amount=0) for i, each in checks.items()}
        if checks:
            found |= zip(checks, await self._check(tenant, list(checks.values())), strict=True)
        return [found[i] for i in range(len(hits))]

    async def _report(self, tenant: str, hits: Hits) -> Limited:
        subject, model, provider, unit, amount, kind = hits
        call = ChargeCall(
            tenant, _new_id(), "reported", subject, model, provider, _cost(unit, amount),
            requests=amount if unit is Unit.REQUESTS else 0, keep_ms=KEEP_MS,
        )  # fmt: skip
        plan, charged = await self._charging.charge_by_plan(call)
        takes, needs = _amounts(hits, plan)
        refusal = _passed(plan, charged, takes) if kind is HitKind.EITHER else None
        return Limited(refusal, _states(plan, charged.values), needs, charged.stamp.now_ms)

    async def _check(self, tenant: str, checks: Sequence[Hits]) -> list[Limited]:
        rules, ids = await self._charging.rules(tenant), [_new_id() for _ in checks]
        for _ in range(MOST_TRIES):
            plans = [self._plan(rules, each) for each in checks]
            lost = all(plan.refusal in UNMET and not plan.budgets for plan in plans)
            asks = [
                _ask(plan, each, take_id, lost)
                for plan, each, take_id in zip(plans, checks, ids, strict=True)
            ]
            started = time.perf_counter()
            reply = await self._store.take(asks)
            self._seconds.observe(time.perf_counter() - started)
            if isinstance(reply, Took):
                return await self._told(rules, asks, reply)
            rules = await self._planner.again(tenant, reply.now_ms, reply.policy_version)
        raise StoreUnavailable("the store has too much to end; ask again")

    def _plan(self, rules: Rules, hits: Hits) -> Plan:
        estimate = Estimate(hits.model, hits.provider, None, _cost(hits.unit, hits.amount))
        return self._planner.plan(rules, hits.subject, estimate)

    async def _told(self, rules: Rules, asks: Sequence[TakeAsk], took: Took) -> list[Limited]:
        refused = any(verdict.reason for verdict in took.verdicts)
        found = []
        for ask, verdict in zip(asks, took.verdicts, strict=True):
            charge = ask.charge
            takes = NOTHING if refused else Taken(charge.nano_usd, charge.tokens, charge.requests, 0)
            states = _states(charge.plan, verdict.values[2 * len(charge.plan.wallets) :], takes)
            refusal = await self._refusal(rules, ask, took, verdict) if verdict.reason else None
            found.append(Limited(refusal, states, ask.needs, took.stamp.now_ms))
            reason = refusal.reason.name if refusal else ""
            self._metrics.decision("DENY" if refusal else "ALLOW", reason).inc()
        return found

    async def _refusal(self, rules: Rules, ask: TakeAsk, took: Took, verdict: Verdict) -> Refusal:
        plan, (reason, binds, values) = ask.charge.plan, verdict
        try:
            refused = Refused(took.stamp, reason, binds, values)
            room_ms = (await look_ahead(self._store, rules.policy, plan, refused, ask.needs)).binding_ms
        except StoreUnavailable:
            room_ms = 0  # the refusal stands, and is told without it
        return explain_refusal(
            reason, binds, wallets=plan.wallets, lines=plan.budgets, values=values,
            taken=ask.needs, now_ms=took.stamp.now_ms, room_ms=room_ms,
        )  # fmt: skip


def _new_id() -> str:
    return f"l-{os.urandom(12).hex()}"


def _cost(unit: Unit, amount: int) -> Cost:
    """What wallets may pay of it."""
    return Cost(amount if unit is Unit.NANO_USD else 0, amount if unit is Unit.TOKENS else 0)


def _amounts(hits: Hits, plan: Plan) -> tuple[Taken, Taken]:
    """What is taken, and what there must be room for: that, and something of every other unit."""
    takes, needs = [0, 0, 0, 0], [1, 1, 1, 0]
    slot = SLOTS[hits.unit]
    takes[slot], needs[slot] = hits.amount, max(1, hits.amount)
    if plan.price and plan.price.free:
        takes[0] = needs[0] = 0
    return Taken._make(takes), Taken._make(needs)


def _ask(plan: Plan, hits: Hits, take_id: str, lost: bool) -> TakeAsk:
    """`lost`: no descriptor of the request meets any budget or wallet."""
    takes, needs = _amounts(hits, plan)
    refusal = plan.refusal if lost or plan.refusal not in UNMET else Reason.NONE
    if not refusal and too_small(plan.budgets, needs):
        refusal = Reason.CAN_NEVER_FIT
    body = hold_body(plan, subject_text(hits.subject))
    charge = ChargeAsk(plan, take_id, "taken", *takes[:3], "", body, KEEP_MS)
    return TakeAsk(charge, needs, refusal)


def _states(plan: Plan, values: Sequence[int], takes: Taken = NOTHING) -> list[BudgetState]:
    cells = iter(values)
    return [BudgetState(line, next(cells) + takes[line.slot], next(cells)) for line in plan.budgets]


def _passed(plan: Plan, charged: Charged, takes: Taken) -> Refusal | None:
    """What was passed by what is recorded, as it would have been refused before it."""
    if charged.suspended:
        return Refusal(Reason.TENANT_SUSPENDED, FIXED_MESSAGES[Reason.TENANT_SUSPENDED])
    before = list(charged.values)
    for i, line in enumerate(plan.budgets):
        before[2 * i] -= takes[line.slot]
    limits = [(line.unit, line.ceiling, line.rank) for line in plan.budgets]
    reason, binds = weigh(limits, before, takes)
    wallets, values = plan.wallets[-1:], before
    if not reason and charged.wallet:
        covered = sum(lot.amount for lot in charged.drawn)
        reason = Reason.INSUFFICIENT_FUNDS if covered < takes[SLOTS[wallets[0].unit]] else Reason.NONE
        values = [covered, 0, *before]
    if not reason:
        return None
    return explain_refusal(
        reason, binds, wallets=wallets if not binds else (), lines=plan.budgets, values=values,
        taken=takes, now_ms=charged.stamp.now_ms,
    )  # fmt: skip
