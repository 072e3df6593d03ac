"""A scene: a budget is used up, a ticket asks for more, and somebody says yes."""

import asyncio

from tallystick.demo.agents import MOST_TRIES, NeverStopped, Stage, ask
from tallystick.demo.screen import money
from tallystick.v1 import budget_pb2, ticket_pb2
from tallystick.v1.admin_pb2_grpc import AdminServiceStub
from tallystick.v1.budget_pb2 import Subject, Ticket

GRACE = Subject(org="acme", team="platform", user="grace", role="reviewer", session="grace-1")
WHY = "the release is tonight"
ALLOWANCE_NANO_USD = 60_000_000
LOOK_S, THINK_S = 0.1, 1.0


async def asking(stage: Stage, tenant: str, admin: AdminServiceStub) -> None:
    """Play it: grace reviews until her ticket is approved, and then once more."""
    approved = asyncio.create_task(_approve(stage, tenant, admin))
    try:
        for number in range(MOST_TRIES):
            # The call that the budget refuses waits for the ticket, and is then decided again.
            await stage.gateway.complete(GRACE, ask("demo-large", f"Review change {number}.", 500), WHY)
            if approved.done():
                await approved
                stage.tell("THE WAIT IS OVER: the call that was refused is made")
                return
        raise NeverStopped("grace")
    finally:
        approved.cancel()


async def _approve(stage: Stage, tenant: str, admin: AdminServiceStub) -> None:
    """Be the administrator: see the ticket, think, and approve it."""
    ticket = await _opened(tenant, admin)
    asked = f"{ticket.subject['user']} asks for {money(ticket.asked)} more of {ticket.budget}"
    stage.tell(f"A TICKET: {asked}, for '{ticket.justification}', and waits")
    await asyncio.sleep(THINK_S)
    answer = ticket_pb2.ApproveTicketRequest(
        tenant=tenant,
        ticket_id=ticket.id,
        amount=ALLOWANCE_NANO_USD,
        unit=budget_pb2.UNIT_NANO_USD,
        by="ann",
        note="go ahead",
    )
    await admin.ApproveTicket(answer, timeout=5)
    stage.tell(f"APPROVED by ann: {money(ALLOWANCE_NANO_USD, 2)} more, for today and once")


async def _opened(tenant: str, admin: AdminServiceStub) -> Ticket:
    """Wait until there is one."""
    request = ticket_pb2.ListTicketsRequest(tenant=tenant, states=[budget_pb2.TICKET_STATE_OPEN])
    while True:
        answer = await admin.ListTickets(request, timeout=5)
        if answer.tickets:
            ticket: Ticket = answer.tickets[0]
            return ticket
        await asyncio.sleep(LOOK_S)
