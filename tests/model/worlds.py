"""The same store twice: the specification in memory and a real server, asked alike and compared."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from tallystick.core.errors import TallystickError
from tallystick.core.hold import Hold
from tallystick.core.outcome import Mode
from tallystick.core.packing import compact
from tallystick.core.policy import (
    Budget,
    Grant,
    OnExhausted,
    OnExpiry,
    Policy,
    Unit,
    Unmatched,
    WalletTemplate,
    used_dimensions,
)
from tallystick.core.windows import MS_PER_HOUR, Span, Window
from tallystick.store.asks import Replayed
from tallystick.store.base import Store
from tallystick.store.hold_places import START, Place, ResolveAsk
from tests.servers import StoreServer
from tests.store.audit import check_all, ended_windows
from tests.store.backends import RETENTION_MS, START_MS, MemoryBackend, ServerBackend, State

SESSION_LIFE_MS = 90 * RETENTION_MS
BIG = 2**63 - 1


def _policy(*parts: WalletTemplate | Budget, on_expiry: OnExpiry = OnExpiry.CHARGE) -> Policy:
    wallets = tuple(part for part in parts if isinstance(part, WalletTemplate))
    budgets = tuple(part for part in parts if isinstance(part, Budget))
    dimensions = used_dimensions(wallets, budgets)
    return Policy("", 0, wallets, budgets, on_expiry=on_expiry, dimensions=dimensions)


def _fixed(length_ms: int) -> Window:
    return Window(Span.FIXED, length_ms)


def _rolling(length_ms: int) -> Window:
    return Window(Span.ROLLING, length_ms)


DAY, WEEK, MONTH = Window(Span.DAY), Window(Span.WEEK), Window(Span.MONTH, zone="Europe/Berlin")
USER, ORG = WalletTemplate("user", ("user",)), WalletTemplate("org")
IN_BURSTS = Budget("bursts", 6, Unit.REQUESTS, _fixed(60_000))
POLICIES = (
    _policy(
        USER,
        ORG,
        Budget("daily", 2_000, Unit.NANO_USD, DAY, per=("user",)),
        IN_BURSTS,
        Budget("in-flight", 5, Unit.CONCURRENT, Window(Span.TOTAL)),
    ),
    _policy(
        WalletTemplate("pool", unit=Unit.TOKENS),
        ORG,
        Budget("all", BIG, Unit.NANO_USD, Window(Span.TOTAL)),
        Budget("tokens", BIG - 7, Unit.TOKENS, _fixed(MS_PER_HOUR)),
        Budget("edge", 2**53 + 1, Unit.NANO_USD, WEEK, on_exhausted=OnExhausted.ALERT),
        on_expiry=OnExpiry.RELEASE,
    ),
    _policy(
        ORG,
        Budget("session", 3_000, Unit.NANO_USD, Window(Span.SESSION), per=("session",)),
        Budget("loops", 3, Unit.REQUESTS, _fixed(600_000), per=("session",)),
        Budget("tokens", 100, Unit.TOKENS, _fixed(1_000)),
        Budget("mine", 2, Unit.CONCURRENT, DAY, per=("user",)),
    ),
    _policy(Budget("daily", 500, Unit.NANO_USD, Window(Span.DAY, zone="Europe/Berlin"), per=("user",))),
    _policy(
        Budget("daily", 500, Unit.NANO_USD, DAY, per=("user",), on_exhausted=OnExhausted.TICKET),
        Budget("hour", 900, Unit.NANO_USD, _rolling(MS_PER_HOUR), on_exhausted=OnExhausted.TICKET),
        Budget("all", 2**53 + 1, Unit.TOKENS, Window(Span.TOTAL), on_exhausted=OnExhausted.TICKET),
        Budget("hard", 1_200, Unit.NANO_USD, DAY),
    ),
    replace(_policy(), unmatched=Unmatched.ALLOW),
    _policy(ORG),
    _policy(
        WalletTemplate("user", ("user",), grant=Grant(999, DAY, 450)),
        WalletTemplate("org", grant=Grant(2_000, WEEK)),
        Budget("hour", 1_500, Unit.NANO_USD, _rolling(MS_PER_HOUR), per=("user",), alerts=(1, 50, 99, 100)),
        Budget("minute", 4, Unit.REQUESTS, _rolling(60_000)),
        Budget("daily", 1_500, Unit.NANO_USD, DAY, per=("user",), overage=501),
    ),
    _policy(
        WalletTemplate("user", ("user",), grant=Grant(1_007, MONTH, 3_000)),
        WalletTemplate("pool", unit=Unit.TOKENS, grant=Grant(2**53 + 1, DAY, 2**62)),
        ORG,
        Budget("hour", 1_100, Unit.NANO_USD, _rolling(MS_PER_HOUR), per=("user",), alerts=()),
        Budget("shared", 2_007, Unit.NANO_USD, WEEK, priorities=(("low", 30), ("normal", 75)), overage=100),
        Budget("tokens", 2**53 + 1, Unit.TOKENS, _rolling(90_000), alerts=(10, 100)),
        on_expiry=OnExpiry.RELEASE,
    ),
    _policy(
        WalletTemplate("user", ("user",), grant=Grant(10, WEEK, 25)),
        WalletTemplate("org", grant=Grant(100, DAY, BIG)),
        Budget(
            "daily", 700, Unit.NANO_USD, DAY, per=("user",), alerts=(5, 30, 100), priorities=(("low", 0),)
        ),
        IN_BURSTS,
    ),
)
"""Policies without a tenant; some wallets and budgets of one have the name of another's."""

AMOUNTS = (0, 0, 1, 7, 100, 999, 2_000, 10**15, 2**53 - 1, 2**53, 2**53 + 1, 2**62, BIG - 1, BIG)
MODES = tuple(Mode)
MOVES_MS = (0, 1, 999, 1_000, 30_000, 60_000, MS_PER_HOUR, RETENTION_MS - 1, RETENTION_MS, 8 * RETENTION_MS)
FAR_MOVES_MS = (31 * RETENTION_MS, SESSION_LIFE_MS, 400 * RETENTION_MS)


class World:
    """Both stores, on one clock."""

    def __init__(self, server: StoreServer) -> None:
        self.runner = asyncio.Runner()
        self.memory = MemoryBackend()
        self.server = ServerBackend(server)
        self.stores: list[Store] = []
        self.begin()

    def begin(self) -> None:
        """Empties both."""
        self.memory = MemoryBackend()
        self.server.empty()
        self.stores = [self.run(self.memory.client()), *(self.stores[1:] or [self.run(self.server.client())])]

    def run(self, work: Any) -> Any:
        """Waits for a coroutine."""
        return self.runner.run(work)

    def both(self, ask: Callable[[Store], Awaitable[object]]) -> Any:
        """The reply, which must be the same from both; an error is one, too."""
        replies = [self.run(_answer(ask, store)) for store in self.stores]
        assert replies[0] == replies[1], "\n≠ ".join(map(str, replies))
        assert type(replies[0]) is type(replies[1])
        return replies[0]

    def both_at_once(self, asks: Sequence[Callable[[Store], Awaitable[object]]]) -> list[Any]:
        """As `both`, for what is asked in one tick and so may reach the server in one command."""

        async def each(store: Store) -> list[object]:
            return await asyncio.gather(*(_answer(ask, store) for ask in asks))

        replies: list[Any] = self.both(each)
        return replies

    def move(self, ms: int) -> None:
        """Moves the clock of both."""
        self.memory.move(ms)
        self.server.set_clock(self.memory.now_ms)

    def compare(self) -> State:
        """The state, which must be the same in both, and sound."""
        state = self.memory.state()
        there = self.server.state().comparable()
        for name, here in state.comparable().items():
            assert here == there[name], differences(name, here, there[name])
        now_ms = max(self.memory.now_ms, state.meta.get("clock", 0))
        forgotten = ended_windows(state, now_ms)
        if now_ms >= START_MS + SESSION_LIFE_MS:
            forgotten |= {entry for entry in _counters(state) if entry.split(":")[2] == "session"}
        check_all(state, forgotten)
        return state

    def close(self) -> None:
        """Ends the clients."""
        self.run(self.server.close())
        self.runner.close()


def differences(name: str, here: Any, there: Any) -> str:
    """What of a key is not alike, for people."""
    if isinstance(here, dict):
        rows = [
            f"{k!r}: {here.get(k)!r} ≠ {there.get(k)!r}" for k in here | there if here.get(k) != there.get(k)
        ]
    else:
        rows = [f"{a} ≠ {b}" for a, b in itertools.zip_longest(here, there) if a != b]
    return "\n".join([name, *rows])


def _counters(state: State) -> set[str]:
    named = {name[:-2] for name in state.count}
    for entry in state.log:
        if entry.fields["kind"] in ("reserve", "charge"):
            named |= {cells[0] for cells in json.loads(entry.fields["body"])[1]}
    return named


async def holds_of(tenant: str, count: int, store: Store) -> list[tuple[Place, str, Hold]]:
    """Every hold of a tenant, looked for `count` entries at a time."""
    found, place = list[tuple[Place, str, Hold]](), START
    while True:
        seen = await store.holds(tenant, place, count)
        found += [(at, reservation_id, _plain(hold)) for at, reservation_id, hold in seen.found]
        if seen.following is None:
            return found
        assert seen.following > place
        place = seen.following


async def resolve_with(tenant: str, ask: ResolveAsk, store: Store) -> tuple[Hold, bool]:
    """The hold by now, and whether anything changed."""
    hold, changed = await store.resolve(tenant, ask)
    return _plain(hold), changed


async def _answer(ask: Callable[[Store], Awaitable[object]], store: Store) -> object:
    try:
        reply = await ask(store)
        if isinstance(reply, Replayed):
            return Replayed(_plain(reply.hold))
        return _plain(reply) if isinstance(reply, Hold) else reply
    except TallystickError as error:
        return type(error).__name__, str(error)


def _plain(hold: Hold) -> Hold:
    """A record whose JSON is written in one way."""
    return replace(hold, answer=compact(hold.answered))
