"""How many tokens the bytes of an answer stand for, learned from the calls that told both."""

from collections import OrderedDict

from tallystick.providers import Api
from tallystick.proxied.calls import Ending, HeldCall

MOST_RATES = 2_000
WEIGHT = 0.1
"""Of the newest answer in the mean."""
BYTES_PER_TOKEN = 3
"""Of a model of which nothing is known yet. Fewer than nearly all text takes, so the tokens are rather
too many; the frame that streams put around each piece adds to that."""

_Key = tuple[str, Api, bool, bool]


class Rates:
    """Tokens per byte, as an exponentially weighted mean. Safe in one thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, float] = OrderedDict()

    def learn(self, call: HeldCall, ending: Ending) -> None:
        """Look at an end; only one that tells of the whole answer teaches anything."""
        if ending.usage is None or not ending.complete or not ending.usage.output or not ending.output_bytes:
            return
        key, seen = _key(call, ending), ending.usage.output / ending.output_bytes
        known = self._known.pop(key, seen)
        self._known[key] = known + WEIGHT * (seen - known)
        if len(self._known) > MOST_RATES:
            self._known.popitem(last=False)

    def tokens(self, call: HeldCall, ending: Ending) -> int | None:
        """Output tokens that the bytes stand for, rounded up; None where nothing is known."""
        rate = self._known.get(_key(call, ending))
        if rate is None or ending.output_bytes is None:
            return None
        return -int(-ending.output_bytes * rate // 1)


def _key(call: HeldCall, ending: Ending) -> _Key:
    return call.model, call.api, ending.streamed, ending.text_seen
