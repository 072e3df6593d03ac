"""What callers do with tickets: a refusal opens one, and an answer to it can be waited for."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tallystick.core.decision import Decision
from tallystick.core.errors import StoreUnavailable
from tallystick.core.plan import BudgetLine, Taken
from tallystick.core.subject import subject_text
from tallystick.core.tickets import DEFAULT_TICKET_TTL_MS, Asked, Ticket, TicketState
from tallystick.engine.calls import ReserveCall
from tallystick.engine.planner import Planner
from tallystick.engine.ticket_watch import TicketWatch
from tallystick.store.asks import Again
from tallystick.store.base import Store
from tallystick.store.ticket_asks import TicketAsk

if TYPE_CHECKING:
    from tallystick.engine.engine import Engine

MOST_TRIES = 100


class Tickets:
    """Reserves, and opens a ticket where a budget that refuses asks for one."""

    def __init__(self, engine: "Engine", store: Store, planner: Planner) -> None:
        self._engine = engine
        self._store = store
        self._planner = planner
        self.watch = TicketWatch(store)

    async def reserve(self, call: ReserveCall) -> Decision:
        """As `Engine.reserve`; a refusal has its ticket.

        Raises:
            InvalidArgument, IdMismatch, ReservationEnded, StoreUnavailable.
        """
        decision = await self._engine.reserve(call)
        for _ in range(MOST_TRIES):
            line = decision.bound
            if line is None or not line.asks:
                return decision
            try:
                ticket = await self._open(call, decision, line)
            except StoreUnavailable:
                return decision  # the refusal stands, without a ticket
            if ticket is not None:
                return decision
            decision = await self._engine.reserve(call)
        raise StoreUnavailable("the store has too much to end; ask again")

    async def _open(self, call: ReserveCall, decision: Decision, line: BudgetLine) -> Ticket | None:
        """The ticket, put into the decision; None where the store has news, and is to be asked again."""
        plan, refusal = decision.plan, decision.refusal
        assert plan is not None
        assert refusal is not None
        amount = Taken(decision.nano_usd, decision.tokens)[line.slot]
        said = Asked(amount, line.limit, decision.model, subject_text(call.subject), call.justification)
        ticket_id = f"t-{os.urandom(9).hex()}"
        ask = TicketAsk(plan, line, amount, ticket_id, DEFAULT_TICKET_TTL_MS, said)
        opened = await self._store.open_ticket(ask)
        if isinstance(opened, Again):
            await self._planner.again(call.tenant, opened.now_ms, opened.policy_version)
            return None
        ticket = decision.ticket = opened.ticket
        told = f"ticket {ticket.id} asks for more"
        if ticket.state is TicketState.REJECTED:
            by, note = ticket.said
            told = f"ticket {ticket.id} was rejected{by and f' by {by}'}{note and f': {note}'}"
        decision.refusal = replace(refusal, message=f"{refusal.message}; {told}")
        return ticket
