"""What commands make of their options, and how amounts and times are written."""

import json
import time
from collections.abc import Iterator

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.console import Console

from tallystick.cli.amounts import read_amount, read_cost, read_expiry
from tallystick.cli.budget_tables import used_percent
from tallystick.cli.connection import _explained
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.output import length_text, print_message
from tallystick.cli.requests import usage_of
from tallystick.cli.summaries import match_text, window_text
from tallystick.cli.tables import payment_lines, use_bar
from tallystick.cli.wallets import _has
from tallystick.core.money import MAX_AMOUNT
from tallystick.policyfile import load_policy
from tallystick.v1 import budget_pb2 as pb


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("25 USD", 25_000_000_000),
        ("0.5USD", 500_000_000),
        (" 0.000000001 USD ", 1),
        ("9223372036.854775807USD", MAX_AMOUNT),
        ("2M tokens", 2_000_000),
        ("2Mtokens", 2_000_000),
        ("1_000tokens", 1_000),
        ("1.5k tokens", 1_500),
    ],
)
def test_amounts(text: str, value: int) -> None:
    assert read_amount("--cost", text).value == value


@pytest.mark.parametrize(
    "text", ["", "5", "USD", "5 EUR", "-5 USD", "0 USD", "1e3 USD", "5 requests", "9223372036.854775808 USD"]
)
def test_wrong_amounts(text: str) -> None:
    with pytest.raises(CommandError, match=r"^--cost: expected ") as caught:
        read_amount("--cost", text)
    assert caught.value.code is ExitCode.USAGE


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "expiry"),
    [
        ("2026-12-31", "2026-12-30T23:00:00Z"),
        ("2026-07-01", "2026-06-30T22:00:00Z"),
        ("2026-12-31T08:00:00Z", "2026-12-31T08:00:00Z"),
        ("2026-12-31t08:00:00.5+02:00", "2026-12-31T06:00:00.500Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_expiries(text: str, expiry: str) -> None:
    assert read_expiry(text).ToJsonString() == expiry


def test_an_expiry_some_time_from_now() -> None:
    for text, seconds in (("45s", 45), ("30d", 30 * 86_400)):
        before = time.time()
        assert before + seconds <= read_expiry(text).ToMilliseconds() / 1000 + 0.001
        assert read_expiry(text).ToMilliseconds() / 1000 <= time.time() + seconds


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-02-30", "2026-12-31 08:00", "2026-12-31T08:00:00", "20261231", "0d", "400d", "5"],
)
def test_wrong_expiries(text: str) -> None:
    with pytest.raises(CommandError, match=r"^--expires: expected ") as caught:
        read_expiry(text)
    assert caught.value.code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("settled", "lines"),
    [
        (pb.SettleResponse(charged=pb.Cost(nano_usd=5)), []),
        (
            pb.SettleResponse(charged=pb.Cost(nano_usd=5), wallet="org", wallet_unit=pb.UNIT_NANO_USD),
            ["paid by org", "0.000000005 USD was covered by no lot, and is debt"],
        ),
        (
            pb.SettleResponse(
                charged=pb.Cost(nano_usd=9, tokens=7),
                wallet="team",
                wallet_group="team=search",
                wallet_unit=pb.UNIT_TOKENS,
                drawn=[
                    pb.Draw(lot="grant", kind=pb.LOT_KIND_GRANT, amount=4),
                    pb.Draw(lot="c-1", kind=pb.LOT_KIND_PAID, amount=3),
                ],
            ),
            ["paid by team (team=search)", "drawn from 4 tokens of grant, 3 tokens of paid c-1"],
        ),
    ],
)
def test_what_paid(settled: pb.SettleResponse, lines: list[str]) -> None:
    assert payment_lines(settled) == lines


@pytest.mark.parametrize(
    ("group", "values", "has"),
    [
        ("", {}, True),
        ("", {"user": "lee"}, False),
        ("user=lee", {"user": "lee"}, True),
        ("user=lee, jr", {"user": "lee"}, False),
        ("user=lee, jr,team=a,b", {"user": "lee, jr"}, True),
        ("user=lee, jr,team=a,b", {"team": "a,b", "user": "lee, jr"}, True),
        ("user=lee, jr,team=a,b", {"team": "a"}, False),
    ],
)
def test_groups_by_their_values(group: str, values: dict[str, str], has: bool) -> None:
    assert _has(group, values) is has


@pytest.mark.parametrize(
    ("limit", "spent", "held", "percent"),
    [(100, 30, 29, 59), (1_000, 999, 0, 99), (3, 2, 2, 133), (0, 0, 0, 100), (9, -1, 0, -12)],
)
def test_the_percentage_in_use(limit: int, spent: int, held: int, percent: int) -> None:
    assert used_percent(pb.BudgetState(limit=limit, spent=spent, held=held)) == percent


def test_a_cost_of_both_units() -> None:
    assert read_cost("--cost", ["1 USD", "5 tokens"]) == pb.Cost(nano_usd=1_000_000_000, tokens=5)
    with pytest.raises(CommandError, match="one amount in USD and one in tokens"):
        read_cost("--cost", ["1 USD", "2 USD"])


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (Duration(), "0s"),
        (Duration(nanos=1), "1s"),
        (Duration(seconds=59), "59s"),
        (Duration(seconds=3_600), "1h"),
        (Duration(seconds=12_000, nanos=5), "3h 20m"),
        (Duration(seconds=90_061), "1d 1h"),
    ],
)
def test_lengths_of_time(length: Duration, text: str) -> None:
    assert length_text(length) == text


@pytest.mark.parametrize(
    ("spent", "held", "bar"),
    [
        (0, 0, "░░░░░░░░░░░░░░░░   0 %"),
        (1, 0, "█░░░░░░░░░░░░░░░   0 %"),
        (500, 250, "████████▒▒▒▒░░░░  75 %"),
        (999, 0, "███████████████░  99 %"),
        (1_000, 0, "████████████████ 100 %"),
        (900, 300, "██████████████▒▒ 120 %"),
    ],
)
def test_the_bar_is_empty_only_for_nothing_and_full_only_for_all(spent: int, held: int, bar: str) -> None:
    budget = pb.BudgetState(limit=1_000, spent=spent, held=held)
    with open("/dev/null", "w", encoding="utf-8") as file:
        assert use_bar(budget, Console(file=file)).plain == bar


def test_a_bar_for_terminals_that_only_know_ascii() -> None:
    with open("/dev/null", "w", encoding="ascii") as file:
        bar = use_bar(pb.BudgetState(limit=4, spent=2, held=1), Console(file=file))
    assert bar.plain == "########====....  75 %"


def test_json_has_the_fields_in_the_order_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    decision = pb.ReserveResponse(result=pb.RESULT_DENY, model="m", tally=b"\xff")
    decision.budgets.add(unit=pb.UNIT_TOKENS, limit=MAX_AMOUNT).window_end.seconds = 0
    decision.refusal.retry_after.nanos = 500_000_000
    print_message(decision)
    document = json.loads(capsys.readouterr().out)
    assert list(document) == [
        *("result", "reservation_id", "tally", "wallet", "wallet_group", "model", "price_version"),
        *("budgets", "refusal", "store_away"),
    ]
    assert document["tally"] == "/w=="
    assert document["budgets"][0] == {
        "name": "",
        "group": "",
        "unit": "UNIT_TOKENS",
        "limit": str(MAX_AMOUNT),
        "spent": "0",
        "held": "0",
        "remaining": "0",
        "window_end": "1970-01-01T00:00:00Z",
        "threshold_percent": 0,
        "enforced": False,
        "ceiling": "0",
    }
    assert document["refusal"]["retry_after"] == "0.500s"


@pytest.mark.parametrize(
    ("code", "details", "exit_code", "line"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", 3, "can't reach the sidecar at here"),
        ("UNAVAILABLE", "the store can't be reached", 3, "unavailable: the store can't be reached"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", 3, "no answer from here within 2 s"),
        ("RESOURCE_EXHAUSTED", "9 calls are waiting", 3, "resource exhausted: 9 calls are waiting"),
        ("ALREADY_EXISTS", "used before", 1, "already exists: used before"),
        ("INTERNAL", "internal error", 70, "internal: internal error"),
    ],
)
def test_grpc_errors(code: str, details: str, exit_code: int, line: str) -> None:
    error = _explained(code, details, "here", 2.0)
    assert (error.code, error.lines[0]) == (exit_code, line)


def test_the_usage_is_taken_out_of_an_answer() -> None:
    assert json.loads(usage_of(b'{"candidates": [], "usageMetadata": {"promptTokenCount": 5}}')) == {
        "promptTokenCount": 5
    }
    assert json.loads(usage_of(b'{"id": 1, "usage": {"input_tokens": 9007199254740993}}')) == {
        "input_tokens": 9007199254740993
    }
    for body in (b'{"input_tokens": 1}', b"null", b"not json", b"[" * 100_000):
        assert usage_of(body) == body


def test_windows_and_matches_as_the_policy_has_them() -> None:
    policy = load_policy("""
        tenant: t
        budgets:
          a: {limit: 1 USD, window: 36h}
          b: {limit: 1 USD, window: 2d, match: {team: [x, y], user: "a*"}}
          c: {limit: 1 USD, window: month}
          d: {limit: 1 concurrent}
          e: {limit: 1 USD, window: 90s}
          f: {limit: 1 USD, window: rolling 7h}
        """)
    assert [window_text(budget) for budget in policy.budgets] == [
        "36h",
        "2d",
        "month",
        "-",
        "90s",
        "rolling 7h",
    ]
    assert [match_text(budget.match) for budget in policy.budgets[:2]] == ["all", "team=x|y, user=a*"]
