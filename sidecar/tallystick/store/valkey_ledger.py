"""The part of the store on Valkey or Redis that reads the ledger."""

from collections.abc import Sequence
from typing import Any

from tallystick.core.ledger import Entry
from tallystick.store.keys import partition_keys
from tallystick.store.script_runner import ScriptRunner


class LedgerOnValkey:
    """For whoever follows it."""

    _runner: ScriptRunner

    async def ledger(self, partition: int, after: str, count: int) -> Sequence[Entry]:
        """See `Store.ledger`."""
        return await self._range(partition, "-" if after == "0" else f"({after}", count)

    async def ledger_before(self, partition: int, at_ms: int) -> str:
        """See `Store.ledger_before`. Ids follow one another, so it is looked for by halves."""
        first = await self._range(partition, "-", 1)
        last = await self._range(partition, "+", 1, last=True)
        if not first or not last or _at(first[0]) >= at_ms:
            return "0"
        if _at(last[0]) < at_ms:
            return last[0].entry_id
        (epoch, low), (of_last, high) = _place(first[0]), _place(last[0])
        if epoch != of_last:
            epoch, low = of_last, 0
        while high - low > 1:  # the entry at `low` is older, the one at `high` is not
            middle = (low + high) // 2
            (entry,) = await self._range(partition, f"{epoch}-{middle}", 1)
            low, high = (middle, high) if _at(entry) < at_ms else (low, middle)
        return f"{epoch}-{low}"

    async def _range(self, partition: int, start: str, count: int, *, last: bool = False) -> list[Entry]:
        command = ("XREVRANGE", start, "-") if last else ("XRANGE", start, "+")
        name, *bounds = command
        key = partition_keys(partition)[4]
        rows: Any = await self._runner.ask(partition, name, key, *bounds, "COUNT", count)
        return [
            Entry(
                row_id.decode(),
                {cells[i].decode(): cells[i + 1].decode() for i in range(0, len(cells), 2)},
            )
            for row_id, cells in rows
        ]


def _at(entry: Entry) -> int:
    return int(entry.fields["at"])


def _place(entry: Entry) -> tuple[int, int]:
    epoch, seq = entry.entry_id.split("-")
    return int(epoch), int(seq)
