"""Which wallets and budgets a call meets: from the policy and the subject to the plan."""

from collections.abc import Sequence
from urllib.parse import unquote

from tallystick.core.counters import group_text, wallet_counter
from tallystick.core.lots import GrantLine
from tallystick.core.plan import (
    FOREVER_MS,
    SLOTS,
    WINDOW_ENDS_WITH_SESSION,
    WINDOW_NEVER_ENDS,
    BudgetLine,
    Plan,
    WalletLine,
    alert_steps,
)
from tallystick.core.policy import Budget, Grant, OnExhausted, Policy, Unit, Unmatched
from tallystick.core.price import Price
from tallystick.core.reasons import Reason, reason_of
from tallystick.core.subject import CALL_DIMENSIONS, Subject
from tallystick.core.windows import Span

NORMAL = "normal"
"""The priority of a call that gives none."""


def make_plan(
    policy: Policy,
    subject: Subject,
    model: str,
    provider: str,
    price: Price | None,
    *,
    said: tuple[Unit, ...] | None,
    now_ms: int,
    asked_model: str = "",
) -> Plan:
    """Finds every wallet and budget that a call meets.

    `said` are the units in which the caller gave the cost, so that no price is
    needed and no other wallet can pay; None where it is to be priced. A
    dimension that the subject does not give has no group: wallets and budgets
    `per` it do not apply.
    """
    values = {name: subject.value(name) for name in policy.dimensions if name not in CALL_DIMENSIONS}
    values["model"], values["provider"] = model, provider
    free = price is not None and price.free
    wallets = () if free else tuple(_wallet_lines(policy, values, said, now_ms))
    budgets = tuple(_budget_lines(policy, values, subject.priority or NORMAL, now_ms))
    valid_from_ms, valid_until_ms = _validity(wallets, budgets)
    refusal = Reason.NONE
    if model and not policy.models.allows(model):
        refusal = Reason.MODEL_NOT_ALLOWED
    elif price is None and said is None:
        refusal = Reason.PRICE_UNKNOWN
    elif not free and not wallets and policy.wallets:
        refusal = Reason.INSUFFICIENT_FUNDS
    elif not free and not wallets and not budgets and policy.unmatched is Unmatched.DENY:
        refusal = Reason.NO_BUDGET_MATCHED
    return Plan(
        tenant=policy.tenant,
        policy_version=policy.version,
        model=model,
        price=price,
        wallets=wallets,
        budgets=budgets,
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_until_ms,
        refusal=refusal,
        on_expiry=policy.on_expiry,
        hold_ttl_ms=policy.hold_ttl_ms,
        asked_model=asked_model or model,
    )


def _validity(wallets: Sequence[WalletLine], budgets: Sequence[BudgetLine]) -> tuple[int, int]:
    """In what time all the windows and the periods of grants contain now: [from, until) in Unix ms."""
    grants = [line.grant for line in wallets if line.grant]
    starts = [line.start_ms for line in budgets] + [grant.start_ms for grant in grants]
    ends = [line.end_ms for line in budgets if line.end_ms] + [grant.expires_ms for grant in grants]
    return max(starts, default=0), min(ends, default=FOREVER_MS)


def grant_line(grant: Grant | None, now_ms: int) -> GrantLine | None:
    """A wallet's grant in the period of this instant."""
    if grant is None:
        return None
    bounds = grant.every.bounds(now_ms)
    assert bounds is not None
    span, period = grant.every.span.value, grant.every.period(now_ms)
    return GrantLine(grant.amount, grant.rollover, span, period, bounds[1], bounds[0])


def ceiling_of(budget: Budget, priority: str) -> int:
    """What a call of this priority may bring a budget to; one without a priority is `normal`."""
    share = dict(budget.priorities).get(priority or NORMAL, 100)
    return budget.limit + budget.overage if share == 100 else budget.limit * share // 100


def _wallet_lines(
    policy: Policy, values: dict[str, str], said: tuple[Unit, ...] | None, now_ms: int
) -> list[WalletLine]:
    lines = []
    for wallet in policy.wallets:
        if all(values[name] for name in wallet.per) and (said is None or wallet.unit in said):
            group = group_text(wallet.per, values)
            counter = wallet_counter(policy.tenant, wallet, group)
            grant = grant_line(wallet.grant, now_ms)
            lines.append(WalletLine(wallet.name, unquote(group), wallet.unit, counter, grant))
    return lines


def _budget_lines(policy: Policy, values: dict[str, str], priority: str, now_ms: int) -> list[BudgetLine]:
    return [
        budget_line(policy.tenant, budget, group_text(budget.per, values), now_ms, priority)
        for budget in policy.budgets
        if all(values[name] for name in budget.per) and budget.match.fits(values)
    ]


def budget_line(tenant: str, budget: Budget, group: str, now_ms: int, priority: str = NORMAL) -> BudgetLine:
    """A budget in the window of this instant; `group` as it stands in a counter's name."""
    start_ms, end_ms = budget.window.bounds(now_ms) or (0, 0)
    window = f"{start_ms // 1000}+{(end_ms - start_ms) // 1000}" if end_ms else ""
    end = str(end_ms) if end_ms else WINDOW_NEVER_ENDS
    if budget.window.span is Span.SESSION:
        end = WINDOW_ENDS_WITH_SESSION
    elif budget.window.span is Span.ROLLING:
        window = f"~{budget.window.length_ms // 1000}"
        end = f"~{budget.window.length_ms}+{budget.window.bucket_ms}"
    return BudgetLine(
        name=budget.name,
        group=unquote(group),
        unit=budget.unit,
        slot=SLOTS[budget.unit],
        limit=budget.limit,
        ceiling=ceiling_of(budget, priority),
        rank=reason_of(budget),
        start_ms=start_ms,
        end_ms=end_ms,
        end=end,
        counter=f"{tenant}:b:{budget.name}:{group}:{budget.unit}{window}",
        alerts=budget.alerts,
        steps=alert_steps(budget.limit, budget.alerts),
        store_away=0 if budget.store_away is None and reason_of(budget) else budget.store_away,
        asks=budget.on_exhausted is OnExhausted.TICKET,
    )
