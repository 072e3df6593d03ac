"""How the in-memory store shows holds to administrators, and does their word; see `lua/resolve.lua`."""

from itertools import islice

from tallystick.core.errors import ReservationEnded, ReservationNotFound
from tallystick.core.hold import LATE, Hold, State, read_hold
from tallystick.core.ledger import by_unit
from tallystick.core.policy import Unit
from tallystick.store.hold_places import HoldsSeen, Place, ResolveAsk, ResolveKind, listed, prefix_of
from tallystick.store.memory_partition import Partition, drawn_text


class HoldsInMemory:
    """The part of `MemoryStore` that looks at holds from outside."""

    _retention_ms: int

    def _begin(self, tenant: str) -> Partition:
        raise NotImplementedError

    async def hold(self, tenant: str, reservation_id: str) -> Hold | None:
        """See `Store.hold`."""
        text = self._begin(tenant).hold.get(f"{tenant}:r:{reservation_id}")
        return read_hold(text) if text else None

    async def holds(self, tenant: str, after: Place, count: int) -> HoldsSeen:
        """See `Store.holds`."""
        p, prefix = self._begin(tenant), prefix_of(tenant)
        queue = sorted(Place(due_ms, member.encode()) for member, due_ms in p.due.items())
        places = list(islice((place for place in queue if place > after), count))
        of = {each.member: p.hold.get(each.member[2:].decode(), "") for each in places}
        ours = [place for place in places if place.member.startswith(prefix)]
        return HoldsSeen(listed(tenant, ours, of), places[-1] if len(places) == count else None)

    async def restore(self, tenant: str, reservation_id: str, record: str, outcome: str) -> bool:
        """See `Store.restore`."""
        p, name, hold = self._begin(tenant), f"{tenant}:r:{reservation_id}", read_hold(record)
        if name in p.hold:
            return False
        if p.now_ms >= hold.expires_ms + self._retention_ms:
            raise ReservationEnded(f"the tally of {reservation_id!r} is older than the retention")
        counter, unit = hold.wallet or ("", "")
        p.append(
            "reserve", tenant, reservation_id,
            nano=hold.nano_usd, tokens=hold.tokens, wallet=counter, wallet_unit=str(unit), body=hold.body,
            outcome=outcome, tally=record,
        )  # fmt: skip
        held = by_unit(hold.nano_usd, hold.tokens, 1)
        if hold.wallet:
            p.count[f"{counter}:h"] = p.count.get(f"{counter}:h", 0) + held[Unit(unit)]
        p.post(tenant, reservation_id, hold, held, None)
        p.hold[name] = hold.text()
        p.schedule(f"r:{name}", hold.expires_ms)
        p.opened(1)
        p.end_due(4)
        return True

    async def resolve(self, tenant: str, ask: ResolveAsk) -> tuple[Hold, bool]:
        """See `Store.resolve`."""
        p, name = self._begin(tenant), f"{tenant}:r:{ask.reservation_id}"
        text = p.hold.get(name, "")
        if not text or text.startswith(f'["{State.REFUSED}"'):
            raise ReservationNotFound(f"no reservation {ask.reservation_id!r}")
        hold = read_hold(text)
        if _is_so(p, hold, ask):
            return hold, False
        extends = ask.kind is ResolveKind.EXTEND
        if hold.state in (State.SETTLED, State.RELEASED) or (extends and hold.state is not State.OPEN):
            raise ReservationEnded(f"reservation {ask.reservation_id!r} has ended in another way")
        ends_ms = max(hold.expires_ms, p.now_ms) + self._retention_ms
        if extends:
            hold.expires_ms = ends_ms = p.now_ms + ask.ttl_ms
            p.append(
                "extend", tenant, ask.reservation_id,
                nano=0, tokens=0, expires=ends_ms, by=ask.by, reason=ask.reason,
            )  # fmt: skip
        else:
            _end(p, tenant, hold, ask)
        p.hold[name] = hold.text()
        p.schedule(f"r:{name}", ends_ms)
        p.end_due(4)
        return hold, True


def _is_so(p: Partition, hold: Hold, ask: ResolveAsk) -> bool:
    """Whether it is as it is asked for."""
    if ask.kind is ResolveKind.RELEASE:
        return hold.state is State.RELEASED
    if ask.kind is ResolveKind.EXTEND:
        return hold.state is State.OPEN and hold.expires_ms >= p.now_ms + ask.ttl_ms
    return hold.state is State.ESTIMATED and hold.ended_as in (ask.content, ask.content + LATE)


def _end(p: Partition, tenant: str, hold: Hold, ask: ResolveAsk) -> None:
    reservation_id, settles, late = ask.reservation_id, ask.kind is ResolveKind.SETTLE, hold.state
    nano_usd = (hold.nano_usd if ask.nano_usd is None else ask.nano_usd) if settles else 0
    tokens = (hold.tokens if ask.tokens is None else ask.tokens) if settles else 0
    account, lapsed = p.pay(hold, reservation_id, nano_usd, tokens)
    drawn, said = drawn_text(hold), {"by": ask.by, "reason": ask.reason}
    if settles:
        p.append(
            "settle", tenant, reservation_id,
            nano=nano_usd, tokens=tokens, requests=1, outcome="RESOLVED", estimated=1, usage="", tally="",
            **said, drawn=drawn, lapsed=lapsed,
        )  # fmt: skip
    else:
        p.append("release", tenant, reservation_id, **said, drawn=drawn, lapsed=lapsed)
    p.charge(tenant, reservation_id, hold, account, (nano_usd, tokens, int(settles)))
    if settles:
        hold.ended_as = ask.content + ("" if late is State.OPEN else LATE)
    hold.state = State.ESTIMATED if settles else State.RELEASED
