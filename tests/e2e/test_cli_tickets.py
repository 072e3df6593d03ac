"""The commands that answer tickets, against a real sidecar."""

import re
from pathlib import Path

import pytest

from tests.e2e.test_cli import Cli, has_line
from tests.e2e.test_cli_tenants import TIME, cli

__all__ = ["cli"]

RULES = """
wallets: {{org: {{}}}}
budgets:
  background: {{per: [team], limit: 1 USD, window: day, on_exhausted: ticket}}
tenant: {tenant}
"""
ASK = ("--team", "search", "--cost", "0.25 USD")


@pytest.fixture
def tenant(cli: Cli, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A tenant of this test alone, whose budget is full."""
    name = str(request.node.name).replace("[", "-").replace("]", "")
    policy = tmp_path / "policy.yaml"
    policy.write_text(RULES.format(tenant=name))
    cli.run("policy", "apply", str(policy))
    cli.run("wallet", "credit", name, "org", "100 USD")
    cli.run("reserve", name, "--team", "search", "--cost", "1 USD")
    return name


def opened(cli: Cli, tenant: str) -> str:
    return str(cli.json("reserve", tenant, *ASK, "--justification", "nightly", expect=10)["ticket"]["id"])


def test_a_ticket_is_seen_approved_and_used(cli: Cli, tenant: str) -> None:
    assert cli.text("ticket", "list", tenant) == f"{tenant}: no such ticket\n"
    text = cli.text("reserve", tenant, *ASK, "--justification", "nightly", expect=10)
    assert "HOLD BUDGET_EXHAUSTED" in text
    ticket_id = opened(cli, tenant)
    assert has_line(text, rf"ticket +{ticket_id}, open until {TIME}")
    assert has_line(
        cli.text("ticket", "list", tenant, "--state", "open"),
        rf"{ticket_id} +open +background \(team=search\) +0\.25 USD +{TIME} +{TIME} +nightly",
    )
    told = r"asks=0\.25 USD  why=nightly  budget=background \(team=search\)"
    assert has_line(cli.text("ledger", "tail", tenant, "--kind", "ticket"), rf".*{ticket_id}  {told}")
    shown = cli.text("ticket", "show", tenant, ticket_id)
    for line in (rf"OPEN {ticket_id}", r"short of +0\.25 USD", r"who +team=search", r"why +nightly"):
        assert has_line(shown, line)
    approve = ("ticket", "approve", tenant, ticket_id, "0.5 USD", "--by", "ann", "--reason", "go on")
    told = rf"{ticket_id}: approved, 0\.50 USD more in budget background \(team=search\) until {TIME}"
    assert re.fullmatch(told, cli.text(*approve).strip())
    assert re.fullmatch(told + ", as it was before", cli.text(*approve).strip())
    assert has_line(cli.text("ticket", "wait", tenant, ticket_id), r"by +ann")
    for _ in range(2):
        cli.run("reserve", tenant, *ASK)
    assert cli.json("ticket", "list", tenant)["tickets"][0]["allowance"] == "500000000"
    assert "approved before by ann" in cli.error("ticket", "reject", tenant, ticket_id, expect=1)


def test_a_ticket_is_rejected(cli: Cli, tenant: str) -> None:
    ticket_id = opened(cli, tenant)
    cli.text("ticket", "wait", tenant, ticket_id, "--up-to", "1s", expect=10)
    cli.text("reserve", tenant, *ASK, "--wait", "1s", expect=10)
    told = cli.text("ticket", "reject", tenant, ticket_id, "--by", "ann", "--reason", "not today")
    assert re.fullmatch(rf"{ticket_id}: rejected until {TIME}", told.strip())
    assert has_line(cli.text("ticket", "wait", tenant, ticket_id, expect=10), r"note +not today")
    assert "was rejected by ann: not today" in " ".join(cli.text("reserve", tenant, *ASK, expect=10).split())


def test_a_wallet_gets_a_credit_in_place_of_room(cli: Cli, tenant: str) -> None:
    ticket_id = opened(cli, tenant)
    approve = ("ticket", "approve", tenant, ticket_id, "2 USD", "--credit", "org")
    assert cli.text(*approve).strip() == f"{ticket_id}: approved, 2.00 USD for wallet org"
    assert cli.json("ticket", "show", tenant, ticket_id)["ticket"]["state"] == "TICKET_STATE_ENDED"
    other = opened(cli, tenant)
    assert "--credit" in cli.error("ticket", "approve", tenant, other, "2 USD", "--group", "a=b", expect=2)
    assert "USD or tokens" in cli.error("ticket", "approve", tenant, other, "2 concurrent", expect=2)
