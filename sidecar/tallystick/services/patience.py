"""Calls that wait for an answer to a ticket: outside the boundary, so that they take no place from others."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

from tallystick.engine.ticket_watch import TicketWatch
from tallystick.services.reading import read_wait

ANSWERING_S = 0.25
"""So long before its deadline a call is answered at the latest, that the answer comes in time."""
MOST_WOKEN = 64
"""So many of those who waited are decided again at once, so that they leave room for others."""

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


class Patient(Protocol):
    """A servicer whose calls may wait."""

    watch: TicketWatch
    woken: asyncio.Semaphore

    def waits_for(self, request: Any, response: Any) -> tuple[str, str] | None:
        """Tenant and id of the ticket that this call waits for; None where it has its answer."""
        ...


def patient(handler: Handler) -> Handler:
    """Stands around a handler: a call that waits for a ticket is decided again once that was answered."""

    @functools.wraps(handler)
    async def waiting(self: Patient, request: Any, context: Any) -> Any:
        response = await handler(self, request, context)
        if not request.HasField("wait"):
            return response
        clock = asyncio.get_running_loop().time
        remaining_s, wait_s = context.time_remaining(), read_wait(request.wait)
        until = clock() + (wait_s if remaining_s is None else min(wait_s, remaining_s - ANSWERING_S))
        while (ticket := self.waits_for(request, response)) and (left_s := until - clock()) > 0:
            if not await self.watch.answered(*ticket, left_s):
                break
            async with self.woken:
                response = await handler(self, request, context)
        return response

    return cast(Handler, waiting)
