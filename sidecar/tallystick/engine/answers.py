"""From the store's replies to what callers are told."""

from dataclasses import replace
from typing import NamedTuple

from tallystick.core.counters import parse_counter
from tallystick.core.decision import (
    BudgetState,
    Decision,
    Downgrade,
    WalletState,
    explain_downgrade,
    explain_refusal,
    lines_of,
)
from tallystick.core.hold import Hold, seal, tally_record
from tallystick.core.plan import SLOTS, Plan, Taken, WalletLine
from tallystick.core.reasons import Reason
from tallystick.core.usage import Usage
from tallystick.engine.explaining import funds_of, refusal_of
from tallystick.store.asks import Counters, ExtendAsk, Held, Refused, ReserveAsk


class Balance(NamedTuple):
    """What a subject's next call would meet."""

    wallets: list[WalletState]
    budgets: list[BudgetState]
    policy_version: int
    now_ms: int
    suspended: bool
    """Whether the tenant is: then nothing is allowed, whatever there is."""


class Extension(NamedTuple):
    """A longer hold, with its new tally."""

    tally: bytes
    expires_ms: int
    nano_usd: int
    tokens: int


def allow(key: bytes, plan: Plan, ask: ReserveAsk, held: Held, usage: Usage | None) -> Decision:
    """An ALLOW, with its tally sealed; `usage`: the tokens it was held for."""
    chosen = ask.tries[held.tried - 1]
    wallet = plan.wallets[held.payer - 1] if held.payer else None
    record = tally_record(
        content=ask.content,
        reserved_ms=held.stamp.now_ms,
        wallet=f'"{wallet.counter}","{wallet.unit}"' if wallet else '"",""',
        nano_usd=chosen.nano_usd,
        tokens=chosen.tokens,
        expires_ms=held.expires_ms,
        body=chosen.body,
    )
    used = chosen.plan
    plan.remembered["payer"] = held.payer
    return Decision(
        reservation_id=ask.reservation_id,
        model=used.model,
        price_version=used.price.version if used.price else "",
        nano_usd=chosen.nano_usd,
        tokens=chosen.tokens,
        lines=used.budgets,
        values=held.values[2 * len(plan.wallets) :],
        wallet=wallet,
        tally=seal(key, plan.tenant, ask.reservation_id, record),
        expires_ms=held.expires_ms,
        downgrade=None if used is plan else _downgrade(plan, held),
        now_ms=held.stamp.now_ms,
        plan=used,
        estimated=usage,
    )


def _downgrade(plan: Plan, held: Held) -> Downgrade:
    line = plan.budgets[held.binds - 1] if held.binds else None
    budget, group = (line.name, line.group) if line else ("", "")
    return explain_downgrade(plan.model, held.reason, budget, group)


def repeat(key: bytes, plan: Plan, reservation_id: str, hold: Hold, usage: Usage | None) -> Decision:
    """The answer that was given before."""
    content, reserved_ms, counter, unit, nano_usd, tokens, expires_ms, *told = hold.answered
    reason, bound, seen = told or (0, "", "")  # a tally does not tell: the store had lost it
    wallet, downgrade = None, None
    if counter:
        name, group, wallet_unit = parse_counter(counter)
        wallet = WalletLine(name, group, wallet_unit, counter)
    if told and hold.asked_model != hold.model:
        budget, group = parse_counter(bound)[:2] if bound else ("", "")
        downgrade = explain_downgrade(hold.asked_model, Reason(reason), budget, group)
    record = tally_record(
        content=content,
        reserved_ms=reserved_ms,
        wallet=f'"{counter}","{unit}"',
        nano_usd=int(nano_usd),
        tokens=int(tokens),
        expires_ms=expires_ms,
        body=hold.body,
    )
    return Decision(
        reservation_id=reservation_id,
        model=hold.model,
        price_version=hold.price.version if hold.price else "",
        nano_usd=int(nano_usd),
        tokens=int(tokens),
        lines=lines_of(hold) if told else (),
        values=[int(value) for value in seen.split()],
        wallet=wallet,
        tally=seal(key, plan.tenant, reservation_id, record),
        expires_ms=expires_ms,
        downgrade=downgrade,
        now_ms=reserved_ms,
        estimated=usage,
    )


def deny(plan: Plan, ask: ReserveAsk, refused: Refused, room_ms: int) -> Decision:
    """A DENY, with what binds. `room_ms`: when that has room by time alone; 0: never, or see its window."""
    told = ask.tries[refused.tried - 1]
    return Decision(
        reservation_id=ask.reservation_id,
        model=plan.model,
        price_version=plan.price.version if plan.price else "",
        nano_usd=told.nano_usd,
        tokens=told.tokens,
        lines=plan.budgets,
        values=refused.values[2 * len(plan.wallets) :],
        refusal=refusal_of(plan, refused, Taken(told.nano_usd, told.tokens), room_ms),
        now_ms=refused.stamp.now_ms,
        bound=plan.budgets[refused.binds - 1] if refused.binds else None,
        plan=plan,
    )


def weigh_up(plan: Plan, counters: Counters) -> Balance:
    """The cascade and the budgets, as they stand; with what the wallets' period grants."""
    values = iter(counters.values)
    budgets = [BudgetState(line, next(values), next(values)) for line in plan.budgets]
    now_ms, suspended = counters.stamp.now_ms, counters.suspended
    return Balance(funds_of(plan, counters), budgets, plan.policy_version, now_ms, suspended)


def _never_fits(hold: Hold, ask: ExtendAsk) -> bool:
    """Whether the hold with what is added is larger than a whole limit."""
    taken = Taken(hold.nano_usd + ask.nano_usd, hold.tokens + ask.tokens)
    lines = zip(hold.budgets, ask.limits, strict=True)
    return bool(ask.extension_id) and any(
        rank is not Reason.NONE and SLOTS[line.unit] < 2 and taken[SLOTS[line.unit]] > limit
        for line, (limit, rank) in lines
    )


def deny_more(hold: Hold, ask: ExtendAsk, refused: Refused) -> Decision:
    """The refusal of an extension; the hold stays as it was."""
    if refused.reason is not Reason.TENANT_SUSPENDED and _never_fits(hold, ask):
        refused = refused._replace(reason=Reason.CAN_NEVER_FIT, binds=0)
    # It counts in the windows of the Reserve: their end gives no room.
    lines = [
        replace(line, ceiling=ceiling, end_ms=0)
        for line, (ceiling, _) in zip(lines_of(hold), ask.limits, strict=True)
    ]
    wallets = []
    if hold.wallet:
        counter, _ = hold.wallet
        wallets = [WalletLine(*parse_counter(counter), counter)]
    first = 2 * len(lines)
    values = refused.values[first:] + refused.values[:first]
    never = refused.reason is Reason.CAN_NEVER_FIT
    before = (hold.nano_usd, hold.tokens) if never else (0, 0)
    taken = Taken(before[0] + ask.nano_usd, before[1] + ask.tokens)
    refusal = explain_refusal(
        refused.reason,
        refused.binds,
        wallets=wallets,
        lines=lines,
        values=values,
        taken=taken,
        now_ms=refused.stamp.now_ms,
    )
    return Decision(
        ask.reservation_id,
        hold.model,
        "",
        hold.nano_usd,
        hold.tokens,
        lines,
        refused.values[:first],
        refusal=refusal,
        now_ms=refused.stamp.now_ms,
    )
