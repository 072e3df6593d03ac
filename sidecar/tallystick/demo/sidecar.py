"""The sidecar as its own process, on Unix sockets in a directory of the demo."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tallystick.store.address import StoreAddress
from tallystick.store.embedded import EmbeddedValkey

START_S, STOP_S, END_S, POLL_S = 30.0, 10.0, 0.5, 0.05
LOG_LINES = 15
NOTHING: Mapping[str, str] = MappingProxyType({})


class SidecarFailed(Exception):
    """The sidecar did not start, or ended too early; the message has the last lines of its log."""


class SidecarProcess:
    """`async with SidecarProcess(directory, policy)` runs `tallystick serve` until the block ends.

    `words` are another command that has a sidecar in it, `variables` of the environment are for it.
    """

    def __init__(
        self,
        directory: Path,
        policy: Path,
        words: Sequence[str] = ("serve",),
        variables: Mapping[str, str] = NOTHING,
    ) -> None:
        self._directory = directory
        self._policy = policy
        self._words = words
        self._variables = variables
        self._log = directory / "sidecar.log"
        self._process: asyncio.subprocess.Process | None = None
        self.target = f"unix:{directory}/tallystick.sock"
        self.admin_target = f"unix:{directory}/admin.sock"

    @property
    def store_address(self) -> StoreAddress:
        """Where the embedded store listens; the demo reads the ledger there."""
        return StoreAddress(path=str(EmbeddedValkey(self._directory).socket_path))

    async def __aenter__(self) -> "SidecarProcess":
        environment = {name: value for name, value in os.environ.items() if "TALLYSTICK_" not in name}
        environment |= {
            "TALLYSTICK_DATA_DIR": str(self._directory),
            "TALLYSTICK_POLICY_FILES": str(self._policy),
            "TALLYSTICK_LISTEN": "",
            "TALLYSTICK_HTTP_LISTEN": "",
            "TALLYSTICK_DRAIN_TIMEOUT": "2s",
            "TALLYSTICK_LOG_FORMAT": "text",
        }
        environment |= self._variables
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tallystick", *self._words),
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for the demo, which then ends the sidecar in order
            )
        try:
            async with asyncio.timeout(START_S):
                await self._serving(self._process)
        except TimeoutError:
            await self._stop(self._process)
            raise SidecarFailed(self._with_log(f"the sidecar did not serve within {START_S:g} s")) from None
        except BaseException:
            await self._stop(self._process)
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            await self._stop(self._process)

    async def said(self, pattern: str) -> str:
        """Wait until its output has something that matches the pattern; the first group."""
        assert self._process is not None
        try:
            async with asyncio.timeout(START_S):
                while self._process.returncode is None:
                    if found := re.search(pattern, self._log.read_text(errors="replace")):
                        return found[1]
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise SidecarFailed(self._with_log(f"the sidecar did not serve within {START_S:g} s")) from None
        raise SidecarFailed(self._with_log(f"the sidecar ended with {self._process.returncode}"))

    async def must_run(self) -> None:
        """Raise SidecarFailed if the process has ended, or is just ending."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                status = await self._process.wait()
                raise SidecarFailed(self._with_log(f"the sidecar ended with {status}"))

    async def _serving(self, process: asyncio.subprocess.Process) -> None:
        """Wait for its health check to say so."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while process.returncode is None:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                await asyncio.sleep(POLL_S)
        raise SidecarFailed(self._with_log(f"the sidecar ended with {process.returncode}"))

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _with_log(self, problem: str) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"{problem}; the last lines of its log:", *(f"  {line}" for line in lines)])
