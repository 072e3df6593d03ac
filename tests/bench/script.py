"""The limit: the script of a Reserve, with nothing around it.

The command that a sidecar sends for one Reserve is read off its store with
MONITOR, and then sent again and again with other ids, by a client that does no
more than keep so many in flight over one connection.
"""

import ast
import itertools
import re
import socket
import time
from collections import deque

import hiredis

from tallystick.store.resp import encode
from tests.bench import workload
from tests.bench.load import Load
from tests.bench.measure import Sample, sample_of
from tests.bench.targets import SidecarTarget, cpu_s

ARGUMENT = re.compile(rb'"(?:[^"\\]|\\.)*"')
RECORDED_ID = "bench-0000000000"
RECEIVE_BYTES = 1 << 18
WARM_UP_CALLS = 3_000
QUARTER_S, MARGIN_S = 900, 5.0


def record(target: SidecarTarget) -> bytes:
    """The command of a Reserve with the id `RECORDED_ID`."""
    with _connect(target) as connection:
        lines = connection.makefile("rb")
        connection.sendall(b"MONITOR\r\n")
        assert lines.readline() == b"+OK\r\n"
        target.budget.Reserve(workload.reserve_request(RECORDED_ID))
        for line in lines:
            arguments = [ast.literal_eval(f"b{found.decode()}") for found in ARGUMENT.findall(line)]
            if arguments[0].upper() == b"EVALSHA" and RECORDED_ID.encode() in arguments:
                return encode(arguments)
    raise AssertionError("the store ran no script")


class ScriptLimit:
    """Runs a Reserve's script on the store of a sidecar that has nothing else to do."""

    def __init__(self, target: SidecarTarget) -> None:
        self._target = target
        self._numbers = itertools.count(1)

    def measure(self, seconds: float, in_flight: int) -> Sample:
        """One measurement, of about `seconds`. Raises AssertionError when a script held nothing."""
        _wait_for_room(seconds + MARGIN_S)
        command = record(self._target)
        rate = self._run(command, WARM_UP_CALLS, in_flight).a_second
        return self._run(command, int(rate * seconds), in_flight)

    def _run(self, command: bytes, calls: int, in_flight: int) -> Sample:
        target, numbers, recorded = self._target, self._numbers, RECORDED_ID.encode()
        commands = [command.replace(recorded, b"bench-%010d" % next(numbers)) for _ in range(calls)]
        before = target.counters()
        assert target.store_pid
        server, store = cpu_s(target.pid), cpu_s(target.store_pid)
        run = _drive(target, commands, in_flight)
        server, store = cpu_s(target.pid) - server, cpu_s(target.store_pid) - store
        found = target.counters().since(before).open_holds
        assert found == calls, f"{calls} scripts made {found} holds"
        return sample_of(run, calls, server, store)


def _wait_for_room(seconds: float) -> None:
    """A recorded command serves until a quarter of an hour is full: then a window or a price may end."""
    left_s = QUARTER_S - time.time() % QUARTER_S
    if left_s < seconds:
        time.sleep(left_s + 1)


def _connect(target: SidecarTarget) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(target.store_socket))
    return connection


def _drive(target: SidecarTarget, commands: list[bytes], in_flight: int) -> Load:
    left, sent_at, latencies = deque(commands), deque[float](), []
    reader = hiredis.Reader()
    with _connect(target) as connection:
        started = time.perf_counter()
        free = in_flight
        while left or sent_at:
            going = [left.popleft() for _ in range(min(free, len(left)))]
            if going:
                sent_at.extend([time.perf_counter()] * len(going))
                connection.sendall(b"".join(going))
            reader.feed(connection.recv(RECEIVE_BYTES))
            now, free = time.perf_counter(), 0
            while (reply := reader.gets()) is not False:
                assert not isinstance(reply, hiredis.ReplyError), reply
                latencies.append(int((now - sent_at.popleft()) * 1e6))
                free += 1
        seconds = time.perf_counter() - started
    return Load(len(commands), seconds, sorted(latencies))
