"""Puts the two together: the sidecar first, Envoy in front of it; at the end the other way round."""

import asyncio
import dataclasses
import logging
import socket
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick import running
from tallystick.config import ConfigError, Settings
from tallystick.core.errors import TallystickError
from tallystick.envoy import EnvoyOptions
from tallystick.envoy.options import Place
from tallystick.gateway.access_log import AccessLog
from tallystick.gateway.envoy_files import EnvoyFiles
from tallystick.gateway.envoy_process import EnvoyProcess
from tallystick.observe.http import READY
from tallystick.runtime import Sidecar

PART = "envoy"
"""What `/readyz` calls it."""
LOOK_S = 10.0
"""How often the length of the access log is looked at."""

_log = logging.getLogger("tallystick.gateway")


@dataclass(frozen=True, slots=True)
class Gateway:
    """What to run: the Envoy at `binary`, set up by `options` but for what the data directory decides."""

    binary: Path
    options: EnvoyOptions
    environment: Mapping[str, str]
    """Of Envoy; it has the providers' keys."""
    serving: Callable[[Place], None]
    """Is told the address when calls are taken."""
    replay: Callable[[Path], str]
    """Settles what a file of Envoy's log has, and says what it did; runs in a thread.

    Raises:
        TallystickError: it could not get to the end.

    """


async def serve(settings: Settings, gateway: Gateway) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the address can't be had.
        EnvoyFailed: Envoy did not start.
        TallystickError: the sidecar did not start.
        OSError: a file of the data directory can't be written.

    """
    await running.serve(settings, _InFront(settings, gateway).run)


class _InFront:
    """Envoy, and what is done beside it."""

    def __init__(self, settings: Settings, gateway: Gateway) -> None:
        files = EnvoyFiles(settings.data_dir)
        assert settings.socket is not None
        self._listen = free_place(gateway.options.listen)
        options = dataclasses.replace(
            gateway.options,
            listen=self._listen,
            sidecar=Place(path=str(settings.socket)),
            admin=Place(path=str(files.socket)),
            access_log=str(files.access_log),
        )
        self._drain_s = settings.drain_timeout.total_seconds()
        self._gateway = gateway
        self._log = AccessLog(files.access_log)
        self._envoy = EnvoyProcess(gateway.binary, options, files, gateway.environment)

    async def run(self, sidecar: Sidecar, stop: asyncio.Event) -> None:
        """Run as long as the sidecar."""
        states, envoy = sidecar.readiness.beside, self._envoy

        def changed(up: bool) -> None:
            states[PART] = READY if up else "away"
            _log.info("Envoy %s", "serves" if up else "is gone")

        states[PART] = "starting"
        if not await _first(sidecar.opened, stop):
            return
        try:
            await envoy.claim()
            unsettled = self._log.set_aside()
            await envoy.start()
            changed(True)
            self._gateway.serving(self._listen)
            works = [envoy.watch(changed), self._keep_short()]
            await _until(stop, [*works, self._replay()] if unsettled else works)
            states[PART] = "draining"
            _log.info("Envoy drains")
            await envoy.drain(self._drain_s)
        finally:
            await envoy.stop()

    async def _replay(self) -> None:
        """Settle what earlier runs left."""
        log = self._log
        try:
            said = await asyncio.to_thread(self._gateway.replay, log.unsettled)
        except (TallystickError, OSError) as error:
            _log.warning("%s is replayed at the next start: %s", log.unsettled, error)
        else:
            log.replayed()
            _log.info("the access log of earlier runs was replayed: %s", said)

    async def _keep_short(self) -> None:
        """Turn the log when it is too long."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._log.turn():
                await self._envoy.admin.reopen_logs()


async def _first(opened: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait until it is open; False if it is to stop before."""
    waits = [asyncio.create_task(event.wait()) for event in (opened, stop)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return not stop.is_set()


async def _until(stop: asyncio.Event, works: Iterable[Coroutine[None, None, None]]) -> None:
    """Let the works run until it is to stop; what goes wrong in one of them before that is raised."""
    stopping = asyncio.create_task(stop.wait())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        running = set(tasks)
        while running and not stopping.done():
            done, _ = await asyncio.wait((stopping, *running), return_when=asyncio.FIRST_COMPLETED)
            for task in done & running:
                task.result()
            running -= done
    finally:
        for task in (stopping, *tasks):
            task.cancel()


def free_place(place: Place) -> Place:
    """Find the port where it is 0.

    Envoys share a port with whom it belongs to, so a port that is taken would not be noticed.

    Raises:
        ConfigError: the address can't be had.

    """
    try:
        family = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)[0][0]
        with socket.create_server((place.host, place.port), family=family) as probe:
            return dataclasses.replace(place, port=probe.getsockname()[1])
    except OSError as error:
        where = f"[{place.host}]" if ":" in place.host else place.host
        raise ConfigError(f"--listen: can't listen on {where}:{place.port}: {error.strerror}") from None
