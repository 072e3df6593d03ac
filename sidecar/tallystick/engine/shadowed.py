"""The live engine, which tells the shadows what it did."""

from collections.abc import Coroutine
from typing import Any

from tallystick.core.decision import Decision
from tallystick.engine.answers import Extension
from tallystick.engine.calls import ChargeCall, ExtendCall, ReserveCall, SettleCall
from tallystick.engine.engine import Engine
from tallystick.engine.planner import Planner
from tallystick.engine.shadows import Shadows
from tallystick.observe.metrics import Metrics
from tallystick.store.asks import Charged, Released, Settled
from tallystick.store.base import Store
from tallystick.store.journal import Journal
from tallystick.tokens import TokenCounter


class ShadowedEngine(Engine):
    """Decides as `Engine` does. Calls of a tenant without a shadow pay one look-up for it."""

    def __init__(
        self,
        store: Store,
        planner: Planner,
        counter: TokenCounter,
        metrics: Metrics,
        journal: Journal | None = None,
    ) -> None:
        super().__init__(store, planner, counter, metrics, journal)
        self.shadows = Shadows(store, counter, metrics, self.learned)

    def seal_with(self, tally_key: bytes) -> None:
        """See `Engine.seal_with`."""
        super().seal_with(tally_key)
        self.shadows.engine.seal_with(tally_key)

    def reserve(self, call: ReserveCall) -> Coroutine[Any, Any, Decision]:
        """See `Engine.reserve`."""
        if call.tenant not in self.shadows.namespaces:
            return super().reserve(call)  # which is all there is to it: no frame more
        return self._reserve(call)

    async def _reserve(self, call: ReserveCall) -> Decision:
        decision = await super().reserve(call)
        self.shadows.reserved(call, decision)
        return decision

    def settle(self, call: SettleCall) -> Coroutine[Any, Any, Settled]:
        """See `Engine.settle`."""
        if call.tenant not in self.shadows.namespaces:
            return super().settle(call)
        return self._settle(call)

    async def _settle(self, call: SettleCall) -> Settled:
        settled = await super().settle(call)
        if settled.changed:
            self.shadows.settled(call)
        return settled

    async def release(self, tenant: str, reservation_id: str) -> Released:
        """See `Engine.release`."""
        released = await super().release(tenant, reservation_id)
        self.shadows.released(tenant, reservation_id)
        return released

    async def extend(self, call: ExtendCall) -> Extension | Decision:
        """See `Engine.extend`."""
        extended = await super().extend(call)
        if isinstance(extended, Extension):
            self.shadows.extended(call)
        return extended

    async def charge(self, call: ChargeCall) -> Charged:
        """See `Engine.charge`."""
        charged = await super().charge(call)
        if charged.changed:
            self.shadows.charged(call)
        return charged
