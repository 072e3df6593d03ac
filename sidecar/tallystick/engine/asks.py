"""From plans to what the store is asked."""

from tallystick.core.counters import parse_counter
from tallystick.core.errors import InvalidArgument
from tallystick.core.hold import Hold, hold_body
from tallystick.core.matching import ceiling_of
from tallystick.core.plan import Plan
from tallystick.core.policy import Policy
from tallystick.core.reasons import Reason
from tallystick.core.subject import value_in
from tallystick.engine.calls import Cost, ExtendCall
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


def more_of(call: ExtendCall, hold: Hold) -> tuple[str, int, int]:
    """The id of an extension, and the nano-dollars and tokens that it adds; no id where it adds none."""
    price = hold.price
    if call.used is None:
        nano_usd, tokens = call.more or (0, 0)
        return call.extension_id if call.more else "", 0 if price and price.free else nano_usd, tokens
    nano_usd = max(0, price.hold_nano_usd(call.used) - hold.nano_usd) if price and not price.free else 0
    tokens = max(0, call.used.total - hold.tokens)
    # The same report, told twice, adds once: the second time nothing is missing, or the id is the same.
    return f"grown-{call.used.total}" if nano_usd or tokens else "", nano_usd, tokens
