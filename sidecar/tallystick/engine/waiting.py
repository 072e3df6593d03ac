"""When time alone makes room: windows end, sub-buckets leave, grants come."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from tallystick.core.counters import bucket_of, rolling_ms
from tallystick.core.lots import Account
from tallystick.core.matching import grant_line
from tallystick.core.plan import SLOTS, BudgetLine, Plan, Taken
from tallystick.core.policy import Grant, Policy
from tallystick.core.reasons import Reason
from tallystick.store.asks import Counters, Refused
from tallystick.store.base import Store

NEVER = 0


class Room(NamedTuple):
    """When there is room by time alone, if holds stay as they are: Unix ms, or `NEVER`."""

    binding_ms: int = NEVER
    """In the budget that binds, or in a wallet."""
    call_ms: int = NEVER
    """For the whole call: in every budget, and in a wallet."""


async def look_ahead(store: Store, policy: Policy, plan: Plan, refused: Refused, taken: Taken) -> Room:
    """Finds out when a call that was refused would fit.

    The store is asked only for what the refusal does not tell: sub-buckets of rolling windows,
    and lots.

    Raises:
        StoreUnavailable.
    """
    no_grant = not any(line.grant for line in plan.wallets)
    if refused.reason <= Reason.CAN_NEVER_FIT or (refused.reason is Reason.INSUFFICIENT_FUNDS and no_grant):
        return Room()
    values, now_ms = refused.values[2 * len(plan.wallets) :], refused.stamp.now_ms
    full = [i for i, over in enumerate(_over(plan, values, taken)) if over > 0]
    rolling = [i for i in full if rolling_ms(plan.budgets[i].end)]
    mends = all(plan.budgets[i].end_ms or i in rolling for i in full)
    if not rolling and not (mends and plan.wallets):
        ends = {i: plan.budgets[i].end_ms for i in full}
        return Room(ends.get(refused.binds - 1, NEVER), max(ends.values(), default=NEVER) if mends else NEVER)
    parts = [_parts(plan.budgets[i], now_ms) for i in rolling]
    reply = await store.balance(plan, [name for each in parts for name in each])
    if not isinstance(reply, Counters):
        return Room(binding_ms=now_ms)  # the policy or a window has changed meanwhile
    amounts = iter(reply.parts)
    spent = {
        i: {leaves: next(amounts) for leaves in each.values()} for i, each in zip(rolling, parts, strict=True)
    }
    times = _times(plan, reply, taken, spent)
    binding_ms = times[refused.binds - 1] if refused.binds else NEVER
    if NEVER in times:
        return Room(binding_ms)
    at_ms = max(times, default=reply.stamp.now_ms)
    call_ms = _paid_at(policy, plan, reply.accounts, taken, at_ms) if plan.wallets else at_ms
    return Room(binding_ms if refused.binds else call_ms, call_ms)


def _over(plan: Plan, values: Sequence[int], taken: Taken) -> list[int]:
    """By how much each budget has too little room."""
    return [
        values[2 * i] + values[2 * i + 1] + taken[line.slot] - line.ceiling
        if line.rank and taken[line.slot]
        else 0
        for i, line in enumerate(plan.budgets)
    ]


def _parts(line: BudgetLine, now_ms: int) -> dict[str, int]:
    """The sub-buckets that are in a rolling window, the oldest first, and when each leaves it."""
    rolls = rolling_ms(line.end)
    assert rolls
    length_ms, bucket_ms = rolls
    numbers = range((now_ms - length_ms) // bucket_ms, now_ms // bucket_ms + 1)
    buckets = [bucket_of(line.end, number * bucket_ms) for number in numbers]
    return {f"{line.counter}:s@{each.number}": each.leaves_ms for each in buckets if each}


def _times(plan: Plan, counters: Counters, taken: Taken, spent: Mapping[int, Mapping[int, int]]) -> list[int]:
    """When each budget has room. `spent`: of rolling windows, what leaves when."""
    times = []
    for i, over in enumerate(_over(plan, counters.values, taken)):
        if over <= 0:
            times.append(counters.stamp.now_ms)
        elif i in spent:
            times.append(_left_by(spent[i], over))
        else:
            times.append(plan.budgets[i].end_ms)
    return times


def _left_by(spent: Mapping[int, int], over: int) -> int:
    """When so much has left; `NEVER`, where what is held stands in the way."""
    for leaves_ms, amount in spent.items():
        over -= amount
        if over <= 0:
            return leaves_ms
    return NEVER


def _paid_at(policy: Policy, plan: Plan, accounts: Sequence[Account], taken: Taken, at_ms: int) -> int:
    """When a wallet can pay: from `at_ms` on, or once its next grant has come."""
    grants = {wallet.name: wallet.grant for wallet in policy.wallets}
    found = []
    for line, account in zip(plan.wallets, accounts, strict=True):
        grant, takes = grants[line.name], taken[SLOTS[line.unit]]
        if _pays(account, grant, takes, at_ms):
            return at_ms
        current = grant_line(grant, at_ms)
        if current and _pays(account, grant, takes, current.expires_ms):
            found.append(current.expires_ms)
    return min(found, default=NEVER)


def _pays(account: Account, grant: Grant | None, takes: int, at_ms: int) -> bool:
    """Whether the wallet can pay then."""
    then, line = replace(account, lots=list(account.lots)), grant_line(grant, at_ms)
    then.lapse(at_ms)
    if line:
        then.renew(line, at_ms)
    return not takes or takes <= then.available
