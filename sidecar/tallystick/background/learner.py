"""The learner: tells the store how long answers were, and hears what other sidecars saw."""

import asyncio
import logging

from tallystick.core.errors import StoreUnavailable
from tallystick.core.policy import OutputRule
from tallystick.engine.learned import Learned
from tallystick.engine.planner import Planner
from tallystick.store.base import Store

EVERY_S = 1.0

log = logging.getLogger("tallystick.learner")


async def learn_for_ever(store: Store, planner: Planner, learned: Learned) -> None:
    """Tells the store every second. What could not be told is lost: it is no money."""
    while True:
        await asyncio.sleep(EVERY_S)
        for tenant, news in learned.take_news().items():
            try:
                rules = await planner.rules(tenant)
                if rules.policy.output_rule is OutputRule.LEARNED:
                    learned.take_over(tenant, news, await store.learn(tenant, news))
            except StoreUnavailable as error:
                log.debug("lengths of answers lost: %s", error)
