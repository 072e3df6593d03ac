"""Connections whose replies wait until replicas have what they tell of.

The commands of one write are followed by one WAIT, which holds up the connection: so what comes
meanwhile shares the next. Before it goes a write that changes nothing, for the store waits for the writes
of a connection alone, and a reply may tell what others wrote.
"""

from collections.abc import Callable

import hiredis

from tallystick.core.errors import StoreUnavailable
from tallystick.store.connection import Connection, Receiver, Reply, fail
from tallystick.store.keys import partition_keys
from tallystick.store.resp import encode


class NotConfirmed(StoreUnavailable):
    """Too few replicas said that they have it. It may stand, and may be lost."""

    may_stand = True


def touch(partition: int) -> bytes:
    """A write that changes nothing, but is one: replicas hear of it."""
    return encode(["HSET", partition_keys(partition)[0], "touched", "1"])


class ConfirmingConnection(Connection):
    """Replies wait for replicas once `confirm` was called."""

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        super().__init__(lost)
        self._tail: tuple[bytes, ...] = ()
        self._replicas = 0

    def confirm(self, replicas: int, timeout_s: float, partition: int | None) -> None:
        """From now on so many replicas confirm each reply; `partition`: one that the node has, if any."""
        touched = () if partition is None else (touch(partition),)
        self._tail = (*touched, encode(["WAIT", replicas, int(timeout_s * 1_000)]))
        self._replicas = replicas

    def flush(self) -> None:
        """Sends what waits, and what has it confirmed."""
        if self._tail and self._unsent:
            gate = _Gate(self._replicas)
            kept = [(message, _Kept(receiver, gate)) for message, receiver in self._unsent]
            *touched, wait = self._tail
            self._unsent = [*kept, *((message, _Nobody()) for message in touched), (wait, gate)]
        super().flush()


class _Nobody:
    """Who does not look at a reply."""

    def done(self) -> bool:
        return True

    def set_result(self, reply: Reply) -> None:
        """Never told."""

    def set_exception(self, error: StoreUnavailable) -> None:
        """Never told."""


class _Gate:
    """Has the replies of one write until replicas confirm them."""

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas
        self.replies: list[tuple[Receiver, Reply]] = []

    def done(self) -> bool:
        return False

    def set_result(self, reply: Reply) -> None:
        """What WAIT says."""
        count = reply if isinstance(reply, int) else 0
        for receiver, kept in self.replies:
            if receiver.done():
                continue
            if count >= self._replicas or isinstance(kept, hiredis.ReplyError):
                receiver.set_result(kept)
            else:
                fail(receiver, NotConfirmed(self._problem(reply, count)))

    def _problem(self, reply: Reply, count: int) -> str:
        why = f"; it says {reply}" if isinstance(reply, hiredis.ReplyError) else ""
        return (
            f"{count} of {self._replicas} replicas confirmed it in time{why}; "
            "it may stand: the same id finds out"
        )

    def set_exception(self, error: StoreUnavailable) -> None:
        for receiver, _ in self.replies:
            if not receiver.done():
                fail(receiver, error)


class _Kept:
    """A receiver whose reply waits in the gate."""

    def __init__(self, receiver: Receiver, gate: _Gate) -> None:
        self._receiver = receiver
        self._gate = gate

    def done(self) -> bool:
        return self._receiver.done()

    def set_result(self, reply: Reply) -> None:
        self._gate.replies.append((self._receiver, reply))

    def set_exception(self, error: StoreUnavailable) -> None:
        fail(self._receiver, error)
