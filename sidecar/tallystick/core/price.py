"""The price of one model: a rate for each class of tokens, and what a call costs."""

from dataclasses import dataclass
from functools import lru_cache

from tallystick.core.money import round_half_even, round_up
from tallystick.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Rate:
    """Femto-dollars a token; by tiers of the call's whole input where `tiers` says so."""

    base: int
    tiers: tuple[tuple[int, int], ...] = ()
    """(input tokens above which it applies, femto-dollars a token), ascending."""

    def at(self, total_input: int) -> int:
        """The rate of a call with this many input tokens, cached ones included."""
        rate = self.base
        for above, tier_rate in self.tiers:
            if total_input > above:
                rate = tier_rate
        return rate

    def pack(self) -> str:
        """As text: `base` or `base/above=rate/…`."""
        return "/".join([str(self.base), *(f"{above}={rate}" for above, rate in self.tiers)])

    @staticmethod
    def unpack(text: str) -> "Rate":
        """The inverse of `pack`."""
        base, *tiers = text.split("/")
        pairs = (tier.split("=") for tier in tiers)
        return Rate(int(base), tuple((int(above), int(rate)) for above, rate in pairs))


FREE_RATE = Rate(0)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs. A hold keeps its price, so a later list can't change it."""

    version: str
    """The list it comes from, and its date or version."""
    input: Rate
    cache_read: Rate
    cache_write_5m: Rate
    cache_write_1h: Rate
    output: Rate
    free: bool = False
    """Declared free by the policy: tracked, and debits nothing."""

    def charge_nano_usd(self, usage: Usage) -> int:
        """What the usage cost, rounded half-even."""
        return round_half_even(self._femto_usd(usage))

    def hold_nano_usd(self, estimate: Usage) -> int:
        """What a call may cost, rounded up."""
        return round_up(self._femto_usd(estimate))

    def _femto_usd(self, usage: Usage) -> int:
        given, read, write_5m, write_1h, output, _ = usage
        size = given + read + write_5m + write_1h
        femto = given * self.input.at(size) + output * self.output.at(size)
        if read or write_5m or write_1h:
            femto += read * self.cache_read.at(size)
            femto += write_5m * self.cache_write_5m.at(size)
            femto += write_1h * self.cache_write_1h.at(size)
        return femto

    def pack(self) -> str:
        """As one line of text, for the hold and the ledger."""
        rates = (self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.output)
        return ";".join([self.version, "free" if self.free else "", *(r.pack() for r in rates)])


def free_price(version: str) -> Price:
    """The price of a model that the policy declares free."""
    return Price(version, FREE_RATE, FREE_RATE, FREE_RATE, FREE_RATE, FREE_RATE, free=True)


@lru_cache(maxsize=4096)
def unpack_price(text: str) -> Price:
    """The inverse of `Price.pack`."""
    version, free, *rates = text.split(";")
    given, read, write_5m, write_1h, output = map(Rate.unpack, rates)
    return Price(version, given, read, write_5m, write_1h, output, free=bool(free))
