"""What callers are told while the store is away."""

from tallystick.core.decision import Decision, Refusal, explain_refusal
from tallystick.core.hold import Hold, tally_record
from tallystick.core.plan import BudgetLine, Plan, Taken, WalletLine
from tallystick.core.reasons import Reason
from tallystick.core.usage import Usage
from tallystick.store.asks import ReserveAsk

RETRY_AFTER_MS = 1_000


def let_through(plan: Plan, reservation_id: str, hold: Hold, tally: bytes, usage: Usage | None) -> Decision:
    """An ALLOW; how full the budgets are is not known."""
    return Decision(
        reservation_id=reservation_id,
        model=plan.model,
        price_version=plan.price.version if plan.price else "",
        nano_usd=hold.nano_usd,
        tokens=hold.tokens,
        lines=(),
        values=(),
        wallet=payer_of(plan),
        tally=tally,
        expires_ms=hold.expires_ms,
        now_ms=hold.reserved_ms,
        estimated=usage,
        store_away=True,
    )


def record_for(plan: Plan, ask: ReserveAsk, now_ms: int) -> str:
    """The record of a call that is let through, with the model that was asked for."""
    first, wallet = ask.tries[0], payer_of(plan)
    return tally_record(
        content=ask.content,
        reserved_ms=now_ms,
        wallet=f'"{wallet.counter}","{wallet.unit}"' if wallet else '"",""',
        nano_usd=first.nano_usd,
        tokens=first.tokens,
        expires_ms=now_ms + ask.ttl_ms,
        body=first.body,
    )


def refused(plan: Plan, ask: ReserveAsk, refusal: Refusal, now_ms: int) -> Decision:
    """A DENY."""
    first, version = ask.tries[0], plan.price.version if plan.price else ""
    return Decision(
        ask.reservation_id, plan.model, version, first.nano_usd, first.tokens, (), (),
        refusal=refusal, now_ms=now_ms, store_away=True,
    )  # fmt: skip


def refuse_unwritten() -> Refusal:
    """What would be let through can't be written down."""
    text = "the store is away, and the sidecar can't write down what it lets through meanwhile"
    return Refusal(Reason.STORE_UNAVAILABLE, text, retry_after_ms=RETRY_AFTER_MS)


def payer_of(plan: Plan) -> WalletLine | None:
    """The wallet that paid for the last call of this plan, or else the first of the cascade."""
    payer = plan.remembered.get("payer", 1)
    assert isinstance(payer, int)
    return plan.wallets[payer - 1] if plan.wallets and payer else None


def refuse_by(line: BudgetLine, shortfall: int) -> Refusal:
    """A budget does not let it through; `shortfall`: beyond its allowance, 0 where it has none."""
    name = f"{line.name} ({line.group})" if line.group else line.name
    what = "has used up its allowance for that" if shortfall else "lets nothing through meanwhile"
    return Refusal(
        Reason.STORE_UNAVAILABLE,
        f"the store is away, and budget {name} {what}",
        budget=line.name,
        group=line.group,
        shortfall=shortfall,
        unit=line.unit,
        retry_after_ms=RETRY_AFTER_MS,
    )


def refuse_for(plan: Plan, reason: Reason, taken: Taken, now_ms: int) -> Refusal:
    """A refusal that no store can change."""
    nothing = [0] * 2 * (len(plan.wallets) + len(plan.budgets))
    return explain_refusal(
        reason, 0, wallets=plan.wallets, lines=plan.budgets, values=nothing, taken=taken, now_ms=now_ms
    )
