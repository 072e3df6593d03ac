"""Money: a 64-bit integer of nano-US-dollars, from end to end.

A price of $1 per million tokens is 1,000 nano-dollars a token. Rates have
finer grain than money (a cached token may cost a fraction of a nano-dollar),
so they are integers of femto-dollars (10⁻¹⁵) a token; a cost is summed exactly
and rounded once per call: up for a hold, half-even for a charge.
"""

from decimal import Decimal

NANO_PER_USD = 1_000_000_000
FEMTO_PER_NANO = 1_000_000
MAX_AMOUNT = 2**63 - 1
"""The largest amount of any unit."""


def round_up(femto: int) -> int:
    """Femto-dollars to nano-dollars, for a hold: never less than the cost."""
    return -(-femto // FEMTO_PER_NANO)


def round_half_even(femto: int) -> int:
    """Femto-dollars to nano-dollars, for a charge: no drift over many calls."""
    nano, rest = divmod(femto, FEMTO_PER_NANO)
    half = FEMTO_PER_NANO // 2
    return nano + (rest > half or (rest == half and nano % 2 == 1))


def nano_from_usd(usd: Decimal) -> int:
    """Dollars to nano-dollars.

    Raises:
        ValueError: finer than a nano-dollar, negative, or above `MAX_AMOUNT`.
    """
    nano = usd * NANO_PER_USD
    if nano != nano.to_integral_value():
        raise ValueError(f"{usd} USD is finer than a nano-dollar")
    if not 0 <= nano <= MAX_AMOUNT:
        raise ValueError(f"{usd} USD is not between 0 and {usd_text(MAX_AMOUNT)} USD")
    return int(nano)


def usd_text(nano_usd: int) -> str:
    """Nano-dollars as dollars, exactly, with at least two decimals: `-0.035`."""
    sign = "-" if nano_usd < 0 else ""
    usd, nano = divmod(abs(nano_usd), NANO_PER_USD)
    decimals = f"{nano:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{usd}.{decimals}"
