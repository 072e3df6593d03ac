"""The command `tallystick`: the application, and what becomes of every error."""

import os
import sys
import traceback
from typing import NoReturn

import typer

from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.serve import serve

HELP = """
Decides on AI spend before it happens.

A call to a model provider is reserved before, and settled after: when the money is gone, the
next call is refused before the provider is asked.
"""

app = typer.Typer(
    name="tallystick",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)


@app.callback()
def _root() -> None:
    pass


def main() -> NoReturn:
    """Run the command that the arguments name, and exit; no exception gets out."""
    try:
        app()
    except CommandError as error:
        _complain(*error.lines)
        sys.exit(error.code)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.OK)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        _complain(f"unexpected {type(error).__name__} at {place}: {error}", "This is a bug; please report it.")
        sys.exit(ExitCode.BUG)
    sys.exit(ExitCode.OK)


def _complain(*lines: str) -> None:
    first, *rest = lines
    sys.stderr.write("\n".join([f"tallystick: {first}", *rest]) + "\n")
