"""Costs that nothing was held for: charged whatever is left, since they are true."""

import time
from collections.abc import Callable

from tallystick.core.errors import InvalidArgument, StoreUnavailable
from tallystick.core.hold import hold_body
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.plan import Plan
from tallystick.core.subject import subject_text
from tallystick.core.usage import Usage
from tallystick.engine.calls import ChargeCall, Cost
from tallystick.engine.estimates import Estimate, cost_of
from tallystick.engine.planner import Planner
from tallystick.engine.rules import Rules
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import ChargeAsk, Charged
from tallystick.store.base import Store

MOST_TRIES = 100
"""How often one charge is planned again: each time the store had news."""


class Charging:
    """Charges without a hold. `check_ready` raises while the sidecar is starting."""

    def __init__(
        self, store: Store, planner: Planner, metrics: Metrics, check_ready: Callable[[], None]
    ) -> None:
        self._store = store
        self._planner = planner
        self._metrics = metrics
        self._seconds = metrics.store("charge")
        self._check_ready = check_ready

    async def rules(self, tenant: str) -> Rules:
        """The policy in force, as far as we know."""
        self._check_ready()
        return await self._planner.rules(tenant)

    async def charge(self, call: ChargeCall) -> Charged:
        """Charges what was really spent.

        Raises:
            InvalidArgument: the model has no price, or the cost is more than an amount can be.
            IdMismatch, StoreUnavailable.
        """
        return (await self.charge_by_plan(call))[1]

    async def charge_by_plan(self, call: ChargeCall) -> tuple[Plan, Charged]:
        """The same, with the plan that it followed."""
        rules = await self.rules(call.tenant)
        usage, cost = (call.used, None) if isinstance(call.used, Usage) else (None, call.used)
        estimate = Estimate(call.model, call.provider, usage, cost)
        for _ in range(MOST_TRIES):
            plan = self._planner.plan(rules, call.subject, estimate)
            nano_usd, tokens = _charged_for(plan, estimate)
            ask = ChargeAsk(
                plan,
                call.charge_id,
                call.content,
                nano_usd,
                tokens,
                call.requests,
                usage.text if usage else "",
                hold_body(plan, subject_text(call.subject)),
                call.keep_ms,
            )
            started = time.perf_counter()
            reply = await self._store.charge(ask)
            self._seconds.observe(time.perf_counter() - started)
            if isinstance(reply, Charged):
                self._metrics.charges.inc(reply.changed)
                return plan, reply
            rules = await self._planner.again(call.tenant, reply.now_ms, reply.policy_version)
        raise StoreUnavailable("the policy changes all the time; ask again")


def _charged_for(plan: Plan, estimate: Estimate) -> Cost:
    """The true cost, rounded half-even. A refusal of the policy changes nothing: it was spent."""
    if estimate.usage is None:
        return cost_of(estimate, plan.price)
    if plan.price is None:
        raise InvalidArgument(
            "model", "expected one with a price: declare it in the policy's prices, or a ceiling"
        )
    cost = Cost(plan.price.charge_nano_usd(estimate.usage), estimate.usage.total)
    if max(cost) > MAX_AMOUNT:
        raise InvalidArgument("used", "expected at most 2^63 - 1 nano-dollars and tokens")
    return cost
