"""The journal: what was decided while the store was away, on disk before it is answered.

A file of lines, each the CRC-32 of a JSON text in hexadecimal, a space, and the text. Whoever
appends waits for the disk; those who come meanwhile share the next `fsync`. A last line that
was cut off is what nobody was told of, and is dropped.
"""

import asyncio
import fcntl
import json
import os
from pathlib import Path
from typing import Any
from zlib import crc32

from tallystick.core.errors import StoreUnusable
from tallystick.core.packing import compact

Entry = dict[str, Any]


class JournalFailed(Exception):
    """The entry is not on disk: the journal is full, or can't be written. Says which."""


class Journal:
    """One file, of `most_bytes` at the most. `spare` entries may be as long again: they end others.

    Raises:
        StoreUnusable: another sidecar has the file, or it has lines that can't be read.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._file: int | None = None
        self._size = 0
        self._asked = 0
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._take()
        self.entries = self._load()
        """What was in it at the start."""

    def _take(self) -> None:
        """Two sidecars that write one file would undo each other."""
        try:
            self._opened()
        except BlockingIOError:
            raise StoreUnusable(
                f"journal {self._path}: another sidecar writes it; give each its own"
            ) from None
        except OSError:  # what can't be written is said when it shall be
            return

    def _load(self) -> list[Entry]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnusable(f"journal {self._path}: {error.strerror}") from error
        *lines, rest = data.split(b"\n")
        entries = [_entry(line) for line in lines]
        if None in entries:
            number = entries.index(None) + 1
            if number < len(lines) or rest:
                raise StoreUnusable(
                    f"journal {self._path}: line {number} can't be read; what it tells of is not in the "
                    "store yet. Repair it, or move it away"
                )
            rest = lines.pop() + b"\n"
        self._size = self._asked = len(data) - len(rest)
        return [entry for entry in entries if entry is not None]

    async def append(self, entry: Entry, *, spare: bool = False) -> None:
        """Returns once the entry is on disk. Raises JournalFailed."""
        text = compact(entry).encode()
        line = b"%08x %b\n" % (crc32(text), text)
        if self._asked + len(line) > self._most_bytes * (1 + spare):
            raise JournalFailed(f"the journal {self._path} is full")
        self._asked += len(line)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="journal")
        await asyncio.shield(written)

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                problem: JournalFailed | None = None
                try:
                    await asyncio.to_thread(self._put, b"".join(line for line, _ in batch))
                except OSError as error:
                    problem = JournalFailed(f"the journal {self._path} can't be written: {error.strerror}")
                    self._asked -= sum(len(line) for line, _ in batch)
                for _, written in batch:
                    if problem is None:
                        written.set_result(None)
                    else:
                        written.set_exception(problem)
                        written.exception()  # a caller who has left does not come to look
        finally:
            self._writing = None

    def _put(self, data: bytes) -> None:
        file = self._opened()
        try:
            os.ftruncate(file, self._size)  # of what failed before nothing may stay
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        except OSError:
            os.ftruncate(file, self._size)
            raise
        self._size += len(data)

    def _opened(self) -> int:
        if self._file is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            file = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                raise
            self._file = file
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # else the file itself may be gone after a power cut
            finally:
                os.close(folder)
        return self._file

    @property
    def idle(self) -> bool:
        """Whether nobody waits for the disk."""
        return self._writing is None

    def clear(self) -> None:
        """Forgets all entries, when `idle`: the store knows of them."""
        if self._size:
            os.ftruncate(self._opened(), 0)
            self._size = self._asked = 0

    async def close(self) -> None:
        """Waits for what is being written, and closes the file."""
        if self._writing:
            await self._writing
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _entry(line: bytes) -> Entry | None:
    """What a line tells; None where it can't be read."""
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != crc32(text):
            return None
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
