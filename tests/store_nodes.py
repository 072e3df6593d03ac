"""Stores of several nodes, on loopback: a cluster, and a master with replicas and Sentinels."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tallystick.store.cluster import SLOTS, slot_of
from tests.servers import START_S, free_port

NODE_TIMEOUT_MS = 1_000
"""Of a cluster; Sentinels wait for as long."""
SERVICE = "spend"


def wait_for(condition: Callable[[], object], what: str, seconds: float = START_S) -> None:
    """Waits until it is true. A store that does not answer, or not yet, is no reason to stop."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(RedisError):
            if condition():
                return
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


class Node:
    """One server on a TCP port; it can be killed and started again."""

    def __init__(self, directory: Path, binary: str, extra: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.directory = directory / str(self.port)
        self.directory.mkdir()
        self._command = [binary, "--port", str(self.port), "--dir", str(self.directory), "--save", ""]
        self._command += ["--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", *extra]
        self._process: subprocess.Popen[bytes] | None = None
        self.raw = Redis(port=self.port, socket_timeout=10)

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_for(self.raw.ping, f"the node {self.place} answers")

    def tell(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9"""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.raw.close()
        if self._process is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):
                self.tell(signal.SIGCONT)
            self.tell(number)
            self._process.wait()

    def role(self) -> str:
        return str(self.raw.role()[0].decode())

    def replication(self) -> Any:
        """What INFO says of it."""
        return self.raw.info("replication")


class Nodes:
    """Several of them, ended together."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    @property
    def masters(self) -> list[Node]:
        return [node for node in self.nodes if node.alive and node.role() == "master"]

    def end(self) -> None:
        for node in self.nodes:
            node.end(signal.SIGKILL)


class Cluster(Nodes):
    """Three masters, each with a replica."""

    def __init__(self, directory: Path, binary: str, extra: Sequence[str] = ()) -> None:
        super().__init__()
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        options += ["--cluster-replica-validity-factor", "0", "--appendonly", "yes", *extra]
        for _ in range(6):
            self.nodes.append(Node(directory, binary, [*options, "--cluster-port", str(free_port())]))

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.place for node in self.nodes[:3])}"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        bounds = [SLOTS * n // 3 for n in range(4)]
        for n, node in enumerate(self.nodes):
            _cluster(node, "SET-CONFIG-EPOCH", n + 1)  # while it knows nobody else
            if n < 3:
                _cluster(node, "ADDSLOTSRANGE", bounds[n], bounds[n + 1] - 1)
        for node in self.nodes[1:]:
            _cluster(first, "MEET", "127.0.0.1", node.port, node._command[-1])
        wait_for(lambda: all(len(self.known(node)) == 6 for node in self.nodes), "all nodes have met")
        for n, node in enumerate(self.nodes[3:]):
            _cluster(node, "REPLICATE", self.id(self.nodes[n]))
        self.settled()

    def settled(self) -> None:
        """Returns when all live nodes know one map, and every master that has slots has its replica."""
        wait_for(lambda: all(self._fine(node) for node in self.nodes if node.alive), "the cluster is fine")

    def _fine(self, node: Node) -> bool:
        info = _cluster(node, "INFO")
        if "cluster_state:ok" not in _text(info):
            return False
        replication = node.replication()
        if replication["role"] == "slave":
            return bool(replication["master_link_status"] == "up")
        alive = sum(each.alive for each in self.nodes) - 3
        return int(replication["connected_slaves"]) >= (1 if alive == 3 else 0)

    def known(self, node: Node) -> list[str]:
        return [line for line in _text(_cluster(node, "NODES")).splitlines() if "handshake" not in line]

    def id(self, node: Node) -> str:
        return _text(_cluster(node, "MYID"))

    def owner(self, partition: int) -> Node:
        """The master that says that it has a partition."""
        slot, port = slot_of(partition), 0
        for node in self.masters:
            for line in self.known(node):
                words = line.split()
                if "myself" in words[2] and _has(words[8:], slot):
                    port = node.port
        return next(node for node in self.nodes if node.port == port)

    def replica_of(self, master: Node) -> Node:
        mine = self.id(master)
        replicas = [line.split() for line in self.known(master)]
        port = next(int(w[1].split("@")[0].split(":")[1]) for w in replicas if w[3] == mine)
        return next(node for node in self.nodes if node.port == port)


class Sentinels(Nodes):
    """A master, two replicas, and three Sentinels that watch over them."""

    def __init__(self, directory: Path, binary: str, extra: Sequence[str] = ()) -> None:
        super().__init__()
        self.nodes = [Node(directory, binary, ["--appendonly", "yes", *extra]) for _ in range(3)]
        self._directory, self._binary = directory, binary
        self.sentinels: list[Node] = []

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(node.place for node in self.sentinels)}/{SERVICE}"

    @property
    def master(self) -> Node:
        (master,) = self.masters
        return master

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for node in self.nodes[1:]:
            node.raw.replicaof("127.0.0.1", str(self.nodes[0].port))
        wait_for(lambda: self._replicas(self.nodes[0]) == 2, "the replicas follow")
        for _ in range(3):
            self.sentinels.append(self._sentinel())
        wait_for(lambda: all(self._sees_all(each) for each in self.sentinels), "the Sentinels know all")

    def _sentinel(self) -> Node:
        settings = f"sentinel monitor {SERVICE} 127.0.0.1 {self.nodes[0].port} 2\n"
        settings += f"sentinel down-after-milliseconds {SERVICE} {NODE_TIMEOUT_MS}\n"
        settings += f"sentinel failover-timeout {SERVICE} 10000\n"
        file = self._directory / f"sentinel-{len(self.sentinels)}.conf"
        file.write_text(settings)
        node = Node(self._directory, self._binary)
        node._command = [self._binary, str(file), "--sentinel", "--port", str(node.port)]
        node._command += ["--bind", "127.0.0.1"]
        node.start()
        return node

    @staticmethod
    def _replicas(node: Node) -> int:
        return int(node.replication()["connected_slaves"])

    @staticmethod
    def _sees_all(sentinel: Node) -> bool:
        told = _plain(sentinel.raw, "SENTINEL", "MASTER", SERVICE)
        if isinstance(told, list):
            told = dict(zip(told[::2], told[1::2], strict=True))
        return int(told[b"num-other-sentinels"]) == 2 and int(told[b"num-slaves"]) == 2

    def name(self, master: Node) -> None:
        """Has all Sentinels name another master, without a failover."""
        for each in self.sentinels:
            _plain(each.raw, "SENTINEL", "REMOVE", SERVICE)
            _plain(each.raw, "SENTINEL", "MONITOR", SERVICE, "127.0.0.1", master.port, 2)

    def end(self) -> None:
        for node in self.sentinels:
            node.end(signal.SIGKILL)
        super().end()


def errors_of(node: Node, code: str) -> int:
    """How often a node answered this error."""
    told: Any = node.raw.info("errorstats")
    return int(told.get(f"errorstat_{code}", {"count": 0})["count"])


def _cluster(node: Node, *words: object) -> Any:
    return _plain(node.raw, "CLUSTER", *words)


def _plain(raw: Redis, *words: object) -> Any:
    """A reply as it came."""
    connection: Any = raw.connection_pool.get_connection()
    try:
        connection.send_command(*words)
        return connection.read_response()
    finally:
        raw.connection_pool.release(connection)


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _has(ranges: Sequence[str], slot: int) -> bool:
    for each in ranges:
        if each.startswith("["):
            continue
        low, _, high = each.partition("-")
        if int(low) <= slot <= int(high or low):
            return True
    return False


def migrate(cluster: Cluster, partition: int, source: Node, target: Node) -> Iterator[str]:
    """Moves a partition's slot, step by step; what has been done is told after each."""
    slot, old, new = slot_of(partition), cluster.id(source), cluster.id(target)
    _cluster(target, "SETSLOT", slot, "IMPORTING", old)
    _cluster(source, "SETSLOT", slot, "MIGRATING", new)
    yield "migrating"
    keys = _cluster(source, "GETKEYSINSLOT", slot, 1_000)
    _plain(source.raw, "MIGRATE", "127.0.0.1", target.port, "", 0, 10_000, "KEYS", *keys)
    yield "moved"
    _cluster(target, "SETSLOT", slot, "NODE", new)
    for node in (source, *cluster.masters):
        _cluster(node, "SETSLOT", slot, "NODE", new)
    yield "done"
