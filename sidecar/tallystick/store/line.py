"""Calls that come together: those of one plan that wait for the same departure leave as one command.

Each is decided by itself, in order, within one script; together they read and write
the counters once, which is most of a script's work. A call that is alone leaves alone.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from tallystick.core.errors import StoreUnavailable
from tallystick.store.connection import ConnectionLost, Reply, after, fail
from tallystick.store.script_runner import COMMAND_CELLS, ScriptRunner

MOST_TOGETHER = 16
"""So many calls leave without waiting for more: the store works while the rest of the tick is read,
and a script stays short. Seen at 32 in flight: a tenth more decisions than with 32, at the same CPU."""


class Line:
    """Where the calls of one plan, or whatever has `args` in common, wait for the connection's next write.

    `of_a_call`: how many arguments each adds.
    """

    def __init__(
        self, runner: ScriptRunner, script: str, partition: int, args: Sequence[object], of_a_call: int
    ) -> None:
        self._runner = runner
        self._script = script
        self.partition = partition
        self._ways = runner.nodes.ways
        self._command = runner.command(script, partition, args)
        self._cells = COMMAND_CELLS + len(args)
        self._of_a_call = of_a_call
        self._party = _Party(self)
        self._loop = asyncio.get_running_loop()

    def join(self, call: bytes) -> "asyncio.Future[Any]":
        """The reply to a call, given as RESP."""
        loop, party = self._loop, self._party
        connection = self._ways[self.partition].connection
        future: asyncio.Future[Any] = loop.create_future()
        party.calls.append(call)
        party.futures.append(future)
        count = len(party.calls)
        if connection is None:
            if count == 1:
                nothing = ConnectionLost("the store can't be reached", sent=False)
                loop.call_soon(party.set_exception, nothing)
        elif count == 1:
            connection.send_for(party, party)
        elif count == MOST_TOGETHER:
            connection.flush()
        return future

    def message(self, party: "_Party") -> bytes:
        """The command for a party; who comes now comes with the next one."""
        self._party = _Party(self)
        calls = party.calls
        count = self._cells + len(calls) * self._of_a_call
        return b"*%d\r\n%b%b" % (count, self._command, b"".join(calls))

    async def ask(self, message: bytes, refusal: Reply) -> list[Any]:
        """The replies to a command that was refused, or lost on the way (ConnectionLost), after all."""
        if isinstance(refusal, ConnectionLost):
            with after(refusal):
                return await self._runner.evaluate(self._script, self.partition, message)
        return await self._runner.refused(refusal, self._script, self.partition, message)


class _Party:
    """Calls that go together; it receives their reply from the wire."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._message = b""
        self._asking: asyncio.Task[None] | None = None
        self.calls: list[bytes] = []
        self.futures: list[asyncio.Future[Any]] = []

    def depart(self) -> bytes:
        if not self._message:
            self._message = self._line.message(self)
        return self._message

    def done(self) -> bool:
        return False

    def set_result(self, reply: Reply) -> None:
        if type(reply) is not list:
            self._ask_again(reply)
            return
        for future, answer in zip(self.futures, reply, strict=True):
            if not future.done():
                future.set_result(answer)

    def set_exception(self, error: StoreUnavailable) -> None:
        if isinstance(error, ConnectionLost):
            self._ask_again(error)
            return
        for future in self.futures:
            if not future.done():
                fail(future, error)

    def _ask_again(self, refusal: Reply) -> None:
        self.depart()  # who comes now is not lost
        self._asking = asyncio.create_task(self._ask(refusal), name="ask-again")

    async def _ask(self, refusal: Reply) -> None:
        try:
            self.set_result(await self._line.ask(self.depart(), refusal))
        except BaseException as error:
            for future in self.futures:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
