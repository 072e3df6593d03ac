"""Puts the two together: the sidecar first, Envoy in front of it; at the end the other way round."""

import asyncio
import dataclasses
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tallystick import runtime
from tallystick.config import ConfigError, Settings
from tallystick.envoy import EnvoyOptions
from tallystick.envoy.options import Place
from tallystick.gateway.envoy_files import EnvoyFiles
from tallystick.gateway.envoy_process import EnvoyProcess
from tallystick.observe.http import READY
from tallystick.runtime import Sidecar

PART = "envoy"
"""What `/readyz` calls it."""

_log = logging.getLogger("tallystick.gateway")


@dataclass(frozen=True, slots=True)
class Gateway:
    """What to run: the Envoy at `binary`, set up by `options` but for what the data directory decides."""

    binary: Path
    options: EnvoyOptions
    environment: Mapping[str, str]
    """Of Envoy; it has the providers' keys."""


async def serve(settings: Settings, gateway: Gateway, serving: Callable[[Place], None]) -> None:
    """Serve until SIGTERM or SIGINT. `serving` is told the address when calls are taken.

    Raises:
        ConfigError: the address can't be had.
        EnvoyFailed: Envoy did not start.
        TallystickError: the sidecar did not start.

    """
    files = EnvoyFiles(settings.data_dir)
    assert settings.socket is not None
    options = dataclasses.replace(
        gateway.options,
        listen=free_place(gateway.options.listen),
        sidecar=Place(path=str(settings.socket)),
        admin=Place(path=str(files.socket)),
        access_log=str(files.access_log),
    )
    envoy = EnvoyProcess(gateway.binary, options, files, gateway.environment)

    async def beside(sidecar: Sidecar, stop: asyncio.Event) -> None:
        states = sidecar.beside

        def changed(up: bool) -> None:
            states[PART] = READY if up else "away"
            _log.info("Envoy %s", "serves" if up else "is gone")

        states[PART] = "starting"
        if not await _first(sidecar.opened, stop):
            return
        try:
            await envoy.start()
            changed(True)
            serving(options.listen)
            watching = asyncio.create_task(envoy.watch(changed))
            await _until(stop, watching)
            states[PART] = "draining"
            _log.info("Envoy drains")
            await envoy.drain(settings.drain_timeout.total_seconds())
        finally:
            await envoy.stop()

    await runtime.serve(settings, beside)


async def _first(opened: asyncio.Event, stop: asyncio.Event) -> bool:
    """Wait until it is open; False if it is to stop before."""
    waits = [asyncio.create_task(event.wait()) for event in (opened, stop)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return not stop.is_set()


async def _until(stop: asyncio.Event, watching: asyncio.Task[None]) -> None:
    """Wait until it is to stop; what ends the watch before that is an error."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((stopping, watching), return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
    finally:
        stopping.cancel()
        watching.cancel()


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
