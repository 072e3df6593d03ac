"""Callers that go on whatever happens: what has no answer is asked again with the same id."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from redis import Redis

from tallystick.core.errors import StoreFrozen, StoreUnavailable
from tallystick.core.policy import WalletTemplate
from tallystick.store.asks import Held, Replayed
from tallystick.store.base import Store
from tests.store.audit import check_holds, check_ledger
from tests.store.backends import State, state_of
from tests.store.desk import Desk, budget, policy_of

FUNDS = 10**15
COST, CHARGE = 100, 70
PATIENCE_S = 30.0
"""For so much longer than it takes a call may find no answer."""


class _Now:
    """The clock of the machine, in place of a test's."""

    @property
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class Load:
    """Callers of several tenants, who reserve, and settle what they got.

    `thaws`: an administrator lets partitions go on that lost what was answered.
    """

    def __init__(self, store: Store, tenants: int, *, thaws: bool = False) -> None:
        self._store, self._thaws = store, thaws
        parts = (WalletTemplate("org"), budget("d", FUNDS))
        self.desks = [
            Desk(cast(Any, _Now()), store, policy_of(*parts, tenant=f"tenant-{n}")) for n in range(tenants)
        ]
        self.settled: Counter[str] = Counter()
        """Acknowledged, by tenant and id."""
        self.refusals: Counter[str] = Counter()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, callers: int) -> None:
        for desk in self.desks:
            await self.until_answered(lambda desk=desk: desk.credit("org", FUNDS, "first"))  # type: ignore[misc]
            version, _ = await desk.store.apply_policy(desk.policy.tenant, "so that all keys are there", None)
            desk.policy = replace(desk.policy, version=version)
        for n in range(callers):
            desk = self.desks[n % len(self.desks)]
            self._tasks.append(asyncio.create_task(self._call(desk, f"c{n}")))

    async def stop(self) -> None:
        """Lets all calls end."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def more(self, count: int, of: Desk | None = None) -> None:
        """Returns when so many more settles were acknowledged; of one tenant, or in all."""
        enough, deadline = self._count(of) + count, time.monotonic() + PATIENCE_S
        while self._count(of) < enough:
            assert time.monotonic() < deadline, f"{self.settled.total()} settled; {self.refusals}"
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)

    def _count(self, of: Desk | None) -> int:
        if of is None:
            return self.settled.total()
        return sum(n for name, n in self.settled.items() if name.startswith(f"{of.policy.tenant}/"))

    async def _call(self, desk: Desk, prefix: str) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{prefix}-{number}"
            reply = await self.until_answered(lambda name=name: desk.reserve(COST, reservation_id=name))  # type: ignore[misc]
            assert isinstance(reply, Held | Replayed), reply
            await self.until_answered(lambda name=name: desk.settle(name, CHARGE, tally=name in desk.tallies))  # type: ignore[misc]
            self.settled[f"{desk.policy.tenant}/{name}"] += 1

    async def until_answered(self, ask: Callable[[], Any]) -> Any:
        while True:
            try:
                return await ask()
            except StoreFrozen:
                if not self._thaws:
                    raise
                for partition in list(self._store.frozen):
                    with contextlib.suppress(StoreUnavailable):
                        await self._store.thaw(partition, "ann", "a failover lost it")
                await asyncio.sleep(0.01)
            except StoreUnavailable as error:
                self.refusals[str(error).split(":")[0]] += 1
                await asyncio.sleep(0.05)

    def check(self, owner: Callable[[int], Redis], partitions: int, *, all_kept: bool) -> None:
        """Open holds are what is held, and each settle is in the ledger once; `all_kept`: and is there."""
        states = [state_of(owner(partition), partition) for partition in range(partitions)]
        found: Counter[str] = Counter()
        for state in states:
            check_holds(state)
            check_ledger(state)
            found.update(_settles(state))
        assert max(found.values()) == 1
        if all_kept:
            assert self.settled.keys() <= found.keys()


def _settles(state: State) -> list[str]:
    told = (entry.fields for entry in state.log)
    return [f"{fields['tenant']}/{fields['id']}" for fields in told if fields["kind"] == "settle"]
