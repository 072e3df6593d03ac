"""The part of the specification that keeps which tenants have a shadow."""

from tallystick.store.keys import OF_SHADOWS
from tallystick.store.memory_partition import Partition
from tallystick.store.tenant_states import PolicyNote, Shadows


class ShadowsInMemory:
    """See `Store.shadows` and its neighbours."""

    _partitions: list[Partition]

    def __init__(self) -> None:
        super().__init__()
        self._shadows: dict[str, str] = {}
        self._shadows_stamp = ""

    def _begin_partition(self, partition: int) -> Partition:
        raise NotImplementedError

    async def shadows(self, known: str) -> Shadows | None:
        """See `Store.shadows`."""
        same = known == self._shadows_stamp
        return None if same else Shadows(self._shadows_stamp, dict(self._shadows))

    async def set_shadow(self, tenant: str, namespace: str, stamp: str, note: PolicyNote) -> tuple[str, bool]:
        """See `Store.set_shadow`."""
        p, kept = self._begin_partition(OF_SHADOWS), self._shadows.get(tenant, "")
        if bool(kept) == bool(namespace):
            return kept, False
        p.append("shadow", tenant, tenant, namespace=namespace, by=note.by, comment=note.comment)
        self._shadows_stamp = stamp
        if namespace:
            self._shadows[tenant] = namespace
        else:
            del self._shadows[tenant]
        return namespace, True
