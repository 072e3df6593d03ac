"""`tallystick gateway` as its own process, in front of stand-ins for the providers."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tallystick.core.consumer_keys import hash_key, make_key
from tests.servers import START_S, SidecarProcess

KEYS = {"OPENAI_KEY": "sk-of-the-company-0123456789", "ANTHROPIC_KEY": "sk-ant-of-the-company-0123456789"}
POLICY = """\
tenant: acme
prices:
  models:
    demo-large: {{input: 15, cached_input: 1.50, output: 75}}
    demo-voice: {{input: 3, cached_input: 0.30, output: 120}}
budgets:
  daily: {{per: [user], limit: 5 USD, window: total}}
consumers:
  alice: {{key: "{hash}", subject: {{user: alice}}}}
"""


class OwnGateway(SidecarProcess):
    """`arguments` follow the providers at `url`; alice's `key` is known to the policy."""

    def __init__(self, directory: Path, url: str, arguments: Sequence[str] = (), **settings: str) -> None:
        self.key = make_key("acme")
        policy = directory / "policy.yaml"
        policy.write_text(POLICY.format(hash=hash_key(self.key)))
        own = {"POLICY_FILES": str(policy), "HTTP_LISTEN": "127.0.0.1:0"}
        super().__init__(directory, **own | settings)
        self.words = [
            *("gateway", "--listen", "127.0.0.1:0"),
            *("--provider", f"openai={url}", "--key", "openai=env:OPENAI_KEY"),
            *("--provider", f"anthropic={url}", "--key", "anthropic=env:ANTHROPIC_KEY"),
            *arguments,
        ]
        self.environment = KEYS
        self._said_before = 0

    def start(self, *, wait: bool = True) -> None:
        path = self.directory / "sidecar.log"
        self._said_before = len(path.read_text()) if path.exists() else 0
        super().start(wait=wait)

    @property
    def url(self) -> str:
        """Where Envoy listens; waits until it says so."""
        deadline = time.monotonic() + START_S
        while not (
            found := re.findall(r"(http://127\.0\.0\.1:\d+)/openai/v1", self.log[self._said_before :])
        ):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return str(found[-1])

    def envoys(self) -> list[int]:
        """The Envoys that run with the configuration of this directory."""
        return processes_with(str(self.directory / "envoy.yaml"))

    def envoy(self) -> int:
        (pid,) = self.envoys()
        return pid

    def file(self, name: str) -> str:
        return (self.directory / name).read_text()


def processes_with(word: str) -> list[int]:
    """Processes of Envoy with this word in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if word in words and words[0].endswith("/envoy"):
                found.append(int(entry.name))
    return found


def run(
    *words: str, environment: dict[str, str], expect: int, stop_after_s: float = 0
) -> subprocess.CompletedProcess[str]:
    """`tallystick WORDS`, to its end."""
    command = [sys.executable, "-m", "tallystick", *words]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if stop_after_s:
        time.sleep(stop_after_s)
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == expect, out + err
    return subprocess.CompletedProcess(command, process.returncode, out, err)
