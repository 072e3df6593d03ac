"""One look a tenth of a second at the tickets that calls wait for, however many do."""

import asyncio

from tallystick.core.errors import StoreUnavailable
from tallystick.core.tickets import TicketState
from tallystick.store.base import Store
from tallystick.store.keys import partition_of

POLL_S = 0.1
"""How often a partition is looked at whose tickets are waited for."""

Waiters = dict[tuple[str, str], set["asyncio.Future[bool]"]]
"""Those who wait, by tenant and ticket."""


class TicketWatch:
    """Tells those who wait that a ticket is open no more: one look for all of a partition."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[int, Waiters] = {}
        self._polls: dict[int, asyncio.Task[None]] = {}
        self._draining = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(waiters) for each in self._waiting.values() for waiters in each.values())

    async def answered(self, tenant: str, ticket_id: str, timeout_s: float) -> bool:
        """Waits until a ticket is open no more; False where it still is, after so long or at the end."""
        partition, name = partition_of(tenant, self._store.partitions), (tenant, ticket_id)
        if self._draining:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        tickets = self._waiting.setdefault(partition, {})
        tickets.setdefault(name, set()).add(future)
        if partition not in self._polls:
            self._polls[partition] = asyncio.create_task(self._poll(partition), name="tickets")
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return False
        finally:
            self._forget(tickets, name, future)

    @staticmethod
    def _forget(
        tickets: Waiters,
        name: tuple[str, str],
        future: asyncio.Future[bool],
    ) -> None:
        waiters = tickets.get(name)
        if waiters is not None:
            waiters.discard(future)
            if not waiters:
                del tickets[name]

    async def _poll(self, partition: int) -> None:
        tickets = self._waiting[partition]
        try:
            while tickets:
                await self._look(partition, tickets)
                if tickets:
                    await asyncio.sleep(POLL_S)
        finally:
            del self._polls[partition]

    async def _look(self, partition: int, tickets: Waiters) -> None:
        names = list(tickets)
        try:
            found = await self._store.find_tickets(partition, names)
        except StoreUnavailable:
            return  # who waits goes on waiting: it may be back in time
        for name, ticket in zip(names, found, strict=True):
            if ticket is None or ticket.state is not TicketState.OPEN:
                _tell(tickets.pop(name, set()), answered=True)

    def drain(self) -> None:
        """Lets all go who wait; nobody else waits from now on."""
        self._draining = True
        for tickets in self._waiting.values():
            for waiters in tickets.values():
                _tell(waiters, answered=False)


def _tell(waiters: set[asyncio.Future[bool]], *, answered: bool) -> None:
    for future in waiters:
        if not future.done():
            future.set_result(answered)
