"""The command that prints the ledger, against a real sidecar."""

import json
import re
import subprocess
import sys
from typing import IO

import pytest

from tests.e2e.test_cli import Cli
from tests.e2e.test_cli_tenants import TIME, cli

__all__ = ["cli"]


@pytest.fixture
def spent(cli: Cli) -> Cli:
    """A sidecar where something was spent."""
    cli.run("wallet", "credit", "acme", "org", "5 USD", "--id", "c-1", "--reason", "invoice 17")
    cli.run("reserve", "acme", "--user", "alice", "--id", "l-1", "--cost", "0.25 USD")
    cli.run("settle", "acme", "l-1", "--cost", "0.2 USD")
    return cli


def test_entries_are_printed_one_a_line(spent: Cli) -> None:
    lines = spent.text("ledger", "tail", "acme").splitlines()
    patterns = [
        rf"{TIME}  policy   acme  1  by=\S+",
        rf"{TIME}  credit   acme  c-1  amount=5\.00 USD  lot=paid  reason=invoice 17  wallet=org",
        rf"{TIME}  reserve  acme  l-1  cost=0\.25 USD  wallet=org",
        rf"{TIME}  settle   acme  l-1  cost=0\.20 USD  outcome=COMPLETED  requests=1",
    ]
    for pattern in patterns:
        assert any(re.fullmatch(pattern, line) for line in lines), (pattern, lines)
    kinds = [line.split()[1] for line in spent.text("ledger", "tail", "--kind", "policy").splitlines()]
    assert set(kinds) == {"policy"}
    assert spent.text("ledger", "tail", "pooled", "--kind", "credit") == ""


def test_json_is_a_document_a_line_with_all_there_is(spent: Cli) -> None:
    text = spent.text("ledger", "tail", "acme", "--json", "--since", "1h", "--kind", "reserve")
    entry = json.loads(text.splitlines()[0])
    assert list(entry) == ["partition", "id", "kind", "at", "tenant", "of", "fields"]
    assert (entry["kind"], entry["of"], entry["fields"]["nano"]) == ("reserve", "l-1", "250000000")
    assert json.loads(entry["fields"]["body"])[4] == "user=alice"
    assert spent.text("ledger", "tail", "acme", "--since", "2999-01-01") == ""


def test_what_is_written_is_followed_until_it_is_interrupted(spent: Cli) -> None:
    command = [sys.executable, "-m", "tallystick", "ledger", "tail", "acme", "-f", "--json", "--since", "1h"]
    environment, where = spent.environment, spent.directory
    with subprocess.Popen(command, env=environment, cwd=where, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        until(process.stdout, "l-1")
        spent.run("wallet", "credit", "acme", "org", "1 USD", "--id", "c-2")
        assert until(process.stdout, "c-2")["kind"] == "credit"
        process.send_signal(2)
        assert process.wait(20) == 130


def until(lines: IO[str], of: str) -> dict[str, str]:
    """The first entry of this, once it is printed."""
    for line in lines:
        entry: dict[str, str] = json.loads(line)
        if entry["of"] == of:
            return entry
    raise AssertionError(f"nothing of {of}")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ("acme --since soon", 2, "--since: expected a date such as 2026-12-31"),
        ("acme --kind settel", 1, "kinds: expected some of reserve, settle"),
        ("A+B", 1, "tenant: expected 1 to 64"),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, arguments: str, code: int, expected: str) -> None:
    assert expected in cli.error("ledger", "tail", *arguments.split(), expect=code)
