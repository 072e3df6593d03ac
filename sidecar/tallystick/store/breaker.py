"""The circuit breaker of a node: whether its calls go there."""

from enum import StrEnum


class Breaker(StrEnum):
    """Its states, in the field's words."""

    CLOSED = "closed"
    """There is a connection, and calls go to the node."""
    HALF_OPEN = "half-open"
    """The connection was just lost, and calls wait for it, a second at most; or one is being tried."""
    OPEN = "open"
    """Calls fail at once. Another connection is tried soon."""
