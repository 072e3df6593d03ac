"""A catalogue's price to ours: dollars per million tokens to femto-dollars a token, exactly.

The catalogue prices some models by modality too (text, image, audio, video), which
our classes of tokens do not know. So:

* output is charged at the dearest modality, as such a model is called for it;
* input is charged as text unless the call carries media, and then at the dearest;
* searches that a call may ask for are not tokens, and not charged;
* any other unit (a call, an hour of audio, a page, reasoning apart) makes the model one
  without a price: a refusal is better than a bill that is always too small.
"""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal

from genai_prices.types import ModelPrice, TieredPrices

from tallystick.core.price import Price, Rate

_KEY = re.compile(
    r"(?P<side>input|output|cache)(_(?P<modality>text|image|audio|video))?"
    r"(_(?P<cache>read|write_1h|write_5m|write))?_mtok"
)
_NOT_CHARGED = frozenset({"web_searches_kcount", "storage_searches_kcount"})
_TEXT = (None, "text")

Rates = dict[tuple[str, str | None], Rate]
"""By (input, output, read, write, write_5m or write_1h; modality)."""


def price_from_catalogue(prices: ModelPrice, version: str, *, media: bool, writes_cost: bool) -> Price | None:
    """Make a Price of a catalogue's; `None` where it has none, is all zero, or has a unit we do not know.

    `writes_cost` says that the provider is known to charge an hour's cache write at twice the input.
    """
    rates = _rates(vars(prices))
    if rates is None or all(_is_zero(rate) for rate in rates.values()):
        return None
    kept = {key: rate for key, rate in rates.items() if media or key[0] == "output" or key[1] in _TEXT}
    base = _dearest(kept, "input")
    if base is None:
        return None
    write = _dearest(kept, "write_5m") or _dearest(kept, "write")
    long = _dearest(kept, "write_1h")
    if long is None:
        long = dearest((_times(base, 2), write or base)) if writes_cost or write else base
    return Price(
        version=version,
        input=base,
        cache_read=_dearest(kept, "read") or base,
        cache_write_5m=write or base,
        cache_write_1h=long,
        # A model that only reads (embeddings) has no output price, and no output.
        output=_dearest(kept, "output") or base,
    )


def dearest(rates: Iterable[Rate]) -> Rate:
    """Merge rates into one that is, at each size of input, the highest of them."""
    several = tuple(rates)
    steps = sorted({above for rate in several for above, _ in rate.tiers})
    return Rate(
        max(rate.base for rate in several),
        tuple((above, max(rate.at(above + 1) for rate in several)) for above in steps),
    )


def femto_per_token(usd_per_million: Decimal) -> int:
    """Convert a price; what is finer than a femto-dollar a token is rounded up.

    Raises:
        ValueError: negative, or not a number.

    """
    if not usd_per_million.is_finite() or usd_per_million < 0:
        raise ValueError("a price is a number from 0")
    return int(usd_per_million.scaleb(9).to_integral_value(ROUND_CEILING))


def _rates(prices: Mapping[str, object]) -> Rates | None:
    rates: Rates = {}
    for key, value in prices.items():
        if value is None or key in _NOT_CHARGED:
            continue
        match = _KEY.fullmatch(key)
        if match is None or not isinstance(value, Decimal | TieredPrices):
            return None
        kind = match["cache"] or match["side"]
        rates[kind, match["modality"]] = _rate(value)
    return rates


def _rate(value: Decimal | TieredPrices) -> Rate:
    if isinstance(value, Decimal):
        return Rate(femto_per_token(value))
    return Rate(
        femto_per_token(value.base), tuple((tier.start, femto_per_token(tier.price)) for tier in value.tiers)
    )


def _dearest(rates: Rates, kind: str) -> Rate | None:
    found = [rate for (name, _), rate in rates.items() if name == kind]
    return dearest(found) if found else None


def _times(rate: Rate, factor: int) -> Rate:
    return Rate(rate.base * factor, tuple((above, value * factor) for above, value in rate.tiers))


def _is_zero(rate: Rate) -> bool:
    return rate.base == 0 and all(value == 0 for _, value in rate.tiers)
