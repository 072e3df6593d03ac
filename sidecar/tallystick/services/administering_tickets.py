"""From requests about tickets to calls, as `reading` does."""

from tallystick.core.errors import InvalidArgument
from tallystick.core.subject import check_text
from tallystick.core.tickets import Ticket
from tallystick.engine.calls import AnswerCall, TicketsCall, WalletRef
from tallystick.engine.paging import Cut
from tallystick.services.permissions import OPERATOR, current_caller, signed
from tallystick.services.reading import MAX_ID_BYTES, read_tenant
from tallystick.services.writing_states import UNITS
from tallystick.services.writing_tickets import STATES, write_ticket
from tallystick.store.ticket_asks import AnswerKind
from tallystick.v1 import ticket_pb2 as pb

BY_NUMBER = {number: state for state, number in STATES.items()}
UNIT_OF = {number: unit for unit, number in UNITS.items()}
LAST_S = 253_402_300_799
"""The last second of the year 9999."""


def read_list_tickets(request: pb.ListTicketsRequest) -> TicketsCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant)
    unknown = [number for number in request.states if number not in BY_NUMBER]
    if unknown:
        raise InvalidArgument("states", f"expected states of a ticket, got {unknown[0]}")
    check_text("budget", request.budget)
    return TicketsCall(tenant, frozenset(BY_NUMBER[number] for number in request.states), request.budget)


def read_ticket_ref(
    request: pb.GetTicketRequest | pb.ApproveTicketRequest | pb.RejectTicketRequest,
) -> tuple[str, str]:
    """Tenant and id. Raises InvalidArgument."""
    tenant, ticket_id = read_tenant(request.tenant), request.ticket_id
    if not ticket_id:
        raise InvalidArgument("ticket_id", "expected the id that came with the HOLD")
    check_text("ticket_id", ticket_id, MAX_ID_BYTES)
    return tenant, ticket_id


def read_approve(request: pb.ApproveTicketRequest) -> AnswerCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, ticket_id = read_ticket_ref(request)
    check_text("note", request.note)
    unit = UNIT_OF.get(request.unit)
    if unit is None:
        raise InvalidArgument("unit", "expected the unit of the amount")
    if request.amount < 1:
        raise InvalidArgument("amount", "expected at least 1")
    expires = request.expires_at
    if not (0 <= expires.seconds <= LAST_S and 0 <= expires.nanos < 10**9):
        raise InvalidArgument("expires_at", "expected a time from 1970 to 9999")
    expires_ms = expires.seconds * 1_000 + expires.nanos // 1_000_000
    wallet = None
    if request.HasField("credit"):
        check_text("credit.wallet", request.credit.wallet)
        for name, value in request.credit.group.items():
            check_text(f"credit.group[{name[:64]!a}]", value)
        wallet = WalletRef(request.credit.wallet, dict(request.credit.group))
    return AnswerCall(
        tenant, ticket_id, AnswerKind.APPROVE, _by(request.by), request.note, request.amount, unit,
        expires_ms, wallet,
    )  # fmt: skip


def read_reject(request: pb.RejectTicketRequest) -> AnswerCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, ticket_id = read_ticket_ref(request)
    check_text("reason", request.reason)
    return AnswerCall(tenant, ticket_id, AnswerKind.REJECT, _by(request.by), request.reason)


def _by(said: str) -> str:
    """Who answers: the caller, where it is known who calls; beside whom it says to speak for."""
    check_text("by", said)
    return signed(said) or (OPERATOR.name if current_caller() is OPERATOR else "")


def write_tickets(cut: Cut[Ticket]) -> pb.ListTicketsResponse:
    """A page of tickets."""
    return pb.ListTicketsResponse(
        tickets=[write_ticket(each) for each in cut.found], next_page_token=cut.token
    )
