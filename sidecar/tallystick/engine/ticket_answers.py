"""The use-cases of those who answer tickets."""

from typing import Protocol

from tallystick.core.counters import parse_counter
from tallystick.core.errors import InvalidArgument, TicketNotFound
from tallystick.core.packing import compact
from tallystick.core.tickets import Ticket
from tallystick.engine.calls import AnswerCall, CreditCall, TicketsCall
from tallystick.engine.paging import Cut, Page, Pages
from tallystick.engine.ticket_watch import TicketWatch
from tallystick.store.base import Store
from tallystick.store.keys import partition_of
from tallystick.store.ticket_asks import AnswerAsk, AnswerKind


class Funds(Protocol):
    """Gives wallets funds."""

    async def check_credit(self, call: CreditCall) -> object:
        """Refuses what can't be given. Raises InvalidArgument."""
        ...

    async def credit(self, call: CreditCall) -> object:
        """Gives it, once per id."""
        ...


class TicketAnswers:
    """Lists tickets, approves and rejects them."""

    def __init__(self, store: Store, pages: Pages, funds: Funds) -> None:
        self.watch = TicketWatch(store)
        self._store = store
        self._pages = pages
        self._funds = funds

    async def list(self, call: TicketsCall, page: Page) -> Cut[Ticket]:
        """A page of those that are meant, the first to be opened first.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        self._pages.place(page)  # a forged token needs no look at the store
        found = [ticket for ticket in await self._store.tickets(call.tenant) if _is_meant(ticket, call)]
        return self._pages.cut(sorted(found, key=_place), page, _place)

    async def ticket(self, tenant: str, ticket_id: str) -> Ticket:
        """One of them.

        Raises:
            TicketNotFound, StoreUnavailable.
        """
        partition = partition_of(tenant, self._store.partitions)
        (ticket,) = await self._store.find_tickets(partition, [(tenant, ticket_id)])
        if ticket is None:
            raise TicketNotFound(f"no ticket {ticket_id!r}")
        return ticket

    async def answer(self, call: AnswerCall) -> tuple[Ticket, bool]:
        """The ticket by now, and whether anything changed.

        A credit is given once the answer stands, under the ticket's id: where it could not be, the same
        answer again gives it.

        Raises:
            InvalidArgument, TicketNotFound, TicketAnswered, TicketEnded, StoreUnavailable.
        """
        ticket = await self.ticket(call.tenant, call.ticket_id)
        if call.kind is AnswerKind.REJECT:
            ask = AnswerAsk(call.ticket_id, call.kind, call.by, call.note)
            return await self._store.answer_ticket(call.tenant, ask)
        if call.wallet is None:
            return await self._approve(ticket, call)
        return await self._approve_by_credit(call)

    async def _approve(self, ticket: Ticket, call: AnswerCall) -> tuple[Ticket, bool]:
        unit = parse_counter(ticket.counter)[2]
        if call.unit is not unit:
            raise InvalidArgument("unit", f"expected {unit.name}, the unit of budget {ticket.budget}")
        ask = AnswerAsk(call.ticket_id, call.kind, call.by, call.note, call.amount, call.expires_ms)
        return await self._store.answer_ticket(call.tenant, ask)

    async def _approve_by_credit(self, call: AnswerCall) -> tuple[Ticket, bool]:
        assert call.wallet is not None
        assert call.unit is not None
        name, group = call.wallet
        credit_id = f"ticket {call.ticket_id}"
        credit = CreditCall(call.tenant, name, group, call.amount, call.unit, credit_id, call.note)
        credit = credit._replace(expires_ms=call.expires_ms)
        await self._funds.check_credit(credit)  # nothing is to go wrong after the answer
        content = compact([name, sorted(group.items()), str(call.amount), call.unit, call.expires_ms])
        ask = AnswerAsk(call.ticket_id, call.kind, call.by, call.note, content=content)
        ticket, changed = await self._store.answer_ticket(call.tenant, ask)
        await self._funds.credit(credit)
        return ticket, changed


def _is_meant(ticket: Ticket, call: TicketsCall) -> bool:
    if call.states and ticket.state not in call.states:
        return False
    return not call.budget or ticket.budget == call.budget


def _place(ticket: Ticket) -> str:
    return f"{ticket.opened_ms:016d} {ticket.id}"
