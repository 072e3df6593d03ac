"""One connection to a store, on which callers' commands follow one another.

Commands leave together once the loop has nothing else to do; replies come back in order through
hiredis's parser. A cancelled caller leaves its reply to be dropped in its turn,
so nothing gets out of step.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, cast

import hiredis

from tallystick.core.errors import StoreUnavailable

MOST_UNSENT_BYTES = 4_096
"""So much leaves at once, so that the store works while the next commands are encoded: seen at 32
in flight, a sixth more decisions than when all of a tick left together."""

EMPTY_TICK_S = 10e-6
"""A tick of the loop that takes less did nothing: one of uvloop's takes 0.6 µs."""

EMPTY_TICKS = 16
"""After so many in a row the loop has nothing else to do, and what waits leaves. Over grpcio, whose calls
come one by one, twelve decisions then share a script where each had its own: seen at 32 in flight, half as
many decisions again with two thirds of the CPU."""

LONGEST_WAIT_S = 0.002
"""So long commands wait for the loop at most."""

AWAKE_S = 300e-6
"""So long the loop stays awake for the reply to a command that is alone. Seen over native, on idle cores:
an eighth off the time of a lone decision, for 50 µs of CPU that nobody else wanted."""

ASLEEP = 8
"""After a later reply, so many are waited for asleep: the store is far away, or cores are scarce."""

Reply = Any


class Receiver(Protocol):
    """Who waits for a reply; a future, for example."""

    def done(self) -> bool:
        """Whether it waits no more."""

    def set_result(self, reply: Reply, /) -> None:
        """The reply; store errors are values."""

    def set_exception(self, error: StoreUnavailable, /) -> None:
        """There will be none."""


class Party(Protocol):
    """A command that others may join until it leaves."""

    calls: list[bytes]
    """Who has joined."""

    def depart(self) -> bytes:
        """The command; nobody joins it any more."""


class ConnectionLost(StoreUnavailable):
    """The connection broke before the answer came. `sent`: whether the command had left."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.may_stand = sent


@contextlib.contextmanager
def after(lost: StoreUnavailable) -> Iterator[None]:
    """Asks again for what was lost: if that fails, too, it may stand since the first time."""
    try:
        yield
    except StoreUnavailable as error:
        error.may_stand |= lost.may_stand
        raise


class Connection(asyncio.Protocol):
    """One connection. `lost` is called once, when it has ended."""

    def __init__(self, lost: Callable[["Connection"], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._pending: deque[Receiver] = deque()
        self._unsent: list[tuple[bytes | Party, Receiver]] = []
        self._unsent_bytes = 0
        self._unsent_since = self._ticked_at = 0.0
        self._empty_ticks = 0
        self._ticking = self._hurried = False
        self._was_alone = True
        """Whether what left last was one call."""
        self._awake = False
        self._awake_until, self._asleep = 0.0, 0
        self._transport: asyncio.Transport | None = None
        self.progress_at = 0.0
        """When the store last answered, or was first asked since (loop time)."""

    @property
    def waiting(self) -> int:
        """How many commands have no answer yet."""
        return len(self._pending)

    def send(self, message: bytes) -> asyncio.Future[Reply]:
        """Sends a command soon; the reply, errors included."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.send_for(message, future)
        return future

    def send_for(self, message: "bytes | Party", receiver: Receiver) -> None:
        """Sends a command once the loop has nothing else to do; the receiver is told the reply.

        One that finds the store idle, after one that was alone, leaves at the end of its tick.
        """
        if not self._unsent:
            self._unsent_since, self._empty_ticks = time.perf_counter(), 0
            self._hurried = self._was_alone and not self._pending
            if not self._ticking:
                self._ticking, self._ticked_at = True, self._unsent_since
                self._loop.call_soon(self._tick)
        self._unsent.append((message, receiver))
        if isinstance(message, bytes):
            self._unsent_bytes += len(message)
            if self._unsent_bytes >= MOST_UNSENT_BYTES:
                self.flush()

    def _tick(self) -> None:
        now = time.perf_counter()
        self._empty_ticks = self._empty_ticks + 1 if now - self._ticked_at < EMPTY_TICK_S else 0
        self._ticked_at = now
        waited = self._empty_ticks >= EMPTY_TICKS or now - self._unsent_since >= LONGEST_WAIT_S
        if waited or self._hurried:
            self.flush()
        self._ticking = bool(self._unsent)
        if self._ticking:
            self._loop.call_soon(self._tick)

    def flush(self) -> None:
        """Sends at once what waits."""
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if not unsent:
            return
        if not self._pending:
            self.progress_at = self._loop.time()
        self._pending.extend([receiver for _, receiver in unsent])
        first = unsent[0][0]
        self._was_alone = len(unsent) == 1 and (isinstance(first, bytes) or len(first.calls) == 1)
        if self._transport is None or self._transport.is_closing():
            return  # `connection_lost` is about to tell them
        messages = [each if isinstance(each, bytes) else each.depart() for each, _ in unsent]
        self._transport.write(b"".join(messages))
        if self._was_alone and len(self._pending) == 1:
            self._wait_awake()

    def _wait_awake(self) -> None:
        if self._asleep:
            self._asleep -= 1
            return
        self._awake_until = time.perf_counter() + AWAKE_S
        if not self._awake:
            self._awake = True
            self._loop.call_soon(self._stay_awake)

    def _stay_awake(self) -> None:
        self._awake = bool(self._pending) and time.perf_counter() < self._awake_until
        if self._awake:
            self._loop.call_soon(self._stay_awake)
        elif self._pending:
            self._asleep = ASLEEP

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._reader.feed(data)
        self.progress_at = self._loop.time()
        pending, gets = self._pending, self._reader.gets
        while (reply := gets()) is not False:
            receiver = pending.popleft()
            if not receiver.done():
                receiver.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        lost, unsent = list(self._pending), self._unsent
        self._pending.clear()
        self._unsent = []
        _lose(lost, sent=True)
        _lose([receiver for _, receiver in unsent], sent=False)
        self._lost(self)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()


def _lose(receivers: Sequence[Receiver], *, sent: bool) -> None:
    for receiver in receivers:
        if not receiver.done():
            fail(receiver, ConnectionLost("the store's connection broke before it answered", sent=sent))


def fail(receiver: Receiver, error: StoreUnavailable) -> None:
    """Tells a receiver, who still waits, that there will be no reply."""
    receiver.set_exception(error)
    if isinstance(receiver, asyncio.Future):
        receiver.exception()  # a caller that was cancelled does not come to look
