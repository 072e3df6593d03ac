"""The use-cases of those who look after the store: what it promises, and partitions that went back."""

from collections.abc import Mapping
from typing import NamedTuple

from tallystick.core.errors import InvalidArgument
from tallystick.store.base import Store
from tallystick.store.freezing import Freeze


class ThawCall(NamedTuple):
    """A partition is to go on."""

    partition: int
    by: str
    reason: str


class StoreState(NamedTuple):
    """What is known of the store."""

    durability: str
    told_settings: bool
    partitions: int
    frozen: Mapping[int, Freeze]


class Partitions:
    """Tells of frozen partitions, and thaws them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def state(self) -> StoreState:
        """What is known of the store, as of the last sweep."""
        store = self._store
        return StoreState(store.durability, store.told_settings, store.partitions, dict(store.frozen))

    async def thaw(self, call: ThawCall) -> Freeze | None:
        """Lets a partition go on; how it was frozen, None where it was not.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        partitions = self._store.partitions
        if partitions and call.partition >= partitions:
            raise InvalidArgument("partition", f"expected 0 to {partitions - 1}")
        return await self._store.thaw(*call)
