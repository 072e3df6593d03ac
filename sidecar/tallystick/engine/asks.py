"""From plans to what the store is asked."""

from tallystick.core.counters import parse_counter
from tallystick.core.errors import InvalidArgument
from tallystick.core.hold import Hold, hold_body
from tallystick.core.matching import ceiling_of
from tallystick.core.plan import Plan
from tallystick.core.policy import Policy
from tallystick.core.reasons import Reason
from tallystick.core.subject import value_in
from tallystick.engine.calls import Cost
from tallystick.engine.estimates import Estimate, cost_of
from tallystick.store.asks import Try


def tries_of(plan: Plan, estimate: Estimate, about: str) -> tuple[Try, ...]:
    """The models to try, in order: the one that was asked for, and those to use instead.

    Where the first is weighed against lower limits, it comes again at the end as it is.
    """
    cost = cost_of(estimate, plan.price)
    refusal = plan.refuses(cost.nano_usd, cost.tokens)
    first = Try(plan, cost.nano_usd, cost.tokens, refusal, hold_body(plan, about), plan.soft)
    if not plan.rungs:
        return (first,)
    tries = [first]
    for rung in plan.rungs:
        try:
            cost = cost_of(estimate, rung.price)
            refusal = rung.refuses(cost.nano_usd, cost.tokens)
        except InvalidArgument:  # more than an amount can be
            cost, refusal = Cost(0, 0), Reason.CAN_NEVER_FIT
        tries.append(Try(rung, cost.nano_usd, cost.tokens, refusal, hold_body(rung, about)))
    if plan.soft is not None:
        tries.append(first._replace(soft=None))
    return tuple(tries)


def limits_of(hold: Hold, policy: Policy) -> tuple[tuple[int, Reason], ...]:
    """The ceilings in force for a hold's budgets; those that the policy dropped refuse no more."""
    now = {budget.name: budget for budget in policy.budgets}
    limits = []
    for line in hold.budgets:
        budget = now.get(parse_counter(line.counter)[0])
        if budget is None:
            limits.append((line.ceiling, Reason.NONE))
        else:
            limits.append((ceiling_of(budget, value_in(hold.subject, "priority")), line.rank))
    return tuple(limits)
