"""Makes the policy from a document that is known to be right."""

from typing import get_args

from tallystick.core.policy import (
    DEFAULT_MAX_OUTPUT_TOKENS,
    WITHOUT_BOUND,
    Budget,
    Grant,
    Ladder,
    Match,
    ModelRules,
    OnExhausted,
    OnExpiry,
    OnOutgrown,
    OutputRule,
    Policy,
    PriceRules,
    Unmatched,
    WalletTemplate,
    used_dimensions,
)
from tallystick.core.price import Price, Rate, free_price
from tallystick.core.windows import CALENDAR, Span, Window
from tallystick.policyfile import document as doc
from tallystick.policyfile.fields import Day
from tallystick.policyfile.identity_build import build_consumers, build_identity, build_routes
from tallystick.policyfile.values import UNITS, WindowText, part_of

SESSION = "session"
_DAYS: tuple[str, ...] = get_args(Day)


def build_policy(document: doc.Document, version: int) -> Policy:
    """Make the policy that a document declares."""
    order = document.cascade if document.cascade is not None else list(document.wallets)
    wallets = tuple(_wallet(name, document.wallets[name], document) for name in order)
    budgets = tuple(_budget(name, budget, document) for name, budget in document.budgets.items())
    output_rule, max_output_tokens = _output(document.estimate)
    return Policy(
        tenant=document.tenant,
        version=version,
        wallets=wallets,
        budgets=budgets,
        models=ModelRules(tuple(document.models.allow), tuple(document.models.deny)),
        prices=_prices(document.prices, f"policy {version}"),
        unmatched=Unmatched(document.unmatched),
        hold_ttl_ms=document.holds.ttl,
        on_expiry=OnExpiry[document.holds.on_expiry.upper()],
        on_outgrown=OnOutgrown(document.holds.on_outgrown),
        max_output_tokens=max_output_tokens,
        output_rule=output_rule,
        ladders=tuple(Ladder(ladder.model, tuple(ladder.to), ladder.at) for ladder in document.downgrade),
        consumers=build_consumers(document.consumers),
        identity=build_identity(document.identity),
        routes=build_routes(document.routes),
        dimensions=used_dimensions(wallets, budgets),
    )


def _output(estimate: doc.Estimate) -> tuple[OutputRule, int]:
    """Find the rule and its number of tokens."""
    if isinstance(estimate.max_output, int):
        return OutputRule.NUMBER, estimate.max_output
    return OutputRule(estimate.max_output), estimate.fallback or DEFAULT_MAX_OUTPUT_TOKENS


def _wallet(name: str, wallet: doc.Wallet, document: doc.Document) -> WalletTemplate:
    grant = _grant(wallet.grant, document) if wallet.grant else None
    return WalletTemplate(name, tuple(wallet.per), UNITS[wallet.unit], grant)


def _grant(grant: doc.Grant, document: doc.Document) -> Grant:
    every = _window(WindowText(Span(grant.every)), grant, document)
    return Grant(grant.amount.value, every, part_of(grant.amount, grant.rollover))


def _budget(name: str, budget: doc.Budget, document: doc.Document) -> Budget:
    # Calls in flight have no window: no bounds either.
    window = _window(budget.window or WindowText(Span.TOTAL), budget, document)
    per = tuple(budget.per)
    if window.span is Span.SESSION and SESSION not in per:
        per += (SESSION,)
    return Budget(
        name=name,
        limit=budget.limit.value,
        unit=budget.limit.unit,
        window=window,
        match=Match(tuple((dimension, tuple(patterns)) for dimension, patterns in budget.match.items())),
        per=per,
        on_exhausted=OnExhausted(budget.on_exhausted),
        alerts=tuple(sorted(budget.alerts)),
        priorities=tuple(budget.priorities.items()),
        overage=part_of(budget.limit, budget.overage),
        store_away=_store_away(budget.store_away),
    )


def _store_away(said: str | doc.Allowance | None) -> int | None:
    if isinstance(said, doc.Allowance):
        return said.allowance.value
    return None if said is None else {"deny": 0, "allow": WITHOUT_BOUND}[said]


def _window(text: WindowText, place: doc.Budget | doc.Grant, document: doc.Document) -> Window:
    """Make the window; what has no effect on it keeps its default, so that equal windows are equal."""
    zone = (place.timezone or document.timezone) if text.span in CALENDAR else "UTC"
    first_day = (place.week_start or document.week_start) if text.span is Span.WEEK else _DAYS[0]
    return Window(text.span, text.length_ms, zone, _DAYS.index(first_day))


def _prices(prices: doc.Prices, version: str) -> PriceRules:
    models = sorted(prices.models.items(), key=lambda item: _vagueness(item[0]))
    ceiling = prices.unknown_model
    return PriceRules(
        tuple((pattern, _price(price, version)) for pattern, price in models),
        None if ceiling == "deny" else _price(ceiling, version),
        tuple((pattern, price.max_output) for pattern, price in models if price.max_output is not None),
    )


def _vagueness(pattern: str) -> tuple[bool, int, str]:
    """Sort key: exact names, then patterns, the longest first; equally long ones by their text."""
    return "*" in pattern or "?" in pattern, -len(pattern), pattern


def _price(price: doc.Free | doc.Rates, version: str) -> Price:
    if isinstance(price, doc.Free):
        return free_price(version)
    cache_read = price.input if price.cached_input is None else price.cached_input
    write_5m = price.input if price.cache_write is None else price.cache_write
    write_1h = write_5m if price.cache_write_1h is None else price.cache_write_1h
    return Price(
        version, Rate(price.input), Rate(cache_read), Rate(write_5m), Rate(write_1h), Rate(price.output)
    )
