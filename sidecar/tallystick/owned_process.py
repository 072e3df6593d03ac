"""A process that this one owns: it dies with it, however it ends.

It runs in its own session, so that a Ctrl-C at the terminal reaches the owner
only, which ends it in order. What it makes can be entered by this user alone.
"""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

# Runs in a fresh interpreter that becomes the process. A preexec_fn would run Python after a fork
# of a process with threads, which may deadlock. The signal is sent when the *thread* that forked
# dies, which is the event loop's; a parent that died before prctl is seen by its pid.
LAUNCH = """
import ctypes, os, sys
parent, death_signal, variables, binary, *arguments = sys.argv[1:]
os.setsid()
os.umask(0o077)
if sys.platform == "linux":
    long = ctypes.c_ulong
    if ctypes.CDLL(None).prctl(1, long(int(death_signal)), long(0), long(0), long(0)):
        sys.exit("prctl(PR_SET_PDEATHSIG) failed")
for variable in variables.split():
    os.putenv(*variable.split("=", 1))
if os.getppid() == int(parent):
    try:
        os.execv(binary, [binary, *arguments])
    except OSError as error:
        sys.exit(f"{binary}: {error.strerror}")
"""
_TAIL_BYTES = 8192


async def launch(
    binary: Path,
    arguments: Sequence[str],
    log_path: Path,
    *,
    environment: Mapping[str, str] | None = None,
    variables: str = "",
    lock: int | None = None,
) -> tuple[Process, int]:
    """Start it with its output at the end of `log_path`; the process, and where its part of the log begins.

    `environment` is all that it has; without one, it has this process's. `variables`, as `A=1 B=2`, are
    added to it, and are seen in the list of processes for a moment. `lock` is an open file that it
    inherits: what is locked by it stays so until the process has ended, too.

    Raises:
        OSError: the log can't be written, or no process can be made.

    """
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        log_from = os.fstat(log).st_size
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", LAUNCH),
            *(str(os.getpid()), str(int(signal.SIGTERM)), variables, str(binary), *arguments),
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=() if lock is None else (lock,),
        )
    finally:
        os.close(log)
    return process, log_from


async def end(process: Process, within_s: float) -> bool:
    """End it by SIGTERM; False if it had to be killed after `within_s` seconds."""
    if process.returncode is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return False
    return True


def last_lines(log_path: Path, start: int, lines: int = 12) -> str:
    """Read what it said at last, from the byte `start` on."""
    with log_path.open("rb") as log:
        log.seek(max(start, log_path.stat().st_size - _TAIL_BYTES))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
