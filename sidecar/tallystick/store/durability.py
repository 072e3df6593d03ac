"""What a store promises of what it has answered, by name.

fast        written to disk within a second: a crash of the machine may lose the last second
durable     on disk before the answer; there is no failover, which could lose more
replicated  on disk here, and with some replicas, before the answer
"""

from dataclasses import dataclass
from enum import StrEnum


class Durability(StrEnum):
    """The modes."""

    FAST = "fast"
    DURABLE = "durable"
    REPLICATED = "replicated"

    @property
    def appendfsync(self) -> str:
        """What the store's setting of this name must be, or better."""
        return "everysec" if self is Durability.FAST else "always"


@dataclass(frozen=True, slots=True)
class Promise:
    """A mode; of `replicated`, how many `replicas` confirm an answer."""

    mode: Durability = Durability.FAST
    replicas: int = 0
