"""Envoy's own interface, on a Unix socket."""

import asyncio
import contextlib
import http.client
import re
import socket
from pathlib import Path

_ANSWER_S = 2.0


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ANSWER_S)
        self.sock.connect(str(self._path))


class EnvoyAdmin:
    """Asks the Envoy whose interface is at `path`. Where it does not answer, that is no error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def is_ready(self) -> bool:
        """Whether it serves."""
        return await self._ask("GET", "/ready") == "LIVE\n"

    async def open_calls(self) -> int | None:
        """How many calls of clients are open; None where it does not say."""
        said = await self._ask("GET", "/stats?filter=^http.clients.downstream_rq_active$")
        found = re.search(r": (\d+)$", said, re.MULTILINE)
        return int(found[1]) if found else None

    async def drain(self) -> None:
        """Let open calls end, and take no new connections once the time for draining is over."""
        await self._ask("POST", "/drain_listeners?graceful")

    async def reopen_logs(self) -> None:
        """Have it open its access log anew, which was moved."""
        await self._ask("POST", "/reopen_logs")

    async def end(self) -> None:
        """Have it exit."""
        await self._ask("POST", "/quitquitquit")

    async def _ask(self, method: str, path: str) -> str:
        return await asyncio.to_thread(self._answer, method, path)

    def _answer(self, method: str, path: str) -> str:
        """What it says to that; empty if it says nothing, or that something is wrong."""
        with contextlib.closing(_Connection(self._path)) as connection:
            try:
                connection.request(method, path)
                answer = connection.getresponse()
                body = answer.read().decode(errors="replace")
            except (OSError, http.client.HTTPException):
                return ""
        return body if answer.status == http.client.OK else ""
