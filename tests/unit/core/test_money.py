"""Amounts are exact, and rounded once."""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.money import MAX_AMOUNT, nano_from_usd, round_half_even, round_up, usd_text

FEMTO = st.one_of(
    st.integers(0, 10**40),
    st.integers(0, 10**20).map(lambda nano: nano * 10**6 + 500_000),
    st.integers(0, 10**20).map(lambda nano: nano * 10**6 + 500_001),
    st.integers(0, 10**20).map(lambda nano: nano * 10**6 + 499_999),
)


@given(FEMTO)
def test_rounding_is_that_of_decimal(femto: int) -> None:
    with localcontext(prec=60):
        exact = Decimal(femto) / 10**6
        assert round_up(femto) == int(exact.to_integral_value(ROUND_CEILING))
        assert round_half_even(femto) == int(exact.to_integral_value(ROUND_HALF_EVEN))


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_a_hold_is_never_less_than_the_charge(parts: list[int]) -> None:
    assert round_up(sum(parts)) >= round_half_even(sum(parts))
    assert round_up(sum(parts)) - round_half_even(sum(parts)) <= 1


@given(st.integers(-MAX_AMOUNT, MAX_AMOUNT))
def test_dollars_are_written_exactly(nano_usd: int) -> None:
    text = usd_text(nano_usd)
    with localcontext(prec=60):
        assert Decimal(text) * 10**9 == nano_usd
    assert len(text.partition(".")[2]) >= 2


@given(st.integers(0, MAX_AMOUNT))
def test_dollars_are_read_exactly(nano_usd: int) -> None:
    with localcontext(prec=60):
        assert nano_from_usd(Decimal(usd_text(nano_usd))) == nano_usd


@pytest.mark.contract(11)
@pytest.mark.parametrize(
    ("nano_usd", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (-35_000_000, "-0.035"),
        (20_000_000_000, "20.00"),
        (2**53 + 1, "9007199.254740993"),
        (MAX_AMOUNT, "9223372036.854775807"),
    ],
)
def test_known_amounts(nano_usd: int, text: str) -> None:
    assert usd_text(nano_usd) == text


@pytest.mark.parametrize(
    ("usd", "why"),
    [("0.0000000001", "finer"), ("-0.01", "not between"), ("9223372036.854775808", "not between")],
)
def test_amounts_that_can_not_be(usd: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        nano_from_usd(Decimal(usd))
