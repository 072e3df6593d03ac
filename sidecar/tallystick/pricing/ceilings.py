"""The most that models can answer with."""

from fnmatch import fnmatchcase
from typing import NamedTuple

from tallystick.core.policy import PriceRules
from tallystick.pricing.book import model_names
from tallystick.pricing.catalogue import find_context_window

_MAX_REMEMBERED = 4_096


class Ceiling(NamedTuple):
    """What is known of one model; `None` where it isn't."""

    max_output: int | None
    """Tokens of an answer, as the policy declares them."""
    context_window: int | None
    """Tokens in and out together, by the catalogue."""


class Ceilings:
    """Ceilings by model: the policy's word, then the catalogue's window. Answers are remembered."""

    def __init__(self, rules: PriceRules) -> None:
        self._declared = rules.max_output
        self._remembered: dict[tuple[str, str], Ceiling] = {}

    def most_output(self, model: str, provider: str, given: int, least: int) -> int | None:
        """Find the most tokens of one answer to `given` tokens; `None` if nothing is known.

        Of a window only the sum is known, and `given` is rather too high: what is left is taken
        to be no less than `least`.
        """
        key = (model, provider)
        ceiling = self._remembered.get(key)
        if ceiling is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered = {}
            ceiling = self._remembered[key] = self._find(model, provider)
        max_output, window = ceiling
        if max_output is not None or window is None:
            return max_output
        return max(window - given, least)

    def _find(self, model: str, provider: str) -> Ceiling:
        names = model_names(model, provider)
        for pattern, tokens in self._declared:
            if any(fnmatchcase(name, pattern) for name in names):
                return Ceiling(tokens, None)
        return Ceiling(None, find_context_window(model, provider))
