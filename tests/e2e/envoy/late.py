"""A socket before the sidecar's, on which its answers can be kept back."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.envoy.thread import LoopThread


class LateSocket:
    """Passes on what clients say at once, and what the sidecar says unless it is `kept_back`."""

    def __init__(self, path: Path, behind: str, thread: LoopThread) -> None:
        self.socket = f"unix:{path}"
        self._path, self._behind = path, behind.removeprefix("unix:")
        self._thread = thread
        self._flowing: asyncio.Event

    @contextlib.contextmanager
    def kept_back(self) -> Iterator[None]:
        """While it lasts no answer arrives; then all do."""
        self._thread.run(self._flow(flowing=False))
        try:
            yield
        finally:
            self._thread.run(self._flow(flowing=True))

    async def start(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_unix_server(self._accept, self._path)

    async def stop(self) -> None:
        self._server.close()

    async def _flow(self, *, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        sidecar, to_sidecar = await asyncio.open_unix_connection(self._behind)
        always = asyncio.Event()
        always.set()
        with contextlib.suppress(OSError):
            await asyncio.gather(
                _pass_on(client, to_sidecar, always), _pass_on(sidecar, to_client, self._flowing)
            )


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, flowing: asyncio.Event
) -> None:
    try:
        while data := await source.read(1 << 16):
            await flowing.wait()
            target.write(data)
            await target.drain()
    finally:
        target.close()
