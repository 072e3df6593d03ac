"""The names of counters: made and read here and nowhere else.

    TENANT:b:BUDGET:GROUP:UNIT[START+LENGTH]   :s spent  :h held  :a alerts fired
                                               :x allowance, by approved tickets
    TENANT:b:BUDGET:GROUP:UNIT~LENGTH          of a rolling window, with :s@N spent in sub-bucket N
    TENANT:w:WALLET:GROUP:UNIT                 :f funds  :b funds − spent  :h held
                                               :l lots   :g the period last granted

GROUP is `dimension=value` joined by commas, values percent-encoded; UNIT its
code; START and LENGTH of the window are in seconds. A budget whose unit or
window is changed counts anew; a changed limit keeps what is spent.
"""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from tallystick.core.policy import Unit, WalletTemplate


class Bucket(NamedTuple):
    """The sub-bucket of a rolling window that an instant is in."""

    number: int
    leaves_ms: int
    """When it has left the window."""


def rolling_ms(end: str) -> tuple[int, int] | None:
    """Length and sub-bucket of a rolling window, from a line's `end`."""
    if not end.startswith("~"):
        return None
    length, _, bucket = end[1:].partition("+")
    return int(length), int(bucket)


def bucket_of(end: str, at_ms: int) -> Bucket | None:
    """The sub-bucket of this instant; None where the window does not roll."""
    rolls = rolling_ms(end)
    if rolls is None:
        return None
    length_ms, bucket_ms = rolls
    number = at_ms // bucket_ms
    return Bucket(number, (number + 1) * bucket_ms + length_ms)


def group_text(dimensions: tuple[str, ...], values: dict[str, str]) -> str:
    """A group as it stands in a counter's name."""
    return ",".join(f"{name}={quote(values[name], safe='@/+ ')}" for name in dimensions)


def wallet_counter(tenant: str, wallet: WalletTemplate, group: str) -> str:
    """The counter of a wallet."""
    return f"{tenant}:w:{wallet.name}:{group}:{wallet.unit}"


@lru_cache(maxsize=8192)
def parse_counter(counter: str) -> tuple[str, str, Unit]:
    """A counter's name, readable group and unit."""
    _, _, name, group, rest = counter.split(":")
    return name, unquote(group), Unit(rest[0])


class BudgetCounter(NamedTuple):
    """The parts of a budget counter's name."""

    name: str
    group: str
    """As `dimension=value`, percent-encoded."""
    window: str
    """The unit's code, and the window."""

    @property
    def per(self) -> tuple[str, ...]:
        """The dimensions of the group."""
        return tuple(part.partition("=")[0] for part in self.group.split(",")) if self.group else ()


def parse_budget_counter(counter: str) -> BudgetCounter:
    """A budget counter's name, taken apart."""
    _, _, name, group, window = counter.split(":")
    return BudgetCounter(name, group, window)


def counter_window(counter: str) -> tuple[int, int]:
    """Start and end of a budget counter's window in Unix ms; zeros where it has none."""
    start, _, length = counter.rpartition(":")[2][1:].partition("+")
    return (int(start) * 1000, (int(start) + int(length)) * 1000) if length else (0, 0)
