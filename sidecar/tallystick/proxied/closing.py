"""The ends of held calls: charged, given back, or kept open."""

import asyncio
import time

import structlog

from tallystick.core import errors
from tallystick.core.decision import Decision
from tallystick.engine import Engine
from tallystick.engine.calls import ExtendCall, SettleCall, settle_content
from tallystick.observe.metrics import Metrics
from tallystick.proxied.calls import Ending, HeldCall
from tallystick.proxied.ends import End, end_of, outgrown
from tallystick.proxied.rates import Rates

KEEP_TRYING_S = 120.0
"""How long an end waits for a store that is away. After it the hold expires, and is charged."""
RETRY_S = 0.5

_REFUSED = (errors.InvalidArgument, errors.IdMismatch, errors.ReservationEnded, errors.ReservationNotFound)

log = structlog.get_logger("tallystick.proxied")


class Closing:
    """Tells the engine how calls ended. It raises nothing: nobody is left to be told."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics
        self._rates = Rates()

    async def end(self, call: HeldCall, ending: Ending) -> None:
        """See `Gate.end`."""
        end = end_of(call, ending, self._rates)
        self._rates.learn(call, ending)
        give_up_s = time.monotonic() + KEEP_TRYING_S
        while True:
            try:
                await self._tell(call, end)
            except errors.StoreUnavailable as error:
                if time.monotonic() < give_up_s:
                    await asyncio.sleep(RETRY_S)
                    continue
                self._lost(call, error)
            except _REFUSED as error:
                self._lost(call, error)
            return

    async def keep(self, call: HeldCall, so_far: Ending) -> bool:
        """Give time anew, and what a stream outgrew; False where there is no room for that."""
        used = outgrown(call, so_far, self._rates)
        longer = ExtendCall(call.tenant, call.reservation_id, call.tally, "", 0, None)
        try:
            given = await self._engine.extend(longer._replace(used=used))
            if not isinstance(given, Decision):
                self._metrics.kept("grown" if used else "kept").inc()
                return True
            self._metrics.kept("refused").inc()
            await self._engine.extend(longer)
        except (errors.StoreUnavailable, *_REFUSED) as error:
            log.warning("a hold was not kept", reservation_id=call.reservation_id, why=str(error))
            return True
        return False

    async def _tell(self, call: HeldCall, end: End) -> None:
        if end.outcome is None:
            await self._engine.release(call.tenant, call.reservation_id)
            self._metrics.proxied_end("RELEASED").inc()
            return
        content = settle_content(end.outcome, end.usage)
        settled = await self._engine.settle(
            SettleCall(
                call.tenant, call.reservation_id, content, call.tally, end.outcome, end.usage, end.estimated
            )
        )
        self._metrics.proxied_end(end.outcome.name).inc()
        if settled.changed:
            self._metrics.settle(end.outcome.name, estimated=settled.estimated).inc()

    def _lost(self, call: HeldCall, error: errors.TallystickError) -> None:
        self._metrics.proxied_end("LOST").inc()
        log.warning(
            "an end was not charged", tenant=call.tenant, reservation_id=call.reservation_id, why=str(error)
        )
