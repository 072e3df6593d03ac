"""Policies and plans, remembered while they hold."""

import time
from collections import OrderedDict
from fnmatch import fnmatchcase

from tallystick.core.errors import StoreUnavailable
from tallystick.core.matching import make_plan
from tallystick.core.plan import Plan
from tallystick.core.policy import Ladder, Policy, Unit
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.engine.estimates import Estimate
from tallystick.engine.readable import Reader
from tallystick.engine.rules import Rules
from tallystick.engine.suspensions import Suspensions
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import StoredPolicy
from tallystick.store.base import Store

MOST_TENANTS = 10_000
MOST_PLANS = 20_000
MOST_PLANS_OF_PROMPTS = 1_000
"""Of all tenants: prompts are as many as calls, and a plan of one serves a loop alone."""
OF_ROOM = (Reason.NONE, Reason.INSUFFICIENT_FUNDS)
"""Refusals that another model may escape; one that may not be called is not replaced."""
PRICES_HOLD_MS = 900_000
"""Prices are looked up again on every quarter of an hour."""
CONFIRMED_S = 1.0
"""How old what the store said of a policy may be, to tell by it who is calling."""


class Clock:
    """The store's clock, as far as we know it: ours, put right whenever the store objects."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000 + self._ahead_ms

    def put_right(self, store_now_ms: int) -> None:
        """Takes over the store's time."""
        self._ahead_ms += store_now_ms - self.now_ms()


class Planner:
    """Finds the plan of a call."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._rules: dict[str, Rules] = {}
        self._count = 0
        self._of_prompts: OrderedDict[object, Plan] = OrderedDict()
        """The least recently used first; those of a policy that was replaced go in time."""
        self.clock = Clock()
        self.suspensions = Suspensions(store)
        self._reader = Reader(store)
        metrics.policies_unreadable.set_function(lambda: len(self._reader.unreadable))
        metrics.plans_cached.set_function(lambda: self._count + len(self._of_prompts))

    @property
    def has_rules_for_itself(self) -> bool:
        """Whether a budget of any known policy lets calls through while the store is away."""
        return any(budget.store_away for rules in self._rules.values() for budget in rules.policy.budgets)

    def known(self, tenant: str) -> Rules | None:
        """The policy in force, as far as we know; a stale one makes the store object."""
        return self._rules.get(tenant)

    async def rules(self, tenant: str) -> Rules:
        """What is known, or else what the store has."""
        return self._rules.get(tenant) or await self.load(tenant)

    async def load(self, tenant: str) -> Rules:
        """Reads the policy in force from the store. A tenant without one gets an empty one."""
        return await self._keep(tenant, await self._store.policy(tenant))

    async def at(self, tenant: str, version: int) -> Rules:
        """What is known, if it is of this version, or else what the store has."""
        rules = await self.rules(tenant)
        return rules if rules.policy.version == version else await self.load(tenant)

    async def confirmed(self, tenant: str) -> Rules | None:
        """The policy that was in force within the last second, for callers who are yet to be known.

        A tenant without one has None, and leaves nothing here: anybody can make up names of tenants.
        While the store is away what is known counts; a Reserve meets the same store.

        Raises:
            StoreUnavailable: and the policy is not known.
        """
        rules, now_s = self._rules.get(tenant), time.monotonic()
        if rules is not None and rules.policy.version and now_s - rules.confirmed_s < CONFIRMED_S:
            return rules
        try:
            stored = await self._store.policy(tenant)
        except StoreUnavailable:
            if rules is None:
                raise
            return rules if rules.policy.version else None
        if stored is None:
            return None
        if rules is None or rules.policy.version != stored.version:
            return await self._keep(tenant, stored)
        rules.confirmed_s = now_s
        return rules

    async def _keep(self, tenant: str, stored: StoredPolicy | None) -> Rules:
        policy = await self._reader.read(tenant, stored) if stored else Policy(tenant)
        if len(self._rules) >= MOST_TENANTS:
            self._rules.clear()
            self._count = 0
        if replaced := self._rules.get(tenant):
            self._count -= len(replaced.plans)
        rules = self._rules[tenant] = Rules(policy, self.clock.now_ms)
        return rules

    async def again(self, tenant: str, now_ms: int, version: int) -> Rules:
        """Takes over what the store said: its time, and the version in force."""
        self.clock.put_right(now_ms)
        return await self.at(tenant, version)

    def plan(self, rules: Rules, subject: Subject, estimate: Estimate) -> Plan:
        """The plan of a call, made anew where none is remembered that still holds."""
        model, provider, usage, _, tier, media, _ = estimate
        said = estimate.said if usage is None else None
        key = (rules.values(subject), model, provider, said, tier, media)
        now_ms = self.clock.now_ms()
        plan = rules.plans.get(key)
        if plan is not None and plan.valid_from_ms <= now_ms < plan.valid_until_ms:
            self._metrics.plan_hits.inc()
            return plan
        if rules.by_prompt and subject.prompt:
            return self._plan_of_prompt(rules, key, subject, estimate, now_ms)
        plan = self._make(rules, subject, estimate, now_ms)
        self._remember(rules, key, plan)
        return plan

    def _plan_of_prompt(
        self, rules: Rules, key: object, subject: Subject, estimate: Estimate, now_ms: int
    ) -> Plan:
        of_prompts, key = self._of_prompts, (rules.policy.tenant, rules.policy.version, key)
        plan = of_prompts.pop(key, None)
        if plan is not None and plan.valid_from_ms <= now_ms < plan.valid_until_ms:
            self._metrics.plan_hits.inc()
        else:
            plan = self._make(rules, subject, estimate, now_ms)
        of_prompts[key] = plan
        if len(of_prompts) > MOST_PLANS_OF_PROMPTS:
            of_prompts.popitem(last=False)
        return plan

    def _make(self, rules: Rules, subject: Subject, estimate: Estimate, now_ms: int) -> Plan:
        model, provider, usage, _, tier, media, _ = estimate
        said = estimate.said if usage is None else None
        self._metrics.plan_misses.inc()
        price = rules.prices.resolve(model, provider, tier=tier, media=media) if model else None
        plan = make_plan(rules.policy, subject, model, provider, price, said=said, now_ms=now_ms)
        if price:
            until_ms = now_ms - now_ms % PRICES_HOLD_MS + PRICES_HOLD_MS
            plan.valid_until_ms = min(plan.valid_until_ms, until_ms)
        if usage is not None and price and not price.free and plan.refusal in OF_ROOM:
            _climb(plan, self._rungs(rules, subject, estimate))
        return plan

    def _rungs(self, rules: Rules, subject: Subject, estimate: Estimate) -> tuple[Ladder | None, list[Plan]]:
        """The plans of the models to use instead; one that may not be called or has no price is none."""
        ladder = next((x for x in rules.policy.ladders if fnmatchcase(estimate.model, x.model)), None)
        plans = []
        for model in ladder.to if ladder else ():
            provider = estimate.provider
            price = rules.prices.resolve(model, provider, tier=estimate.tier, media=estimate.media)
            if price is None:
                provider = ""
                price = rules.prices.resolve(model, "", tier=estimate.tier, media=estimate.media)
            if price and model != estimate.model:
                plan = make_plan(
                    rules.policy, subject, model, provider, price,
                    said=None, now_ms=self.clock.now_ms(), asked_model=estimate.model,
                )  # fmt: skip
                if not plan.refusal or plan.refusal > Reason.CAN_NEVER_FIT:
                    plans.append(plan)
        return ladder, plans

    def _remember(self, rules: Rules, key: object, plan: Plan) -> None:
        if self._count >= MOST_PLANS:
            for each in self._rules.values():
                each.plans.clear()
            self._count = 0
        if key not in rules.plans:
            self._count += 1
        rules.plans[key] = plan


def _climb(plan: Plan, found: tuple[Ladder | None, list[Plan]]) -> None:
    """Gives a plan its rungs; it holds as long as all of them."""
    ladder, rungs = found
    if ladder is None or not rungs:
        return
    plan.rungs = tuple(rungs)
    plan.valid_from_ms = max(each.valid_from_ms for each in (plan, *rungs))
    plan.valid_until_ms = min(each.valid_until_ms for each in (plan, *rungs))
    if ladder.at < 100:
        plan.soft = tuple(
            line.ceiling * ladder.at // 100 if line.unit in (Unit.NANO_USD, Unit.TOKENS) else line.ceiling
            for line in plan.budgets
        )
