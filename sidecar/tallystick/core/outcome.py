"""How a call ended, and what is charged for it."""

from enum import IntEnum, StrEnum

from tallystick.core.errors import InvalidArgument


class Outcome(IntEnum):
    """How a call ended. The numbers are those of the API."""

    COMPLETED = 1
    COMPLETED_NO_USAGE = 2
    CLIENT_ABORTED = 3
    PROVIDER_ERROR_BILLED = 4
    PROVIDER_ERROR_UNBILLED = 5
    NOT_DISPATCHED = 6
    UNKNOWN = 7


class Mode(StrEnum):
    """What is charged; the value is its code in the store."""

    COST = "cost"
    """The cost that was reported."""
    HOLD = "hold"
    """What is held: nothing was reported, and that is never zero."""
    NONE = "none"
    """Nothing: all goes back."""


def settle_mode(outcome: Outcome, reported: bool, *, estimated: bool = False) -> tuple[Mode, bool]:
    """What is charged, and whether that is an estimate.

    `reported`: whether usage or a cost came with the outcome; `estimated`: whether that is one already.

    Raises:
        InvalidArgument: the outcome and a report contradict each other.
    """
    if outcome in (Outcome.NOT_DISPATCHED, Outcome.PROVIDER_ERROR_UNBILLED):
        if reported:
            raise InvalidArgument(
                "outcome", f"expected no usage and no cost with {outcome.name}: it gives all back"
            )
        return Mode.NONE, False
    if outcome in (Outcome.UNKNOWN, Outcome.COMPLETED_NO_USAGE) and reported:
        raise InvalidArgument(
            "outcome", f"expected no usage and no cost with {outcome.name}: it charges the hold"
        )
    return (Mode.COST, estimated) if reported else (Mode.HOLD, True)
