"""Why a call would be decided as it would: every wallet and budget, in the order considered."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from tallystick.core.decision import (
    Advice,
    BudgetState,
    Downgrade,
    Refusal,
    WalletState,
    explain_downgrade,
    explain_refusal,
    too_small,
)
from tallystick.core.plan import SLOTS, Plan, Taken
from tallystick.core.reasons import Reason
from tallystick.core.weigh import decide
from tallystick.store.asks import Counters, Refused, Try


class Step(NamedTuple):
    """A wallet or budget that was considered for a model."""

    model: str
    state: BudgetState | WalletState
    takes: int
    """In its unit."""
    fits: bool
    binds: bool
    """It refuses the model, or it is the wallet that pays."""


class Explanation(NamedTuple):
    """What a Reserve would be told."""

    model: str
    nano_usd: int
    tokens: int
    refusal: Refusal | None
    downgrade: Downgrade | None
    steps: list[Step]
    policy_version: int
    advice: Advice | None = None


def funds_of(plan: Plan, counters: Counters) -> list[WalletState]:
    """The wallets of a plan with what their period grants, granted or not."""
    found = []
    for line, account in zip(plan.wallets, counters.accounts, strict=True):
        if line.grant:
            account.renew(line.grant, counters.stamp.now_ms)
        found.append(WalletState.of(line, account))
    return found


def explain(
    plan: Plan, tries: Sequence[Try], states: Sequence[Counters]
) -> tuple[Explanation, Refused | None]:
    """Weighs each try as the store would. `states`: of each plan among them, in order."""
    of_plan = dict(zip(dict.fromkeys(each.plan for each in tries), states, strict=True))
    wallets = funds_of(plan, of_plan[plan])
    funds = [amount for wallet in wallets for amount in (wallet.balance, wallet.held)]
    steps: list[Step] = []
    refusals: list[tuple[Reason, int]] = []
    told = 0 if tries[0].soft is None else len(tries) - 1
    for each in tries:
        weighed, values, taken = each, of_plan[each.plan].values, Taken(each.nano_usd, each.tokens)
        refusal = Reason.TENANT_SUSPENDED if of_plan[plan].suspended else each.refusal
        reason, binds, payer = decide(each.plan, refusal, values, taken, funds=funds, soft=each.soft)
        if binds and each.soft is None and any(of_plan[each.plan].parts):
            weighed = _raised(each, of_plan[each.plan])
            reason, binds, payer = decide(each.plan, refusal, values, taken, funds=funds, soft=weighed.soft)
        steps += _steps(weighed, values, wallets, (reason, binds, payer))
        if not reason:
            downgrade = _downgrade(plan, each, refusals)
            version = plan.policy_version
            return (
                Explanation(each.plan.model, each.nano_usd, each.tokens, None, downgrade, steps, version),
                None,
            )
        refusals.append((reason, binds))
    reason, binds = refusals[told]
    each = tries[told]
    refused = Refused(of_plan[plan].stamp, reason, binds, funds + of_plan[plan].values, told + 1)
    return Explanation(
        plan.model, each.nano_usd, each.tokens, None, None, steps, plan.policy_version
    ), refused


def refusal_of(plan: Plan, refused: Refused, taken: Taken, room_ms: int) -> Refusal:
    """Why not. `room_ms`: when what binds has room by time alone; 0: never, or see its window."""
    return explain_refusal(
        refused.reason, refused.binds, wallets=plan.wallets, lines=plan.budgets,
        values=refused.values, taken=taken, now_ms=refused.stamp.now_ms, room_ms=room_ms,
    )  # fmt: skip


def _raised(each: Try, counters: Counters) -> Try:
    """The same, weighed against what approved tickets add to the ceilings."""
    lines = zip(each.plan.budgets, counters.parts, strict=True)
    return each._replace(soft=tuple(line.ceiling + more for line, more in lines))


def _steps(
    each: Try, values: Sequence[int], wallets: Sequence[WalletState], decided: tuple[Reason, int, int]
) -> list[Step]:
    reason, binds, payer = decided
    taken, model, steps = Taken(each.nano_usd, each.tokens), each.plan.model, []
    if reason is Reason.CAN_NEVER_FIT:
        binds = too_small(each.plan.budgets, taken)
    ceilings = each.soft or [line.ceiling for line in each.plan.budgets]
    for i, (line, ceiling) in enumerate(zip(each.plan.budgets, ceilings, strict=True)):
        spent, held, takes = values[2 * i], values[2 * i + 1], taken[line.slot]
        fits = not line.rank or not takes or spent + held + takes <= ceiling
        state = BudgetState(replace(line, ceiling=ceiling), spent, held)
        steps.append(Step(model, state, takes, fits, binds == i + 1))
    for i, wallet in enumerate(wallets if each.plan.wallets else ()):
        takes = taken[SLOTS[wallet.unit]]
        fits = not takes or takes <= wallet.available
        lacks = reason is Reason.INSUFFICIENT_FUNDS and not binds and i == len(wallets) - 1
        steps.append(Step(model, wallet, takes, fits, lacks or payer == i + 1))
    return steps


def _downgrade(plan: Plan, chosen: Try, refusals: Sequence[tuple[Reason, int]]) -> Downgrade | None:
    if chosen.plan is plan:
        return None
    reason, binds = refusals[0]
    line = plan.budgets[binds - 1] if binds else None
    return explain_downgrade(plan.model, reason, line.name if line else "", line.group if line else "")
