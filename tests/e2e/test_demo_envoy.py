"""`tallystick demo --envoy`, run as its user runs it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_demo import processes_of
from tests.servers import short_directory

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
COMMAND = [sys.executable, "-W", "error", "-m", "tallystick", "demo", "--envoy"]


@pytest.fixture(scope="module")
def out() -> Iterator[str]:
    """All that it says; it has ended well and left nothing."""
    with short_directory() as place:
        surroundings = os.environ | {"TMPDIR": str(place), "PYTHONWARNINGS": "error", "COLUMNS": "80"}
        done = subprocess.run(
            COMMAND, env=surroundings, capture_output=True, encoding="utf-8", timeout=150, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert processes_of(place) == []
        assert list(place.iterdir()) == []
        yield done.stdout


def lines_of(out: str, program: str) -> list[tuple[str, str]]:
    """Model and verdict of each line of a program."""
    return re.findall(rf"^ *[\d.]+  {program} +(\S+) +(ALLOW|DENY)", out, re.MULTILINE)


def test_the_books_of_both_providers_agree(out: str) -> None:
    bill = re.search(r"provider  served (\d+) calls and bills +\$([\d.]+)$", out, re.MULTILINE)
    ledger = re.search(r"ledger    charged (\d+) calls +\$([\d.]+) +✔ equal", out)
    assert bill, out
    assert ledger, out
    assert bill.groups() == ledger.groups()
    assert re.search(rf"wallets   \$3\.00 - \$[\d.]+ left +\${bill[2]} +✔ equal", out), out
    assert "The books agree, to the nano-dollar" in out


def test_the_loop_is_cut_at_ninety_cents(out: str) -> None:
    assert lines_of(out, "script") == [("demo-giant", "ALLOW")] * 5 + [("demo-giant", "DENY")]
    assert ">> THE LOOP IS CUT at $0.90 of $1.00: 95 of 100 calls of $0.18 refused\n" in out
    assert re.search(r" 5 with demo-giant +\$0\.90 +✔ equal", out), out
    assert "RateLimitError 429" in out
    assert "budget scripts (user=script) of 1.00 USD lacks" in out


def test_the_cheaper_model_takes_over_and_the_wallet_is_the_hard_stop(out: str) -> None:
    used = [model for model, verdict in lines_of(out, "writer") if verdict == "ALLOW"]
    dear = used.count("demo-max")
    assert dear > 1
    assert used == ["demo-max"] * dear + ["demo-small"] * 3
    assert "demo-max → demo-small, for its budget runs low" in out
    read = lines_of(out, "scout")
    assert read[-1] == ("demo-voice", "DENY")
    # What one reader's call gives back may let another's through, until nobody's fits.
    assert read.count(("demo-voice", "DENY")) == 3
    assert "PaymentRequiredError 402" in out
    assert ">> THE HARD STOP" in out


def test_both_sdks_speak_json_and_streams_and_a_guest_is_not_let_in(out: str) -> None:
    for program, model, calls in (
        ("mail", "demo-small", 4),
        ("chat", "demo-large", 3),
        ("poet", "demo-voice", 4),
    ):
        assert lines_of(out, program) == [(model, "ALLOW")] * calls
    assert lines_of(out, "guest") == [("demo-large", "DENY")]
    assert "AuthenticationError 401" in out
    assert "estimated" not in out


def test_it_is_plain_fits_and_says_what_to_try_next(out: str) -> None:
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if len(line) > 80 and "tallystick/demo" not in line] == []
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert "tallystick gateway --provider openai" in out.partition("Next")[2]


def test_interrupted_it_leaves_nothing_behind() -> None:
    with short_directory() as place:
        surroundings = os.environ | {"TMPDIR": str(place), "PYTHONUNBUFFERED": "1"}
        pipe = subprocess.PIPE
        with subprocess.Popen(
            COMMAND, env=surroundings, stdout=pipe, stderr=pipe, encoding="utf-8", start_new_session=True
        ) as demo:
            assert demo.stdout is not None
            while "ALLOW" not in (line := demo.stdout.readline()):
                assert line, "it ended"
            assert len(processes_of(place)) == 4, "the demo, its gateway, that one's store and Envoy"
            os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
            _, err = demo.communicate(timeout=60)
        assert demo.returncode == 130, err
        assert err == "Interrupted; everything is stopped and removed.\n"
        assert processes_of(place) == []
        assert list(place.iterdir()) == []


def test_without_envoy_it_says_what_to_install() -> None:
    hide = "import importlib.util as u; find = u.find_spec; u.find_spec = lambda n: n != 'envoy' and find(n)"
    play = f"{hide}; from tallystick.demo import run_demo; raise SystemExit(run_demo(envoy=True))"
    done = subprocess.run(
        [sys.executable, "-c", play], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "The demo needs an Envoy: pip install 'tallystick[gateway]'\n"
