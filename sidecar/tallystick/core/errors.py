"""Errors that mean: there is no decision.

TallystickError
├── InvalidArgument        a field of the request is wrong
│   └── InvalidPolicy      a policy document is wrong, with line and column
├── IdMismatch             the id was used with other content
├── ReservationEnded       the reservation has ended in another way
├── ReservationNotFound    no such reservation, and no tally to prove it
├── Unauthenticated        nobody knows who is calling
├── PermissionDenied       the caller is known, and may not do this
├── TokenExists            there is a token of this name
├── TokenNotFound          there is no token of this name
├── FundsMissing           a wallet has not so much to take out
├── PolicyNotFound         the tenant has no policy
├── PolicyConflict         another version of the policy is in force
├── TicketNotFound         there is no such ticket
├── TicketAnswered         the ticket was answered in another way
├── TicketEnded            the ticket ended before it was answered
├── LedgerGap              entries that were asked for are gone
├── Overloaded             the queue is longer than the deadline
├── Draining               the sidecar is about to end
└── StoreUnavailable       the store can't be reached, or does not answer
    ├── StoreFrozen        the partition went back, and waits for an administrator
    └── StoreUnusable      the store answers, and must not be used
"""


class TallystickError(Exception):
    """The base of all errors that a caller may see; its text is meant for people."""


class InvalidArgument(TallystickError):
    """A field of the request is wrong. The message names it and what was expected."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: {expected}")
        self.field = field
        self.expected = expected


class InvalidPolicy(InvalidArgument):
    """A policy document is wrong. `field` is the path, `line` and `column` start at 1."""

    def __init__(self, field: str, expected: str, line: int = 0, column: int = 0) -> None:
        super().__init__(field, expected)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return place + super().__str__()


class IdMismatch(TallystickError):
    """The id was used before with other content."""


class ReservationEnded(TallystickError):
    """The reservation has ended in another way."""


class ReservationNotFound(TallystickError):
    """There is no such reservation, and no tally came with the request."""


class Unauthenticated(TallystickError):
    """It is not known who is calling; HTTP 401. The message says what was expected, and quotes no key."""


class PermissionDenied(TallystickError):
    """The caller is known, and may not do this. The message says what would be allowed."""


class TokenExists(TallystickError):
    """There is a token of this name, or there are as many as there may be."""


class TokenNotFound(TallystickError):
    """There is no token of this name."""


class FundsMissing(TallystickError):
    """A wallet has not so much to take out; `available`, in its unit, is what it has."""

    def __init__(self, text: str, available: int = 0) -> None:
        super().__init__(text)
        self.available = available


class PolicyNotFound(TallystickError):
    """The tenant has no policy."""


class PolicyConflict(TallystickError):
    """Another version of the policy is in force."""


class TicketNotFound(TallystickError):
    """There is no such ticket, or it ended so long ago that it was forgotten."""


class TicketAnswered(TallystickError):
    """The ticket was answered before, in another way."""


class TicketEnded(TallystickError):
    """Nobody answered the ticket in time, or its window has ended."""


class LedgerGap(TallystickError):
    """Ledger entries that were asked for are no longer in the store."""


class Overloaded(TallystickError):
    """More calls are waiting than can be answered before the deadline."""


class Draining(TallystickError):
    """The sidecar finishes what is under way, and takes nothing on."""


class StoreUnavailable(TallystickError):
    """The store can't be reached or does not answer in time."""

    may_stand = False
    """Whether the store may have done what was asked, though nobody was told."""


class StoreFrozen(StoreUnavailable):
    """The partition has lost what was answered, and waits for an administrator."""


class StoreUnusable(StoreUnavailable):
    """The store answers, and must not be used as it is."""
