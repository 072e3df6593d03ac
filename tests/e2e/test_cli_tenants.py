"""The commands that switch tenants off and on, against a real sidecar."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_cli import Cli, has_line
from tests.servers import SidecarProcess, short_directory


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    with short_directory() as directory:
        process = SidecarProcess(directory)
        process.start()
        try:
            made = Cli(tmp_path_factory.mktemp("cli"), Path(process.directory))
            made.run("policy", "apply", "acme.yaml")
            made.run("policy", "apply", "pooled.yaml")
            yield made
        finally:
            process.stop()


TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"


def test_a_tenant_is_switched_off_and_on(cli: Cli) -> None:
    cli.run("wallet", "credit", "acme", "org", "5 USD")
    text = cli.text("tenant", "suspend", "acme", "--by", "ann", "--reason", "a leak")
    assert has_line(text, rf"acme: suspended from now on, since {TIME} by ann: a leak")
    text = cli.text("tenant", "suspend", "acme", "--by", "bob")
    assert has_line(text, rf"acme: suspended already, since {TIME} by ann: a leak")
    denied = cli.text("reserve", "acme", "--user", "alice", "--cost", "1 USD", expect=10)
    assert "TENANT_SUSPENDED" in denied
    assert "tallystick tenant resume acme" in denied
    assert "TENANT_SUSPENDED" in cli.text("explain", "acme", "--user", "a", "--cost", "1 USD", expect=10)
    assert "The tenant is suspended: every reservation is refused." in cli.text("balance", "acme")
    text = cli.text("tenant", "list")
    assert has_line(text, rf"acme +suspended since {TIME} by ann: a leak +1")
    assert has_line(text, r"pooled +on +1")
    assert "pooled" not in cli.text("tenant", "list", "--suspended")
    assert cli.text("tenant", "resume", "acme", "--reason", "replaced") == "acme: resumed\n"
    assert cli.text("tenant", "resume", "acme") == "acme: was not suspended\n"
    assert cli.text("tenant", "list", "--suspended") == "no tenant is suspended\n"
    cli.text("reserve", "acme", "--user", "alice", "--cost", "1 USD")


def test_who_it_was_is_the_login_where_nothing_is_said(cli: Cli) -> None:
    found = cli.json("tenant", "suspend", "pooled")
    assert found["changed"] is True
    assert found["suspension"]["by"] == pwd.getpwuid(os.getuid()).pw_name
    assert cli.json("tenant", "list", "--suspended") == {
        "tenants": [{"name": "pooled", "policy_version": "1", "suspension": found["suspension"]}],
        "next_page_token": "",
    }
    assert cli.json("tenant", "resume", "pooled") == {"changed": True}


def test_a_name_that_nobody_has_is_refused(cli: Cli) -> None:
    for verb in ("suspend", "resume"):
        assert "tenant amce has no policy" in cli.error("tenant", verb, "amce", expect=1)
