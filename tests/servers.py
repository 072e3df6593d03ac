"""Real servers for tests: each test starts its own and ends it."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket as sockets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import grpc

from tallystick.store.address import StoreAddress
from tallystick.store.embedded import bundled_binary
from tallystick.v1.admin_pb2_grpc import AdminServiceStub
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub

REDIS = shutil.which("redis-server")
"""Debian's Redis, where it is installed."""

START_S = 30.0


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="ts"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class StoreServer:
    """A Valkey or Redis on a Unix socket in `directory`; it can be killed and started again."""

    def __init__(self, directory: Path, binary: str | None = None, extra: Sequence[str] = ()) -> None:
        self.directory = directory
        self._binary = binary or str(bundled_binary())
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> StoreAddress:
        return StoreAddress(path=str(self.directory / "s"))

    @property
    def url(self) -> str:
        return f"unix://{self.directory}/s"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        socket = self.directory / "s"
        socket.unlink(missing_ok=True)
        arguments = ["--port", "0", "--unixsocket", str(socket), "--dir", str(self.directory)]
        arguments += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", *self._extra]
        self._process = subprocess.Popen([self._binary, *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not socket.exists():
            assert self._process.poll() is None, "the store did not start"
            assert time.monotonic() < deadline, "the store did not start in time"
            time.sleep(0.01)

    def kill(self) -> None:
        """kill -9"""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


class SidecarProcess:
    """`tallystick serve` as its own process; `settings` are environment variables without the prefix."""

    words: Sequence[str] = ("serve",)
    environment: Mapping[str, str] = MappingProxyType({})

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self._settings = {"LISTEN": "", "HTTP_LISTEN": "", "PRELOAD_TOKENIZERS": "false", **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def socket(self) -> str:
        return f"unix:{self.directory}/tallystick.sock"

    @property
    def transport(self) -> str:
        return self._settings.get("TRANSPORT", "native")

    @property
    def log(self) -> str:
        return (self.directory / "sidecar.log").read_text()

    @property
    def port(self) -> int:
        """The TCP port of gRPC, as the log of the last start says."""
        return self._said(r"gRPC port (\d+)")

    @property
    def http_port(self) -> int:
        """The port of /metrics and its kin, as the log of the last start says."""
        return self._said(r"HTTP port (\d+)")

    def _said(self, pattern: str) -> int:
        deadline = time.monotonic() + START_S
        while not (found := re.findall(pattern, self.log)):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        return int(found[-1])

    def start(self, *, wait: bool = True) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTICK_")}
        environment["TALLYSTICK_DATA_DIR"] = str(self.directory)
        environment |= self.environment
        environment |= {f"TALLYSTICK_{name}": value for name, value in self._settings.items()}
        with (self.directory / "sidecar.log").open("ab") as log:
            command = [sys.executable, "-m", "tallystick", *self.words]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        if wait:
            self.wait_serving()

    def wait_serving(self) -> None:
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, self.log
            with grpc.insecure_channel(self.socket) as channel, contextlib.suppress(grpc.RpcError):
                stub = health_pb2_grpc.HealthStub(channel)
                if stub.Check(health_pb2.HealthCheckRequest(), timeout=1).status == 1:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the sidecar did not serve in time:\n{self.log}")

    def kill(self) -> None:
        """kill -9"""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def exit_code(self) -> int:
        """Waits for an end that comes by itself."""
        assert self._process is not None
        return self._process.wait(timeout=60)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)

    @contextlib.contextmanager
    def budget(self) -> Iterator[BudgetServiceStub]:
        with grpc.insecure_channel(self.socket) as channel:
            yield BudgetServiceStub(channel)

    @contextlib.contextmanager
    def admin(self) -> Iterator[AdminServiceStub]:
        with grpc.insecure_channel(f"unix:{self.directory}/admin.sock") as channel:
            yield AdminServiceStub(channel)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def http_get(port: int, path: str, **headers: str) -> tuple[int, str]:
    """Status and body."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def until(condition: "object", seconds: float = 20.0) -> None:
    """Waits until `condition()` is true."""
    assert callable(condition)
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)
