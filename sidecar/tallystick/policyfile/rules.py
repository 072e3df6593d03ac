"""What must hold between the parts of a document, each of which is well-formed."""

from collections.abc import Iterator
from itertools import chain

from tallystick.core.money import MAX_AMOUNT
from tallystick.core.policy import Unit
from tallystick.core.windows import CALENDAR, Span
from tallystick.policyfile.document import Allowance, Budget, Document, Grant, Ladder, Rates
from tallystick.policyfile.identity_rules import Broken, broken_identity
from tallystick.policyfile.tree import short
from tallystick.policyfile.values import UNITS, Amount, Share, part_of, suggestion, unit_text

_NO_LADDER = (
    "expected deny or alert, as the policy has no list `downgrade` of cheaper models, "
    "such as `downgrade: [{model: gpt-5, to: [gpt-5-mini]}]`"
)


def broken_rules(document: Document) -> Iterator[Broken]:
    """Find every rule that the document breaks."""
    yield from _cascade(document)
    for name, wallet in document.wallets.items():
        if wallet.grant:
            broken = _grant(wallet.grant, UNITS[wallet.unit])
            yield from ((("wallets", name, "grant", key), expected) for key, expected in broken)
    for name, budget in document.budgets.items():
        broken = chain(_window(budget), _ceiling(budget, has_ladders=bool(document.downgrade)))
        yield from ((("budgets", name, key), expected) for key, expected in broken)
    for name, price in document.prices.models.items():
        if isinstance(price, Rates):
            yield from ((("prices", "models", name), expected) for expected in _rates(price))
    if isinstance(document.prices.unknown_model, Rates):
        rates = document.prices.unknown_model
        yield from ((("prices", "unknown_model"), expected) for expected in _rates(rates))
    yield from _ladders(document.downgrade)
    yield from broken_identity(document.consumers, document.identity)
    if document.estimate.fallback is not None and isinstance(document.estimate.max_output, int):
        expected = "expected no fallback: only `max_output: ceiling` and `max_output: learned` have one"
        yield ("estimate", "fallback"), expected


def _cascade(document: Document) -> Iterator[Broken]:
    """Check that the cascade names every wallet once."""
    if document.cascade is None:
        return
    seen: set[str] = set()
    for index, name in enumerate(document.cascade):
        if name not in document.wallets:
            hint = suggestion(name, tuple(document.wallets))
            yield ("cascade", index), f"expected the name of a wallet, got {short(name)}{hint}"
        if name in seen:
            yield ("cascade", index), f"expected each wallet once, got {short(name)} twice"
        seen.add(name)
    missing = [name for name in document.wallets if name not in seen]
    if missing:
        yield ("cascade",), f"expected every wallet, left out: {', '.join(missing[:5])}"


def _window(budget: Budget) -> Iterator[tuple[str, str]]:
    """Check that all but calls in flight have a window, and only calendars a zone."""
    if budget.limit.unit is Unit.CONCURRENT:
        if budget.window is not None:
            yield "window", "expected no window: a limit of calls in flight has none"
    elif budget.window is None:
        yield "window", "expected `window`, which is required: only calls in flight need none"
    span = budget.window.span if budget.window else Span.TOTAL
    if budget.timezone is not None and span not in CALENDAR:
        yield "timezone", "expected no time zone: only calendar windows (minute to year) have one"
    if budget.week_start is not None and span is not Span.WEEK:
        yield "week_start", "expected no week start: only `window: week` has one"


def _ceiling(budget: Budget, *, has_ladders: bool) -> Iterator[tuple[str, str]]:
    """Check what is said of calls near the limit and beyond."""
    if budget.on_exhausted == "alert":
        if budget.priorities:
            yield "priorities", "expected no priorities: `on_exhausted: alert` refuses no call"
        if budget.overage is not None:
            yield "overage", "expected no overage: `on_exhausted: alert` lets every call through"
    if budget.on_exhausted == "downgrade" and not has_ladders:
        yield "on_exhausted", _NO_LADDER
    if budget.on_exhausted == "ticket" and budget.limit.unit is Unit.CONCURRENT:
        yield "on_exhausted", "expected no `ticket`: a call in flight waits for another to end"
    yield from _unit(budget.overage, "overage", budget.limit.unit, "of the limit")
    if isinstance(budget.store_away, Allowance):
        yield from _unit(budget.store_away.allowance, "store_away", budget.limit.unit, "of the limit")
    if budget.limit.value + part_of(budget.limit, budget.overage) > MAX_AMOUNT:
        yield "overage", "expected less: `limit` and `overage` together are more than can be counted"


def _grant(grant: Grant, unit: Unit) -> Iterator[tuple[str, str]]:
    """Check that a grant is in the wallet's unit, and that only weeks have a first day."""
    yield from _unit(grant.amount, "amount", unit, "of the wallet")
    yield from _unit(grant.rollover, "rollover", unit, "of the wallet")
    if grant.amount.value + part_of(grant.amount, grant.rollover) > MAX_AMOUNT:
        yield "rollover", "expected less: `amount` and `rollover` together are more than can be counted"
    if grant.week_start is not None and grant.every != "week":
        yield "week_start", "expected no week start: only `every: week` has one"


def _unit(part: Amount | Share | None, key: str, unit: Unit, whose: str) -> Iterator[tuple[str, str]]:
    """Check that an amount has the unit of another."""
    if isinstance(part, Amount) and part.unit is not unit:
        yield key, f"expected {unit_text(unit)}, the unit {whose}, got {unit_text(part.unit)}"


def _ladders(ladders: list[Ladder]) -> Iterator[Broken]:
    """Check that each model has one ladder, which leads to others."""
    seen = set()
    for index, ladder in enumerate(ladders):
        if ladder.model in seen:
            yield ("downgrade", index, "model"), f"expected each model once, got {short(ladder.model)} twice"
        seen.add(ladder.model)
        if ladder.model in ladder.to:
            place = ("downgrade", index, "to", ladder.to.index(ladder.model))
            yield place, f"expected other models than {short(ladder.model)}, which was asked for"


def _rates(rates: Rates) -> Iterator[str]:
    """Nothing is free unless it is said to be."""
    if not any((rates.input, rates.cached_input, rates.cache_write, rates.cache_write_1h, rates.output)):
        yield "expected a price above zero; a model that costs nothing is declared `{free: true}`"
