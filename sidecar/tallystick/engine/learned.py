"""How long answers are, as far as this sidecar knows. The store adds up what all of them see."""

from collections.abc import Mapping

from tallystick.core.learning import MOST_PAIRS, Counts, Pair, bucket_of, quantile

MOST_TENANTS = 10_000


class _Tenant:
    """What one tenant's answers tell."""

    __slots__ = ("known", "news", "waiting")

    def __init__(self) -> None:
        self.known: dict[Pair, int] = {}
        """A high quantile of the output tokens, by what the store said last."""
        self.news: dict[Pair, Counts] = {}
        """What was asked for (no counts), or seen, since the store was last told."""
        self.waiting: dict[Pair, Counts] = {}
        """News that the store had no room for: told again with the next answer."""

    def touch(self, pair: Pair) -> Counts | None:
        """The news of a pair; None where there are too many pairs."""
        counts = self.news.get(pair)
        if counts is None and len(self.news) < MOST_PAIRS:
            counts = self.news[pair] = self.waiting.pop(pair, {})
        return counts


class Learned:
    """Collects what is seen; `background.learner` tells the store every second. Safe in one thread."""

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant] = {}

    def max_output(self, tenant: str, model: str, workflow: str) -> int | None:
        """Tokens that nearly all answers stay within; None while too few were seen."""
        one, pair = self._of(tenant), Pair(model, workflow)
        one.touch(pair)
        return one.known.get(pair)

    def saw(self, tenant: str, model: str, workflow: str, tokens: int) -> None:
        """Counts an answer of so many tokens."""
        counts = self._of(tenant).touch(Pair(model, workflow))
        if counts is not None:
            bucket = bucket_of(tokens)
            counts[bucket] = counts.get(bucket, 0) + 1

    def take_news(self) -> dict[str, dict[Pair, Counts]]:
        """What to tell the store, by tenant; it is not kept here any longer."""
        news = {name: tenant.news for name, tenant in self._tenants.items() if tenant.news}
        for name in news:
            self._tenants[name].news = {}
        return news

    def take_over(
        self, tenant: str, news: Mapping[Pair, Counts], known: Mapping[Pair, Mapping[int, int]]
    ) -> None:
        """Takes over what the store knows now, after it was told `news`."""
        one = self._of(tenant)
        if len(one.known) >= 2 * MOST_PAIRS:
            one.known = {}
        for pair, counts in news.items():
            tokens = quantile(known.get(pair, {}))
            one.known.pop(pair, None)
            if tokens is not None:
                one.known[pair] = tokens
            if counts and pair not in known:
                one.waiting[pair] = counts
        while len(one.waiting) > MOST_PAIRS:
            del one.waiting[next(iter(one.waiting))]

    def _of(self, tenant: str) -> _Tenant:
        one = self._tenants.get(tenant)
        if one is None:
            if len(self._tenants) >= MOST_TENANTS:
                self._tenants.clear()
            one = self._tenants[tenant] = _Tenant()
        return one
