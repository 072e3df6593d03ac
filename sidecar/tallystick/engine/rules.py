"""One tenant's policy with all that follows from it."""

import time
from collections.abc import Callable
from operator import attrgetter

from tallystick.core.plan import Plan
from tallystick.core.policy import Policy
from tallystick.core.subject import CALL_DIMENSIONS, DIMENSIONS, Subject
from tallystick.pricing import Ceilings, PriceBook

Values = Callable[[Subject], object]


class Rules:
    """A policy, its prices, and the plans made by it. `clock_ms` gives Unix milliseconds."""

    def __init__(self, policy: Policy, clock_ms: Callable[[], int]) -> None:
        self.policy = policy
        self.prices = PriceBook(policy.prices, clock_ms)
        self.ceilings = Ceilings(policy.prices)
        self.plans: dict[object, Plan] = {}
        self.values = _values_of(policy)
        self.by_prompt = "prompt" in policy.dimensions
        """Whether a plan depends on the prompt."""
        # A dict, though its look-ups take no constant time: what they compare is a digest, and nobody
        # can steer the SHA-256 of what they send towards the one of a key that they don't know.
        self.consumers = {digest: each for each in policy.consumers for digest in each.digests}
        self.confirmed_s = time.monotonic()
        """When the store last said that this policy is in force."""


def _values_of(policy: Policy) -> Values:
    """What of a subject this policy looks at: subjects alike in it have one plan."""
    names = [name for name in policy.dimensions if name not in CALL_DIMENSIONS]
    if all(name in DIMENSIONS for name in names) and names:
        return attrgetter(*names)
    return lambda subject: tuple(subject.value(name) for name in names)
