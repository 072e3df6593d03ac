"""An engine on the store in memory, whose clock the test moves."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tallystick.core.decision import Decision
from tallystick.core.errors import StoreUnavailable
from tallystick.core.outcome import Outcome
from tallystick.core.plan import Plan
from tallystick.core.policy import Unit
from tallystick.core.subject import Subject
from tallystick.engine import Administration, Engine, Planner
from tallystick.engine.calls import Cost, CreditCall, ReserveCall, SettleCall, TokenEstimate
from tallystick.engine.paging import Page
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import Again, Counters, Held, Refused, Released, Replayed, ReserveAsk
from tallystick.store.keys import partition_of
from tallystick.store.memory import MemoryStore
from tallystick.store.memory_partition import Partition
from tallystick.tokens import TokenCounter

KEY = b"a key that all sidecars share"


class WatchedStore(MemoryStore):
    """Counts what is asked of it, and can keep its answers back."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        super().__init__(2, clock_ms=lambda: time.time_ns() // 1_000_000 + self.ahead_ms)
        self.asked: Counter[str] = Counter()
        self.answering = asyncio.Event()
        self.answering.set()
        self.away = False
        self.balance_away = False
        self.always_again = False

    async def reserve(self, plan: Plan, ask: ReserveAsk) -> Held | Refused | Again | Replayed:
        self.asked["reserve"] += 1
        if self.always_again:
            return Again(time.time_ns() // 1_000_000, plan.policy_version)
        reply = await super().reserve(plan, ask)
        await self.answering.wait()
        return reply

    async def release(self, tenant: str, reservation_id: str) -> Released:
        self.asked["release"] += 1
        if self.away:
            raise StoreUnavailable("it is away")
        return await super().release(tenant, reservation_id)

    async def balance(self, plan: Plan, parts: Sequence[str] = ()) -> Counters | Again:
        self.asked["balance"] += 1
        if self.balance_away:
            raise StoreUnavailable("it is away")
        return await super().balance(plan, parts)


class Office:
    """One sidecar's engine, and the tenant `acme`. Who counts much has a counter that is loaded."""

    def __init__(self, tokens: TokenCounter | None = None) -> None:
        self.store = WatchedStore()
        self.metrics = Metrics("0")
        self.planner = Planner(self.store, self.metrics)
        self.engine = Engine(self.store, self.planner, tokens or TokenCounter(preload=False), self.metrics)
        self.engine.seal_with(KEY)
        self.administration = Administration(self.store, self.planner)
        self.administration.pages.seal_with(KEY)
        self._ids = itertools.count(1)

    @property
    def partition(self) -> Partition:
        return self.store.state(partition_of("acme", self.store.partitions))

    def held(self) -> int:
        """What all counters hold together."""
        return sum(value for name, value in self.partition.count.items() if name.endswith(":h"))

    async def apply(self, rules: str, tenant: str = "acme") -> None:
        await self.administration.apply_policy(f"tenant: {tenant}\n{rules}", None)

    async def credit(self, amount: int) -> None:
        await self.administration.credit(CreditCall("acme", "org", {}, amount, Unit.NANO_USD, "", ""))

    def call(self, nano_usd: int = 5, tokens: int = 0, **fields: Any) -> ReserveCall:
        estimate = fields.pop("estimate", None) or Cost(nano_usd, tokens)
        subject = Subject(**{"user": "alice"} | fields.pop("subject", {}))
        reservation_id = fields.pop("reservation_id", f"r{next(self._ids)}")
        given = {"tenant": "acme", "model": "", "provider": "", "content": f"{nano_usd}/{tokens}"} | fields
        return ReserveCall(reservation_id=reservation_id, subject=subject, estimate=estimate, **given)

    async def reserve(self, nano_usd: int = 5, tokens: int = 0, **fields: Any) -> Decision:
        return await self.engine.reserve(self.call(nano_usd, tokens, **fields))

    async def settle(self, reservation_id: str, nano_usd: int, tally: bytes = b"") -> int:
        call = SettleCall("acme", reservation_id, "s", tally, Outcome.COMPLETED, Cost(nano_usd, 0))
        return (await self.engine.settle(call)).nano_usd


def page(size: int = 1_000, token: str = "") -> Page:
    """A page of the list that tests look at."""
    return Page(size, "a list", token)


def in_tokens(given: int, output: int | None) -> TokenEstimate:
    return TokenEstimate(given, output)
