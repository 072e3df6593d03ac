"""The guide to the life of a policy, typed as it stands there."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tallystick.policyfile import load_policy
from tests.servers import SidecarProcess

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/policy-life.md").read_text()
POLICY, NEXT = (ROOT / f"docs/guides/{name}.yaml" for name in ("policy-life", "policy-life-next"))
LONG_S = 30.0


def test_the_commands_of_the_guide_say_what_it_shows(directory: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)
    sidecar = SidecarProcess(directory, POLICY_FILES=str(POLICY))
    sidecar.start()
    environment = {"TALLYSTICK_DATA_DIR": str(directory), "PATH": "", "PYTHONPATH": ":".join(sys.path)}

    def run(line: str) -> list[str]:
        words = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=ROOT
        )
        assert done.returncode == (1 if " policy diff " in line else 0), (line, done.stderr)
        return [" ".join(said.split()) for said in done.stdout.splitlines()]

    try:
        for block in blocks:
            for command in block.removeprefix("$ ").split("\n$ "):
                line, *shown = command.splitlines()
                wanted = {" ".join(each.split()) for each in shown}
                said = run(line)
                until = time.monotonic() + LONG_S
                # A shadow is decided after the answer.
                while not wanted <= set(said) and "report" in line and time.monotonic() < until:
                    said = run(line)
                assert wanted <= set(said), (line, said)
    finally:
        sidecar.stop()


def test_the_guide_shows_the_policy_that_it_goes_on_to() -> None:
    block = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert block is not None
    assert block[1] in NEXT.read_text()
    assert {load_policy(path.read_text()).tenant for path in (POLICY, NEXT)} == {"acme"}
