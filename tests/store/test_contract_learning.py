"""The contract, on every store: what is known of how long answers are."""

import random

import pytest

from tallystick.core.learning import FADE_ABOVE, IDLE_MS, MOST_PAIRS, Counts, Pair, merge
from tests.store.audit import check_all
from tests.store.backends import Backend

CHAT = Pair("gpt-4o", "")
AUDIT = Pair("openai/gpt-4o:x, ü", "nightly audit\x7f%:/")


def pairs(backend: Backend) -> set[str]:
    """The names of the tenant's pairs that are kept; each is due, and in the index."""
    state = backend.state()
    names = {name.removeprefix("acme:q:") for name in state.hold if name.startswith("acme:q:")}
    index = state.hold.get("acme:q", "").split("\n")
    assert index == sorted({*index})
    assert names - {""} <= {*index}
    check_all(state)
    return names


async def test_answers_add_up_over_all_sidecars(backend: Backend) -> None:
    first, second = await backend.client(), await backend.client()
    assert await first.learn("acme", {CHAT: {3: 2}, AUDIT: {8: 1}}) == {CHAT: {3: 2}, AUDIT: {8: 1}}
    assert await second.learn("acme", {CHAT: {0: 5, 3: 1, 400: 7}}) == {CHAT: {0: 5, 3: 3, 400: 7}}
    assert await second.learn("other", {CHAT: {1: 1}}) == {CHAT: {1: 1}}
    assert pairs(backend) == {CHAT.name, AUDIT.name}


async def test_to_ask_writes_nothing(backend: Backend) -> None:
    store = await backend.client()
    await store.learn("acme", {CHAT: {3: 2}})
    backend.move(1)
    before = backend.dump()
    assert await store.learn("acme", {AUDIT: {}, CHAT: {}}) == {CHAT: {3: 2}}
    assert backend.dump() == before


async def test_what_was_seen_long_ago_fades(backend: Backend) -> None:
    store = await backend.client()
    full = {CHAT: {5: FADE_ABOVE - 3, 9: 3}}
    assert await store.learn("acme", full) == full
    known = (await store.learn("acme", {CHAT: {7: 1}}))[CHAT]
    assert known == merge(full[CHAT], {7: 1})
    assert sum(known.values()) == FADE_ABOVE // 2 + 1
    assert known[9] == 2


@pytest.mark.parametrize("ms", [-1, 0])
async def test_an_idle_pair_is_forgotten(backend: Backend, ms: int) -> None:
    store = await backend.client()
    await store.learn("acme", {CHAT: {1: 1}, AUDIT: {1: 1}})
    backend.move(IDLE_MS + ms)
    await store.learn("acme", {AUDIT: {1: 1}})
    assert pairs(backend) == ({AUDIT.name} if ms == 0 else {CHAT.name, AUDIT.name})
    known = {AUDIT: {1: 1 if ms == 0 else 2}}
    assert await store.learn("acme", {CHAT: {}, AUDIT: {}}) == (known if ms == 0 else known | {CHAT: {1: 1}})


async def test_nothing_is_left_once_all_are_idle(backend: Backend) -> None:
    store = await backend.client()
    for number in range(10):
        await store.learn("acme", {Pair(f"m{number}", ""): {1: 1}})
    for _ in range(4):  # a few at a time, and never the index before a pair
        backend.set_clock(max(backend.state().due.values()))
        await store.sweep(0, 3)
        pairs(backend)
    assert (backend.state().hold, backend.state().due) == ({}, {})


async def test_a_few_that_are_due_end_with_every_call(backend: Backend) -> None:
    store = await backend.client()
    await store.learn("acme", {Pair(f"m{number}", ""): {1: 1} for number in range(6)})
    backend.move(IDLE_MS)
    await store.learn("other", {CHAT: {1: 1}})
    assert len(pairs(backend)) == 6 - 4


async def test_a_newcomer_goes_before_those_as_little_used(backend: Backend) -> None:
    store = await backend.client()
    await store.learn("acme", {Pair("m", str(number)): {1: 1} for number in range(MOST_PAIRS)})
    assert await store.learn("acme", {Pair("z", ""): {1: 1}}) == {Pair("z", ""): {1: 1}}
    assert len(pairs(backend)) == MOST_PAIRS


async def test_the_least_used_of_too_many_are_dropped(backend: Backend) -> None:
    store = await backend.client()
    many = {Pair("m", str(number)): {1: 2 + number} for number in range(MOST_PAIRS)}
    await store.learn("acme", many)
    assert await store.learn("acme", {CHAT: {1: 1}}) == {}  # less used than all others
    assert await store.learn("acme", {CHAT: {1: 2}, Pair("m", "1"): {1: 5}}) == {
        CHAT: {1: 2},
        Pair("m", "1"): {1: 8},
    }
    assert pairs(backend) == {pair.name for pair in many} - {Pair("m", "0").name} | {CHAT.name}
    both = {Pair("new", "a"): {1: 10**6}, Pair("new", "b"): {1: 10**6}}
    assert set(await store.learn("acme", both)) == set(both)
    gone = {Pair("m", number).name for number in "02"} | {CHAT.name}
    assert pairs(backend) == {pair.name for pair in (many | both)} - gone


async def test_random_news_are_merged_as_the_core_merges_them(backend: Backend, dice: random.Random) -> None:
    store = await backend.client()
    told: dict[Pair, Counts] = {}
    for _ in range(60):
        news = {
            Pair(dice.choice("abc"), dice.choice(["", "w"])): {
                dice.randrange(12): dice.choice([1, 5, FADE_ABOVE]) for _ in range(dice.randrange(3))
            }
            for _ in range(dice.randrange(1, 4))
        }
        expected = {pair: merge(told.get(pair, {}), counts) for pair, counts in news.items()}
        known = await store.learn("acme", news)
        assert known == {pair: counts for pair, counts in expected.items() if counts}
        told |= known
    check_all(backend.state())
