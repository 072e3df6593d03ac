"""What a call used, and what it may use: tokens by disjoint class."""

from typing import NamedTuple


class Usage(NamedTuple):
    """Tokens of one call. The classes are disjoint; `reasoning` is within `output`."""

    input: int = 0
    """Neither read from nor written to a cache."""
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def total_input(self) -> int:
        """Tokens in, cached or not."""
        return self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h

    @property
    def total(self) -> int:
        """Tokens in and out."""
        return self.total_input + self.output

    @property
    def text(self) -> str:
        """What is not 0, as the ledger keeps it: `input=980,output=312`."""
        return ",".join(f"{name}={n}" for name, n in zip(self._fields, self, strict=True) if n)
