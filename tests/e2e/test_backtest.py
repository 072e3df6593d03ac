"""`tallystick backtest` as a process, and the guide about it."""

import gzip
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/guides/backtest.md").read_text()
TRIAL = str(ROOT / "docs/guides/trial.yaml")
SAMPLE = ROOT / "docs/guides/usage-sample.csv"
BAD_ROWS = "time,model,status,output\n1780308000,m,ok,5\nx,m,ok,5\n1780308001,m,ok,-5\n"


def run(*arguments: str, expect: int = 0, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tallystick", "backtest", *arguments]
    result = subprocess.run(command, input=given, capture_output=True, cwd=ROOT, timeout=60, check=False)
    assert result.returncode == expect, result.stderr
    assert b"Traceback" not in result.stderr
    return result


def error(*arguments: str, expect: int, given: bytes = b"") -> str:
    result = run(*arguments, expect=expect, given=given)
    assert not result.stdout
    return result.stderr.decode()


def test_the_guide_shows_what_the_sample_gives() -> None:
    block = re.search(r"```console\n\$ (.*?)\n(.*?)```", GUIDE, re.DOTALL)
    assert block is not None
    words = shlex.split(block[1])
    assert words[:2] == ["tallystick", "backtest"]
    result = run(*words[2:])
    assert result.stdout.decode().splitlines()[:-1] == block[2].splitlines()[:-1]
    assert re.fullmatch(r"200 calls in \d+\.\d s, \d+ a second", result.stdout.decode().splitlines()[-1])
    assert result.stderr == b""


def test_everything_as_json() -> None:
    found = json.loads(run("--policy", TRIAL, "--usage", str(SAMPLE), "--json").stdout)
    assert (found["tenant"], found["timezone"], found["wallets"]) == ("acme", "Europe/Berlin", "unlimited")
    assert found["calls"] == 200 == found["allowed"] + sum(each["calls"] for each in found["refused"])
    assert [each["budget"] for each in found["budgets"]] == ["developer-daily", "team-total", "loops"]
    assert found["bad_rows"] == {"count": 0, "first": []}
    assert found["rows_per_second"] > 0


def test_standard_input_may_be_gzip() -> None:
    zipped = gzip.compress(SAMPLE.read_bytes())
    found = json.loads(run("--policy", TRIAL, "--usage", "-", "--json", given=zipped).stdout)
    assert found["calls"] == 200
    policy = Path(TRIAL).read_bytes()
    assert (
        json.loads(run("--policy", "-", "--usage", str(SAMPLE), "--json", given=policy).stdout)["calls"]
        == 200
    )


def test_without_money_wallets_as_declared_refuse_everything() -> None:
    arguments = ("--policy", TRIAL, "--usage", str(SAMPLE), "--wallets", "as-declared")
    found = json.loads(run(*arguments, "--json").stdout)
    assert found["allowed"] == 0
    assert {"reason": "INSUFFICIENT_FUNDS", "calls": 200}.items() <= found["refused"][0].items()
    assert re.search(rb"\nrefused INSUFFICIENT_FUNDS +200 +100.0% ", run(*arguments).stdout)


def test_bad_rows_are_left_out_and_told(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(BAD_ROWS)
    result = run("--policy", TRIAL, "--usage", str(file), expect=1)
    assert result.stdout.startswith(b"acme: 1 calls, 2026-06-01T12:00:00+02:00 to ")
    lines = result.stderr.decode().splitlines()
    assert lines[0] == f"{file}: columns not read: status"
    assert lines[1] == f"{file}: 2 bad rows were left out; the first of them:"
    assert lines[2].startswith(f"{file}:3: time: expected RFC 3339")
    assert lines[3] == f"{file}:4: output: expected a whole number from 0 to 1000000000, got '-5'"
    strict = error("--policy", TRIAL, "--usage", str(file), "--strict", expect=1)
    assert strict.startswith(f"tallystick: {file}:3: time: expected RFC 3339")


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ("--policy missing.yaml --usage -", 2, "tallystick: missing.yaml: No such file or directory"),
        (f"--policy {TRIAL} --usage missing.csv", 2, "tallystick: missing.csv: No such file or directory"),
        (f"--policy {TRIAL} --usage docs", 2, "tallystick: docs: Is a directory"),
        ("--policy - --usage -", 2, "tallystick: --usage: standard input can be one of"),
        (f"--policy {TRIAL} --usage - --wallets full", 2, "--wallets: expected unlimited or as-declared"),
        ("--policy README.md --usage -", 1, "tallystick: README.md is refused\nREADME.md:"),
        (f"--policy {TRIAL} --usage README.md", 1, "tallystick: README.md:1: time: expected a column"),
        (f"--policy {TRIAL} --usage -", 1, "tallystick: -: expected at least one call\n-:2: time: expected"),
    ],
)
def test_what_is_wrong_is_said(arguments: str, code: int, expected: str) -> None:
    assert expected in error(*arguments.split(), expect=code, given=b"time,model\n,m\n")
