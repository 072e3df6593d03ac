"""Shadow policies: decided beside the live ones, after these have answered, and never enforced.

A live call costs one look-up where its tenant has no shadow, and where it has one an entry in a
queue. What the queue has no room for is counted and forgotten: a report of calls is no money.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from tallystick.core.decision import Decision
from tallystick.core.errors import StoreUnavailable, TallystickError
from tallystick.core.outcome import Outcome
from tallystick.core.reasons import Reason
from tallystick.core.shadow import Side, owner_of
from tallystick.engine.calls import (
    ChargeCall,
    ExtendCall,
    ProviderRequest,
    ReserveCall,
    SettleCall,
    settle_content,
)
from tallystick.engine.engine import Engine
from tallystick.engine.learned import Learned
from tallystick.engine.planner import Planner
from tallystick.engine.shadow_report import ShadowReport
from tallystick.observe.metrics import Metrics
from tallystick.store.base import Store
from tallystick.tokens import TokenCounter

LANES = 8
"""What is told of one id goes one after the other, in its lane."""
MOST_WAITING = 1_024
"""In all lanes."""
MOST_BYTES = 16 << 20
"""Of requests that wait, in all lanes."""
EVERY_S = 0.25
"""How often it is asked which tenants have a shadow."""
UNKNOWN = "-"

Work = Callable[[], Awaitable[object]]
log = logging.getLogger("tallystick.shadows")


class _LearnedOfOwner(Learned):
    """What is learned of the tenant's answers, for its shadow."""

    def __init__(self, live: Learned) -> None:
        super().__init__()
        self._live = live

    def max_output(self, tenant: str, model: str, workflow: str) -> int | None:
        """See `Learned.max_output`."""
        return self._live.max_output(owner_of(tenant), model, workflow)


class Shadows:
    """Decides by the shadows of all tenants."""

    def __init__(self, store: Store, counter: TokenCounter, metrics: Metrics, learned: Learned) -> None:
        self._store = store
        self._metrics = metrics
        own = Metrics("shadow")  # what it measures is no answer's, and is shown to nobody
        self.planner = Planner(store, own)
        self.engine = Engine(store, self.planner, counter, own, learned=_LearnedOfOwner(learned))
        self.namespaces: dict[str, str] = {}
        """By tenant, as of the last look."""
        self._stamp = UNKNOWN
        self._reports: dict[str, ShadowReport] = {}
        self._lanes: list[asyncio.Queue[tuple[int, Work]]] = [
            asyncio.Queue(MOST_WAITING // LANES) for _ in range(LANES)
        ]
        self._bytes = 0

    def report(self, tenant: str) -> ShadowReport:
        """Of a tenant that has a shadow. Raises KeyError."""
        namespace, found = self.namespaces[tenant], self._reports.get(tenant)
        if found is None or found.namespace != namespace:
            found = self._reports[tenant] = ShadowReport(namespace)
        return found

    async def refresh(self) -> None:
        """Looks which tenants have a shadow. Raises StoreUnavailable."""
        found = await self._store.shadows(self._stamp)
        if found is not None:
            self._stamp, self.namespaces = found.stamp, found.namespaces
            self._reports = {name: one for name, one in self._reports.items() if name in self.namespaces}

    def reserved(self, call: ReserveCall, decision: Decision) -> None:
        """A call was decided by the live policy."""
        plan = decision.plan
        suspended = decision.refusal is not None and decision.refusal.reason is Reason.TENANT_SUSPENDED
        if decision.store_away or suspended or (plan is None and decision.allowed):
            return  # the switch is no limit of the policy; and what was answered before was compared then
        call = call._replace(
            tenant=self.namespaces[call.tenant], reservation_id=decision.reservation_id, justification=""
        )
        live, at_ms = Side.of(decision), decision.now_ms
        estimate = call.estimate
        size = len(estimate.body) if isinstance(estimate, ProviderRequest) else 0
        self.offer(call.reservation_id, partial(self._reserve, call, live, at_ms), size)

    async def _reserve(self, call: ReserveCall, live: Side, at_ms: int) -> None:
        decision = await self.engine.reserve(call)
        report = self._reports_of(call.tenant)
        if report is None or (decision.plan is None and decision.allowed):
            return
        verdict, reason = report.add(call, live, decision, at_ms or self.planner.clock.now_ms())
        self._metrics.shadow(verdict.value, reason).inc()
        if decision.allowed and not live.allowed:
            # Nobody will tell what it took: as much as was held, as if it had been sent.
            await self.engine.settle(_as_held(call))

    def _reports_of(self, namespace: str) -> ShadowReport | None:
        tenant = owner_of(namespace)
        return self.report(tenant) if self.namespaces.get(tenant) == namespace else None

    def settled(self, call: SettleCall) -> None:
        """A hold was settled: as much was spent of the shadow's, if it has it."""
        if namespace := self.namespaces.get(call.tenant):
            ask = call._replace(tenant=namespace, tally=b"")
            self.offer(call.reservation_id, partial(self.engine.settle, ask))

    def released(self, tenant: str, reservation_id: str) -> None:
        """A hold was given back."""
        if namespace := self.namespaces.get(tenant):
            self.offer(reservation_id, partial(self.engine.release, namespace, reservation_id))

    def extended(self, call: ExtendCall) -> None:
        """A hold got more."""
        if namespace := self.namespaces.get(call.tenant):
            ask = call._replace(tenant=namespace, tally=b"")
            self.offer(call.reservation_id, partial(self.engine.extend, ask))

    def charged(self, call: ChargeCall) -> None:
        """Something was charged that nothing was held for."""
        if namespace := self.namespaces.get(call.tenant):
            self.offer(call.charge_id, partial(self.engine.charge, call._replace(tenant=namespace)))

    def offer(self, of: str, work: Work, size: int = 0) -> None:
        """Takes on what is to be done after the answer; `of`: the id that it is about."""
        lane = self._lanes[hash(of) % LANES]
        if lane.full() or self._bytes + size > MOST_BYTES:
            self._metrics.shadow_dropped("full").inc()
            return
        self._bytes += size
        lane.put_nowait((size, work))

    async def settled_up(self) -> None:
        """Returns when all that was offered is done."""
        await asyncio.gather(*(lane.join() for lane in self._lanes))

    async def run_for_ever(self) -> None:
        """Does what was offered, and looks which tenants have a shadow."""
        await asyncio.gather(self._watch(), *(self._work(lane) for lane in self._lanes))

    async def _watch(self) -> None:
        while True:
            try:
                await self.refresh()
            except StoreUnavailable as error:
                log.debug("the shadows could not be read: %s", error)
            await asyncio.sleep(EVERY_S)

    async def _work(self, lane: asyncio.Queue[tuple[int, Work]]) -> None:
        while True:
            size, work = await lane.get()
            try:
                await work()
            except StoreUnavailable:
                self._metrics.shadow_dropped("store").inc()
            except TallystickError as error:
                # The end of a call that the shadow refused, say: it knows of no such call.
                log.debug("not done for a shadow: %s", error)
            except Exception:
                self._metrics.shadow_dropped("failed").inc()
                log.exception("a shadow's decision failed")
            finally:
                self._bytes -= size
                lane.task_done()


def _as_held(call: ReserveCall) -> SettleCall:
    outcome = Outcome.COMPLETED_NO_USAGE
    content = settle_content(outcome, None)
    return SettleCall(call.tenant, call.reservation_id, content, b"", outcome, None)
