"""From tickets to messages."""

from tallystick.core.counters import parse_counter
from tallystick.core.tickets import Ticket, TicketState
from tallystick.services.writing_states import UNITS, clamp, timestamp
from tallystick.v1 import budget_pb2 as pb

STATES = {
    TicketState.OPEN: pb.TICKET_STATE_OPEN,
    TicketState.APPROVED: pb.TICKET_STATE_APPROVED,
    TicketState.REJECTED: pb.TICKET_STATE_REJECTED,
    TicketState.EXPIRED: pb.TICKET_STATE_EXPIRED,
    TicketState.ENDED: pb.TICKET_STATE_ENDED,
}


def write_ticket(ticket: Ticket) -> pb.Ticket:
    """A ticket as it is."""
    budget, group, unit = parse_counter(ticket.counter)
    asked, (by, note) = ticket.asked, ticket.said
    given = (each.partition("=") for each in asked.subject.split("\t") if each)
    return pb.Ticket(
        id=ticket.id,
        state=STATES[ticket.state],
        budget=budget,
        group=group,
        unit=UNITS[unit],
        limit=asked.limit,
        asked=asked.amount,
        shortfall=clamp(ticket.lacks),
        model=asked.model,
        subject={name: value for name, _, value in given},
        justification=asked.justification,
        opened_at=timestamp(ticket.opened_ms),
        expires_at=timestamp(ticket.expires_ms),
        answered_at=timestamp(ticket.answered_ms) if ticket.answered_ms else None,
        allowance=clamp(ticket.amount),
        by=by,
        note=note,
    )
