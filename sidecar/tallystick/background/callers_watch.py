"""Keeps what is known of callers within a moment of the truth."""

import asyncio
import logging

from tallystick.core.errors import StoreUnavailable
from tallystick.engine.callers import Callers

EVERY_S = 0.25
"""A token that was revoked elsewhere is refused this much later, and one answer of the store."""

log = logging.getLogger("tallystick.callers")


async def watch_callers_for_ever(callers: Callers) -> None:
    """Asks four times a second what changed. While the store is away, what is known counts."""
    while True:
        try:
            await callers.refresh()
        except StoreUnavailable as error:
            log.debug("the tokens could not be read: %s", error)
        await asyncio.sleep(EVERY_S)
