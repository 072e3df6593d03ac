"""The contract, on every store: holds that nobody ends, and the word of an administrator."""

import json
from typing import Any

import pytest

from tallystick.core.errors import ReservationEnded, ReservationNotFound
from tallystick.core.hold import State
from tallystick.core.outcome import Mode
from tallystick.store.asks import Settled
from tallystick.store.hold_places import START, HoldsSeen, Place, ResolveAsk, ResolveKind
from tests.store.audit import check_all
from tests.store.backends import RETENTION_MS, START_MS, Backend
from tests.store.desk import TTL_MS, Desk, budget, desk_at
from tests.store.steps import ORG

SETTLE, RELEASE, EXTEND = ResolveKind.SETTLE, ResolveKind.RELEASE, ResolveKind.EXTEND


async def desk_with_holds(backend: Backend, *names: str) -> Desk:
    desk = await desk_at(backend, ORG, budget("d", 1_000), funds=1_000)
    for name in names:
        await desk.hold(name, 10, 4)
    return desk


async def resolve(desk: Desk, name: str, kind: ResolveKind, *amounts: int | None, **more: Any) -> Any:
    """State and charge by now, and whether anything changed."""
    nano_usd, tokens = (*amounts, None, None)[:2]
    ask = ResolveAsk(name, kind, "ann", "why", nano_usd, tokens, **more)
    hold, changed = await desk.store.resolve("acme", ask)
    check_all(desk.backend.state())
    kept = await desk.store.hold("acme", name)
    assert kept is not None
    assert (kept.state, kept.expires_ms, kept.charged_nano_usd) == (
        hold.state, hold.expires_ms, hold.charged_nano_usd,
    )  # fmt: skip
    return hold.state, hold.charged_nano_usd, hold.charged_tokens, changed


async def seen(desk: Desk, count: int = 100) -> list[tuple[str, State]]:
    """Id and state of each hold, looked for so many entries at a time."""
    found, place = list[tuple[str, State]](), START
    while True:
        looked: HoldsSeen = await desk.store.holds(desk.policy.tenant, place, count)
        found += [(each.reservation_id, each.hold.state) for each in looked.found]
        if looked.following is None:
            return found
        place = looked.following


# what is listed


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
async def test_holds_are_listed_by_when_they_end(backend: Backend, count: int) -> None:
    desk = await desk_with_holds(backend)
    for name, ttl_ms in (("late", 9_000), ("b", 5_000), ("a", 5_000), ("soon", 1_000)):
        await desk.hold(name, 1, ttl_ms=ttl_ms)
    other = await desk_at(backend, ORG, tenant="b", funds=10)
    await other.hold("theirs", 1, ttl_ms=5_000)
    await desk.charge("charged", 5)
    await desk.release("never-reserved")
    await desk.settle("b", 1)
    o = State.OPEN
    assert await seen(desk, count) == [("soon", o), ("a", o), ("late", o), ("b", State.SETTLED)]
    assert await seen(other, count) == [("theirs", o)]


async def test_of_many_that_end_at_once_none_is_missed_or_told_twice(backend: Backend) -> None:
    names = [f"h{n:03d}" for n in range(90)]
    desk = await desk_with_holds(backend, *names)
    for count in (1, 7, 50, 90, 500):
        assert [name for name, _ in await seen(desk, count)] == names


async def test_a_hold_that_ends_meanwhile_moves_no_other(backend: Backend) -> None:
    desk = await desk_with_holds(backend, "a", "b", "c", "d")
    first = await desk.store.holds("acme", START, 2)
    for name in "ab":
        await desk.settle(name, 1)
    assert first.following is not None
    found = await desk.store.holds("acme", first.following, 100)
    names = [each.reservation_id for each in [*first.found, *found.found]]
    assert {"c", "d"} <= set(names)
    assert names.count("c") == names.count("d") == 1


async def test_a_look_behind_the_end_finds_nothing(backend: Backend) -> None:
    desk = await desk_with_holds(backend, "a")
    looked = await desk.store.holds("acme", Place(START_MS + 2 * RETENTION_MS, b"z"), 5)
    assert looked == HoldsSeen([], None)


# an administrator's word


@pytest.mark.contract(5)
async def test_a_hold_is_settled_and_the_ledger_tells_by_whom_and_why(backend: Backend) -> None:
    desk = await desk_with_holds(backend, "a")
    assert await resolve(desk, "a", SETTLE, 7, None) == (State.ESTIMATED, 7, 4, True)
    told = backend.state().log[-1].fields
    assert json.loads(told.pop("drawn"))[0][3] == "7"
    assert told == {
        "kind": "settle", "at": str(START_MS), "tenant": "acme", "id": "a", "nano": "7", "tokens": "4",
        "requests": "1", "outcome": "RESOLVED", "estimated": "1", "usage": "", "tally": "", "lapsed": "0",
        "by": "ann", "reason": "why",
    }  # fmt: skip
    assert await desk.balance() == [1_000, 993, 0, 7, 0]
    assert await ended_as(desk, "a") == "resolved 7/"
    assert backend.state().due["r:acme:r:a"] == START_MS + TTL_MS + RETENTION_MS


async def ended_as(desk: Desk, name: str) -> str:
    hold = await desk.store.hold("acme", name)
    assert hold is not None
    return hold.ended_as


async def test_what_is_not_said_is_as_held(backend: Backend) -> None:
    desk = await desk_with_holds(backend, "a", "b", "c")
    assert await resolve(desk, "a", SETTLE, None, 7) == (State.ESTIMATED, 10, 7, True)
    assert await resolve(desk, "b", SETTLE) == (State.ESTIMATED, 10, 4, True)
    assert await resolve(desk, "c", SETTLE, 0, 0) == (State.ESTIMATED, 0, 0, True)
    assert await ended_as(desk, "c") == "resolved 0/0"


@pytest.mark.contract(4)
async def test_the_same_word_twice_changes_nothing(backend: Backend) -> None:
    desk = await desk_with_holds(backend, "a", "b", "c")
    for name, kind, more in (("a", SETTLE, {}), ("b", RELEASE, {}), ("c", EXTEND, {"ttl_ms": 2 * TTL_MS})):
        *_, changed = await resolve(desk, name, kind, 7, 7, **more)
        before = backend.dump()
        *_, again = await resolve(desk, name, kind, 7, 7, **more)
        assert (changed, again) == (True, False)
        assert backend.dump() == before


@pytest.mark.contract(5)
@pytest.mark.parametrize("word", [SETTLE, RELEASE])
async def test_the_caller_corrects_it_once_with_the_true_cost(backend: Backend, word: ResolveKind) -> None:
    desk = await desk_with_holds(backend, "a")
    await resolve(desk, "a", word, 7, 7)
    settled: Settled = await desk.settle("a", 25, 4)
    assert (settled.nano_usd, settled.changed, settled.late) == (25, True, True)
    assert await desk.balance() == [1_000, 975, 0, 25, 0]
    with pytest.raises(ReservationEnded):
        await resolve(desk, "a", SETTLE, 9, 9)
    with pytest.raises(ReservationEnded):
        await resolve(desk, "a", RELEASE)
    check_all(backend.state())


async def test_an_expired_hold_and_an_estimate_are_corrected(backend: Backend) -> None:
    desk = await desk_with_holds(backend, "a", "b", "c")
    await desk.settle("c", mode=Mode.HOLD)
    backend.move(TTL_MS + 1)
    await desk.counters()
    assert await resolve(desk, "a", SETTLE, 3, 0) == (State.ESTIMATED, 3, 0, True)
    assert await resolve(desk, "a", SETTLE, 4, 0) == (State.ESTIMATED, 4, 0, True)
    assert await ended_as(desk, "a") == "resolved 4/0 late"
    assert backend.state().due["r:acme:r:a"] == backend.now_ms + RETENTION_MS
    before = backend.dump()
    assert await resolve(desk, "a", SETTLE, 4, 0) == (State.ESTIMATED, 4, 0, False)
    assert backend.dump() == before
    assert await resolve(desk, "b", RELEASE) == (State.RELEASED, 0, 0, True)
    assert await resolve(desk, "c", RELEASE) == (State.RELEASED, 0, 0, True)
    assert await desk.balance() == [1_000, 996, 0, 4, 0]
    with pytest.raises(ReservationEnded):
        await resolve(desk, "a", EXTEND, ttl_ms=1_000)
    with pytest.raises(ReservationEnded):
        await resolve(desk, "b", SETTLE, 1, 1)


async def test_a_hold_gets_time_and_never_less(backend: Backend) -> None:
    desk = await desk_with_holds(backend, "a")
    *_, changed = await resolve(desk, "a", EXTEND, ttl_ms=1_000)
    assert not changed
    *_, changed = await resolve(desk, "a", EXTEND, ttl_ms=3 * TTL_MS)
    assert changed
    told = backend.state().log[-1].fields
    assert (told["kind"], told["expires"], told["by"]) == ("extend", str(START_MS + 3 * TTL_MS), "ann")
    backend.move(2 * TTL_MS)
    assert (await desk.balance())[2] == 10  # it is open still
    backend.move(TTL_MS + 1)
    assert (await desk.balance())[2] == 0


async def test_what_is_unknown_or_was_charged_is_no_hold(backend: Backend) -> None:
    desk = await desk_with_holds(backend)
    await desk.release("released")
    for name in ("nobody", "released"):
        for kind in ResolveKind:
            with pytest.raises(ReservationNotFound):
                await desk.store.resolve("acme", ResolveAsk(name, kind, "", "", 1, 1, 1_000))
    await desk.charge("charged", 5)
    for kind in ResolveKind:
        with pytest.raises(ReservationEnded):
            await desk.store.resolve("acme", ResolveAsk("charged", kind, "", "", 1, 1, 1_000))


async def test_a_few_that_are_due_end_with_it(backend: Backend) -> None:
    desk = await desk_with_holds(backend, *"abcdefgh")
    await desk.hold("long", 1, ttl_ms=9 * TTL_MS)
    backend.move(TTL_MS + 1)
    await resolve(desk, "long", SETTLE, 1, 1)
    assert [entry.fields["kind"] for entry in backend.state().log].count("expire") == 4
