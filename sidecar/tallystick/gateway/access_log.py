"""Envoy's access log in the data directory: what is in it when a sidecar starts may not have been settled.

    DATA/access.log             of this run
    DATA/access.log.unsettled   of earlier ones, until it was replayed
    DATA/access.log.1           what was replayed, or became too long; the next of either replaces it

A settle that comes again changes nothing, so it does no harm that most of the lines were settled.
"""

import shutil
from pathlib import Path

MOST_BYTES = 64 << 20
"""When it is turned: some ten thousands of calls, so that a replay is a matter of seconds."""


class AccessLog:
    """The files at `path` and beside it. Its methods raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsettled = path.with_name(f"{path.name}.unsettled")
        self.last = path.with_name(f"{path.name}.1")

    def set_aside(self) -> bool:
        """Put aside what earlier runs wrote; whether there is anything to replay."""
        if _size(self.path):
            if self.unsettled.exists():  # a replay that did not come to its end
                with self.path.open("rb") as lines, self.unsettled.open("ab") as all_lines:
                    shutil.copyfileobj(lines, all_lines)
                self.path.unlink()
            else:
                self.path.replace(self.unsettled)
        return self.unsettled.exists()

    def replayed(self) -> None:
        """Keep what was replayed for who wants to look into it."""
        self.unsettled.replace(self.last)

    def turn(self) -> bool:
        """Begin a new file if it is too long; whether Envoy must open it anew."""
        if _size(self.path) < MOST_BYTES:
            return False
        self.path.replace(self.last)
        return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
