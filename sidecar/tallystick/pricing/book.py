"""The price book of one policy."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from tallystick.core.policy import PriceRules
from tallystick.core.price import Price
from tallystick.pricing.catalogue import VERSION, find_price, known_prefix
from tallystick.pricing.convert import price_from_catalogue

_PERIOD_MS = 900_000
"""Prices change on UTC days, and for some models by the time of day; on quarter hours at the finest."""
_MAX_REMEMBERED = 4_096


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class PriceBook:
    """Prices by model: the policy's, then the catalogue's, then the ceiling.

    `clock_ms` is Unix time in milliseconds. Answers are remembered for a quarter of an hour.
    """

    def __init__(self, rules: PriceRules, clock_ms: Callable[[], int] = _now_ms) -> None:
        self._rules = rules
        self._clock_ms = clock_ms
        self._period = -1
        self._remembered: dict[tuple[str, str, str, bool], Price | None] = {}

    def resolve(self, model: str, provider: str = "", *, tier: str = "", media: bool = False) -> Price | None:
        """Find the price of a model; `None` if it is unknown and there is no ceiling.

        `tier` is `flex`, `priority`, `fast`, `batch` or empty; `media` says that the call carries
        images, audio or files. Both concern the catalogue only: a policy's price is as declared.
        """
        period = self._clock_ms() // _PERIOD_MS
        if period != self._period or len(self._remembered) >= _MAX_REMEMBERED:
            self._period = period
            self._remembered = {}
        key = (model, provider, tier, media)
        if key not in self._remembered:
            self._remembered[key] = self._find(model, provider, tier, media)
        return self._remembered[key]

    def _find(self, model: str, provider: str, tier: str, media: bool) -> Price | None:
        for pattern, price in self._rules.models:
            if any(fnmatchcase(name, pattern) for name in model_names(model, provider)):
                return price
        at = datetime.fromtimestamp(self._period * _PERIOD_MS / 1000, UTC)
        listed = find_price(model, provider, tier, at)
        writes_cost = "claude" in model.lower()
        price_listed = listed and price_from_catalogue(listed, VERSION, media=media, writes_cost=writes_cost)
        return price_listed or self._rules.ceiling


def model_names(model: str, provider: str) -> list[str]:
    """List the names under which a policy may speak of a model."""
    names = [model]
    if provider:
        names.append(f"{provider}/{model}")
    if split := known_prefix(model):
        names.append(split[1])
    return names
