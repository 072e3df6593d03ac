"""How long answers are: counts in logarithmic buckets, which fade, and their high quantile.

Kept in the store by tenant, model and workflow (`store/lua/learn.lua`); here is the same in Python.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

BUCKETS_A_DOUBLING = 8
BOUNDS = (0, *sorted({int(2 ** (step / BUCKETS_A_DOUBLING)) for step in range(63 * BUCKETS_A_DOUBLING + 1)}))
"""The upper end of each bucket, in tokens, up to 2^63: an answer is counted at most an eighth of a doubling
(9 %) too long, never too short."""

QUANTILE_PERCENT = 98
LEAST_ANSWERS = 20
"""So many must have been seen before they say anything."""
FADE_ABOVE = 1_000
"""With more answers than this all counts are halved: what was seen long ago fades."""
MOST_PAIRS = 256
"""Pairs of model and workflow of one tenant; the least used go first."""
IDLE_MS = 30 * 86_400_000
"""A pair that has no answers for so long is forgotten."""

Counts = dict[int, int]
"""Answers by the number of their bucket."""


class Pair(NamedTuple):
    """What answers are learned by, besides the tenant."""

    model: str
    workflow: str
    """May be empty."""

    @property
    def name(self) -> str:
        """As it stands in the store's fields: percent-encoded, joined by a colon."""
        return f"{quote(self.model, safe='@/+ ')}:{quote(self.workflow, safe='@/+ ')}"


def bucket_of(tokens: int) -> int:
    """The bucket of an answer of so many tokens; the last one for any beyond 2^63."""
    return min(bisect_left(BOUNDS, tokens), len(BOUNDS) - 1)


def quantile(counts: Mapping[int, int]) -> int | None:
    """Tokens that at least 98 of 100 answers stay within; None while too few were seen."""
    total = sum(counts.values())
    if total < LEAST_ANSWERS:
        return None
    missing = -(-total * QUANTILE_PERCENT // 100)
    for bucket in sorted(counts):
        missing -= counts[bucket]
        if missing <= 0:
            return BOUNDS[bucket]
    raise AssertionError("the counts sum up to the total")


def merge(first: Mapping[int, int], second: Mapping[int, int]) -> Counts:
    """Both together, faded where they are many."""
    counts = {bucket: first.get(bucket, 0) + second.get(bucket, 0) for bucket in {**first, **second}}
    while sum(counts.values()) > FADE_ABOVE:
        counts = _halve(counts)
    return counts


def _halve(counts: Counts) -> Counts:
    """From the longest answers down, so that rounding keeps the rare long ones."""
    halved: Counts = {}
    seen = kept = 0
    for bucket in sorted(counts, reverse=True):
        seen += counts[bucket]
        if (seen + 1) // 2 > kept:
            halved[bucket] = (seen + 1) // 2 - kept
            kept = (seen + 1) // 2
    return halved


def pack(counts: Mapping[int, int]) -> str:
    """As text: the total, and `bucket=count` for each, ascending; empty where there are none."""
    if not counts:
        return ""
    cells = ",".join(f"{bucket}={counts[bucket]}" for bucket in sorted(counts))
    return f"{sum(counts.values())} {cells}"


def unpack(text: str) -> Counts:
    """The inverse of `pack`."""
    cells = (cell.split("=") for cell in text.partition(" ")[2].split(",") if cell)
    return {int(bucket): int(count) for bucket, count in cells}
