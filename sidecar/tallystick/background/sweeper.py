"""The sweeper: ends what is due in partitions that no call visits."""

import asyncio
import logging

from tallystick.core.errors import StoreUnavailable
from tallystick.engine.suspensions import Suspensions
from tallystick.observe.metrics import Metrics
from tallystick.store.base import Store

EVERY_S = 1.0
MOST_AT_ONCE = 200
"""Due entries that one step ends, so that calls get between."""

log = logging.getLogger("tallystick.sweeper")


async def sweep_for_ever(store: Store, suspensions: Suspensions, metrics: Metrics) -> None:
    """Sweeps every partition every second; one that can't be reached, or is frozen, keeps none from it."""
    while True:
        open_holds: list[int] = []
        for partition in range(store.partitions):
            try:
                open_holds.append(await _sweep(store, suspensions, partition))
            except StoreUnavailable as error:
                log.debug("sweep of partition %d put off: %s", partition, error)
        if len(open_holds) == store.partitions:
            metrics.holds_open.set(sum(open_holds))
        metrics.tenants_suspended.set(len(suspensions))
        metrics.partitions_frozen.set(len(store.frozen))
        await asyncio.sleep(EVERY_S)


async def _sweep(store: Store, suspensions: Suspensions, partition: int) -> int:
    """Ends all that is due in a partition; how many holds are open."""
    while True:
        swept = await store.sweep(partition, MOST_AT_ONCE)
        if not swept.more:
            if not swept.frozen:  # of one that is, nothing else can be asked
                await suspensions.look(partition, swept.switched)
            return swept.open_holds
