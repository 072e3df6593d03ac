"""The part of the store on Valkey or Redis that looks at holds from outside."""

from tallystick.core.errors import ReservationEnded, ReservationNotFound
from tallystick.core.hold import Hold, read_hold
from tallystick.store.hold_places import HoldsSeen, Place, ResolveAsk, listed, prefix_of
from tallystick.store.keys import partition_keys
from tallystick.store.script_runner import ScriptRunner

RESOLVED = RESTORED = 0
ENDED, UNKNOWN, TOO_OLD = 5, 6, 7


class HoldsOnValkey:
    """For administrators, and for a settle without a tally."""

    _runner: ScriptRunner
    _retention_ms: int

    async def hold(self, tenant: str, reservation_id: str) -> Hold | None:
        """See `Store.hold`."""
        partition = self._runner.partition(tenant)
        key = partition_keys(partition)[2]
        text = await self._runner.ask(partition, "HGET", key, f"{tenant}:r:{reservation_id}")
        return read_hold(text.decode()) if text else None

    async def holds(self, tenant: str, after: Place, count: int) -> HoldsSeen:
        """See `Store.holds`."""
        partition, prefix = self._runner.partition(tenant), prefix_of(tenant)
        places = await self._places(partition, after, count)
        ours = [place for place in places if place.member.startswith(prefix)]
        records = dict[bytes, str]()
        if ours:
            fields = (place.member[2:] for place in ours)
            texts = await self._runner.ask(partition, "HMGET", partition_keys(partition)[2], *fields)
            records = {place.member: text.decode() for place, text in zip(ours, texts, strict=True) if text}
        return HoldsSeen(listed(tenant, ours, records), places[-1] if len(places) == count else None)

    async def _places(self, partition: int, after: Place, count: int) -> list[Place]:
        """The next `count` places of the due queue; of one time those are skipped that came before."""
        key, skip, found = partition_keys(partition)[3], 0, list[Place]()
        while len(found) < count:
            bounds = (after.due_ms, "+inf", "BYSCORE", "LIMIT", skip, count, "WITHSCORES")
            cells = await self._runner.ask(partition, "ZRANGE", key, *bounds)
            rows = [Place(int(cells[i + 1]), cells[i]) for i in range(0, len(cells), 2)]
            found += [row for row in rows if row > after]
            skip += len(rows)
            if len(rows) < count:
                break
        return found[:count]

    async def restore(self, tenant: str, reservation_id: str, record: str, outcome: str) -> bool:
        """See `Store.restore`."""
        args = (tenant, reservation_id, record, outcome, self._retention_ms)
        (code,) = await self._runner.run("restore", tenant, args)
        if code == TOO_OLD:
            raise ReservationEnded(f"the tally of {reservation_id!r} is older than the retention")
        return bool(code == RESTORED)

    async def resolve(self, tenant: str, ask: ResolveAsk) -> tuple[Hold, bool]:
        """See `Store.resolve`."""
        amounts = ["" if amount is None else amount for amount in (ask.nano_usd, ask.tokens)]
        args = [tenant, ask.reservation_id, ask.kind, *amounts, ask.ttl_ms, ask.by, ask.reason]
        reply = await self._runner.run("resolve", tenant, [*args, self._retention_ms])
        if reply[0] == UNKNOWN:
            raise ReservationNotFound(f"no reservation {ask.reservation_id!r}")
        if reply[0] == ENDED:
            raise ReservationEnded(f"reservation {ask.reservation_id!r} has ended in another way")
        return read_hold(reply[1].decode()), reply[0] == RESOLVED
