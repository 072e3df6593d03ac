"""How the in-memory store freezes and thaws partitions."""

from tallystick.store.freezing import Freeze
from tallystick.store.memory_partition import Partition


class FreezingInMemory:
    """The part of `MemoryStore` that keeps a partition from going on with a past."""

    _partitions: list[Partition]

    def _tick(self, p: Partition) -> None:
        raise NotImplementedError

    @property
    def frozen(self) -> dict[int, Freeze]:
        """See `Store.frozen`."""
        return {n: p.frozen for n, p in enumerate(self._partitions) if p.frozen}

    @property
    def durability(self) -> str:
        """Nothing outlives the process."""
        return "none"

    @property
    def told_settings(self) -> bool:
        """There are none."""
        return True

    async def freeze(self, partition: int, epoch: int, seq: int) -> Freeze | None:
        """See `Store.freeze`."""
        p = self._partitions[partition]
        self._tick(p)
        stamp = p.stamp()
        if not p.frozen and (stamp.epoch, stamp.seq) < (epoch, seq):
            p.frozen = Freeze(p.now_ms, f"{epoch}-{seq}", f"{stamp.epoch}-{stamp.seq}")
        return p.frozen

    async def thaw(self, partition: int, by: str, reason: str) -> Freeze | None:
        """See `Store.thaw`."""
        p = self._partitions[partition]
        self._tick(p)
        told, p.frozen = p.frozen, None
        if told:
            p.meta["epoch"] = 1 + max(p.stamp().epoch, int(told.seen.partition("-")[0]))
            p.append("thaw", "", told.seen, found=told.found, by=by, reason=reason)
        return told
