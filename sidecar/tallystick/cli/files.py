"""Files that commands are given; `-` is standard input."""

import sys
from pathlib import Path

from tallystick.cli.exits import CommandError, ExitCode


def read_bytes(name: str) -> bytes:
    """Read a file, or standard input for `-`.

    Raises:
        CommandError: it can't be read.

    """
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise CommandError(ExitCode.USAGE, f"{name}: {error.strerror}") from None


def read_text(name: str) -> str:
    """Read a file of UTF-8, or standard input for `-`.

    Raises:
        CommandError: it can't be read, or is something else.

    """
    try:
        return read_bytes(name).decode()
    except UnicodeDecodeError as error:
        raise CommandError(ExitCode.REFUSED, f"{name}: expected UTF-8; byte {error.start} is not") from None
