"""What is measured: servers in processes of their own, with their counters and their CPU time."""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import grpc
import redis

from tallystick.v1 import admin_pb2
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub
from tests.bench import workload
from tests.e2e.guarded import bearing, make
from tests.servers import START_S, SidecarProcess

REPOSITORY = Path(__file__).parents[2]
CPUCLOCK_SCHED = 2
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? ([\d.e+]+)$", re.MULTILINE)
DATA_PLANE = r'method="(Reserve|Settle|ReserveBatch)"'


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """The CPU seconds that a process has used, in user and system mode.

    The sum that /proc/PID/stat tells in hundredths of a second, to the nanosecond:
    the clock of `clock_getcpuclockid(3)`.
    """
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


class Scrape:
    """The samples of one answer of `/metrics`."""

    def __init__(self, samples: list[tuple[str, str, str]]) -> None:
        self._samples = samples

    def sum(self, name: str, *labels: str) -> float:
        """All samples of this name whose labels have these texts (regular expressions) in them, together."""
        return sum(
            float(value)
            for found, has, value in self._samples
            if found == name and all(re.search(label, has) for label in labels)
        )

    def total(self, name: str, *labels: str) -> int:
        """The same of a counter of whole things."""
        return int(self.sum(name, *labels))


class Counters(NamedTuple):
    """What a sidecar has counted."""

    allowed: int = 0
    refused: int = 0
    settled: int = 0
    answered: int = 0
    """Reserve, Settle and ReserveBatch calls that ended with OK."""
    failed: int = 0
    """Those that ended otherwise."""
    held_nano_usd: int = 0
    """In the wallet that pays."""
    open_holds: int = 0
    """By the budget of calls in flight."""

    def since(self, before: "Counters") -> "Counters":
        """What has come to it since `before`."""
        return Counters(*(now - then for now, then in zip(self, before, strict=True)))


class ServerTarget:
    """`python -m MODULE PORT …`, which decides nothing. Use it as a context."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.port = free_port()
        self.store_pid: int | None = None
        self.headers: dict[str, str] = {}
        command = [sys.executable, "-m", module, str(self.port), *arguments]
        self._process = subprocess.Popen(command, cwd=REPOSITORY)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, "the server did not start"
                assert time.monotonic() < deadline, "the server did not start in time"
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


class EchoTarget(ServerTarget):
    """A server that answers every Reserve with `response`. Use it as a context."""

    def __init__(self, transport: str, directory: Path, response: pb.ReserveResponse) -> None:
        path = directory / f"response-{transport}"
        path.write_bytes(response.SerializeToString())
        super().__init__("tests.bench.echo", transport, str(path))


class SidecarTarget:
    """A sidecar with its embedded store, the policy in force and the wallets full. Use it as a context."""

    def __init__(
        self,
        transport: str,
        directory: Path,
        policy: str = workload.POLICY,
        wallets: Sequence[admin_pb2.CreditWalletRequest] = (workload.credit_request(),),
        **settings: str,
    ) -> None:
        directory.mkdir()
        self.port, self._http_port = free_port(), free_port()
        self.socket, self.store_socket = directory / "tallystick.sock", directory / "valkey.sock"
        self._policy, self._wallets = policy, wallets
        self.headers: dict[str, str] = {}
        """What its callers send with every call, beside gRPC's own."""
        self._process = SidecarProcess(
            directory,
            TRANSPORT=transport,
            LISTEN=f"127.0.0.1:{self.port}",
            HTTP_LISTEN=f"127.0.0.1:{self._http_port}",
            LOG_LEVEL="warning",
            **settings,
        )

    def __enter__(self) -> Self:
        with ExitStack() as ending:
            ending.callback(self._process.stop)
            self._process.start()
            self._prepare(ending)
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _prepare(self, ending: ExitStack) -> None:
        self.pid = self._process.pid
        self.store: Any = redis.Redis(unix_socket_path=str(self.store_socket))
        ending.callback(self.store.close)
        self.store_pid: int | None = self._info("server")["process_id"]
        # A rewrite of the append-only file would fall into one cell and not into the next.
        self.store.config_set("auto-aof-rewrite-percentage", 0)
        with self._process.admin() as admin:
            admin.ApplyPolicy(admin_pb2.ApplyPolicyRequest(document=self._policy))
            for each in self._wallets:
                admin.CreditWallet(each)
        self.budget = self._budget(ending)

    def _budget(self, ending: ExitStack) -> BudgetServiceStub:
        return ending.enter_context(self._process.budget())

    def _info(self, section: str) -> dict[str, Any]:
        return dict(self.store.info(section))

    def metrics(self) -> "Scrape":
        """What `/metrics` says."""
        url = f"http://127.0.0.1:{self._http_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return Scrape(SAMPLE.findall(answer.read().decode()))

    def counters(self) -> Counters:
        """What it has counted."""
        scrape = self.metrics()
        answered = scrape.total("tallystick_rpc_seconds_count", DATA_PLANE, 'code="OK"')
        balance = self.budget.Balance(workload.balance_request())
        return Counters(
            allowed=scrape.total("tallystick_decisions_total", 'result="ALLOW"'),
            refused=scrape.total("tallystick_decisions_total", 'result="DENY"'),
            settled=scrape.total("tallystick_settles_total"),
            answered=answered,
            failed=scrape.total("tallystick_rpc_seconds_count", DATA_PLANE) - answered,
            held_nano_usd=balance.wallets[0].held,
            open_holds=workload.open_holds(balance.budgets),
        )

    def scripts_run(self) -> int:
        """How many EVALSHA its store has run."""
        return int(self._info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


class GuardedTarget(SidecarTarget):
    """One that asks its callers for tokens. Use it as a context."""

    def __init__(self, transport: str, directory: Path) -> None:
        super().__init__(transport, directory, AUTH="tokens")

    def _budget(self, ending: ExitStack) -> BudgetServiceStub:
        token = make(self._process, workload.TENANT)
        self.headers = {"authorization": f"Bearer {token}"}
        channel = ending.enter_context(grpc.insecure_channel(self._process.socket))
        return BudgetServiceStub(grpc.intercept_channel(channel, _Bearing(token)))


class _Bearing(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    """Sends a token with every call."""

    def __init__(self, token: str) -> None:
        self._metadata = bearing(token)

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(details._replace(metadata=self._metadata), request)
