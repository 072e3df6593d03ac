"""The commands that look after reservations, against a real sidecar."""

import pytest

from tests.e2e.test_cli import Cli, has_line
from tests.e2e.test_cli_tenants import TIME, cli

__all__ = ["cli"]


@pytest.fixture
def user(cli: Cli, request: pytest.FixtureRequest) -> str:
    """A user of this test alone, with 10 dollars."""
    name = str(request.node.name)
    cli.run("wallet", "credit", "acme", "user", "10 USD", "--group", f"user={name}")
    return name


def test_holds_are_listed_and_chosen(cli: Cli, user: str) -> None:
    chosen = ("hold", "list", "acme", "--subject", f"user={user}")
    assert cli.text(*chosen) == "acme: no such reservation\n"
    first, second = (cli.id_of("--user", user, "--cost", f"{n} USD", "--team", "x") for n in (1, 2))
    lines = cli.text(*chosen).splitlines()
    assert len(lines) == 3
    assert has_line(
        "\n".join(lines),
        rf"{first} +open +team=x user={user} +user \(user={user}\) +{TIME} +{TIME} +1\.00 USD, 0 tokens"
        r" +0\.00 USD, 0 tokens",
    )
    cli.run("release", "acme", second)
    assert [hold["reservation_id"] for hold in cli.json(*chosen)["holds"]] == [first]
    both = cli.json(*chosen, "--state", "open", "--state", "released")["holds"]
    assert [hold["state"] for hold in both] == ["HOLD_STATE_OPEN", "HOLD_STATE_RELEASED"]
    assert cli.json(*chosen, "--older-than", "1h")["holds"] == []


def test_no_more_are_shown_than_are_asked_for(cli: Cli, user: str) -> None:
    for number in range(3):
        words = ("--user", user, "--cost", "0.01 USD", "--id", f"{user}-{number}")
        cli.run("reserve", "acme", *words)
        cli.run("settle", "acme", f"{user}-{number}")
    chosen = ("hold", "list", "acme", "--state", "estimated", "--subject", f"user={user}", "--limit", "2")
    text = cli.text(*chosen)
    assert len(text.splitlines()) == 4
    assert "… and maybe more: see --limit" in text
    assert len(cli.json(*chosen)["holds"]) == 2


def test_a_hold_is_resolved_in_each_way(cli: Cli, user: str) -> None:
    first, second = (cli.id_of("--user", user, "--cost", "2 USD") for _ in range(2))
    text = cli.text("hold", "resolve", "acme", first, "--extend", "2h", "--by", "ann")
    assert has_line(text, rf"{first}: open until {TIME}")
    done = ("hold", "resolve", "acme", first, "--cost", "0.5 USD", "--reason", "by the invoice")
    assert cli.text(*done) == f"{first}: charged 0.50 USD, 0 tokens, an estimate\n"
    assert cli.text(*done) == f"{first}: charged 0.50 USD, 0 tokens, an estimate, as it was before\n"
    text = cli.text("hold", "resolve", "acme", second, "--release")
    assert text == f"{second}: released, 2.00 USD, 0 tokens went back\n"
    third = cli.id_of("--user", user, "--cost", "2 USD")
    found = cli.json("hold", "resolve", "acme", third, "--as-held")
    assert (found["changed"], found["hold"]["charged"]["nano_usd"]) == (True, "2000000000")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ("r-1", 2, "expected exactly one of --cost, --as-held, --release and --extend"),
        ("r-1 --release --as-held", 2, "expected exactly one of"),
        ("r-1 --cost 1EUR", 2, "--cost: "),
        ("r-1 --extend soon", 2, "--extend: "),
        ("nobody --release", 1, "no reservation 'nobody'"),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, arguments: str, code: int, expected: str) -> None:
    assert expected in cli.error("hold", "resolve", "acme", *arguments.split(), expect=code)
