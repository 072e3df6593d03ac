"""How a command ends: the exit codes, and the exception that carries one.

Nothing heavy is imported here, for every command starts by importing it.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell is told."""

    OK = 0
    REFUSED = 1
    """The input was refused: a bad policy, a wrong field, a reservation that does not exist."""
    USAGE = 2
    """The command line or the settings are wrong."""
    UNREACHABLE = 3
    """The sidecar or its store can't be reached, or the sidecar can't start."""
    DENY = 10
    """There is a decision, and it is DENY or HOLD."""
    BUG = 70
    """Tallystick itself is at fault."""


class CommandError(Exception):
    """A command can't do what it was asked. `lines` are for stderr."""

    def __init__(self, code: ExitCode, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.code = code
        self.lines = lines
