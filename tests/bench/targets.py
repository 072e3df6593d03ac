"""What is measured: servers in processes of their own, with their counters and their CPU time."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple, Self

import grpc
import redis

from tallystick.v1 import admin_pb2
from tallystick.v1 import budget_pb2 as pb
from tests.bench import workload
from tests.servers import START_S, SidecarProcess

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([\d.e+]+)$", re.MULTILINE)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """The CPU seconds that a process has used, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


class Counters(NamedTuple):
    """What a sidecar counted so far."""

    allowed: int
    refused: int
    settled: int
    answered: int
    """Calls of any method that ended with OK."""
    failed: int
    """Calls that ended otherwise."""
    held_nano_usd: int
    """In the wallet that pays."""
    in_flight: int
    """Holds that are open, by the budget of calls in flight."""

    def since(self, before: "Counters") -> "Counters":
        """What came to it since `before`."""
        return Counters(*(now - then for now, then in zip(self, before, strict=True)))


class EchoTarget:
    """A server that answers every Reserve with `response`."""

    store_pid: int | None = None

    def __init__(self, transport: str, directory: Path, response: pb.ReserveResponse) -> None:
        self.port = free_port()
        path = directory / "response"
        path.write_bytes(response.SerializeToString())
        command = [sys.executable, "-m", "tests.bench.echo", transport, str(self.port), str(path)]
        self._process = subprocess.Popen(command)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, "the echo did not start"
                assert time.monotonic() < deadline, "the echo did not start in time"
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


class Served(SidecarProcess):
    """Temporary: until `python -m tallystick serve` works."""

    def start(self, *, wait: bool = True) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTICK_")}
        environment["TALLYSTICK_DATA_DIR"] = str(self.directory)
        environment |= {f"TALLYSTICK_{name}": value for name, value in self._settings.items()}
        with (self.directory / "sidecar.log").open("ab") as log:
            command = [sys.executable, "-m", "tests.bench.serve"]
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.wait_serving()


class SidecarTarget:
    """A sidecar with its embedded store, the policy in force and the wallet full."""

    def __init__(self, transport: str, directory: Path) -> None:
        directory.mkdir()
        self.port, self._http_port = free_port(), free_port()
        self._process = Served(
            directory,
            TRANSPORT=transport,
            LISTEN=f"127.0.0.1:{self.port}",
            HTTP_LISTEN=f"127.0.0.1:{self._http_port}",
        )
        self.directory = directory

    def __enter__(self) -> Self:
        self._process.start()
        try:
            self._prepare()
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        self._channel.close()
        self._process.stop()

    def _prepare(self) -> None:
        self.pid = self._process.pid
        self.store = redis.Redis(unix_socket_path=str(next(self.directory.rglob("*valkey*.sock"))))
        self.store_pid: int | None = self.store.info("server")["process_id"]
        # A rewrite of the append-only file falls into one cell and not into the next.
        self.store.config_set("auto-aof-rewrite-percentage", 0)
        with self._process.admin() as admin:
            admin.ApplyPolicy(admin_pb2.ApplyPolicyRequest(document=workload.POLICY))
            admin.CreditWallet(workload.credit_request())
        self._channel = grpc.insecure_channel(
            self._process.socket, [("grpc.max_receive_message_length", 1 << 25)]
        )
        from tallystick.v1.budget_pb2_grpc import BudgetServiceStub

        self.budget = BudgetServiceStub(self._channel)

    def counters(self) -> Counters:
        """What it counted so far."""
        url = f"http://127.0.0.1:{self._http_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            samples = SAMPLE.findall(answer.read().decode())

        def total(name: str, label: str = "") -> int:
            return sum(int(float(v)) for n, labels, v in samples if n == name and label in labels)

        balance = self.budget.Balance(workload.balance_request())
        answers = "tallystick_rpc_seconds_count"
        ours = [label for label in ('method="Reserve"', 'method="Settle"', 'method="ReserveBatch"')]
        return Counters(
            allowed=total("tallystick_decisions_total", 'result="ALLOW"'),
            refused=total("tallystick_decisions_total", 'result="DENY"'),
            settled=total("tallystick_settles_total"),
            answered=sum(
                int(float(v))
                for n, labels, v in samples
                if n == answers and 'code="OK"' in labels and any(method in labels for method in ours)
            ),
            failed=sum(int(float(v)) for n, labels, v in samples if n == answers and 'code="OK"' not in labels),
            held_nano_usd=balance.wallets[0].held,
            in_flight=workload.in_flight(balance.budgets),
        )

    def evalsha_calls(self) -> int:
        """How many scripts its store ran."""
        return int(self.store.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))
