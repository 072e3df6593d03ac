"""How the in-memory store weighs a call's models and holds the first that fits."""

from typing import NamedTuple

from tallystick.core.hold import Hold, State
from tallystick.core.ledger import by_unit
from tallystick.core.lots import Account
from tallystick.core.packing import compact
from tallystick.core.plan import SLOTS, Plan, Taken, WalletLine
from tallystick.core.reasons import Reason
from tallystick.core.weigh import decide, weigh
from tallystick.store.asks import ExtendAsk, Held, Refused, ReserveAsk, Try
from tallystick.store.memory_partition import Partition
from tallystick.store.memory_ticket_ends import raised


class Opened(NamedTuple):
    """A wallet with what its period grants; that is kept once the wallet pays."""

    line: WalletLine
    account: Account
    came: int
    lapsed: int


def open_wallet(p: Partition, line: WalletLine, account: Account | None = None) -> Opened:
    """Reads a wallet and renews its grant; nothing is written."""
    account = account or p.account(line.counter)
    came, lapsed = account.renew(line.grant, p.now_ms) if line.grant else (0, 0)
    return Opened(line, account, came, lapsed)


def reserve(p: Partition, plan: Plan, ask: ReserveAsk, *, all_ended: bool) -> Held | Refused:
    """Tries the models in order. Allowances count once `all_ended`, what is due: theirs may be."""
    wallets = [open_wallet(p, line) for line in plan.wallets]
    funds = [amount for each in wallets for amount in (each.account.balance, each.account.held)]
    refusals: list[tuple[Reason, int]] = []
    for k, each in enumerate(ask.tries, 1):
        taken, values = Taken(each.nano_usd, each.tokens), p.values(each.plan.budgets)
        refusal = Reason.TENANT_SUSPENDED if p.suspended(plan.tenant) else each.refusal
        reason, binds, payer = decide(each.plan, refusal, values, taken, funds=funds, soft=each.soft)
        if binds and plan.asks and all_ended and each.soft is None:
            limits = raised(p, each.plan.budgets)
            reason, binds, payer = decide(each.plan, refusal, values, taken, funds=funds, soft=limits)
        if reason:
            refusals.append((reason, binds))
            continue
        why, binds = refusals[0] if refusals else (Reason.NONE, 0)
        bound = ask.tries[0].plan.budgets[binds - 1].counter if binds else ""
        _hold(p, ask, each, wallets[payer - 1] if payer else None, [int(why), bound])
        return Held(p.stamp(), payer, p.now_ms + ask.ttl_ms, funds + values, k, why, binds)
    told = 1 if ask.tries[0].soft is None else len(ask.tries)
    values = p.values(ask.tries[told - 1].plan.budgets)
    return Refused(p.stamp(), *refusals[told - 1], funds + values, told)


def _hold(p: Partition, ask: ReserveAsk, chosen: Try, payer: Opened | None, why: list[object]) -> None:
    tenant, expires_ms = chosen.plan.tenant, p.now_ms + ask.ttl_ms
    name, nano_usd, tokens = f"{tenant}:r:{ask.reservation_id}", chosen.nano_usd, chosen.tokens
    counter, unit = (payer.line.counter, str(payer.line.unit)) if payer else ("", "")
    if payer and payer.came:
        p.append_grant(tenant, payer.line, payer.came, payer.lapsed)
    p.append(
        "reserve", tenant, ask.reservation_id,
        nano=nano_usd, tokens=tokens, wallet=counter, wallet_unit=unit, body=chosen.body,
    )  # fmt: skip
    answer = [ask.content, p.now_ms, counter, unit, str(nano_usd), str(tokens), expires_ms, *why]
    seen = " ".join(str(value) for value in p.values(chosen.plan.budgets))
    hold = Hold(State.OPEN, expires_ms, nano_usd, tokens, answer=compact([*answer, seen]), body=chosen.body)
    if payer:
        payer.account.held += Taken(nano_usd, tokens)[SLOTS[payer.line.unit]]
        if payer.came:
            p.keep_account(counter, payer.account)
        else:
            p.count[f"{counter}:h"] = payer.account.held
    p.post(tenant, ask.reservation_id, hold, by_unit(nano_usd, tokens, 1), None)
    p.hold[name] = hold.text()
    p.schedule(f"r:{name}", expires_ms)
    p.opened(1)


def weigh_extension(p: Partition, tenant: str, hold: Hold, ask: ExtendAsk) -> Refused | None:
    """What refuses more of a hold; None where it fits."""
    lines = hold.budgets
    values = p.values(lines)
    taken = Taken(ask.nano_usd, ask.tokens, 0, 0)
    limits = [(line.unit, limit, rank) for line, (limit, rank) in zip(lines, ask.limits, strict=True)]
    reason, binds = weigh(limits, values, taken)
    if p.suspended(tenant):
        reason, binds = Reason.TENANT_SUSPENDED, 0
    if hold.wallet:
        counter, unit = hold.wallet
        balance, held = (p.count.get(f"{counter}:{suffix}", 0) for suffix in "bh")
        values += [balance, held]
        amount = taken[SLOTS[unit]]
        if not reason and amount and held + amount > balance:
            reason = Reason.INSUFFICIENT_FUNDS
    return Refused(p.stamp(), reason, binds, values) if reason else None
