"""What a refused caller can do: a cheaper model, a shorter answer, a later time, more funds."""

from collections.abc import Mapping, Sequence
from shlex import quote
from urllib.parse import unquote

from tallystick.core.decision import Advice, too_small
from tallystick.core.errors import InvalidArgument
from tallystick.core.plan import Plan, Taken
from tallystick.core.policy import Policy
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.core.weigh import decide
from tallystick.engine.estimates import Estimate, cost_of
from tallystick.engine.planner import Planner
from tallystick.engine.rules import Rules
from tallystick.store.asks import Refused

MOST_MODELS = 8
"""How many models are looked at for one refusal."""
OF_ROOM = frozenset(
    {Reason.CAN_NEVER_FIT, Reason.RATE_LIMITED, Reason.BUDGET_EXHAUSTED, Reason.INSUFFICIENT_FUNDS}
)
"""Refusals that a smaller call may escape."""


class Adviser:
    """Works out advice from what the store said: nothing is asked anew."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    def advise(
        self, rules: Rules, subject: Subject, estimate: Estimate, plan: Plan, refused: Refused
    ) -> Advice:
        """What would be allowed now instead of this call."""
        first = 2 * len(plan.wallets)
        funds, values = refused.values[:first], refused.values[first:]
        more = _more(plan, refused, Taken(*cost_of(estimate, plan.price)))
        if refused.reason not in OF_ROOM or estimate.usage is None:
            return Advice(more=more)
        known = {line.counter: values[2 * i : 2 * i + 2] for i, line in enumerate(plan.budgets)}
        names = [name for name in models_of(rules.policy) if name != plan.model]
        others = [self._planner.plan(rules, subject, estimate._replace(model=name)) for name in names]
        model = _cheaper(plan, others, estimate, known, funds)
        return Advice(model, _longest(plan, estimate, values, funds), more=more)


def _cheaper(
    plan: Plan,
    others: Sequence[Plan],
    estimate: Estimate,
    known: Mapping[str, list[int]],
    funds: list[int],
) -> str:
    """The dearest model that is cheaper than the one asked for, and fits."""
    asked, best, model = cost_of(estimate, plan.price).nano_usd, -1, ""
    for other in others:
        try:
            cost = cost_of(estimate, other.price)
        except InvalidArgument:  # so dear that the amount is none
            continue
        if best < cost.nano_usd < asked and all(line.counter in known for line in other.budgets):
            values = [value for line in other.budgets for value in known[line.counter]]
            if _fits(other, values, funds, Taken(*cost)):
                best, model = cost.nano_usd, other.model
    return model


def models_of(policy: Policy) -> list[str]:
    """The models that a policy names exactly, the ladders' first; at most `MOST_MODELS`."""
    names = [name for ladder in policy.ladders for name in ladder.to]
    names += [name for name, _ in policy.prices.models]
    exact = [name for name in dict.fromkeys(names) if "*" not in name and "?" not in name]
    return exact[:MOST_MODELS]


def _fits(plan: Plan, values: list[int], funds: list[int], taken: Taken) -> bool:
    refusal = plan.refuses(taken.nano_usd, taken.tokens)
    return not decide(plan, refusal, values, taken, funds=funds)[0]


def _longest(plan: Plan, estimate: Estimate, values: list[int], funds: list[int]) -> int:
    """The largest answer that fits, shorter than what was asked for; 0: none does."""
    usage = estimate.usage
    if usage is None:
        return 0

    def fits(output: int) -> bool:
        cost = cost_of(estimate._replace(usage=usage._replace(output=output)), plan.price)
        return _fits(plan, values, funds, Taken(*cost))

    low, high = 0, usage.output
    while high - low > 1:  # `low` fits or is 0, `high` does not
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _more(plan: Plan, refused: Refused, taken: Taken) -> str:
    """Whom to ask."""
    binds = refused.binds
    if refused.reason is Reason.CAN_NEVER_FIT:
        binds = too_small(plan.budgets, taken)
    if binds:
        line = plan.budgets[binds - 1]
        return f"ask for a higher limit of budget {line.name} in the policy of tenant {plan.tenant}"
    if refused.reason is Reason.INSUFFICIENT_FUNDS and plan.wallets:
        wallet = plan.wallets[-1]
        group = [unquote(pair) for pair in wallet.counter.split(":")[3].split(",") if pair]
        words = "".join(f" --group {quote(pair)}" for pair in group)
        return f"ask for funds: tallystick wallet credit {plan.tenant} {wallet.name} AMOUNT{words}"
    if refused.reason is Reason.TENANT_SUSPENDED:
        return f"ask an administrator for: tallystick tenant resume {plan.tenant}"
    if refused.reason is Reason.MODEL_NOT_ALLOWED:
        return f"ask for the model to be let through by `models` in the policy of tenant {plan.tenant}"
    if refused.reason is Reason.PRICE_UNKNOWN:
        return f"ask for a price of the model in `prices` of the policy of tenant {plan.tenant}"
    return ""
