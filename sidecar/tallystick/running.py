"""A sidecar from its start to the word to stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine

from tallystick.config import Settings
from tallystick.runtime import Sidecar

log = logging.getLogger("tallystick.runtime")


async def until_told(_sidecar: Sidecar, stop: asyncio.Event) -> None:
    """Does nothing beside the sidecar."""
    await stop.wait()


async def serve(
    settings: Settings, beside: Callable[[Sidecar, asyncio.Event], Coroutine[None, None, None]] = until_told
) -> None:
    """Serves until SIGTERM or SIGINT, then drains and ends.

    `beside` runs as long as the sidecar: once its event is set it ends what it has begun, and returns.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Sidecar(settings) as sidecar:
        works = [asyncio.create_task(work) for work in (beside(sidecar, stop), sidecar.failed())]
        done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        for work in done:
            work.result()
        log.info("draining")
    log.info("stopped")
