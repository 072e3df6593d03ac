"""How tickets end in the in-memory store, and what their allowances are; see `lua/_tickets.lua`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tallystick.core.plan import BudgetLine
from tallystick.core.tickets import Ticket, TicketState, read_ticket

if TYPE_CHECKING:
    from tallystick.store.memory_partition import Partition

ENDS_AS = {TicketState.OPEN: TicketState.EXPIRED, TicketState.APPROVED: TicketState.ENDED}


def keep_ticket(p: "Partition", tenant: str, ticket: Ticket, due_ms: int) -> None:
    """Keeps a ticket until it is due."""
    name = f"{tenant}:t:{ticket.id}"
    p.ticket[name] = ticket.text()
    p.schedule(f"t:{name}", due_ms)


def end_ticket(p: "Partition", member: str) -> None:
    """Ends a ticket, with its allowance; or forgets one that has ended."""
    name = member[2:]
    tenant, _, ticket_id = name.split(":", 2)
    ticket = read_ticket(ticket_id, p.ticket[name])
    if ticket.state not in ENDS_AS:
        del p.ticket[name], p.due[member]
        if p.ticket.get(ticket.counter) == ticket_id:
            del p.ticket[ticket.counter]
        return
    p.append("ticket_end", tenant, ticket_id, budget=ticket.counter, amount=ticket.amount)
    if ticket.state is TicketState.APPROVED:
        add_allowance(p, ticket.counter, -ticket.amount)
    keep_ticket(p, tenant, replace(ticket, state=ENDS_AS[ticket.state]), p.now_ms + p.retention_ms)


def add_allowance(p: "Partition", counter: str, amount: int) -> None:
    """Adds to a budget's allowance, or takes from it."""
    name = f"{counter}:x"
    p.count[name] = p.count.get(name, 0) + amount
    if not p.count[name]:
        del p.count[name]


def raised(p: "Partition", lines: Sequence[BudgetLine]) -> list[int] | None:
    """What a call is weighed against: each ceiling with its allowance; None where no budget has one."""
    allowances = [p.count.get(f"{line.counter}:x", 0) for line in lines]
    if not any(allowances):
        return None
    return [line.ceiling + more for line, more in zip(lines, allowances, strict=True)]
