"""A call on the native transport: what its handler sees of it."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeAlias

import grpc
import grpc.aio

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
Details: TypeAlias = tuple[Metadata, str, float | None]
"""A call's metadata, its peer, and how many seconds its caller gives it."""


class NativeCall:
    """The part of `grpc.aio.ServicerContext` that unary servicers use."""

    __slots__ = ("_metadata", "_peer", "_until", "code", "id", "left", "task", "text", "unheard")

    def __init__(self, call_id: int, details: Details) -> None:
        self._metadata, self._peer, remaining_s = details
        self._until = None if remaining_s is None else time.monotonic() + remaining_s
        self.id = call_id
        self.code = grpc.StatusCode.OK
        self.text = ""
        self.task: asyncio.Task[None] | None = None
        self.left = False
        """Whether the caller has, or its deadline has passed."""
        self.unheard: Callable[[], None] | None = None
        """Called when the caller left after the answer was found, and before it was sent."""

    def leave(self) -> None:
        """The caller has left: the handler is cancelled."""
        self.left = True
        if self.task is not None:
            self.task.cancel()

    async def abort(self, code: grpc.StatusCode, details: str = "", _trailing: Metadata = ()) -> NoReturn:
        """Ends the call with a status. Raises AbortError, always."""
        self.code, self.text = code, details
        raise grpc.aio.AbortError(details)

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None where it has none."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def invocation_metadata(self) -> Metadata:
        """What the caller sent beside the request."""
        return self._metadata

    def peer(self) -> str:
        """The caller's address."""
        return self._peer

    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """Nothing: this transport has no TLS."""
        return {}
