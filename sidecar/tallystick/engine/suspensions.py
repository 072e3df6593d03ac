"""Which tenants are switched off, for when the store can't be asked."""

from tallystick.store.base import Store
from tallystick.store.keys import partition_of


class Suspensions:
    """As far as this sidecar knows: what it saw itself at once, the rest with the next sweep."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._switched: dict[int, int] = {}
        """By partition: how often tenants had been switched when it was read."""
        self._found: dict[int, set[str]] = {}

    def __contains__(self, tenant: str) -> bool:
        return tenant in self._found.get(self._partition(tenant), ())

    def __len__(self) -> int:
        return sum(map(len, self._found.values()))

    def _partition(self, tenant: str) -> int:
        return partition_of(tenant, self._store.partitions)

    def note(self, tenant: str, *, suspended: bool) -> None:
        """The store said so."""
        found = self._found.setdefault(self._partition(tenant), set())
        if suspended:
            found.add(tenant)
        else:
            found.discard(tenant)

    async def look(self, partition: int, switched: int) -> None:
        """Reads a partition's the first time, and where any was `switched` since. Raises StoreUnavailable."""
        if switched != self._switched.get(partition):
            self._found[partition] = await self._store.suspended(partition)
            self._switched[partition] = switched
