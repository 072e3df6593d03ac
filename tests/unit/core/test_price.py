"""What a call costs, by class of tokens and by tier."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.price import FREE_RATE, Price, Rate, free_price, unpack_price
from tallystick.core.usage import Usage

FEMTO = st.integers(0, 10**12)
RATES = st.builds(
    lambda base, tiers: Rate(base, tuple(sorted(tiers.items()))),
    FEMTO,
    st.dictionaries(st.integers(0, 10**6), FEMTO, max_size=3),
)
VERSIONS = st.text(st.characters(codec="utf-8", exclude_characters=";\n\t", categories=("L", "N", "P")))
PRICES = st.builds(Price, VERSIONS, RATES, RATES, RATES, RATES, RATES, free=st.booleans())
USAGES = st.builds(Usage, *[st.integers(0, 10**7)] * 5)

# 0.40, 0.04, 0.50, 0.80 and 1.60 USD per million tokens, in femto-dollars a token
HOUSE = Price(
    version="house",
    input=Rate(400_000_000),
    cache_read=Rate(40_000_000),
    cache_write_5m=Rate(500_000_000),
    cache_write_1h=Rate(800_000_000),
    output=Rate(1_600_000_000),
)


@given(PRICES)
def test_a_packed_price_is_the_same_price(price: Price) -> None:
    assert unpack_price(price.pack()) == price
    assert "\n" not in price.pack()


@given(RATES)
def test_a_packed_rate_is_the_same_rate(rate: Rate) -> None:
    assert Rate.unpack(rate.pack()) == rate


@given(PRICES, USAGES)
def test_the_cost_is_the_exact_sum_rounded_once(price: Price, usage: Usage) -> None:
    size = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    exact = Fraction(
        usage.input * price.input.at(size)
        + usage.cache_read * price.cache_read.at(size)
        + usage.cache_write_5m * price.cache_write_5m.at(size)
        + usage.cache_write_1h * price.cache_write_1h.at(size)
        + usage.output * price.output.at(size),
        10**6,
    )
    assert price.charge_nano_usd(usage) == round(exact)  # of a Fraction, half-even
    assert price.hold_nano_usd(usage) == -(-exact.numerator // exact.denominator)


@pytest.mark.parametrize(
    ("usage", "nano_usd"),
    [
        (Usage(), 0),
        (Usage(input=1_000_000), 400_000_000),
        (Usage(cache_read=1_000_000), 40_000_000),
        (Usage(cache_write_5m=1_000_000), 500_000_000),
        (Usage(cache_write_1h=1_000_000), 800_000_000),
        (Usage(output=1_000_000, reasoning=900_000), 1_600_000_000),
        (Usage(1_000, 2_000, 3_000, 4_000, 5_000, 1), 400_000 + 80_000 + 1_500_000 + 3_200_000 + 8_000_000),
    ],
)
def test_each_class_has_its_rate(usage: Usage, nano_usd: int) -> None:
    assert HOUSE.charge_nano_usd(usage) == HOUSE.hold_nano_usd(usage) == nano_usd


@pytest.mark.parametrize(
    ("total_input", "rate"), [(0, 10), (100, 10), (101, 20), (1_000, 20), (1_001, 5), (10**9, 5)]
)
def test_a_tier_begins_above_its_bound(total_input: int, rate: int) -> None:
    assert Rate(10, ((100, 20), (1_000, 5))).at(total_input) == rate


def test_the_tier_follows_from_the_whole_input_cached_or_not() -> None:
    tiered = Rate(1_000_000, ((100, 2_000_000),))
    price = Price("v", tiered, FREE_RATE, FREE_RATE, FREE_RATE, tiered)
    assert price.charge_nano_usd(Usage(input=100, output=1)) == 101
    assert price.charge_nano_usd(Usage(input=100, cache_read=1, output=1)) == 202
    assert price.charge_nano_usd(Usage(input=50, cache_write_5m=25, cache_write_1h=26)) == 100


def test_a_free_price_costs_nothing_and_says_so() -> None:
    price = free_price("acme 3")
    assert price.hold_nano_usd(Usage(10**9, 10**9, 10**9, 10**9, 10**9)) == 0
    assert price.free
    assert unpack_price(price.pack()).free
    assert not unpack_price(HOUSE.pack()).free


def test_tokens_are_summed_by_class() -> None:
    usage = Usage(1, 20, 300, 4_000, 50_000, 6)
    assert (usage.total_input, usage.total) == (4_321, 54_321)
