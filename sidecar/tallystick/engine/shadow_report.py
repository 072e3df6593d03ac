"""What a shadow would have done otherwise, as far as this sidecar saw it."""

from collections import Counter, deque
from typing import NamedTuple

from tallystick.core.decision import Decision
from tallystick.core.shadow import Side, Verdict, compare
from tallystick.core.subject import subject_text
from tallystick.engine.calls import ReserveCall

MOST_RECENT = 500
"""Of a tenant so many differences are kept, the newest."""
MOST_COUNTS = 1_000
"""Of a tenant so many kinds of them are told apart."""
REST = (Verdict.OTHER_REASON, "", "other")


class Difference(NamedTuple):
    """One call on which the two policies differ."""

    number: int
    """Counts up, within this sidecar and shadow."""
    at_ms: int
    reservation_id: str
    subject: str
    verdict: Verdict
    live: Side
    shadow: Side
    nano_usd: int
    tokens: int


class ShadowReport:
    """Of one shadow."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.decided = 0
        """Calls that were decided by both."""
        self.counts: Counter[tuple[Verdict, str, str]] = Counter()
        """By verdict, reason and budget: those of the policy that refuses, the shadow's where both do."""
        self.recent: deque[Difference] = deque(maxlen=MOST_RECENT)
        self._numbers = 0

    def add(self, call: ReserveCall, live: Side, decision: Decision, at_ms: int) -> tuple[Verdict, str]:
        """Compares; the verdict and the reason that goes with it."""
        shadow = Side.of(decision)
        verdict = compare(live, shadow)
        self.decided += 1
        if verdict is Verdict.SAME:
            return verdict, ""
        side = live if verdict is Verdict.WOULD_ALLOW else shadow
        kind = (verdict, side.reason, side.budget)
        self.counts[kind if kind in self.counts or len(self.counts) < MOST_COUNTS else REST] += 1
        self._numbers += 1
        self.recent.append(
            Difference(
                self._numbers,
                at_ms,
                call.reservation_id,
                subject_text(call.subject),
                verdict,
                live,
                shadow,
                decision.nano_usd,
                decision.tokens,
            )
        )
        return verdict, side.reason
