"""Buckets, quantiles and fading, against the plain definition."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.learning import (
    BOUNDS,
    FADE_ABOVE,
    LEAST_ANSWERS,
    Counts,
    Pair,
    bucket_of,
    merge,
    pack,
    quantile,
    unpack,
)

TOKENS = st.one_of(st.integers(0, 300), st.integers(0, 2**63))
COUNTS = st.dictionaries(st.integers(0, len(BOUNDS) - 1), st.integers(1, 3 * FADE_ABOVE), max_size=12)


def counts_of(answers: list[int]) -> Counts:
    counts: Counts = {}
    for tokens in answers:
        counts[bucket_of(tokens)] = counts.get(bucket_of(tokens), 0) + 1
    return counts


def at_or_above(counts: Counts, bucket: int) -> int:
    return sum(count for each, count in counts.items() if each >= bucket)


@given(TOKENS)
def test_a_bucket_ends_at_its_tokens_or_a_little_above(tokens: int) -> None:
    end = BOUNDS[bucket_of(tokens)]
    assert tokens <= end <= max(tokens * 1.0906, tokens)


def test_small_numbers_have_buckets_of_their_own() -> None:
    assert BOUNDS[:11] == tuple(range(11))
    assert BOUNDS[-1] == 2**63
    assert bucket_of(2**70) == len(BOUNDS) - 1


@given(st.lists(TOKENS, min_size=LEAST_ANSWERS, max_size=300))
def test_the_quantile_is_never_below_that_of_what_was_seen(answers: list[int]) -> None:
    found = quantile(counts_of(answers))
    assert found is not None
    within = sum(tokens <= found for tokens in answers)
    assert 100 * within >= 98 * len(answers)
    true = sorted(answers)[-(-98 * len(answers) // 100) - 1]
    assert true <= found <= max(true * 1.0906, true)


def test_a_few_answers_say_nothing() -> None:
    assert quantile({}) is None
    assert quantile({50: LEAST_ANSWERS - 1}) is None
    assert quantile({50: LEAST_ANSWERS}) == BOUNDS[50]
    assert quantile({50: 98, 99: 2}) == BOUNDS[50]
    assert quantile({50: 97, 99: 3}) == BOUNDS[99]


@given(COUNTS, COUNTS)
def test_many_answers_fade_and_the_long_ones_last(first: Counts, second: Counts) -> None:
    both = {b: first.get(b, 0) + second.get(b, 0) for b in {**first, **second}}
    merged, total = merge(first, second), sum(both.values())
    halvings = 0
    while total > FADE_ABOVE:
        total, halvings = (total + 1) // 2, halvings + 1
    assert sum(merged.values()) == total
    assert all(count > 0 for count in merged.values())
    for bucket in both:  # a share of long answers is never rounded down
        assert at_or_above(merged, bucket) >= at_or_above(both, bucket) / 2**halvings


@given(COUNTS)
def test_counts_survive_their_text(counts: Counts) -> None:
    assert unpack(pack(counts)) == counts
    assert pack(counts) == "" or pack(counts).startswith(f"{sum(counts.values())} ")


def test_a_pairs_name_holds_no_separator() -> None:
    assert Pair("ft:gpt-4o:x", "a b\t\n%").name == "ft%3Agpt-4o%3Ax:a b%09%0A%25"
