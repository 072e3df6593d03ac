"""The replay: the engine on the store in memory, with a clock that goes as the calls did."""

import asyncio
import heapq
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from tallystick.backtest.calls import PastCall
from tallystick.backtest.report import Report
from tallystick.core.decision import Decision
from tallystick.core.outcome import Outcome
from tallystick.core.policy import Policy
from tallystick.core.reasons import Reason
from tallystick.engine import Administration, Engine, Planner
from tallystick.engine.calls import CreditCall, ReserveCall, SettleCall, TokenEstimate
from tallystick.engine.planner import Clock
from tallystick.observe.metrics import Metrics
from tallystick.policyfile import load_policy
from tallystick.policyfile.tree import read_tree
from tallystick.store.memory import MemoryStore
from tallystick.tokens import TokenCounter

UNLIMITED = 10**18
"""In a wallet's unit: a billion dollars."""
CALLS_A_BREATH = 1_000
"""After so many calls the loop may see an interrupt, and the ledger is forgotten."""


class Wallets(Enum):
    """What is in the wallets."""

    UNLIMITED = "unlimited"
    AS_DECLARED = "as-declared"
    """What the policy grants."""


class ReplayClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.at_ms = 0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self.at_ms

    def put_right(self, store_now_ms: int) -> None:
        """Takes over the store's time."""
        self.at_ms = store_now_ms


class Open(NamedTuple):
    """A call that was let through and has not ended; those that end first come first."""

    ends_ms: int
    number: int
    call: PastCall
    decision: Decision
    day: str
    """That the report counts it to."""


class Replay:
    """One policy, on calls that are given in the order of their times.

    `longest_ms` is the longest time that any of them was open.

    Raises:
        InvalidPolicy: the document is wrong.
    """

    def __init__(self, document: str, wallets: Wallets = Wallets.UNLIMITED, longest_ms: int = 0) -> None:
        self._document = document
        self._wallets = wallets
        self.policy: Policy = load_policy(document)
        self.zone = str(read_tree(document).plain().get("timezone", "UTC"))
        """The policy's time zone, which is that of days; a budget may have another for its windows."""
        self.clock = ReplayClock()
        # A hold is remembered as long as a late settle may come, and no longer: there are no retries.
        self.store = MemoryStore(partitions=1, retention_ms=longest_ms + 1, clock_ms=self.clock.now_ms)
        metrics = Metrics("backtest")
        self._planner = Planner(self.store, metrics)
        self._planner.clock = self.clock
        self._engine = Engine(self.store, self._planner, TokenCounter(preload=False), metrics)
        self._engine.seal_with(b"backtest")
        self._administration = Administration(self.store, self._planner)
        self._open: list[Open] = []

    async def run(self, calls: Iterable[PastCall], report: Report) -> None:
        """Makes every call again, and tells `report` of it.

        What ends at the very time of a call has ended before it.
        """
        for number, call in enumerate(calls):
            if not number:
                self.clock.at_ms = call.time_ms
                await self._administration.apply_policy(self._document, None)
            elif not number % CALLS_A_BREATH:
                await self._breathe()
            await self._end_calls(call.time_ms, report)
            self.clock.at_ms = call.time_ms
            await self._make(number, call, report)
        while self._open:
            await self._end_calls(self._open[0].ends_ms, report)

    async def _breathe(self) -> None:
        await asyncio.sleep(0)
        self.store.state(0).log.clear()

    async def _make(self, number: int, call: PastCall, report: Report) -> None:
        ask = ReserveCall(
            tenant=self.policy.tenant,
            reservation_id=f"b-{number}",
            content="",
            subject=call.subject,
            model=call.model,
            provider=call.provider,
            estimate=TokenEstimate(input=call.usage.total_input, max_output=call.max_output),
        )
        decision = await self._engine.reserve(ask)
        if _lacks_funds(decision) and self._wallets is Wallets.UNLIMITED and await self._fund(call):
            decision = await self._engine.reserve(ask)
        prices = (await self._planner.rules(self.policy.tenant)).prices
        price = prices.resolve(call.model, call.provider)
        day = report.decided(call, decision, price.charge_nano_usd(call.usage) if price else None)
        if decision.allowed:
            heapq.heappush(self._open, Open(call.time_ms + call.duration_ms, number, call, decision, day))

    async def _fund(self, call: PastCall) -> bool:
        """Fills the first wallet of the cascade that is for this subject; whether there is one."""
        for wallet in self.policy.wallets:
            group = {name: call.subject.value(name) for name in wallet.per}
            if all(group.values()):
                credit = CreditCall(
                    tenant=self.policy.tenant,
                    wallet=wallet.name,
                    group=group,
                    amount=UNLIMITED,
                    unit=wallet.unit,
                    credit_id="",
                    reason="",
                )
                await self._administration.credit(credit)
                return True
        return False

    async def _end_calls(self, until_ms: int, report: Report) -> None:
        """Settles what has ended by then, in the order in which it ended."""
        while self._open and self._open[0].ends_ms <= until_ms:
            ends_ms, _, call, decision, day = heapq.heappop(self._open)
            self.clock.at_ms = ends_ms
            used = call.usage.total > 0
            settled = await self._engine.settle(
                SettleCall(
                    tenant=self.policy.tenant,
                    reservation_id=decision.reservation_id,
                    content="",
                    tally=decision.tally,
                    outcome=Outcome.COMPLETED if used else Outcome.PROVIDER_ERROR_UNBILLED,
                    actual=call.usage if used else None,
                )
            )
            report.settled(call, decision, day, settled.nano_usd)


def _lacks_funds(decision: Decision) -> bool:
    return decision.refusal is not None and decision.refusal.reason is Reason.INSUFFICIENT_FUNDS
