"""`tallystick backtest`: a policy on past calls, before it goes live."""

import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.files import read_text
from tallystick.cli.options import Json
from tallystick.cli.output import print_json
from tallystick.cli.policies import problem_lines

if TYPE_CHECKING:
    from rich.progress import Progress

    from tallystick.backtest import Report, UsageFile

PolicyFile = Annotated[
    str, typer.Option("--policy", metavar="FILE", help="The policy to try, YAML; - is standard input.")
]
Usage = Annotated[
    str,
    typer.Option(
        "--usage",
        metavar="FILE",
        help="Past calls: CSV with a header or JSON lines, gzip or not; - is standard input.",
    ),
]
WalletsText = Annotated[
    str,
    typer.Option(
        "--wallets",
        metavar="unlimited|as-declared",
        help="What is in the wallets: always enough, so that budgets are tried; or what the policy grants.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")]


def backtest(
    *, policy: PolicyFile, usage: Usage, wallets: WalletsText = "unlimited", strict: Strict = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Try a policy on past calls: what it would have let through, refused and downgraded, and the cost.

    The calls are replayed in the order of time through the real engine, on a store in memory. Needs no
    sidecar. Rows that are no calls are left out and told; then it exits with 1.
    """
    from tallystick.backtest import UsageFile

    kind = _wallets(wallets)
    if policy == usage == "-":
        raise CommandError(ExitCode.USAGE, "--usage: standard input can be one of --policy and --usage")
    document = read_text(policy)
    if lines := problem_lines(policy, document):
        raise CommandError(ExitCode.REFUSED, f"{policy} is refused", *lines)
    started_s = time.perf_counter()
    with _progress() as progress, _opened(usage, progress) as stream:
        rows = UsageFile(stream, strict)
        report = _replay(document, kind, usage, rows, progress)
    seconds = time.perf_counter() - started_s
    if as_json:
        print_json(_document(report, rows, wallets, seconds))
    else:
        from tallystick.cli.backtest_tables import show_report

        show_report(report, wallets, seconds)
    _tell_notes(usage, rows)
    if rows.bad_count:
        raise typer.Exit(ExitCode.REFUSED)


def _wallets(text: str) -> Any:
    from tallystick.backtest import Wallets

    try:
        return Wallets(text)
    except ValueError:
        wanted = " or ".join(each.value for each in Wallets)
        raise CommandError(ExitCode.USAGE, f"--wallets: expected {wanted}, not {text!r}") from None


def _replay(document: str, wallets: Any, file: str, rows: "UsageFile", progress: "Progress") -> "Report":
    """Read the calls, and make them all again."""
    import asyncio

    from tallystick.backtest import BadUsageFile, Replay, Report, Timeline

    with Timeline() as timeline:
        try:
            timeline.read(rows.calls())
        except BadUsageFile as error:
            raise CommandError(ExitCode.REFUSED, f"{file}:{error}") from None
        if not timeline.count:
            bad = [f"{file}:{row}" for row in rows.bad_rows]
            raise CommandError(ExitCode.REFUSED, f"{file}: expected at least one call", *bad)
        replay = Replay(document, wallets, timeline.longest_ms)
        report = Report(replay.policy, replay.zone)
        calls = progress.track(timeline, timeline.count, description="replaying")
        asyncio.run(replay.run(calls, report))
    return report


@contextmanager
def _progress() -> Iterator["Progress"]:
    """Make a bar on stderr that is gone at the end, and is not there at all without a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        yield progress


@contextmanager
def _opened(name: str, progress: "Progress") -> Iterator[io.BufferedReader]:
    """Open a file, or standard input for `-`."""
    if name == "-":
        yield sys.stdin.buffer  # type: ignore[misc]
        return
    path = Path(name)
    try:
        size = path.stat().st_size
        file = path.open("rb")
    except OSError as error:
        raise CommandError(ExitCode.USAGE, f"{name}: {error.strerror}") from None
    with file:
        yield io.BufferedReader(progress.wrap_file(file, size, description="reading"))  # type: ignore[arg-type]


def _document(report: "Report", rows: "UsageFile", wallets: str, seconds: float) -> dict[str, Any]:
    from tallystick.backtest.document import document_of

    return {
        "tenant": report.policy.tenant,
        "timezone": str(report.zone),
        "wallets": wallets,
        **document_of(report),
        "bad_rows": {"count": rows.bad_count, "first": [row._asdict() for row in rows.bad_rows]},
        "ignored_columns": sorted(rows.ignored),
        "seconds": round(seconds, 3),
        "rows_per_second": round(report.made.calls / seconds),
    }


def _tell_notes(file: str, rows: "UsageFile") -> None:
    """Say on stderr what of the file was not used."""
    if rows.ignored:
        sys.stderr.write(f"{file}: columns not read: {', '.join(sorted(rows.ignored))}\n")
    if rows.bad_count:
        sys.stderr.write(f"{file}: {rows.bad_count} bad rows were left out; the first of them:\n")
        sys.stderr.writelines(f"{file}:{row}\n" for row in rows.bad_rows)
