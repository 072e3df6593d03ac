"""The use-cases of those who look after holds that nobody ends."""

from tallystick.core.errors import ReservationNotFound
from tallystick.core.hold import Hold
from tallystick.engine.calls import HoldsCall, ResolveCall
from tallystick.engine.paging import Cut, Page, Pages
from tallystick.engine.planner import Clock
from tallystick.store.base import Store
from tallystick.store.hold_places import START, ListedHold, Place, ResolveAsk, ResolveKind

LOOK_AT = 1_000
"""So many entries of a partition's queue are looked at in one step."""
MOST_LOOKS = 20
"""Of one page, so that it comes in time however few of a partition's holds are meant."""


class Holds:
    """Lists the holds of a tenant, and ends them by the word of an administrator."""

    def __init__(self, store: Store, clock: Clock, pages: Pages) -> None:
        self._store = store
        self._clock = clock
        self._pages = pages

    async def list(self, call: HoldsCall, page: Page) -> Cut[ListedHold]:
        """A page of those that are meant, the soonest to end first. It may be short, and be followed by more.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        place: Place | None = _place(self._pages.place(page))
        before_ms = self._clock.now_ms() - call.older_ms
        found = list[ListedHold]()
        for _ in range(MOST_LOOKS):
            assert place is not None
            seen = await self._store.holds(call.tenant, place, LOOK_AT)
            found += [each for each in seen.found if _is_meant(each.hold, call, before_ms)]
            place = seen.following
            if len(found) > page.size:
                found = found[: page.size]
                place = found[-1].place
            if place is None or len(found) == page.size:
                break
        return Cut(found, self._pages.token(page, _text(place)) if place else "")

    async def resolve(self, call: ResolveCall) -> tuple[Hold, bool]:
        """The hold by now, and whether anything changed.

        Raises:
            ReservationNotFound, ReservationEnded, StoreUnavailable.
        """
        ask = ResolveAsk(call.reservation_id, call.kind, call.by, call.reason, ttl_ms=call.ttl_ms)
        if call.kind is ResolveKind.SETTLE and call.cost is not None:
            hold = await self._store.hold(call.tenant, call.reservation_id)
            if hold is None or hold.empty:
                raise ReservationNotFound(f"no reservation {call.reservation_id!r}")
            nano_usd, tokens = call.cost
            unsaid = 0 if nano_usd == tokens else None
            free = hold.price is not None and hold.price.free
            ask = ask._replace(
                nano_usd=0 if free and nano_usd else nano_usd or unsaid, tokens=tokens or unsaid
            )
        return await self._store.resolve(call.tenant, ask)


def _is_meant(hold: Hold, call: HoldsCall, before_ms: int) -> bool:
    if hold.state not in call.states or hold.reserved_ms > before_ms:
        return False
    return not call.subject or call.subject.items() <= hold.subject_values.items()


def _place(text: str) -> Place:
    due_ms, _, member = text.partition(" ")
    return Place(int(due_ms), member.encode()) if text else START


def _text(place: Place) -> str:
    return f"{place.due_ms} {place.member.decode()}"
