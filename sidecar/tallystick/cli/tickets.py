"""`tallystick ticket`: answer calls that ask for more room in a budget."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.amounts import read_amount, read_expiry, read_ttl
from tallystick.cli.connection import admin_service, pages_of
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import Actor, AdminConnection, Tenant, read_pairs
from tallystick.cli.output import print_message, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tallystick.v1 import budget_pb2


TITLES = ("Ticket", "State", "Budget", "Asks for", "Opened", "Until", "Why")
TicketId = Annotated[str, typer.Argument(metavar="TICKET", help="The id that came with the HOLD.")]


class TicketState(StrEnum):
    """What became of a ticket."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which tickets."""

    state: Annotated[
        list[TicketState] | None,
        typer.Option(
            metavar="STATE",
            help="open, approved, rejected, expired or ended; may be repeated. Default: any.",
            show_default=False,
        ),
    ] = None
    budget: Annotated[str, typer.Option(metavar="NAME", help="Only of this budget.", show_default=False)] = ""
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, metavar="N", help="At most so many.")] = 100


@dataclass(frozen=True, slots=True)
class Given:
    """How an approval is given."""

    expires: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="When it ends: 2h, a date. Default: with the window.", show_default=False
        ),
    ] = ""
    credit: Annotated[
        str,
        typer.Option(
            metavar="WALLET", help="Give this wallet a credit, in place of room.", show_default=False
        ),
    ] = ""
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIMENSION=VALUE", help="Which wallet, by its `per`; may be repeated.", show_default=False
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Asking:
    """What a call says to a ticket that it may open."""

    justification: Annotated[
        str, typer.Option(metavar="TEXT", help="Why there should be more room.", show_default=False)
    ] = ""
    wait: Annotated[
        str,
        typer.Option(
            metavar="LENGTH", help="Wait so long for the answer to a ticket: 30s, 10m.", show_default=False
        ),
    ] = ""

    def put(self, request: "budget_pb2.ReserveRequest") -> None:
        """Say it in a request."""
        request.justification = self.justification
        if self.wait:
            request.wait.CopyFrom(read_ttl(self.wait, "--wait"))


def list_tickets(*, tenant: Tenant, chosen: Chosen, connection: AdminConnection) -> None:
    """List tickets, in the order in which they were opened.

    Those that have ended are known until the retention has passed.
    """
    from tallystick.v1 import ticket_pb2

    request = ticket_pb2.ListTicketsRequest(
        tenant=tenant,
        states=[f"TICKET_STATE_{state.name}" for state in chosen.state or ()],
        budget=chosen.budget,
        page_size=min(chosen.limit, 1_000),
    )
    with admin_service(connection) as service:
        found = pages_of(service.ListTickets, request, "tickets", connection.timeout_s, chosen.limit)
    del found.tickets[chosen.limit :]
    if connection.as_json:
        print_message(found)
    elif not found.tickets:
        show(f"{tenant}: no such ticket")
    else:
        show(_table(found.tickets))


def show_ticket(*, tenant: Tenant, ticket_id: TicketId, connection: AdminConnection) -> None:
    """Show one ticket: who asks for what and why, and the answer."""
    _get(tenant, ticket_id, "", connection)


def wait(
    *,
    tenant: Tenant,
    ticket_id: TicketId,
    up_to: Annotated[str, typer.Option(metavar="LENGTH", help="How long to wait: 30s, 10m.")] = "10m",
    connection: AdminConnection,
) -> None:
    """Wait until a ticket is open no more.

    Exits with 0 once it is approved, else with 10.
    """
    _get(tenant, ticket_id, up_to, connection)


def approve(
    *,
    tenant: Tenant,
    ticket_id: TicketId,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="'5 USD', '200k tokens', '50 requests'.")],
    given: Given,
    actor: Actor,
    connection: AdminConnection,
) -> None:
    """Give a budget more room, once, in the ticket's group and window."""
    from tallystick.v1 import ticket_pb2

    room = read_amount("AMOUNT", amount, requests=True)
    request = ticket_pb2.ApproveTicketRequest(
        tenant=tenant, ticket_id=ticket_id, amount=room.value, unit=f"UNIT_{room.unit.name}",
        by=actor.name, note=actor.reason,
    )  # fmt: skip
    if given.expires:
        request.expires_at.CopyFrom(read_expiry(given.expires))
    if given.credit:
        request.credit.wallet = given.credit
        request.credit.group.update(read_pairs("--group", given.group))
    elif given.group:
        raise CommandError(ExitCode.USAGE, "--group: expected --credit with it")
    with admin_service(connection) as service:
        answer = service.ApproveTicket(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
        return
    from tallystick.cli.output import time_text
    from tallystick.cli.tables import amount_of, named

    before, what = "" if answer.changed else ", as it was before", amount_of(request.amount, request.unit)
    if given.credit:
        show(f"{ticket_id}: approved, {what} for wallet {given.credit}{before}")
        return
    place = f"budget {named(answer.ticket.budget, answer.ticket.group)}"
    show(f"{ticket_id}: approved, {what} more in {place} until {time_text(answer.ticket.expires_at)}{before}")


def reject(*, tenant: Tenant, ticket_id: TicketId, actor: Actor, connection: AdminConnection) -> None:
    """Refuse what a ticket asks for; callers are told the reason."""
    from tallystick.cli.output import time_text
    from tallystick.v1 import ticket_pb2

    request = ticket_pb2.RejectTicketRequest(
        tenant=tenant, ticket_id=ticket_id, by=actor.name, reason=actor.reason
    )
    with admin_service(connection) as service:
        answer = service.RejectTicket(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        before = "" if answer.changed else ", as it was before"
        show(f"{ticket_id}: rejected until {time_text(answer.ticket.expires_at)}{before}")


def _get(tenant: str, ticket_id: str, up_to: str, connection: AdminConnection) -> None:
    from tallystick.cli.tables import make_card
    from tallystick.v1 import budget_pb2, ticket_pb2

    request = ticket_pb2.GetTicketRequest(tenant=tenant, ticket_id=ticket_id)
    if up_to:
        request.wait.CopyFrom(read_ttl(up_to, "--up-to"))
    with admin_service(connection) as service:
        answer = service.GetTicket(request, timeout=connection.timeout_s + request.wait.seconds)
    ticket = answer.ticket
    if connection.as_json:
        print_message(answer)
    else:
        state = _state(ticket).upper()
        approved = ticket.state == budget_pb2.TICKET_STATE_APPROVED
        show(make_card(f"{state} {ticket.id}", "green" if approved else "yellow", _rows(ticket)))
    if up_to and not ticket.HasField("answered_at"):
        raise typer.Exit(ExitCode.DENY)
    if up_to and ticket.state == budget_pb2.TICKET_STATE_REJECTED:
        raise typer.Exit(ExitCode.DENY)


def _state(ticket: "budget_pb2.Ticket") -> str:
    from tallystick.v1 import budget_pb2

    return budget_pb2.TicketState.Name(ticket.state).removeprefix("TICKET_STATE_").lower()


def _rows(ticket: "budget_pb2.Ticket") -> list[tuple[str, str]]:
    from tallystick.cli.output import time_text
    from tallystick.cli.tables import amount_of, named

    rows = [
        ("budget", named(ticket.budget, ticket.group)),
        ("limit", amount_of(ticket.limit, ticket.unit)),
        ("asks for", amount_of(ticket.asked, ticket.unit)),
        ("short of", amount_of(ticket.shortfall, ticket.unit)),
        ("model", ticket.model),
        ("who", " ".join(f"{name}={value}" for name, value in sorted(ticket.subject.items()))),
        ("why", ticket.justification),
        ("opened", time_text(ticket.opened_at)),
        ("until", time_text(ticket.expires_at)),
    ]
    if ticket.HasField("answered_at"):
        rows.append(("answered", time_text(ticket.answered_at)))
        rows += [("by", ticket.by), ("note", ticket.note)]
        rows.append(("allowance", amount_of(ticket.allowance, ticket.unit) if ticket.allowance else ""))
    return [row for row in rows if row[1]]


def _table(tickets: "Sequence[budget_pb2.Ticket]") -> "Table":
    from rich.text import Text

    from tallystick.cli.output import time_text
    from tallystick.cli.tables import amount_of, make_table, named

    table = make_table(TITLES)
    for ticket in tickets:
        asks, budget = amount_of(ticket.asked, ticket.unit), named(ticket.budget, ticket.group)
        times = [time_text(ticket.opened_at), time_text(ticket.expires_at)]
        texts = [_state(ticket), budget, asks, *times, ticket.justification]
        table.add_row(Text(ticket.id, style="bold"), *map(Text, texts))
    return table
