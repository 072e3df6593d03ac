"""What must hold between the parts of a document, each of which is well-formed."""

from collections.abc import Iterator

from tallystick.core.policy import Unit
from tallystick.core.windows import CALENDAR, Span
from tallystick.policyfile.document import Budget, Document, Rates
from tallystick.policyfile.tree import short
from tallystick.policyfile.values import suggestion

Broken = tuple[tuple[str | int, ...], str]
"""(path in the document, what was expected)."""


def broken_rules(document: Document) -> Iterator[Broken]:
    """Find every rule that the document breaks."""
    yield from _cascade(document)
    for name, budget in document.budgets.items():
        yield from (((("budgets", name, key)), expected) for key, expected in _window(budget))
    for name, price in document.prices.models.items():
        if isinstance(price, Rates):
            yield from ((("prices", "models", name), expected) for expected in _rates(price))
    if isinstance(document.prices.unknown_model, Rates):
        rates = document.prices.unknown_model
        yield from ((("prices", "unknown_model"), expected) for expected in _rates(rates))


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


def _rates(rates: Rates) -> Iterator[str]:
    """Nothing is free unless it is said to be."""
    if not any((rates.input, rates.cached_input, rates.cache_write, rates.cache_write_1h, rates.output)):
        yield "expected a price above zero; a model that costs nothing is declared `{free: true}`"
