"""The part of the store on Valkey or Redis that keeps tickets."""

from collections.abc import Sequence

from tallystick.core.errors import TicketAnswered, TicketEnded, TicketNotFound
from tallystick.core.tickets import Ticket, read_ticket
from tallystick.store.asks import Again
from tallystick.store.keys import partition_keys
from tallystick.store.script_runner import ScriptRunner
from tallystick.store.ticket_asks import AnswerAsk, Opened, TicketAsk

ANSWERED, AGAIN, MISMATCH, ENDED, UNKNOWN = 0, 2, 4, 5, 6
KEY = 6
"""Which of a partition's keys has the tickets."""


class TicketsOnValkey:
    """What calls asked for, and what administrators said to it."""

    _runner: ScriptRunner
    _retention_ms: int

    async def open_ticket(self, ask: TicketAsk) -> Opened | Again:
        """See `Store.open_ticket`."""
        plan, line = ask.plan, ask.line
        args: list[object] = [plan.tenant, plan.policy_version, plan.valid_from_ms, plan.valid_until_ms]
        args += [self._retention_ms, line.counter, line.ceiling, line.end, ask.amount]
        args += [ask.ticket_id, ask.ttl_ms, ask.said.text()]
        reply = await self._runner.run("open_ticket", plan.tenant, args)
        if reply[0] == AGAIN:
            return Again(reply[1], int(reply[2]))
        return Opened(read_ticket(reply[1].decode(), reply[2].decode()), reply[3])

    async def answer_ticket(self, tenant: str, ask: AnswerAsk) -> tuple[Ticket, bool]:
        """See `Store.answer_ticket`."""
        args = [tenant, ask.ticket_id, ask.kind, ask.amount, ask.ends_ms, ask.same, ask.kept]
        reply = await self._runner.run("answer_ticket", tenant, [*args, ask.by, ask.note, self._retention_ms])
        if reply[0] == UNKNOWN:
            raise TicketNotFound(f"no ticket {ask.ticket_id!r}")
        if reply[0] == ENDED:
            raise TicketEnded(f"ticket {ask.ticket_id!r} has ended, or its window has")
        ticket = read_ticket(ask.ticket_id, reply[1].decode())
        if reply[0] == MISMATCH:
            raise TicketAnswered(ticket.answered_text)
        return ticket, reply[0] == ANSWERED

    async def tickets(self, tenant: str) -> list[Ticket]:
        """See `Store.tickets`."""
        prefix = f"{tenant}:t:"
        partition = self._runner.partition(tenant)
        found = await self._runner.scan(partition, partition_keys(partition)[KEY], f"{prefix}*")
        return [read_ticket(name.removeprefix(prefix), text.decode()) for name, text in found.items()]

    async def find_tickets(self, partition: int, names: Sequence[tuple[str, str]]) -> list[Ticket | None]:
        """See `Store.find_tickets`."""
        fields = [f"{tenant}:t:{ticket_id}" for tenant, ticket_id in names]
        texts = await self._runner.ask(partition, "HMGET", partition_keys(partition)[KEY], *fields)
        return [
            read_ticket(ticket_id, text.decode()) if text else None
            for (_, ticket_id), text in zip(names, texts, strict=True)
        ]
