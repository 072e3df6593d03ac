"""An Envoy that the sidecar owns: started, watched, drained, and gone when the sidecar is."""

import asyncio
import fcntl
import logging
import os
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from pathlib import Path

from tallystick.core.errors import TallystickError
from tallystick.envoy import EnvoyOptions, bootstrap, dump
from tallystick.gateway.envoy_admin import EnvoyAdmin
from tallystick.gateway.envoy_files import EnvoyFiles
from tallystick.owned_process import end, last_lines, launch

_log = logging.getLogger(__name__)

READY_S = 30.0
"""How long a started Envoy may take until it serves."""
DRAIN_S = 1
"""How long it takes new connections once it drains; in the answers of that time it says good-bye."""
STOP_S = 5.0
ORPHAN_S = 10.0
"""How long the Envoy of a sidecar that was killed may take to end."""
LAST_ENTRIES_S = 0.3
"""How long the last entries of its log may be on their way to the sidecar."""
POLL_S = 0.05
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0
STEADY_S = 30.0
"""An Envoy that lived this long is restarted without a growing pause."""
FLUSH_MS = 200
"""How often it writes its access log."""


class EnvoyFailed(TallystickError):
    """Envoy did not start. The message has the last lines of its log."""


class EnvoyProcess:
    """One Envoy: the `binary`, with `options` and `environment`, which has the providers' keys."""

    def __init__(
        self, binary: Path, options: EnvoyOptions, files: EnvoyFiles, environment: Mapping[str, str]
    ) -> None:
        self._binary = binary
        self._options = options
        self._files = files
        self._environment = environment
        self.admin = EnvoyAdmin(files.socket)
        self._process: Process | None = None
        self._lock: int | None = None
        self._stopping = False

    async def claim(self) -> None:
        """Take the files, which the Envoy of a sidecar that was killed keeps until it has ended.

        Raises:
            EnvoyFailed: it does not end.
            OSError: the lock can't be had.

        """
        self._lock = os.open(self._files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        clock = asyncio.get_running_loop().time
        deadline = clock() + ORPHAN_S
        while not _locked(self._lock):
            if clock() > deadline:
                raise EnvoyFailed(
                    f"{self._files.lock} is held by the Envoy of an earlier sidecar, "
                    f"which has not ended within {ORPHAN_S:g} s"
                )
            await self.admin.end()  # where the system has no death signal, nobody else tells it
            await asyncio.sleep(POLL_S)

    async def start(self) -> None:
        """Start it and wait until it serves.

        Raises:
            EnvoyFailed: it did not.
            OSError: its files can't be written.

        """
        self._files.write_configuration(dump(bootstrap(self._options)))
        await self._launch()

    async def watch(self, on_change: Callable[[bool], None]) -> None:
        """Restart it whenever it dies, until `stop`; `on_change` is told that it is gone, and back."""
        clock = asyncio.get_running_loop().time
        pause_s = PAUSE_MIN_S
        while self._process is not None:
            began = clock()
            status = await self._process.wait()
            if self._stopping:
                return
            on_change(False)
            _log.error("Envoy ended with status %s and is started again", status)
            pause_s = PAUSE_MIN_S if clock() - began > STEADY_S else pause_s
            while not self._stopping:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
                try:
                    await self._launch()
                except (EnvoyFailed, OSError) as error:
                    _log.error("Envoy can't be started: %s", error)
                else:
                    on_change(True)
                    break

    async def drain(self, within_s: float) -> None:
        """Let open calls end, for `within_s` seconds at most, while new ones are turned away."""
        clock = asyncio.get_running_loop().time
        began = clock()
        self._stopping = True
        await self.admin.drain()
        while clock() - began < max(within_s, DRAIN_S):
            if clock() - began > DRAIN_S and not await self.admin.open_calls():
                break
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(LAST_ENTRIES_S)

    async def stop(self) -> None:
        """End it, what is open is cut, and let go of its files."""
        self._stopping = True
        if self._process is not None and not await end(self._process, STOP_S):
            _log.warning("Envoy did not stop within %g s and was killed", STOP_S)
        self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _launch(self) -> None:
        """Start the process and wait until it serves; ends it if it doesn't."""
        self._files.socket.unlink(missing_ok=True)
        self._process, log_from = await launch(
            self._binary,
            self._arguments(),
            self._files.log,
            environment=self._environment,
            lock=self._lock,
        )
        try:
            await self._until_ready(self._process, log_from)
        except BaseException:
            await end(self._process, STOP_S)
            raise

    def _arguments(self) -> list[str]:
        options = {
            "--config-path": str(self._files.configuration),
            "--log-level": "warning",
            "--component-log-level": "misc:error",  # where it says of each alpha message that it is one
            "--file-flush-interval-msec": str(FLUSH_MS),
            "--drain-time-s": str(DRAIN_S),
            "--drain-strategy": "immediate",
            "--parent-shutdown-time-s": str(DRAIN_S + 1),
        }
        return [*(word for pair in options.items() for word in pair), "--use-dynamic-base-id"]

    async def _until_ready(self, process: Process, log_from: int) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        while not await self.admin.is_ready():
            if process.returncode is not None:
                problem = f"ended with status {process.returncode}"
            elif clock() - began > READY_S:
                problem = f"did not serve within {READY_S:g} s"
            else:
                await asyncio.sleep(POLL_S)
                continue
            raise EnvoyFailed(f"Envoy {problem}; it said:\n{last_lines(self._files.log, log_from)}")


def _locked(file: int) -> bool:
    """Lock it, if nobody else does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
