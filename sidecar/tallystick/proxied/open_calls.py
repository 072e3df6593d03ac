"""Calls that were let through and whose end is yet to be told, by the proxy's id of their request.

An end comes with what was decided, but for a call whose proxy had given up when the decision left: that it
never heard, and turned the call away, or sent it unasked. Its hold is known here alone.
"""

from tallystick.proxied.calls import HeldCall

MOST_KEPT = 16_384
"""Of the latest; what is older expires by itself. A few kilobytes each."""


class OpenCalls:
    """Of the proxies that ask this sidecar."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._calls: dict[str, HeldCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def keep(self, request_id: str, call: HeldCall) -> None:
        """Remember a call until its end. Without an id there is nothing to know it by."""
        if not request_id:
            return
        if len(self._calls) >= self._most:
            del self._calls[next(iter(self._calls))]
        self._calls[request_id] = call

    def end(self, request_id: str) -> HeldCall | None:
        """The call that ends; None if it is not known."""
        return self._calls.pop(request_id, None)
