"""Of every store: what its clock does, how long a plan serves, and what may be in its keys."""

import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tallystick.core.learning import Pair
from tallystick.core.policy import Budget, WalletTemplate
from tallystick.store.asks import Again, Counters, Held
from tests.store.audit import check_kept
from tests.store.backends import START_MS, Backend, ServerBackend
from tests.store.conftest import MakeBackend
from tests.store.desk import MINUTE, SESSION, TOTAL, TTL_MS, Desk, budget, desk_at, policy_of
from tests.store.steps import GRANTED, LIMITS, MORE_LIMITS, ORG, USER, one_random_step

Verb = Callable[[Desk], Awaitable[object]]


@pytest.mark.contract(8)
@pytest.mark.parametrize(("ms", "fits"), [(-1, False), (0, True), (59_999, True), (60_000, False)])
async def test_a_plan_serves_within_its_windows_only(backend: Backend, ms: int, fits: bool) -> None:
    desk = await desk_at(backend, budget("d", 100, window=MINUTE))
    start = START_MS - START_MS % 60_000 + 60_000
    plan = desk.plan(now_ms=start)
    backend.set_clock(start + ms)
    again = Again(start + ms, 0)
    reply = await desk.reserve(1, plan=plan)
    assert isinstance(reply, Held) if fits else reply == again
    balance = await desk.store.balance(plan)
    assert isinstance(balance, Counters) if fits else balance == again


async def test_the_clock_never_goes_back(backend: Backend) -> None:
    desk = await desk_at(backend, budget("d", 100, window=TOTAL))
    await desk.hold("a", 1)
    backend.move(-5_000)
    held = await desk.hold("b", 1)
    assert (held.stamp.now_ms, held.expires_ms) == (START_MS, START_MS + TTL_MS)
    backend.move(5_001)
    assert (await desk.hold("c", 1)).stamp.now_ms == START_MS + 1


WRITES: dict[str, Verb] = {
    "reserve": lambda desk: desk.reserve(1),
    "settle": lambda desk: desk.settle("a", 1),
    "release": lambda desk: desk.release("a"),
    "refuse": lambda desk: desk.release("never"),
    "extend time": lambda desk: desk.extend("a"),
    "extend money": lambda desk: desk.extend("a", "e", 1),
    "charge": lambda desk: desk.charge("c", 1),
    "take": lambda desk: desk.take(desk.taking(1)),
    "credit": lambda desk: desk.credit("org", 1),
    "policy": lambda desk: desk.store.apply_policy("other", "a document", None),
    "sweep": lambda desk: desk.store.sweep(0, 1),
    "balance": lambda desk: desk.balance(),
    "learn": lambda desk: desk.store.learn("acme", {Pair("m", ""): {1: 1}}),
}


@pytest.mark.parametrize("verb", WRITES)
async def test_the_clock_is_kept_with_whatever_is_written(backend: Backend, verb: str) -> None:
    desk = await desk_at(backend, ORG, funds=100)
    await desk.hold("a", 1, ttl_ms=2 * TTL_MS)
    await desk.hold("due", 1)
    backend.move(TTL_MS)
    await WRITES[verb](desk)
    assert backend.state().meta["clock"] == START_MS + TTL_MS
    backend.move(-1)
    assert (await desk.hold("b", 1)).stamp.now_ms == START_MS + TTL_MS


async def test_the_clock_is_that_of_the_store(server_backend: ServerBackend) -> None:
    """Or shifted from it, or stopped, for tests."""
    desk = await desk_at(server_backend, budget("d", 100, window=TOTAL))
    for shift in ("", "+3600000", "-7200000"):
        server_backend.raw.flushall()
        if shift:
            server_backend.raw.hset("ts:{t.0}:meta", "time", shift)
        before, held, after = server_backend.raw.time(), await desk.hold("a", 1), server_backend.raw.time()
        now_ms = held.stamp.now_ms - int(shift or 0)
        assert _unix_ms(before) <= now_ms <= _unix_ms(after)


def _unix_ms(time: Any) -> int:
    seconds, micros = time
    return int(seconds * 1_000 + micros // 1_000)


TENANT = r"[a-z0-9_.-]+"
COUNTER = rf"{TENANT}:[bw]:[a-z-]+:[^:\t\n]*:[utrc](\d+\+\d+|~\d+)?"
BUCKET = rf"{TENANT}:b:[a-z-]+:[^:\t\n]*:[utr]~\d+:s@\d+"
LEARNED = rf"{TENANT}:q(:[^:\t\n]+:[^:\t\n]*)?"
TICKETS = rf"t:{TENANT}:t:.+"
KEYSPACE = {
    "meta": rf"seq|clock|open|policy:{TENANT}",
    "count": rf"{COUNTER}:[fbsh]|{COUNTER}:x|{BUCKET}",
    "texts": rf"{TENANT}:w:[a-z-]+:[^:\t\n]*:[ut]:[lg]|{COUNTER}:a",
    "hold": rf"{TENANT}:[rc]:[^\t\n]+|{TENANT}:e:[^\t\n]+\t[^\t\n]+|{LEARNED}",
    "due": rf"r:{TENANT}:r:.+|a:{TENANT}:[ce]:.+|a:({LEARNED})|w:{COUNTER}|b:{BUCKET}|l:{COUNTER}|{TICKETS}",
    "ticket": rf"{TENANT}:t:.+|{TENANT}:b:[a-z-]+:[^:\t\n]*:[utr](\d+\+\d+|~\d+)?",
    "policy": rf"{TENANT}:\d+(:n)?",
}


async def test_nothing_outside_the_documented_keyspace_exists(
    make_backend: MakeBackend, dice: random.Random
) -> None:
    backend = make_backend(partitions=2)
    store = await backend.client()
    parts: list[WalletTemplate | Budget] = [USER, GRANTED, ORG]
    parts += (*LIMITS.values(), *MORE_LIMITS, budget("s", 1_000, window=SESSION, per=("session",)))
    for tenant in ("acme", "b-1", "c_2.x"):
        desk = Desk(backend, store, policy_of(*parts, tenant=tenant))
        for _ in range(100):
            await one_random_step(desk, dice)
        await store.apply_policy(tenant, "a document", None)
    await store.shared_key(b"key")
    if isinstance(backend, ServerBackend):
        for key in backend.names():
            assert re.fullmatch(r"ts:\{t\.[01]\}:(meta|count|hold|due|log|policy|ticket)", key)
            assert backend.raw.ttl(key) == -1  # nothing rests on the time to live of a key
    for partition in range(2):
        state = backend.state(partition)
        for kind, pattern in KEYSPACE.items():
            for name in getattr(state, kind):
                assert re.fullmatch(pattern, name), (kind, name)
        check_kept(state)
