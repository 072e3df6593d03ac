"""What settles tell of the estimates: how far off they were, and how long answers are."""

from tallystick.core.hold import Terms
from tallystick.core.usage import Usage
from tallystick.engine.calls import Cost, SettleCall
from tallystick.engine.learned import Learned
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import Settled


class Hindsight:
    """Looks back at calls whose cost or usage was reported."""

    def __init__(self, learned: Learned, metrics: Metrics) -> None:
        self._learned = learned
        self._usd = metrics.estimate_ratio("usd")
        self._tokens = metrics.estimate_ratio("tokens")

    def settled(self, call: SettleCall, terms: Terms | None, settled: Settled) -> None:
        """Compares what was charged with what was held; `terms` where the answer is to be learned."""
        nano_usd, tokens = _reported(call)
        if nano_usd and settled.held_nano_usd:
            self._usd.observe(settled.nano_usd / settled.held_nano_usd)
        if tokens and settled.held_tokens:
            self._tokens.observe(settled.tokens / settled.held_tokens)
        if terms and isinstance(call.actual, Usage):
            self._learned.saw(call.tenant, terms.model, terms.workflow, call.actual.output)


def _reported(call: SettleCall) -> tuple[bool, bool]:
    """Whether dollars and tokens were said; of a cost, a part of 0 beside one that isn't was not."""
    if not isinstance(call.actual, Cost):
        return True, True
    nano_usd, tokens = call.actual
    return bool(nano_usd) or not tokens, bool(tokens) or not nano_usd
