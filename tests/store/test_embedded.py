"""The embedded store, with real processes."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

import tallystick
from tallystick.core.errors import StoreUnusable
from tallystick.owned_process import LAUNCH
from tallystick.store import embedded
from tallystick.store.embedded import EmbeddedValkey, bundled_binary

SOURCES = Path(tallystick.__file__).parents[1]
OWNER = """
import asyncio, sys
from pathlib import Path
import uvloop
from tallystick.store.embedded import EmbeddedValkey

async def main():
    store = EmbeddedValkey(Path(sys.argv[1]))
    await store.start()
    print(store.pid, flush=True)
    await asyncio.Event().wait()

(uvloop.run if sys.argv[2] == "uvloop" else asyncio.run)(main())
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="ts"))
    yield directory / "data"
    shutil.rmtree(directory)


@contextlib.asynccontextmanager
async def running(data_dir: Path, binary: Path | None = None) -> AsyncIterator[EmbeddedValkey]:
    store = EmbeddedValkey(data_dir, binary)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@contextlib.asynccontextmanager
async def client_of(store: EmbeddedValkey) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=str(store.socket_path), decode_responses=True) as client:
        yield client


async def put(store: EmbeddedValkey, value: str) -> None:
    async with client_of(store) as client:
        await client.set("k", value)


async def got(store: EmbeddedValkey) -> object:
    async with client_of(store) as client:
        return await client.get("k")


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def process(command: Sequence[str], pass_fds: Sequence[int] = ()) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with subprocess.Popen(command, env=environment, pass_fds=pass_fds, stdout=subprocess.PIPE) as started:
        try:
            yield started
        finally:
            started.kill()


def created(data_dir: Path) -> Path:
    data_dir.mkdir()
    return data_dir


def modes(directory: Path) -> dict[Path, int]:
    return {path: stat.S_IMODE(path.lstat().st_mode) for path in [directory, *directory.rglob("*")]}


def append_only_file(data_dir: Path) -> Path:
    return next((data_dir / "valkey" / "appendonlydir").glob("*.incr.aof"))


async def test_serves_on_its_socket_and_nowhere_else(data_dir: Path) -> None:
    async with running(data_dir) as store, client_of(store) as client:
        assert store.socket_path == data_dir / "valkey.sock"
        assert await client.ping()
        info = await client.info("server")
        assert info["process_id"] == store.pid
        config = await client.config_get("*")
        assert config["port"] == "0"
        assert config["appendonly"] == "yes"
        assert config["appendfsync"] == "everysec"
        assert config["aof-load-truncated"] == "yes"
        assert config["maxmemory-policy"] == "noeviction"
        assert config["save"] == ""


async def test_data_survives_stop(data_dir: Path) -> None:
    store = EmbeddedValkey(data_dir)
    await store.start()
    pid = store.pid
    assert pid is not None
    await put(store, "kept")
    await store.stop()
    assert store.pid is None
    assert not alive(pid)
    assert not store.socket_path.exists()
    await store.start()
    assert await got(store) == "kept"
    await store.stop()
    await store.stop()  # harmless


async def test_watch_restarts_a_killed_store_with_its_data(data_dir: Path) -> None:
    changes: list[bool] = []
    back = asyncio.Event()

    def on_change(up: bool) -> None:
        changes.append(up)
        if up:
            back.set()

    async with running(data_dir) as store:
        watching = asyncio.create_task(store.watch(on_change))
        for number in range(2):
            await put(store, str(number))
            pid = store.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await back.wait()
            back.clear()
            assert store.pid != pid
            assert await got(store) == str(number)
    await watching
    assert changes == [False, True, False, True]


async def test_watch_keeps_trying(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[bool] = []
    monkeypatch.setattr(embedded, "_PAUSE_MAX_S", 0.1)
    async with running(data_dir) as store:
        watching = asyncio.create_task(store.watch(changes.append))
        assert store.pid is not None
        obstacle = data_dir / "valkey" / "appendonlydir"
        obstacle.rename(data_dir / "aside")
        obstacle.touch()  # a file where the store needs a directory
        os.kill(store.pid, signal.SIGKILL)
        await until(lambda: "Can't open" in (data_dir / "valkey.log").read_text())
        assert changes == [False]
        obstacle.unlink()
        (data_dir / "aside").rename(obstacle)
        await until(lambda: changes == [False, True])
    await watching


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_store_dies_with_its_owner_and_the_next_one_finds_its_data(data_dir: Path, loop: str) -> None:
    with process([sys.executable, "-c", OWNER, str(data_dir), loop]) as owner:
        assert owner.stdout is not None
        pid = int(await asyncio.to_thread(owner.stdout.readline))
        async with Redis(unix_socket_path=str(data_dir / "valkey.sock")) as client:
            await client.set("k", "kept")
        with pytest.raises(StoreUnusable, match=rf"{data_dir} is in use .* \(pid {owner.pid}\)"):
            await EmbeddedValkey(data_dir).start()
        assert alive(pid)
    try:
        async with asyncio.timeout(60):
            await until(lambda: not alive(pid))  # unasked
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    async with running(data_dir) as store:
        assert await got(store) == "kept"


async def test_launcher_does_nothing_for_a_parent_that_has_died(data_dir: Path) -> None:
    # Nobody is the child of -1, which stands for an owner that died before the check.
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCH, "-1", "15", "", "/bin/sh", "-c", "echo ran"]
    done = await asyncio.to_thread(subprocess.run, launcher, capture_output=True, check=True)
    assert done.stdout == b""


async def test_second_owner_is_refused_and_the_first_unharmed(data_dir: Path) -> None:
    async with running(data_dir) as store:
        with pytest.raises(
            StoreUnusable, match=rf"{data_dir} is in use by another sidecar \(pid {os.getpid()}\)"
        ):
            await EmbeddedValkey(data_dir).start()
        with pytest.raises(RuntimeError, match="already started"):
            await store.start()
        async with client_of(store) as client:
            assert await client.ping()


async def test_a_store_that_outlived_its_sidecar_is_asked_to_end(data_dir: Path) -> None:
    socket = created(data_dir) / "valkey.sock"
    lock = os.open(data_dir / "valkey.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    command = [str(bundled_binary()), "--port", "0", "--unixsocket", str(socket), "--save", ""]
    with process([*command, "--dir", str(data_dir)], pass_fds=[lock]) as orphan:
        os.close(lock)
        await until(socket.exists)
        async with running(data_dir) as store:
            assert store.pid != orphan.pid
            assert await asyncio.to_thread(orphan.wait) == 0


async def test_a_store_that_does_not_end_is_reported(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.store.data_directory._ORPHAN_S", 0.05)
    with (created(data_dir) / "valkey.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreUnusable, match=f"{data_dir} is in use by the store of an earlier sidecar"):
            await EmbeddedValkey(data_dir).start()
    async with running(data_dir):
        pass


async def test_truncated_append_only_file_is_loaded(data_dir: Path) -> None:
    async with running(data_dir) as store:
        await put(store, "kept")
    with append_only_file(data_dir).open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9\r\nlo")
    async with running(data_dir) as store:
        assert await got(store) == "kept"


async def test_broken_append_only_file_is_reported_with_the_log(data_dir: Path) -> None:
    async with running(data_dir) as store:
        await put(store, "kept")
    file = append_only_file(data_dir)
    whole = file.read_bytes()
    file.write_bytes(b"what is this\r\n" + whole)
    with pytest.raises(StoreUnusable, match=r"ended with status 1; it said:\n(.*\n)*.*Bad file format"):
        await EmbeddedValkey(data_dir).start()
    file.write_bytes(whole)
    async with running(data_dir) as store:
        assert await got(store) == "kept"


async def test_missing_binary_is_reported(data_dir: Path) -> None:
    with pytest.raises(StoreUnusable, match="/nowhere/valkey: No such file or directory"):
        await EmbeddedValkey(data_dir, Path("/nowhere/valkey")).start()


async def test_a_store_that_never_answers_is_ended(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_ANSWER_S", 0.2)
    mute = created(data_dir) / "mute"
    mute.write_text("#!/bin/sh\nexec sleep 600\n")
    mute.chmod(0o700)
    with pytest.raises(StoreUnusable, match="did not serve within"):
        await EmbeddedValkey(data_dir, mute).start()
    async with running(data_dir):
        pass  # the locks went with it


async def test_directory_that_cannot_be_made_is_reported(data_dir: Path) -> None:
    file = created(data_dir) / "file"
    file.open("w").close()
    with pytest.raises(StoreUnusable, match=f"data directory {file}/below: "):
        await EmbeddedValkey(file / "below").start()


async def test_a_cancelled_start_leaves_nothing(data_dir: Path) -> None:
    store = EmbeddedValkey(data_dir)
    starting = asyncio.create_task(store.start())
    await until(lambda: store.pid is not None)
    pid = store.pid
    assert pid is not None
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert store.pid is None
    assert not alive(pid)
    async with running(data_dir):
        pass


async def test_a_store_that_does_not_stop_is_killed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_STOP_S", 0.1)
    async with running(data_dir) as store:
        pid = store.pid
        assert pid is not None
        await put(store, "kept")
        os.kill(pid, signal.SIGSTOP)
    assert not alive(pid)
    async with running(data_dir) as store:
        assert await got(store) == "kept"


async def test_only_the_owner_may_enter(data_dir: Path) -> None:
    async with running(data_dir) as store:
        await put(store, "mine")
        found = modes(data_dir)
    assert len(found) > 7
    for path, mode in found.items():
        assert mode == (0o700 if path.suffix == ".sock" or path.is_dir() else 0o600), path


async def test_signals_to_the_terminal_do_not_reach_the_store(data_dir: Path) -> None:
    async with running(data_dir) as store:
        assert store.pid is not None
        assert os.getsid(store.pid) == os.getpgid(store.pid) == store.pid


async def test_long_path_has_its_socket_elsewhere(data_dir: Path) -> None:
    long = data_dir / ("long path " * 12)
    async with running(long) as store:
        folder = store.socket_path.parent
        assert not folder.is_relative_to(data_dir)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert EmbeddedValkey(long).socket_path == store.socket_path
        await put(store, "kept")
    assert not folder.exists()
    folder.mkdir(mode=0o755)
    try:
        with pytest.raises(StoreUnusable, match="only this user can enter"):
            await EmbeddedValkey(long).start()
    finally:
        folder.rmdir()
    async with running(long) as store:
        assert await got(store) == "kept"


async def test_no_place_for_a_socket_is_reported(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir / ("x" * 100)))
    with pytest.raises(StoreUnusable, match="too long for a Unix socket"):
        EmbeddedValkey(data_dir / ("y" * 100))


def test_machine_without_a_binary_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "vax")
    with pytest.raises(StoreUnusable, match="vax: set a store URL"):
        bundled_binary()
