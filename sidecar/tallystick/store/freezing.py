"""A partition that went back: what is known of it, and what a sweep tells."""

from typing import NamedTuple

from tallystick.core.errors import StoreFrozen
from tallystick.store.asks import Stamp


class Freeze(NamedTuple):
    """Why a partition answers nothing: it was further once. Places are `EPOCH-SEQ`."""

    since_ms: int
    seen: str
    found: str

    def text(self) -> str:
        """As the store keeps it."""
        return f"{self.since_ms}\t{self.seen}\t{self.found}"

    def error(self, partition: int) -> StoreFrozen:
        """What calls are answered."""
        return StoreFrozen(
            f"partition {partition} of the store went back from {self.seen} to {self.found} and is frozen: "
            f"see `tallystick store thaw {partition}`"
        )


def read_freeze(text: str) -> Freeze:
    """From what the store keeps."""
    since_ms, seen, found = text.split("\t")
    return Freeze(int(since_ms), seen, found)


class Swept(NamedTuple):
    """A partition after a sweep."""

    stamp: Stamp
    open_holds: int
    more: bool
    frozen: Freeze | None = None
    switched: int = 0
    """How often any of its tenants was suspended or resumed."""
