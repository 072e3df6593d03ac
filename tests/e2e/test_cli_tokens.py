"""Tokens on the command line: made, listed, revoked, and called with."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.authority import LOCAL, Authority
from tests.e2e.conftest import Start
from tests.e2e.guarded import admin_port
from tests.servers import SidecarProcess, short_directory


@pytest.fixture(scope="module")
def sidecar() -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory, AUTH="tokens", ADMIN_LISTEN="127.0.0.1:0", LISTEN="127.0.0.1:0")
        process.start()
        try:
            yield process
        finally:
            process.stop()


def run(sidecar: SidecarProcess, *arguments: str, expect: int = 0, **environment: str) -> str:
    """The text that a command prints: of stdout, or of stderr where it fails."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTICK_")}
    known |= {"TALLYSTICK_DATA_DIR": str(sidecar.directory), "TZ": "UTC"}
    command = [sys.executable, "-m", "tallystick", *arguments]
    done = subprocess.run(
        command, env=known | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == expect, (arguments, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr if expect else done.stdout


def create(sidecar: SidecarProcess, *arguments: str) -> str:
    return str(json.loads(run(sidecar, "token", "create", *arguments, "--json"))["token"])


def test_a_token_is_made_shown_once_listed_and_revoked(sidecar: SidecarProcess) -> None:
    shown = run(
        sidecar, "token", "create", "acme", "bot", "--can", "decide", "--can", "read", "--team", "search",
        "--label", "desk=7", "--expires", "2099-01-31",
    )  # fmt: skip
    token, empty, once, summary = shown.splitlines()
    assert token.startswith("tallytoken-")
    assert not empty
    assert "this once" in once
    assert summary == (
        "bot: decide, read for tenant acme, bound to label.desk=7, team=search, "
        "until 2099-01-31T00:00:00+00:00"
    )
    create(sidecar, "*", "root", "--can", "admin")
    everything = run(sidecar, "token", "list")
    assert [line.split()[:2] for line in everything.splitlines()] == [
        ["tenant", "name"],
        ["*", "root"],
        ["acme", "bot"],
    ]
    assert token.removeprefix("tallytoken-") not in everything
    found = json.loads(run(sidecar, "token", "list", "acme", "--json"))["tokens"]
    assert [(each["name"], each["roles"], each["subject"]) for each in found] == [
        ("bot", ["ROLE_DECIDE", "ROLE_READ"], {"team": "search", "label.desk": "7"})
    ]
    assert run(sidecar, "token", "revoke", "acme", "bot") == "acme: token bot is revoked\n"
    assert run(sidecar, "token", "list", "acme") == "acme: no tokens\n"
    assert "there is no token acme:bot" in run(sidecar, "token", "revoke", "acme", "bot", expect=1)
    run(sidecar, "token", "revoke", "*", "root")


def test_commands_call_with_a_token_from_the_environment_or_a_file(
    sidecar: SidecarProcess, tmp_path: Path
) -> None:
    token = create(sidecar, "acme", "reader", "--can", "read")
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    assert "authorization: Bearer TOKEN" in run(sidecar, "balance", "acme", expect=1)
    assert "acme: no policy" in run(sidecar, "balance", "acme", TALLYSTICK_TOKEN=token)
    assert "acme: no policy" in run(sidecar, "balance", "acme", TALLYSTICK_TOKEN_FILE=str(file))
    assert "acme: no policy" in run(
        sidecar, "balance", "acme", "--token-file", str(file), TALLYSTICK_TOKEN="x"
    )
    said = run(sidecar, "release", "acme", "r", expect=1, TALLYSTICK_TOKEN=token)
    assert "permission denied: Release takes the role decide, which token acme/reader has not" in said
    address = f"127.0.0.1:{admin_port(sidecar)}"
    listed = run(sidecar, "wallet", "list", "acme", "--admin-address", address, TALLYSTICK_TOKEN=token)
    assert "acme: no wallet" in listed


@pytest.mark.parametrize("secret", ["tallytoken-with a space", "tallytoken-ü"])
def test_what_is_no_token_is_said_without_it(sidecar: SidecarProcess, secret: str) -> None:
    said = run(sidecar, "balance", "acme", expect=2, TALLYSTICK_TOKEN=secret)
    assert said == "tallystick: TALLYSTICK_TOKEN: expected one token, of ASCII without spaces\n"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ("token create acme x", 2, "--can"),
        ("token create acme x --can king", 2, "king"),
        ("token create acme X --can read", 1, "name: expected 1 to 64"),
        ("token create acme x --can admin --team a", 1, "expected none with the role admin"),
        ("token create acme x --can read --expires soon", 2, "--expires"),
        ("balance acme --token-file /nowhere", 2, "/nowhere"),
        ("balance acme --tls-cert pyproject.toml", 2, "--tls-ca, --tls-cert and --tls-key together"),
    ],
)
def test_what_is_wrong_is_said(sidecar: SidecarProcess, arguments: str, code: int, text: str) -> None:
    assert text in run(sidecar, *arguments.split(), expect=code)


def test_commands_speak_tls_with_a_client_certificate(start: Start, directory: Path) -> None:
    authority = Authority(directory)
    certificate, key = authority.issue("server", LOCAL)
    callers = directory / "callers.yaml"
    callers.write_text("certificates: [{match: cli.example, tenant: acme, roles: [read]}]")
    sidecar = start(
        AUTH="mtls", LISTEN=f"{LOCAL}:0", TLS_CERT=str(certificate), TLS_KEY=str(key),
        TLS_CLIENT_CA=str(authority.path), CALLERS_FILE=str(callers),
    )  # fmt: skip
    mine, its_key = authority.issue("cli", "cli.example")
    options = ["--tls-ca", str(authority.path), "--tls-cert", str(mine), "--tls-key", str(its_key)]
    address = f"{LOCAL}:{sidecar.port}"
    assert "acme: no policy" in run(sidecar, "balance", "acme", "--address", address, *options)
    said = run(sidecar, "balance", "other", "--address", address, *options, expect=1)
    assert "expected acme, the only one of certificate cli.example" in said
