"""A real Envoy with a configuration of ours, on free ports, ended by its id."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tallystick.envoy import EnvoyOptions, bootstrap, dump, find_envoy

READY_S = 30.0


class EnvoyProcess:
    """Envoy in `directory`; its options must have `admin` at a Unix socket and `listen` at port 0.

    `change` makes something else of the configuration that follows from them.
    """

    def __init__(
        self, options: EnvoyOptions, directory: Path, environment: Mapping[str, str] | None = None,
        change: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:  # fmt: skip
        assert options.admin is not None
        self.options = options
        self.directory = directory
        self._environment = {**os.environ, **(environment or {})}
        self._change = change
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.directory / "envoy.log").read_text()

    def start(self) -> None:
        """Starts it, and waits until it is ready and the sidecar was found healthy."""
        configuration, written = bootstrap(self.options), self.directory / "envoy.yaml"
        self._change(configuration)
        written.write_text(dump(configuration))
        command = [str(find_envoy()), "-c", str(written), "--use-dynamic-base-id", "--concurrency", "1"]
        command += [
            "--file-flush-interval-msec",
            "50",
            "--log-level",
            "warn",
            "--drain-time-s",
            "1",
            "--parent-shutdown-time-s",
            "2",
        ]
        with (self.directory / "envoy.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S
        while not self._ready():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        if not self.options.listen.path:
            self.port = int(re.findall(r"::127\.0\.0\.1:(\d+)", self.admin("/listeners"))[0])

    def _ready(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.admin("/ready").strip() == "LIVE"
        return False

    def admin(self, path: str, method: str = "GET") -> str:
        """What the admin interface says."""
        assert self.options.admin is not None
        connection = http.client.HTTPConnection("localhost", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.settimeout(10)
            connection.sock.connect(self.options.admin.path)
            connection.request(method, path)
            return connection.getresponse().read().decode()

    def stat(self, name: str) -> int:
        """One counter or gauge."""
        found = re.search(
            rf"^{re.escape(name)}: (\d+)$", self.admin(f"/stats?filter=^{re.escape(name)}$"), re.MULTILINE
        )
        assert found, name
        return int(found[1])

    def stop(self) -> None:
        """SIGTERM, and the end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
