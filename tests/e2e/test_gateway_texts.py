"""What the gateway prints and the README says, run as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.provider import ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.e2e.own_gateway import KEYS, OwnGateway
from tests.servers import short_directory

ROOT = Path(__file__).parents[2]
OURS = re.compile(r"^tally-acme-\S+$", re.MULTILINE)
pytestmark = pytest.mark.usefixtures("commands")


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    thread, scripted = LoopThread(), ScriptedProvider()
    try:
        thread.run(scripted.start())
        yield scripted
        thread.run(scripted.stop())
    finally:
        thread.stop()


@pytest.fixture
def commands(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that finds `tallystick`, and no settings of who runs the tests."""
    for name in [name for name in os.environ if name.startswith("TALLYSTICK_")]:
        monkeypatch.delenv(name)
    binaries = directory / "bin"
    binaries.mkdir()
    program = binaries / "tallystick"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tallystick "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{binaries}:{os.environ['PATH']}")


def shell(text: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", text], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def called(gateway: OwnGateway, key: str, provider: ScriptedProvider) -> None:
    """A call with the key is let through, and has the provider's key there."""
    with openai.OpenAI(base_url=f"{gateway.url}/openai/v1", api_key=key) as client:
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "Hello"}])
    seen = provider.seen.pop()
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEYS['OPENAI_KEY']}"


def test_the_first_steps_work_as_they_are_printed(directory: Path, provider: ScriptedProvider) -> None:
    with short_directory() as data:
        gateway = OwnGateway(data, f"http://127.0.0.1:{provider.port}", POLICY_FILES="")
        gateway.start()
        try:
            assert gateway.url
            steps = re.compile(r"another terminal:\n\n(.*?)\n\nThe key", re.DOTALL)
            wait(lambda: steps.search(gateway.log))
            printed = steps.search(gateway.log)
            assert printed, gateway.log
            (key,) = OURS.findall(shell(printed[1], directory))
            called(gateway, key, provider)
            assert gateway.stop() == 0
            gateway.start()
            called(gateway, key, provider)
            assert gateway.log.count("No policy is in force yet") == 1
        finally:
            gateway.stop()


def test_the_commands_of_the_readme(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "README.md").read_text().partition("## Any program, no code")[2]
    block = re.search(r"```console\n(.*?)```", page, re.DOTALL)
    assert block
    start, make_key = (line.removeprefix("$ ").replace(".venv/bin/", "") for line in block[1].splitlines())
    words = shlex.split(
        start.replace("--provider openai", f"--provider openai=http://127.0.0.1:{provider.port}")
    )
    assert words[0] == "tallystick"
    with short_directory() as data:
        gateway = OwnGateway(data, "", POLICY_FILES="")
        gateway.words = [*words[1:], "--listen", "127.0.0.1:0"]
        gateway.environment = {"OPENAI_API_KEY": KEYS["OPENAI_KEY"]}
        gateway.start()
        try:
            monkeypatch.setenv("TALLYSTICK_ADMIN_ADDRESS", f"unix:{data}/admin.sock")
            (key,) = OURS.findall(shell(make_key, ROOT))
            called(gateway, key, provider)
        finally:
            gateway.stop()
