"""`tallystick policy validate`: check policies without a sidecar; and how problems are written."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.exits import ExitCode
from tallystick.cli.files import read_text
from tallystick.cli.options import Json
from tallystick.cli.output import print_json, show

if TYPE_CHECKING:
    from tallystick.core.errors import InvalidPolicy
    from tallystick.core.policy import Policy

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="Policies, YAML; - is standard input.")]


def validate(files: Files, as_json: Json = False) -> None:
    """Check policies without a sidecar, and show all that is wrong in them.

    Problems are printed as FILE:LINE:COLUMN: path: what was expected. Exits with 1 if there are any.
    """
    from tallystick.policyfile import find_problems, load_policy

    found: dict[str, tuple[Policy | None, list[InvalidPolicy]]] = {}
    for file in files:
        text = read_text(file)
        problems = find_problems(text)
        found[file] = (None if problems else load_policy(text), problems)
    bad = any(problems for _, problems in found.values())
    if as_json:
        reports = [_report(file, policy, problems) for file, (policy, problems) in found.items()]
        print_json({"valid": not bad, "files": reports})
    else:
        _show_found(found)
    if bad:
        raise typer.Exit(ExitCode.REFUSED)


def problem_lines(file: str, document: str) -> list[str]:
    """Write every problem of a document as `FILE:LINE:COLUMN: path: expected …`."""
    from tallystick.policyfile import find_problems

    return [_line(file, problem) for problem in find_problems(document)]


def _line(file: str, problem: "InvalidPolicy") -> str:
    path = f"{problem.field}: " if problem.field else ""
    return f"{file}:{problem.line or 1}:{problem.column or 1}: {path}{problem.expected}"


def _report(file: str, policy: "Policy | None", problems: "list[InvalidPolicy]") -> dict[str, Any]:
    return {
        "file": file,
        "tenant": policy.tenant if policy else "",
        "problems": [
            {"line": each.line, "column": each.column, "path": each.field, "expected": each.expected}
            for each in problems
        ],
    }


def _show_found(found: "dict[str, tuple[Policy | None, list[InvalidPolicy]]]") -> None:
    from tallystick.cli.summaries import show_summary

    for number, (file, (policy, problems)) in enumerate(found.items()):
        if number:
            show("")
        if policy:
            show_summary(file, policy)
        for problem in problems:
            sys.stdout.write(_line(file, problem) + "\n")
