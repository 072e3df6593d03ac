"""How the in-memory store keeps tickets; see `lua/open_ticket.lua` and `lua/answer_ticket.lua`."""

from collections.abc import Sequence
from dataclasses import replace

from tallystick.core.errors import TicketAnswered, TicketEnded, TicketNotFound
from tallystick.core.plan import Plan
from tallystick.core.tickets import Ticket, TicketState, read_ticket, stands_until_ms
from tallystick.store.asks import Again
from tallystick.store.memory_partition import END_BEFORE_REFUSAL, Partition
from tallystick.store.memory_ticket_ends import add_allowance, keep_ticket
from tallystick.store.ticket_asks import AnswerAsk, AnswerKind, Opened, TicketAsk


class TicketsInMemory:
    """The part of `MemoryStore` about tickets."""

    _partitions: list[Partition]
    _retention_ms: int

    def _begin(self, tenant: str) -> Partition:
        raise NotImplementedError

    def _stale(self, p: Partition, plan: Plan) -> bool:
        raise NotImplementedError

    async def open_ticket(self, ask: TicketAsk) -> Opened | Again:
        """See `Store.open_ticket`."""
        tenant, line = ask.plan.tenant, ask.line
        p = self._begin(tenant)
        again = self._stale(p, ask.plan) or p.end_due(END_BEFORE_REFUSAL)
        if again:
            return Again(p.now_ms, p.version(tenant))
        latest = p.ticket.get(line.counter, "")
        if text := p.ticket.get(f"{tenant}:t:{latest}"):
            before = read_ticket(latest, text)
            if before.state is TicketState.OPEN or before.refuses(p.now_ms):
                return Opened(before, p.now_ms)
        allowance = p.count.get(f"{line.counter}:x", 0)
        lacks = sum(p.values((line,))) + ask.amount - line.ceiling - allowance
        if p.suspended(tenant) or lacks <= 0:
            return Again(p.now_ms, p.version(tenant))
        said = ask.said.text()
        p.append("ticket", tenant, ask.ticket_id, budget=line.counter, said=said)
        expires_ms = min(p.now_ms + ask.ttl_ms, stands_until_ms(line.end, p.now_ms))
        times = (p.now_ms, expires_ms, 0)
        ticket = Ticket(ask.ticket_id, TicketState.OPEN, *times, 0, lacks, line.end, line.counter, "", said)
        p.ticket[line.counter] = ask.ticket_id
        keep_ticket(p, tenant, ticket, expires_ms)
        return Opened(ticket, p.now_ms)

    async def answer_ticket(self, tenant: str, ask: AnswerAsk) -> tuple[Ticket, bool]:
        """See `Store.answer_ticket`."""
        p = self._begin(tenant)
        text = p.ticket.get(f"{tenant}:t:{ask.ticket_id}")
        if not text:
            raise TicketNotFound(f"no ticket {ask.ticket_id!r}")
        ticket = read_ticket(ask.ticket_id, text)
        if ticket.answer:
            if ticket.answer.partition("\t")[0] != ask.same:
                raise TicketAnswered(ticket.answered_text)
            return ticket, False
        ends_ms = stands_until_ms(ticket.end, p.now_ms)
        if ask.ends_ms:
            ends_ms = min(ends_ms, ask.ends_ms)
        open_now = ticket.state is TicketState.OPEN and p.now_ms < ticket.expires_ms
        if not open_now or ends_ms <= p.now_ms:
            raise TicketEnded(f"ticket {ask.ticket_id!r} has ended, or its window has")
        ticket = _answer(p, tenant, ticket, ask, ends_ms)
        p.end_due(4)
        return ticket, True

    async def tickets(self, tenant: str) -> list[Ticket]:
        """See `Store.tickets`."""
        p, prefix = self._begin(tenant), f"{tenant}:t:"
        found = [(name, text) for name, text in p.ticket.items() if name.startswith(prefix)]
        return [read_ticket(name.removeprefix(prefix), text) for name, text in found]

    async def find_tickets(self, partition: int, names: Sequence[tuple[str, str]]) -> list[Ticket | None]:
        """See `Store.find_tickets`."""
        kept = self._partitions[partition].ticket
        texts = [(ticket_id, kept.get(f"{tenant}:t:{ticket_id}")) for tenant, ticket_id in names]
        return [read_ticket(ticket_id, text) if text else None for ticket_id, text in texts]


def _answer(p: Partition, tenant: str, ticket: Ticket, ask: AnswerAsk, ends_ms: int) -> Ticket:
    p.append(
        ask.kind, tenant, ticket.id,
        budget=ticket.counter, amount=ask.amount, expires=ends_ms, by=ask.by, note=ask.note,
    )  # fmt: skip
    answered = replace(ticket, answer=ask.kept, answered_ms=p.now_ms, expires_ms=ends_ms)
    if ask.kind is AnswerKind.REJECT:
        answered = replace(answered, state=TicketState.REJECTED)
        keep_ticket(p, tenant, answered, ends_ms + p.retention_ms)
    elif not ask.amount:
        answered = replace(answered, state=TicketState.ENDED, expires_ms=p.now_ms)
        keep_ticket(p, tenant, answered, p.now_ms + p.retention_ms)
    else:
        answered = replace(answered, state=TicketState.APPROVED, amount=ask.amount)
        add_allowance(p, ticket.counter, ask.amount)
        keep_ticket(p, tenant, answered, ends_ms)
    return answered
