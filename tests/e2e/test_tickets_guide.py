"""The guide to tickets, typed as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.servers import SidecarProcess

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/tickets.md").read_text()
POLICY = ROOT / "docs/guides/tickets.yaml"


def test_the_commands_of_the_guide_say_what_it_shows(directory: Path) -> None:
    typed = [
        line for block in re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()
    ]
    answers = [line for line in GUIDE.splitlines() if line.startswith("tallystick ticket ")]
    assert len(answers) == 2
    sidecar = SidecarProcess(directory, POLICY_FILES=str(POLICY))
    sidecar.start()
    environment = {"TALLYSTICK_DATA_DIR": str(directory), "PATH": "", "PYTHONPATH": ":".join(sys.path)}

    def run(line: str, *codes: int) -> str:
        words = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert done.returncode in codes, (line, done.stderr)
        return done.stdout

    said = ""
    try:
        for line in typed:
            if line.startswith("$ "):
                said = run(line.removeprefix("$ "), 0, 10)
            else:
                assert line in said.splitlines()
        found = re.search(r"^(t-\w+) +open", said, re.MULTILINE)
        assert found is not None
        run(answers[0].replace("t-17", found[1]), 0)
        run(answers[1].replace("t-17", found[1]), 1)
        run("tallystick reserve acme --team search --workflow background --cost '2 USD' --id night-2", 0)
    finally:
        sidecar.stop()


def test_the_guide_shows_the_policy_that_it_runs_with() -> None:
    block = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert block is not None
    assert block[1] in POLICY.read_text()
