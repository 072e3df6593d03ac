"""What a store is asked about tickets, and what it answers, as plain values."""

from enum import StrEnum
from typing import NamedTuple

from tallystick.core.packing import compact
from tallystick.core.plan import BudgetLine, Plan
from tallystick.core.tickets import Asked, Ticket


class TicketAsk(NamedTuple):
    """A call that a budget refused, and asks for more."""

    plan: Plan
    line: BudgetLine
    """The budget of it that refused."""
    amount: int
    """What the call takes of it, in its unit."""
    ticket_id: str
    """The name of the ticket, where there is none yet."""
    ttl_ms: int
    said: Asked


class Opened(NamedTuple):
    """The ticket of a budget, group and window."""

    ticket: Ticket
    now_ms: int


class AnswerKind(StrEnum):
    """What an administrator says to a ticket; the value is its kind in the ledger."""

    APPROVE = "approve"
    REJECT = "reject"


class AnswerAsk(NamedTuple):
    """The word of an administrator on a ticket."""

    ticket_id: str
    kind: AnswerKind
    by: str
    note: str
    amount: int = 0
    """Of an approval, in the budget's unit; 0: no allowance, as something else was given."""
    ends_ms: int = 0
    """When the allowance ends at the latest; 0: with the window."""
    content: str = ""
    """What else tells this answer from another one."""

    @property
    def same(self) -> str:
        """What tells a repeated answer from another one."""
        return compact([self.kind, str(self.amount), self.ends_ms, self.content])

    @property
    def kept(self) -> str:
        """The answer as a ticket keeps it."""
        return f"{self.same}\t{compact([self.by, self.note])}"
