"""The guide to decisions, typed as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.servers import SidecarProcess

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/decisions.md").read_text()
POLICY = ROOT / "docs/guides/decisions.yaml"


def test_the_commands_of_the_guide_say_what_it_shows(directory: Path) -> None:
    typed = [
        line for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()
    ]
    sidecar = SidecarProcess(directory, POLICY_FILES=str(POLICY))
    sidecar.start()
    environment = {"TALLYSTICK_DATA_DIR": str(directory), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    said: list[str] = []
    try:
        for line in typed:
            if not line.startswith("$ "):
                assert line in said
                continue
            words = shlex.split(line.removeprefix("$ "))
            run = subprocess.run(
                [sys.executable, "-m", *words],
                capture_output=True, text=True, timeout=60, check=False, env=environment,
            )  # fmt: skip
            assert run.returncode in (0, 10), (line, run.stderr)
            said = run.stdout.splitlines()
    finally:
        sidecar.stop()


def test_the_guide_shows_the_policy_that_it_runs_with() -> None:
    block = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert block is not None
    assert block[1] in POLICY.read_text()
