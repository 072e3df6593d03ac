"""What two policies say of models and their prices, in words."""

from collections.abc import Iterator, Mapping, Sequence

from tallystick.core.differences import Difference, Kind, by_amount, changed, names_text
from tallystick.core.policy import Ladder, ModelRules, PriceRules
from tallystick.core.price import Price, Rate

FEMTO_PER_USD_A_MILLION = 10**9
"""Femto-dollars a token that are one dollar per million tokens."""
_RATES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


def model_differences(old: ModelRules, new: ModelRules) -> Iterator[Difference]:
    """Which models may be called."""
    for name, before, after, more in (
        ("allow", old.allow, new.allow, Kind.LOOSER),
        ("deny", old.deny, new.deny, Kind.TIGHTER),
    ):
        less = Kind.TIGHTER if more is Kind.LOOSER else Kind.LOOSER
        path = f"models.{name}"
        for pattern in after:
            if pattern not in before:
                yield Difference(more, path, f"{pattern} is in it")
        for pattern in before:
            if pattern not in after:
                yield Difference(less, path, f"{pattern} is no longer in it")
        if set(before) == set(after):
            yield from changed(path, names_text(before), names_text(after))


def price_differences(old: PriceRules, new: PriceRules) -> Iterator[Difference]:
    """Which prices are declared, by pattern."""
    before, after = dict(old.models), dict(new.models)
    for pattern, price in after.items():
        path = f"prices.models.{pattern}"
        if pattern not in before:
            yield Difference(Kind.NEW, path, price_told(price))
        else:
            yield from _price_difference(path, before[pattern], price)
    for pattern, price in before.items():
        if pattern not in after:
            yield Difference(Kind.GONE, f"prices.models.{pattern}", price_told(price))
    yield from _ceiling(old.ceiling, new.ceiling)
    yield from _max_output(dict(old.max_output), dict(new.max_output))


def _price_difference(path: str, old: Price, new: Price) -> Iterator[Difference]:
    if old.free != new.free:
        yield Difference(Kind.CHANGED, path, f"{price_told(new)} instead of {price_told(old)}")
        return
    for name in _RATES:
        before, after = getattr(old, name), getattr(new, name)
        yield from changed(f"{path}.{name}", rate_told(before), rate_told(after))


def _ceiling(old: Price | None, new: Price | None) -> Iterator[Difference]:
    path = "prices.unknown_model"
    if old is None and new is not None:
        yield Difference(Kind.LOOSER, path, f"{price_told(new)} instead of deny")
    elif old is not None and new is None:
        yield Difference(Kind.TIGHTER, path, f"deny instead of {price_told(old)}")
    elif old is not None and new is not None:
        yield from _price_difference(path, old, new)


def _max_output(old: Mapping[str, int], new: Mapping[str, int]) -> Iterator[Difference]:
    for pattern in dict.fromkeys((*old, *new)):
        before, after = (_tokens(each.get(pattern)) for each in (old, new))
        yield from changed(f"prices.models.{pattern}.max_output", before, after)


def _tokens(number: int | None) -> str:
    return "what the catalogue says" if number is None else f"{number} tokens"


def price_told(price: Price) -> str:
    """A price in one line."""
    if price.free:
        return "free"
    return f"{rate_told(price.input)} in, {rate_told(price.output)} out"


def rate_told(rate: Rate) -> str:
    """Dollars per million tokens, exactly."""
    tiers = "".join(f", {_usd(each)} above {above} tokens" for above, each in rate.tiers)
    return f"{_usd(rate.base)} per million{tiers}"


def _usd(femto: int) -> str:
    whole, rest = divmod(femto, FEMTO_PER_USD_A_MILLION)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{decimals} USD"


def ladder_differences(old: Sequence[Ladder], new: Sequence[Ladder]) -> Iterator[Difference]:
    """Which cheaper models are used instead; the order of ladders counts."""
    before, after = {each.model: each for each in old}, {each.model: each for each in new}
    for model in dict.fromkeys((*after, *before)):
        path, first, second = f"downgrade.{model}", before.get(model), after.get(model)
        if first is None and second is not None:
            yield Difference(Kind.NEW, path, _ladder_told(second))
        elif first is not None and second is None:
            yield Difference(Kind.GONE, path, _ladder_told(first))
        elif first is not None and second is not None:
            yield from changed(f"{path}.to", names_text(first.to), names_text(second.to))
            yield from by_amount(f"{path}.at", first.at, second.at, lambda percent: f"{percent}%")
    if before == after:
        yield from changed("downgrade", *(names_text([each.model for each in all_]) for all_ in (old, new)))


def _ladder_told(ladder: Ladder) -> str:
    at = f", at {ladder.at}%" if ladder.at != 100 else ""
    return f"{names_text(ladder.to)} instead{at}"
