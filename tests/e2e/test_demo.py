"""`tallystick demo`, run as its user runs it."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis
from rich.console import Console

from tallystick.core.hold import Hold, State
from tallystick.core.ledger import Entry, replay
from tallystick.demo.books import Bill, Books, Ledger, Wallets
from tallystick.demo.midnight import Renewal, renewed
from tallystick.demo.report import account
from tallystick.demo.screen import Screen
from tests.e2e.books import Books as InStore
from tests.servers import short_directory

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")

RUN = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "from tallystick.demo import run_demo; raise SystemExit(run_demo())",
]


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo makes its directory: all its processes name it."""
    with short_directory() as path:
        yield path


def start(place: Path, **environment: str) -> subprocess.Popen[str]:
    surroundings = (
        os.environ | {"TMPDIR": str(place), "PYTHONWARNINGS": "error", "COLUMNS": "80"} | environment
    )
    pipe = subprocess.PIPE
    return subprocess.Popen(
        RUN, env=surroundings, stdout=pipe, stderr=pipe, encoding="utf-8", start_new_session=True
    )


def processes_of(place: Path) -> list[str]:
    """The processes that know of the directory, by their command line or their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(place).encode() in said and int(entry.name) != os.getpid():
            found.append(entry.name)
    return found


class Played(NamedTuple):
    """A whole run."""

    code: int
    out: str
    err: str
    place: Path
    ledger: list[Entry]
    """As it was in the store when the last call had been settled."""


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    with short_directory() as place:
        out, ledger = "", list[Entry]()
        with start(place, PYTHONUNBUFFERED="1") as demo:
            assert demo.stdout is not None
            assert demo.stderr is not None
            for line in demo.stdout:
                out += line
                if ">> GRANTED" in line:
                    ledger = ledger_of(place)
            err = demo.stderr.read()
        yield Played(demo.returncode, out, err, place, ledger)


def ledger_of(place: Path) -> list[Entry]:
    """The demo's entries, read from its store."""
    (socket,) = place.glob("tallystick-*/valkey.sock")
    with Redis(unix_socket_path=str(socket)) as raw:
        return InStore(raw).of_tenant("demo").log


def test_the_books_agree(played: Played) -> None:
    code, out, err = played[:3]
    assert code == 0, out + err
    bill = re.search(r"provider  served (\d+) calls and bills +\$([\d.]+)$", out, re.MULTILINE)
    ledger = re.search(r"ledger    charged (\d+) calls +\$([\d.]+) +✔ equal", out)
    spent = re.search(r"wallets   \$[\d.]+ - \$[\d.]+ left +\$([\d.]+) +✔ equal", out)
    assert bill, out
    assert ledger, out
    assert spent, out
    assert bill.groups() == ledger.groups()
    assert bill[2] == spent[1]
    assert int(bill[1]) > 30
    assert "The books agree" in out


def test_every_agent_that_must_be_stopped_is(played: Played) -> None:
    out = played.out
    for agent, reason in (
        ("fixbot", "RUNAWAY_LOOP"),
        ("scout", "INSUFFICIENT_FUNDS"),
        ("carol", "RATE_LIMITED"),
        ("alice", "BUDGET_EXHAUSTED"),
        ("dave", "PRICE_UNKNOWN"),
    ):
        assert re.search(rf"{agent} .* DENY .* {reason}", out), out
    assert "THE LOOP IS CUT" in out
    assert "THE HARD STOP" in out
    for remark in ("left early: hold charged", "left early: corrected", "not sent: released"):
        assert remark in out


def test_the_dear_model_gives_way_to_the_cheaper_one(played: Played) -> None:
    out = played.out
    used = re.findall(r"erin +(\S+) +ALLOW", out)
    dear = used.count("demo-max")
    assert dear > 1
    assert used == ["demo-max"] * dear + ["demo-small"] * 3
    why = "demo-max → demo-small, because budget writer-daily (user=erin) has too little left for it"
    assert why in " ".join(out.split())
    assert "THE CHEAPER MODEL" in out
    assert re.search(rf" {dear} with demo-max +\$[\d.]+ +✔ equal", out), out
    assert re.search(r" \d+ with demo-small +\$[\d.]+ +✔ equal", out), out
    held = [hold for hold in holds_of(played.ledger) if "erin" in hold.subject]
    assert [hold.model for hold in held] == used
    assert {hold.asked_model for hold in held} == {"demo-max"}


def holds_of(ledger: list[Entry]) -> list[Hold]:
    bodies = [entry.fields["body"] for entry in ledger if entry.fields["kind"] == "reserve"]
    return [Hold(State.OPEN, 0, 0, 0, body=body) for body in bodies]


def test_a_ticket_is_approved_and_the_call_that_waited_is_made(played: Played) -> None:
    told = " ".join(played.out.split())
    asked = re.search(
        r">> A TICKET: grace asks for \$[\d.]+ more of reviewer-daily, for '([^']+)', and waits", told
    )
    assert asked, told
    assert asked[1] == "the release is tonight"
    assert told.index("A TICKET") < told.index("APPROVED by ann: $0.06") < told.index("THE WAIT IS OVER")
    kinds = [entry.fields["kind"] for entry in played.ledger if entry.fields["kind"] in ("ticket", "approve")]
    assert kinds == ["ticket", "approve"]
    approved = next(entry for entry in played.ledger if entry.fields["kind"] == "approve")
    held = [
        e for e in reserved_by(played.ledger, "grace") if int(e.fields["at"]) > int(approved.fields["at"])
    ]
    assert len(held) == 1


def reserved_by(ledger: list[Entry], agent: str) -> list[Entry]:
    return [e for e in ledger if e.fields["kind"] == "reserve" and f"user={agent}" in e.fields["body"]]


def test_while_the_store_is_killed_calls_go_on_within_the_allowance(played: Played) -> None:
    told = " ".join(played.out.split())
    during = told[told.index("THE STORE IS KILLED") : told.index("THE DISK IS BACK")]
    allowed = during.count("nora demo-large ALLOW")
    assert allowed >= 2
    assert "nora demo-large DENY STORE_UNAVAILABLE" in during
    assert "budget on-call-daily (user=nora) has used up its allowance for that" in during
    assert f"IN THE LEDGER: {allowed} calls without the store" in told
    marked = [e.fields for e in played.ledger if "WITHOUT_STORE" in e.fields.get("outcome", "")]
    settled = {fields["id"]: int(fields["nano"]) for fields in marked if fields["kind"] == "settle"}
    assert len(settled) == allowed
    assert sum(settled.values()) <= 10 * CENT
    after = told[told.index("IN THE LEDGER") :]
    assert after.index("nora demo-large ALLOW") < after.index("clerk demo-large ALLOW")


CLERK = "demo:w:service:service=clerk:u"
DAY_MS, CENT = 86_400_000, 10_000_000


def test_a_grant_that_is_used_up_comes_anew_at_midnight(played: Played) -> None:
    out = played.out
    calls = re.findall(r"clerk .* (ALLOW|DENY) .* (\S+)$", out, re.MULTILINE)
    assert calls[-2:] == [("DENY", "INSUFFICIENT_FUNDS"), ("ALLOW", "service=clerk")]
    assert set(calls[:-2]) == {("ALLOW", "service=clerk")}
    fits = re.search(r"clerk\) lacks [\d.]+ USD; it would\s+fit at (\S+) 00:00 UTC", out)
    assert fits, out
    midnight_ms = int(datetime.fromisoformat(f"{fits[1]}T00:00Z").timestamp() * 1000)

    told = re.search(r"OF \$(\S+) LEFT: \$(\S+) lapsed, \$(\S+) rolled over\n +>> GRANTED: \$(\S+)", out)
    assert told, out
    left, lapsed, rolled_over, granted = (int(Decimal(amount).scaleb(9)) for amount in told.groups())
    assert (left, rolled_over, granted) == (lapsed + rolled_over, 2 * CENT, 15 * CENT)

    before = [entry for entry in played.ledger if int(entry.fields["at"]) < midnight_ms]
    first, paid = played.ledger[len(before)].fields, played.ledger[-1].fields
    assert replay(before)[f"{CLERK}:b"] == left
    assert midnight_ms <= int(first["at"]) < midnight_ms + DAY_MS // 24
    balance = rolled_over + granted - int(paid["nano"])
    assert (paid["kind"], replay(played.ledger)[f"{CLERK}:b"]) == ("settle", balance)


def entry_of(number: int, kind: str, at_ms: int, **fields: int) -> Entry:
    told = {"kind": kind, "at": str(at_ms), "tenant": "demo", "id": CLERK, "wallet": CLERK, "unit": "u"}
    return Entry(f"1-{number}", told | {name: str(value) for name, value in fields.items()})


@pytest.mark.parametrize("swept", [0, 30])
def test_what_lapsed_is_told_whoever_ended_it(swept: int) -> None:
    """At midnight the sweeper may come before the call."""
    entries = [entry_of(1, "grant", 10, amount=150, lapsed=0), entry_of(2, "debit", 20, amount=100)]
    if swept:
        entries.append(entry_of(3, "lapse", 100, amount=swept))
    number = len(entries) + 1
    entries.append(entry_of(number, "grant", 101, amount=150, lapsed=30 - swept))
    assert renewed(entries, 100) == Renewal(left=50, lapsed=30, rolled_over=20, granted=150)


def test_plain_output_is_plain_and_fits(played: Played) -> None:
    _, out, err, place, _ = played
    assert err == ""
    assert "\x1b" not in out
    wide = [line for line in out.splitlines() if len(line) > 80 and "tallystick/demo" not in line]
    assert wide == []
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert processes_of(place) == []
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(place: Path, number: signal.Signals) -> None:
    with start(place, PYTHONUNBUFFERED="1") as demo:
        assert demo.stdout is not None
        seen = ""
        while "ALLOW" not in seen:
            line = demo.stdout.readline()
            assert line, seen
            seen += line
        assert len(processes_of(place)) == 3, "the demo, its sidecar, and that one's store"
        os.killpg(demo.pid, number)  # as a terminal does
        time.sleep(0.05)
        os.killpg(demo.pid, number)
        out, err = demo.communicate(timeout=30)
    assert demo.returncode == 130, out + err
    assert err == "Interrupted; everything is stopped and removed.\n"
    assert processes_of(place) == []
    assert list(place.iterdir()) == []


def test_a_sidecar_that_does_not_start_is_shown_with_its_log(place: Path) -> None:
    deep = place / ("d" * 90)
    deep.mkdir()
    with start(place, TMPDIR=str(deep)) as demo:
        _, err = demo.communicate(timeout=60)
    assert demo.returncode == 3, err
    assert "the last lines of its log" in err
    assert "limit of Unix sockets" in err
    assert processes_of(place) == []


def test_a_sidecar_that_dies_ends_it(place: Path) -> None:
    with start(place, PYTHONUNBUFFERED="1") as demo:
        assert demo.stdout is not None
        while "ALLOW" not in demo.stdout.readline():
            assert demo.poll() is None
        started_s = time.monotonic()
        (folder,) = place.glob("tallystick-*")
        os.kill(sidecar_of(folder), signal.SIGKILL)
        _, err = demo.communicate(timeout=30)
    assert demo.returncode == 3, err
    assert "the sidecar ended with -9" in err
    assert time.monotonic() - started_s < 20
    assert processes_of(place) == []


def test_without_the_sdk_it_says_what_to_install(place: Path) -> None:
    hide = "import sys; sys.modules['openai'] = None; "
    done = subprocess.run(
        [sys.executable, "-c", hide + RUN[-1]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "pip install 'tallystick[demo]'" in done.stderr


def sidecar_of(folder: Path) -> int:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = f"TALLYSTICK_DATA_DIR={folder}".encode() in (entry / "environ").read_bytes()
            if told and b"serve" in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError("no sidecar")


BILL = {"dear": (1, 30), "cheap": (1, 10)}
PAID = {("user", "user=alice"): (100, 60, 0)}


@pytest.mark.parametrize(
    ("bill", "ledger", "wallets"),
    [
        ({"dear": (1, 31), "cheap": (1, 10)}, Ledger(9, BILL, PAID), PAID),
        ({"dear": (1, 30), "cheap": (2, 10)}, Ledger(9, BILL, PAID), PAID),
        ({"dear": (1, 10), "cheap": (1, 30)}, Ledger(9, BILL, PAID), PAID),
        ({"dear": (2, 40)}, Ledger(9, BILL, PAID), PAID),
        (BILL, Ledger(9, BILL | {"cheap": (1, 11)}, PAID), PAID),
        (BILL, Ledger(9, BILL, PAID), {("user", "user=alice"): (100, 61, 0)}),
        (BILL, Ledger(9, BILL, {("user", "user=alice"): (100, 60, 5)}), PAID),
        (BILL, Ledger(9, BILL, held := {("user", "user=alice"): (100, 60, 5)}), held),
    ],
)
def test_any_difference_is_told(bill: Bill, ledger: Ledger, wallets: Wallets) -> None:
    assert Books(BILL, Ledger(9, BILL, PAID), PAID).agree
    books = Books(bill, ledger, wallets)
    out = io.StringIO()
    account(Screen(Console(file=out)), books)
    assert not books.agree
    assert "THE BOOKS DO NOT AGREE" in out.getvalue()
