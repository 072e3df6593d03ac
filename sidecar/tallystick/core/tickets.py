"""A ticket: a refused call's request for more room in a budget, and what became of it."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tallystick.core.counters import parse_counter, rolling_ms
from tallystick.core.packing import compact

NO_WINDOW_MS = 7_776_000_000
"""How long an answer stands in a budget whose window has no bounds: 90 days."""
DEFAULT_TICKET_TTL_MS = 86_400_000


class TicketState(StrEnum):
    """What became of it; the value is its code in the store."""

    OPEN = "O"
    APPROVED = "A"
    """Its allowance is in the budget."""
    REJECTED = "R"
    EXPIRED = "X"
    """Nobody answered in time."""
    ENDED = "E"
    """It was approved, and its allowance has ended with its time."""


class Asked(NamedTuple):
    """What the call said that opened it, as the store keeps it."""

    amount: int
    """What the call takes of the budget, in its unit."""
    limit: int
    model: str
    subject: str
    """As `core.subject.subject_text` has it."""
    justification: str

    def text(self) -> str:
        """As the store keeps it."""
        return compact([str(self.amount), str(self.limit), *self[2:]])


def read_asked(text: str) -> Asked:
    """What a call said, from what the store and the ledger keep."""
    amount, limit, *said = json.loads(text)
    return Asked(int(amount), int(limit), *said)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as it is kept."""

    id: str
    state: TicketState
    opened_ms: int
    expires_ms: int
    """Of an open one: when it ends unanswered; then: until when the answer stands."""
    answered_ms: int
    """0: nobody has."""
    amount: int
    """What was approved, in the budget's unit."""
    lacks: int
    """What the call that opened it lacked, in the budget's unit."""
    end: str
    """Of the budget's window, as `BudgetLine.end`."""
    counter: str
    """Of the budget, in this group and window."""
    answer: str
    """What the administrator said: what tells a repeated answer from another one, a tab, by whom and why."""
    body: str
    """What the caller said (`Asked`)."""

    def text(self) -> str:
        """As the store keeps it."""
        head = (self.state, self.opened_ms, self.expires_ms, self.answered_ms, self.amount)
        return (
            "\t".join(map(str, (*head, self.lacks, self.end, self.counter))) + f"\n{self.answer}\n{self.body}"
        )

    @property
    def budget(self) -> str:
        """The budget's name."""
        return parse_counter(self.counter)[0]

    @property
    def asked(self) -> Asked:
        """What the call said that opened it."""
        return read_asked(self.body)

    @property
    def said(self) -> tuple[str, str]:
        """By whom it was answered, and the note or reason."""
        by, note = json.loads(self.answer.partition("\t")[2]) if self.answer else ("", "")
        return by, note

    @property
    def answered_text(self) -> str:
        """How it was answered, as a sentence."""
        how = "rejected" if self.state is TicketState.REJECTED else "approved"
        return f"ticket {self.id!r} was {how} before by {self.said[0] or 'somebody'}, in other words"

    def refuses(self, now_ms: int) -> bool:
        """Whether calls are refused because of it: it was rejected, in this window."""
        return self.state is TicketState.REJECTED and now_ms < self.expires_ms


def read_ticket(ticket_id: str, text: str) -> Ticket:
    """A ticket from what the store keeps."""
    head, answer, body = text.split("\n", 2)
    state, opened, expires, answered, amount, lacks, end, counter = head.split("\t")
    times = (int(opened), int(expires), int(answered))
    amounts = (int(amount), int(lacks))
    return Ticket(ticket_id, TicketState(state), *times, *amounts, end, counter, answer, body)


def stands_until_ms(end: str, now_ms: int) -> int:
    """Until when an answer stands in a window that ends so: an allowance never outlives it."""
    rolls = rolling_ms(end)
    if rolls:
        return now_ms + rolls[0]
    return int(end) if end.isdigit() and end != "0" else now_ms + NO_WINDOW_MS
