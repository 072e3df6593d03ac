"""The decision itself: a pure function of limits and counters. The scripts mirror it."""

from collections.abc import Sequence

from tallystick.core.plan import SLOTS, Plan, Taken
from tallystick.core.policy import Unit
from tallystick.core.reasons import Reason


def decide(
    plan: Plan,
    refusal: Reason,
    values: Sequence[int],
    taken: Taken,
    *,
    funds: Sequence[int],
    soft: Sequence[int] | None = None,
) -> tuple[Reason, int, int]:
    """The reason and budget that refuse, or the wallet that pays.

    `values`: spent and held of each budget. `funds`: balance and held of each wallet, of
    which a free model needs none. `soft`: weighed against instead of the ceilings.
    """
    if refusal not in (Reason.NONE, Reason.INSUFFICIENT_FUNDS):
        return refusal, 0, 0
    ceilings = soft or [line.ceiling for line in plan.budgets]
    limits = [(line.unit, ceiling, line.rank) for line, ceiling in zip(plan.budgets, ceilings, strict=True)]
    reason, binds = weigh(limits, values, taken)
    if reason or refusal:
        return reason or refusal, binds, 0
    for i, wallet in enumerate(plan.wallets):
        amount = taken[SLOTS[wallet.unit]]
        if not amount or funds[2 * i + 1] + amount <= funds[2 * i]:
            return Reason.NONE, 0, i + 1
    return (Reason.INSUFFICIENT_FUNDS if plan.wallets else Reason.NONE), 0, 0


def thresholds_passed(limit: int, alerts: Sequence[int], used: int) -> list[int]:
    """The thresholds, in percent of the limit, that this use has reached."""
    return [percent for percent in alerts if used * 100 >= limit * percent]


def weigh(
    limits: Sequence[tuple[Unit, int, Reason]], values: Sequence[int], taken: Taken
) -> tuple[Reason, int]:
    """The budget whose reason comes first, from 1; among equals the first in the policy."""
    worst, binds = Reason.NONE, 0
    for i, (unit, limit, rank) in enumerate(limits):
        amount = taken[SLOTS[unit]]
        over = values[2 * i] + values[2 * i + 1] + amount > limit
        if rank and amount and over and (not worst or rank < worst):
            worst, binds = rank, i + 1
    return worst, binds
