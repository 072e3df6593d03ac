"""The data directory of an embedded store: what lies where, and whose it is.

    DATA/lock            held by the sidecar; names its pid
    DATA/valkey.lock     held by the sidecar and by its store, so that it may outlive the former
    DATA/valkey/         the append-only file
    DATA/valkey.log      what the store says
    DATA/valkey.sock     where the store listens

Two locks, because they mean two things: a held `lock` is another sidecar, and
is refused at once; a held `valkey.lock` alone is the store of a sidecar that
has died, and is waited for while it brings its file to the disk.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from tallystick.core.errors import StoreUnusable

_ORPHAN_S = 10.0
"""How long the store of a dead sidecar may take to end."""
_POLL_S = 0.01
_SOCKET_PATH_BYTES = 103
"""The longest path of a Unix socket on every system: 107 on Linux, 103 on macOS."""


class DataDirectory:
    """The directory at `path`, which one sidecar at a time may claim.

    Raises:
        StoreUnusable: there is no place for a Unix socket with a short enough path.

    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.socket_path = _socket_path(self.path)
        self.log_path = self.path / "valkey.log"
        self.append_only_dir = self.path / "valkey"
        self._owner_lock: int | None = None
        self._store_lock: int | None = None

    @property
    def claimed(self) -> bool:
        """Whether this object holds the directory."""
        return self._owner_lock is not None

    @property
    def store_lock(self) -> int:
        """The open file that the store inherits: its lock ends with the last process that has it."""
        if self._store_lock is None:
            raise RuntimeError(f"data directory {self.path} is not claimed")
        return self._store_lock

    async def claim(self, end_orphan: Callable[[], Awaitable[object]]) -> None:
        """Create what is missing and take both locks.

        `end_orphan` is awaited once if the store of a dead sidecar is still there.

        Raises:
            StoreUnusable: another sidecar, or a store that does not end, has the directory.
            OSError: it can't be created or written.

        """
        self._create()
        owner_path, store_path = self.path / "lock", self.path / "valkey.lock"
        self._owner_lock = _lock(owner_path)
        if self._owner_lock is None:
            raise StoreUnusable(
                f"data directory {self.path} is in use by another sidecar{_owner_text(owner_path)}"
            )
        os.ftruncate(self._owner_lock, 0)
        os.pwrite(self._owner_lock, b"%d\n" % os.getpid(), 0)
        self._store_lock = _lock(store_path)
        if self._store_lock is None:
            await end_orphan()
            self._store_lock = await self._orphan_gone(store_path)

    def release(self) -> None:
        """Give the directory back; a store that still runs keeps the second lock."""
        if self._owner_lock is not None and self.socket_path.parent != self.path:
            with contextlib.suppress(OSError):  # not empty, or gone: the next start makes do with either
                self.socket_path.parent.rmdir()
        for lock in (self._store_lock, self._owner_lock):
            if lock is not None:
                os.close(lock)
        self._owner_lock = self._store_lock = None

    async def _orphan_gone(self, store_path: Path) -> int:
        clock = asyncio.get_running_loop().time
        deadline = clock() + _ORPHAN_S
        while (lock := _lock(store_path)) is None:
            if clock() > deadline:
                raise StoreUnusable(
                    f"data directory {self.path} is in use by the store of an earlier sidecar, "
                    f"which has not ended within {_ORPHAN_S:g} s"
                )
            await asyncio.sleep(_POLL_S)
        return lock

    def _create(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.append_only_dir.mkdir(mode=0o700, exist_ok=True)
        folder = self.socket_path.parent
        if folder != self.path:
            # Its name can be guessed and its parent is open to all: only a directory of our own will do.
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise StoreUnusable(f"{folder} must be a directory that only this user can enter")


def _socket_path(data_dir: Path) -> Path:
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
        path = Path(tempfile.gettempdir(), f"tallystick-{os.geteuid()}-{name}", "valkey.sock")
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise StoreUnusable(f"{path} is too long for a Unix socket: choose a shorter data directory")
    return path


def _lock(path: Path) -> int | None:
    """Open and lock `path`; None if another holds the lock."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except BaseException:
        os.close(file)
        raise
    return file


def _owner_text(path: Path) -> str:
    pid = path.read_text("ascii", errors="replace").strip()
    return f" (pid {pid})" if pid.isdecimal() else ""
