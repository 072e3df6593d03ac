"""The part of the store on Valkey or Redis that keeps a partition from going on with a past.

What was seen of each partition is compared with every reply; it costs a comparison.
"""

import asyncio
import logging
from collections.abc import Sequence

import hiredis

from tallystick.store.asks import Stamp
from tallystick.store.freezing import Freeze, read_freeze
from tallystick.store.keys import partition_keys
from tallystick.store.node_check import Run
from tallystick.store.resp import encode
from tallystick.store.script_runner import ScriptRunner, checked

NOWHERE = (0, 0)

log = logging.getLogger("tallystick.store")


class FreezingOnValkey:
    """See `Store.freeze` and `Store.thaw`."""

    _runner: ScriptRunner

    def __init__(self) -> None:
        self.frozen: dict[int, Freeze] = {}
        """See `Store.frozen`."""
        self._seen: list[tuple[int, int]] = []
        """By partition: the furthest epoch and sequence."""

    def forget_sequences(self) -> None:
        """Takes every partition as it is, as a sidecar does at its start."""
        self._seen = [NOWHERE] * self._runner.partitions
        self._runner.look = self._look
        self._runner.nodes.compare = self._compare

    def _behind(self, partition: int, stamp: Stamp) -> bool:
        """Whether this was further before; if not, it is kept."""
        place = (stamp.epoch, stamp.seq)
        if place < self._seen[partition]:
            return True
        self._seen[partition] = place
        return False

    async def _compare(self, run: Run, partitions: Sequence[int]) -> None:
        """Freezes those that went back while there was no connection.

        Before any call: what is written first would take the place of what was lost, and hide it.
        """
        asked = [run(encode(["HMGET", partition_keys(each)[0], "epoch", "seq"])) for each in partitions]
        for partition, reply in zip(partitions, await asyncio.gather(*asked), strict=True):
            if isinstance(reply, hiredis.ReplyError):  # a slot that lies elsewhere by now
                continue
            place, seen = (int(reply[0] or 1), int(reply[1] or 0)), self._seen[partition]
            if place < seen:
                message = self._runner.message("freeze", partition, seen)
                told = checked(await run(self._runner.whole("freeze", message)))
                self._learned(partition, told[4])

    async def _look(self, partition: int, stamp: Stamp) -> None:
        """Raises StoreFrozen where the partition went back."""
        if self._behind(partition, stamp):
            await self._look_again(partition)

    async def _look_again(self, partition: int) -> None:
        """Raises StoreFrozen where a reply was behind because its partition is.

        Replies of two nodes may cross while a slot moves, so the store says.
        """
        frozen = await self.freeze(partition, *self._seen[partition])
        if frozen:
            raise frozen.error(partition)

    async def freeze(self, partition: int, epoch: int, seq: int) -> Freeze | None:
        """See `Store.freeze`."""
        reply = await self._runner.evaluate_even_frozen("freeze", partition, (epoch, seq))
        return self._learned(partition, reply[4])

    async def thaw(self, partition: int, by: str, reason: str) -> Freeze | None:
        """See `Store.thaw`."""
        reply = await self._runner.evaluate_even_frozen("thaw", partition, (by, reason))
        self._learned(partition, b"")
        return read_freeze(reply[4].decode()) if reply[4] else None

    def _learned(self, partition: int, text: bytes) -> Freeze | None:
        """Keeps whether a partition is frozen, by what the store says."""
        before = self.frozen.get(partition)
        if not text:
            if before:
                del self.frozen[partition]
                self._seen[partition] = NOWHERE
                self._runner.nodes.thaw(partition)
                log.warning("partition %d was thawed", partition)
            return None
        frozen = read_freeze(text.decode())
        if before != frozen:
            self.frozen[partition] = frozen
            self._runner.nodes.freeze(partition, frozen.error(partition))
            log.error("%s", frozen.error(partition))
        return frozen
