"""The command line against a real sidecar, as a process of its own."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import SidecarProcess, short_directory

DOC = Path(__file__).parents[2] / "docs/reference/cli.md"
POLICY = """
tenant: acme
prices:
  models:
    house-llm: {input: 0.40, cached_input: 0.04, output: 1.60}
wallets:
  user: {per: [user]}
  org: {}
budgets:
  daily: {per: [user], limit: 20 USD, window: day}
  ever: {per: [user], limit: 50 USD, window: total, on_exhausted: alert}
  in-flight: {per: [user], limit: 2 concurrent}
"""
POOLED_POLICY = """
tenant: pooled
wallets:
  pool: {unit: tokens}
  team: {per: [team]}
"""
MOVING_POLICY = """
tenant: moving
wallets:
  user: {per: [user]}
  team: {per: [team]}
  org: {}
"""
LADDER_POLICY = """
tenant: ladder
prices:
  models:
    grand: {input: 10, output: 10}
    tiny: {input: 1, output: 1}
wallets:
  user: {per: [user], grant: {amount: 5 USD, every: day}}
  org: {}
budgets:
  daily: {per: [user], limit: 0.02 USD, window: day, on_exhausted: downgrade, overage: 10%}
  calls: {per: [user], limit: 3 requests, window: rolling 90m}
downgrade:
  - {model: grand, to: [tiny], at: 80%}
"""
BAD_POLICY = """tenant: acme
wallet: {}
budgets:
  a: {limit: 25 EUR, window: day}
  b: {limit: 25 USD, window: fortnight}
"""
BODY = '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}'
USAGE = "time,user,model,input,output\n2026-06-01T09:00:00Z,alice,house-llm,1000,500\n"
ANSWER = '{"id": "x", "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}}'


class Cli:
    """Runs `tallystick` in a directory with a few files, for a sidecar in `data_dir`."""

    def __init__(self, directory: Path, data_dir: Path) -> None:
        self.directory = directory
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("TALLYSTICK_")}
        self.environment |= {"TALLYSTICK_DATA_DIR": str(data_dir), "TZ": "UTC"}
        files = {"acme.yaml": POLICY, "pooled.yaml": POOLED_POLICY, "bad.yaml": BAD_POLICY}
        files["ladder.yaml"] = LADDER_POLICY
        files["envoy.yaml"] = "static_resources: {}"
        files |= {"body.json": BODY, "answer.json": ANSWER, "june.csv": USAGE, "key.txt": "sk-1\n"}
        for name, text in files.items():
            (directory / name).write_text(text)

    def run(
        self, *arguments: str, expect: int = 0, given: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "-m", "tallystick", *arguments],
            env=self.environment | environment,
            cwd=self.directory,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == expect, (arguments, result.stdout, result.stderr)
        assert "Traceback" not in result.stderr
        return result

    def text(self, *arguments: str, expect: int = 0, **environment: str) -> str:
        return self.run(*arguments, expect=expect, **environment).stdout

    def error(self, *arguments: str, expect: int, **environment: str) -> str:
        result = self.run(*arguments, expect=expect, **environment)
        assert not result.stdout
        return result.stderr

    def json(self, *arguments: str, expect: int = 0) -> Any:
        return json.loads(self.text(*arguments, "--json", expect=expect))

    def id_of(self, *arguments: str) -> str:
        return str(self.json("reserve", "acme", *arguments)["reservation_id"])


def has_line(text: str, pattern: str) -> bool:
    """Whether a whole line of the text is as the pattern says."""
    return any(re.fullmatch(pattern, line.rstrip()) for line in text.splitlines())


@pytest.fixture(scope="module")
def sidecar() -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory)
        process.start()
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture(scope="module")
def applied(sidecar: SidecarProcess, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    cli = Cli(tmp_path_factory.mktemp("cli"), sidecar.directory)
    cli.run("policy", "apply", "acme.yaml")
    cli.run("policy", "apply", "pooled.yaml")
    return cli


@pytest.fixture
def cli(applied: Cli) -> Cli:
    return applied


@pytest.fixture
def user(cli: Cli, request: pytest.FixtureRequest) -> str:
    """A user of this test alone, with 10 dollars."""
    name = str(request.node.name)
    cli.run("wallet", "credit", "acme", "user", "10 USD", "--group", f"user={name}")
    return name


# policy


def test_a_good_policy_is_summed_up(cli: Cli) -> None:
    text = cli.text("policy", "validate", "acme.yaml")
    assert "acme.yaml: good, for tenant acme" in text
    assert has_line(text, r"daily +user +20\.00 USD +day +deny +all")
    assert has_line(text, r"in-flight +user +2 concurrent +- +deny +all")
    assert has_line(cli.text("policy", "validate", "pooled.yaml"), r"pool +- +tokens")


def test_every_problem_of_a_policy_is_shown_with_its_place(cli: Cli) -> None:
    lines = cli.text("policy", "validate", "bad.yaml", "acme.yaml", expect=1).splitlines()
    assert lines[0].startswith("bad.yaml:2:1: wallet: expected ")
    assert lines[1].startswith("bad.yaml:4:14: budgets.a.limit: expected ")
    assert lines[2].startswith("bad.yaml:5:30: budgets.b.window: expected ")
    assert "acme.yaml: good, for tenant acme" in lines


def test_problems_as_json(cli: Cli) -> None:
    report = cli.json("policy", "validate", "bad.yaml", "acme.yaml", expect=1)
    assert report["valid"] is False
    bad, good = report["files"]
    assert (good["file"], good["tenant"], good["problems"]) == ("acme.yaml", "acme", [])
    assert bad["problems"][0] | {"expected": ""} == {"line": 2, "column": 1, "path": "wallet", "expected": ""}
    assert len(bad["problems"]) == 3


def test_a_policy_from_standard_input(cli: Cli) -> None:
    assert "-: good, for tenant t" in cli.run("policy", "validate", "-", given="tenant: t").stdout
    (cli.directory / "latin").write_bytes(b"tenant: \xff")
    assert "byte 8 is not" in cli.error("policy", "validate", "latin", expect=1)


def test_a_policy_is_applied_and_shown_as_it_was(cli: Cli) -> None:
    (cli.directory / "two.yaml").write_text("tenant: two\nunmatched: allow\n")
    applied = cli.json("policy", "apply", "two.yaml")
    assert applied == {
        "tenant": "two", "version": "1", "changed": True, "differences": [], "over": [], "more_over": False,
    }  # fmt: skip
    assert "version 1 was in force already" in cli.text("policy", "apply", "two.yaml")
    shown = cli.run("policy", "show", "two")
    assert (shown.stdout, shown.stderr) == ("tenant: two\nunmatched: allow\n", "version 1\n")
    assert cli.json("policy", "show", "two") == {"document": shown.stdout, "version": "1"}


def test_a_bad_policy_is_refused_with_all_its_problems(cli: Cli) -> None:
    error = cli.error("policy", "apply", "bad.yaml", expect=1)
    assert error.startswith("tallystick: bad.yaml is refused\nbad.yaml:2:1: wallet: ")
    assert len(error.splitlines()) == 4


def test_another_version_than_expected_is_refused(cli: Cli) -> None:
    (cli.directory / "three.yaml").write_text("tenant: three\n")
    error = cli.error("policy", "apply", "three.yaml", "--expected-version", "7", expect=1)
    assert error.startswith("tallystick: aborted: ")
    cli.run("policy", "apply", "three.yaml", "--expected-version", "0")


def test_a_tenant_without_a_policy(cli: Cli) -> None:
    assert "tenant nobody has no policy" in cli.error("policy", "show", "nobody", expect=1)


# wallet


def test_a_credit_counts_once_by_its_id(cli: Cli) -> None:
    credit = ("wallet", "credit", "acme", "user", "2.000000001USD", "--group", "user=kim", "--id", "c-1")
    first = cli.json(*credit)
    assert cli.json(*credit) == first
    assert first["credit_id"] == "c-1"
    assert first["wallet"] == {
        "name": "user",
        "group": "user=kim",
        "unit": "UNIT_NANO_USD",
        "funds": "2000000001",
        "spent": "0",
        "held": "0",
        "available": "2000000001",
        "lots": [{"id": "c-1", "kind": "LOT_KIND_PAID", "remaining": "2000000001"}],
    }
    assert re.search(r"user user=kim +2\.000000001 +0\.00 +0\.00 +2\.000000001 USD", cli.text(*credit))


@pytest.mark.parametrize(
    ("wallet", "amount", "code", "expected"),
    [
        ("pool", "2 USD", 1, "unit: expected the unit of wallet pool, tokens"),
        ("team", "2M tokens", 1, "unit: expected the unit of wallet team, USD"),
        ("pool", "2 requests", 2, "expected USD or tokens"),
        ("pool", "2 EUR", 2, "expected the unit USD"),
        ("pool", "nothing", 2, "AMOUNT: expected an amount and its unit"),
        ("none", "2 USD", 1, "invalid argument: wallet: expected a wallet of the policy"),
        ("team", "2 USD", 1, "invalid argument: group: expected a value"),
    ],
)
def test_a_wrong_credit_is_refused(cli: Cli, wallet: str, amount: str, code: int, expected: str) -> None:
    error = cli.error("wallet", "credit", "pooled", wallet, amount, expect=code)
    assert expected in error
    assert len(error.splitlines()) == 1


def test_tokens_are_credited(cli: Cli) -> None:
    text = cli.text("wallet", "credit", "pooled", "pool", "2M tokens", "--id", "p-1")
    assert text.startswith("2000000 tokens credited to pool, as p-1\n")
    assert has_line(text, r"pool +2000000 +0 +0 +2000000 tokens")


def test_funds_are_moved_and_lots_are_shown(cli: Cli) -> None:
    (cli.directory / "moving.yaml").write_text(MOVING_POLICY)
    cli.run("policy", "apply", "moving.yaml")
    move = ("wallet", "allocate", "moving")
    team, user = ("--to-group", "team=search"), ("--to-group", "user=kim")
    cli.run("wallet", "credit", "moving", "org", "10 USD", "--id", "invoice-17")
    earned = ("--kind", "earned", "--expires", "2099-01-01", "--id", "bonus")
    cli.run("wallet", "credit", "moving", "org", "2 USD", *earned)
    text = cli.text(*move, "org", "team", "5 USD", *team, "--id", "t-1", "--reason", "the quarter")
    assert text.startswith("5.00 USD allocated from org to team (team=search), as t-1\n")
    assert has_line(text, r"team team=search +5\.00 +0\.00 +0\.00 +5\.00 USD")
    moved = cli.json(*move, "team", "user", "1USD", "--from-group", "team=search", *user)
    assert (moved["from"]["available"], moved["to"]["available"]) == ("4000000000", "1000000000")
    text = cli.text("wallet", "debit", "moving", "team", "1.5USD", "--group", "team=search", "--id", "d-1")
    assert text.startswith(
        "1.50 USD debited from team (team=search), as d-1\n"
        "drawn from 1.00 USD of earned t-1, 0.50 USD of paid t-1\n"
    )
    text = cli.text("wallet", "show", "moving", TZ="Europe/Berlin")
    assert [re.split(" {2,}", line) for line in text.splitlines()[-3:]] == [
        ["org", "paid", "invoice-17", "never", "7.00 USD"],
        ["team team=search", "paid", "t-1", "never", "2.50 USD"],
        ["user user=kim", "earned", moved["transfer_id"], "2099-01-01T01:00:00+01:00", "1.00 USD"],
    ]
    back = ("wallet", "reclaim", "moving", "team", "org")
    text = cli.text(*back, "1USD", "--from-group", "team=search", "--id", "r-1")
    assert text.startswith("1.00 USD reclaimed from team (team=search) to org, as r-1\n")
    assert cli.json(*back, "all", "--from-group", "team=search")["reclaimed"] == "1500000000"
    shown = cli.json("wallet", "show", "moving")["wallets"]
    assert [wallet["available"] for wallet in shown] == ["9500000000", "0", "1000000000"]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ("credit pooled team 1USD --group team=a --kind grant", 2, "'grant' is not one of 'paid', 'earned'"),
        ("credit pooled team 1USD --group team=a --expires soon", 2, "--expires: expected a date such as"),
        (
            "credit pooled team 1USD --group team=a --expires 2020-01-01",
            1,
            "expires_at: expected a time in the",
        ),
        (
            "credit pooled team 1USD --group team=a --id grant",
            1,
            "credit_id: expected neither grant nor refund:",
        ),
        ("debit pooled team 1USD --group team=b", 1, "failed precondition: wallet team (team=b) has nothing"),
        ("debit pooled team all --group team=b", 2, "AMOUNT: expected an amount and its unit"),
        ("allocate pooled team team 1USD --from-group team=a", 1, "to.group: expected a value for each"),
        ("allocate pooled team pool 1USD --from-group team=a", 1, "to.wallet: expected a wallet in USD"),
        ("allocate pooled team team 1USD --from-group x", 2, "--from-group: expected NAME=VALUE"),
        ("reclaim pooled pool pool all", 1, "to: expected another wallet than from"),
        ("reclaim pooled team team all --to-group team=a", 1, "from.group: expected a value for each"),
    ],
)
def test_a_wrong_move_is_refused(cli: Cli, arguments: str, code: int, expected: str) -> None:
    assert expected in cli.error("wallet", *arguments.split(), expect=code, COLUMNS="200")


def test_a_settle_shows_the_lots_that_paid(cli: Cli, user: str) -> None:
    bonus = ("--group", f"user={user}", "--kind", "earned", "--id", f"bonus-{user}")
    cli.run("wallet", "credit", "acme", "user", "1 USD", *bonus)
    reservation = cli.id_of("--user", user, "--cost", "9 USD")
    lines = cli.text("settle", "acme", reservation, "--cost", "11.5 USD").splitlines()
    assert lines[:2] == [f"{reservation}: charged 11.50 USD, 0 tokens", f"paid by user (user={user})"]
    assert re.fullmatch(rf"drawn from 1\.00 USD of earned bonus-{user}, 10\.00 USD of paid c-\w+", lines[2])
    assert lines[3] == "0.50 USD was covered by no lot, and is debt"


def test_debt_is_red_on_a_terminal(cli: Cli, user: str) -> None:
    reservation = cli.id_of("--user", user, "--cost", "9 USD")
    cli.run("settle", "acme", reservation, "--cost", "10.5 USD")
    assert has_line(cli.text("wallet", "show", "acme"), rf".*user={user} +10\.00 +10\.50 +0\.00 +-0\.50 USD")
    coloured = cli.text("wallet", "show", "acme", FORCE_COLOR="1", COLUMNS="100", TERM="xterm-256color")
    assert re.search(r"\x1b\[1;31m *-0\.50 USD", coloured)


def test_all_wallets_and_one_of_them(cli: Cli) -> None:
    for user in ("lee", "lee, jr"):
        credit = ("wallet", "credit", "acme", "user", "3 USD", "--group", f"user={user}")
        cli.run(*credit, "--id", f"gift-{user[-2:]}")
    text = cli.text("wallet", "list", "acme")
    assert has_line(text, r"user user=lee, jr +3\.00 +0\.00 +0\.00 +3\.00 USD")
    assert "gift-" not in text
    assert cli.json("wallet", "list", "acme") == cli.json("wallet", "show", "acme")
    one = ("wallet", "show", "acme", "user", "--group", "user=lee")
    text = cli.text(*one)
    assert has_line(text, r"user user=lee +paid +gift-ee +never +3\.00 USD")
    assert "jr" not in text
    assert [wallet["group"] for wallet in cli.json(*one)["wallets"]] == ["user=lee"]
    assert cli.text("wallet", "show", "acme", "org") == "acme: no such wallet has had funds or spend yet\n"


# budget


def test_budgets_are_listed_with_every_group(cli: Cli, user: str) -> None:
    cli.run("reserve", "acme", "--user", user, "--cost", "5 USD", "--id", f"b-{user}")
    text = cli.text("budget", "list", "acme", TZ="Asia/Kolkata")
    end = r"\d\d\d\d-\d\d-\d\dT05:30:00\+05:30"
    amounts = r"+0\.00 USD +5\.00 USD +"
    assert has_line(text, rf"daily user={user} +day +{end} +deny +20\.00 USD {amounts}15\.00 USD +25 %")
    assert has_line(text, rf"ever user={user} +total +- +alert +50\.00 USD {amounts}45\.00 USD +10 %")
    flight = r"2 concurrent +0 concurrent +1 concurrent +1 concurrent +50 %"
    assert has_line(text, rf"in-flight user={user} +- +- +deny +{flight}")
    listed = cli.json("budget", "list", "acme")
    assert listed["truncated"] is False
    (daily, *_) = [each for each in listed["budgets"] if each["state"]["group"] == f"user={user}"]
    assert (daily["window"], daily["on_exhausted"]) == ("day", "ON_EXHAUSTED_DENY")
    assert daily["state"]["held"] == "5000000000"


def test_a_budget_is_shown_with_what_the_policy_says_of_it(cli: Cli) -> None:
    budget = (
        "{match: {team: [s*]}, per: [team], limit: 10 USD, window: rolling 1h, overage: 20%, alerts: [40, 60]"
    )
    (cli.directory / "shown.yaml").write_text(
        f"tenant: shown\nbudgets:\n  hourly: {budget}, priorities: {{low: 50%}}}}\n"
    )
    cli.run("policy", "apply", "shown.yaml")
    show = ("budget", "show", "shown", "hourly")
    assert has_line(cli.text(*show), r"all +- +10\.00 USD +0\.00 USD +0\.00 USD +10\.00 USD +0 %")
    for team, cost in (("search", "5 USD"), ("sales", "11 USD")):
        cli.run("reserve", "shown", "--team", team, "--cost", cost)
    text = cli.text(*show)
    for line in (
        *("hourly", r"limit +10\.00 USD", "window +rolling 1h", "per +team", r"match +team=s\*"),
        *("when full +deny", r"overage +2\.00 USD", "priorities +low 50 %", "alerts +40 %, 60 %"),
        r"team=sales +60 % +10\.00 USD +0\.00 USD +11\.00 USD +-1\.00 USD +110 %",
        r"team=search +40 % +10\.00 USD +0\.00 USD +5\.00 USD +5\.00 USD +50 %",
    ):
        assert has_line(text, line), line
    one = (*show, "--group", "team=search")
    assert "sales" not in cli.text(*one)
    shown = cli.json(*one)
    assert [each["state"]["group"] for each in shown.pop("budgets")] == ["team=search"]
    assert shown == {
        "name": "hourly",
        "match": {"team": ["s*"]},
        "per": ["team"],
        "alerts": [40, 60],
        "priorities": {"low": 50},
        "overage": "2000000000",
        "truncated": False,
        "next_page_token": "",
    }


def test_a_policy_without_budgets(cli: Cli) -> None:
    assert cli.text("budget", "list", "pooled") == "pooled: the policy has no budgets\n"


# reserve, settle, release, extend


def test_allow_and_the_command_that_settles_it(cli: Cli, user: str) -> None:
    text = cli.text(
        *("reserve", "acme", "--user", user, "--model", "house-llm", "--label", "a=b", "--ttl", "2m"),
        *("--input-tokens", "1000", "--max-output", "500"),
    )
    assert text.startswith("ALLOW\n")
    assert has_line(text, r"held +0\.0012 USD, 1500 tokens")
    assert has_line(text, rf"paid by +user \(user={user}\)")
    assert has_line(text, r"expires +20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
    assert has_line(text, r"daily +▒░{15}   0 % +19\.9988 USD +0\.00 USD")
    assert has_line(text, rf"user={user}, only alerts +no end +50\.00 USD +0\.0012 USD")
    assert has_line(text, rf"user={user} +calls in flight +2 concurrent +1 concurrent")
    command = shlex.split(text.splitlines()[-1])
    assert command[0] == "tallystick"
    assert "charged 0.0012 USD, 1500 tokens" in cli.text(*command[1:])


def test_the_decision_as_json(cli: Cli, user: str) -> None:
    decision = cli.json(
        "reserve", "acme", "--user", user, "--cost", "1USD", "--cost", "7 tokens", "--id", "j-1"
    )
    assert decision["result"] == "RESULT_ALLOW"
    assert decision["reservation_id"] == "j-1"
    assert decision["cost"] == {"nano_usd": "1000000000", "tokens": "7"}
    assert [budget["name"] for budget in decision["budgets"]] == ["daily", "ever", "in-flight"]
    assert decision["budgets"][1]["spent"] == "0"
    assert "refusal" not in decision
    settled = cli.json("settle", "acme", "j-1", "--tally", decision["tally"], "--cost", "0.25 USD")
    assert settled == {
        "reservation_id": "j-1",
        "charged": {"nano_usd": "250000000", "tokens": "7"},
        "estimated": False,
        "late": False,
        "wallet": "user",
        "wallet_group": f"user={user}",
        "wallet_unit": "UNIT_NANO_USD",
        "drawn": [{"lot": settled["drawn"][0]["lot"], "kind": "LOT_KIND_PAID", "amount": "250000000"}],
    }


def test_deny_exits_with_10_and_says_what_binds(cli: Cli, user: str) -> None:
    text = cli.text("reserve", "acme", "--user", user, "--cost", "12 USD", expect=10)
    assert text.startswith("DENY INSUFFICIENT_FUNDS\n")
    assert has_line(text, r"binds +wallet org")
    assert has_line(text, r"retry +waiting does not help")
    assert "tallystick settle" not in text


def test_deny_says_how_much_is_missing_and_when_to_retry(cli: Cli, user: str) -> None:
    cli.run("wallet", "credit", "acme", "user", "90 USD", "--group", f"user={user}")
    cli.run("reserve", "acme", "--user", user, "--cost", "15 USD")
    refused = ("reserve", "acme", "--user", user, "--cost", "5.5 USD")
    text = cli.text(*refused, expect=10)
    assert text.startswith("DENY BUDGET_EXHAUSTED\n")
    assert has_line(text, rf"binds +budget daily \(user={user}\)")
    assert has_line(text, r"short of +0\.50 USD")
    assert has_line(text, r"retry +after \d+[hms].*")
    refusal = cli.json(*refused, expect=10)["refusal"]
    assert (refusal["reason"], refusal["retryable"]) == ("REASON_BUDGET_EXHAUSTED", True)
    assert refusal["retry_after"].endswith("s")


def test_the_whole_request_and_the_whole_answer(cli: Cli, user: str) -> None:
    reserve = ("--user", user, "--request", "body.json", "--api", "openai-chat")
    reservation = cli.id_of(*reserve)
    settled = cli.json("settle", "acme", reservation, "--usage", "answer.json")
    assert settled["charged"]["tokens"] == "30"
    assert settled["estimated"] is False
    again = cli.run("reserve", "acme", "--user", user, "--request", "-", "--api", "openai-chat", given=BODY)
    assert "--usage answer.json" in again.stdout


def test_a_completed_call_without_usage_is_charged_its_hold(cli: Cli, user: str) -> None:
    reservation = cli.id_of("--user", user, "--cost", "1 USD")
    text = cli.text("settle", "acme", reservation)
    assert f"{reservation}: charged 1.00 USD" in text
    assert "an estimate" in text


def test_all_classes_of_tokens(cli: Cli, user: str) -> None:
    reservation = cli.id_of("--user", user, "--model", "house-llm", "--input-tokens", "10")
    tokens = ["--input", "1", "--output", "2", "--cache-read", "3", "--cache-write-5m", "4"]
    tokens += ["--cache-write-1h", "5", "--reasoning", "1"]
    assert cli.json("settle", "acme", reservation, *tokens)["charged"]["tokens"] == "15"


def test_released_and_never_seen(cli: Cli, user: str) -> None:
    reservation = cli.id_of("--user", user, "--cost", "1 USD")
    assert f"{reservation}: released 1.00 USD" in cli.text("release", "acme", reservation)
    assert "nothing was held" in cli.text("release", "acme", "unseen")
    error = cli.error("reserve", "acme", "--user", user, "--cost", "1 USD", "--id", "unseen", expect=1)
    assert error.startswith("tallystick: failed precondition: ")


def test_extended_and_refused_more(cli: Cli, user: str) -> None:
    reservation = cli.id_of("--user", user, "--cost", "1 USD")
    more = ("extend", "acme", reservation, "--ttl", "20m", "--more", "0.5 USD", "--id", "x-1")
    assert cli.json(*more)["cost"]["nano_usd"] == "1500000000"
    assert has_line(cli.text(*more), r"held +1\.50 USD, 0 tokens")
    text = cli.text("extend", "acme", reservation, "--more", "30 USD", expect=10)
    assert text.startswith("DENY ")
    assert has_line(text, r"held +1\.50 USD, 0 tokens")


# balance


def test_balance_marks_the_wallet_that_pays(cli: Cli, user: str) -> None:
    cli.run("reserve", "acme", "--user", user, "--cost", "5 USD")
    text = cli.text("balance", "acme", "--user", user, "--team", "search", "--model", "house-llm")
    assert text.startswith("acme: policy version 1\n")
    assert has_line(text, rf"user user={user} +10\.00 +0\.00 +5\.00 +5\.00 USD +pays")
    assert text.count(" pays\n") == 1
    assert has_line(text, r"daily +▒{4}░{12}  25 % +15\.00 USD +0\.00 USD")
    assert re.search(r"\d\d\d\d-\d\d-\d\dT00:00\+00:00 +20\.00 USD +5\.00 USD", text)
    assert cli.json("balance", "acme", "--user", user)["effective_wallet"] == "user"


def test_amounts_are_never_cut(cli: Cli, user: str) -> None:
    cli.run("reserve", "acme", "--user", user, "--cost", "5.123456789 USD")
    text = cli.text(
        "balance", "acme", "--user", user, FORCE_COLOR="1", COLUMNS="40", NO_COLOR="1", TERM="xterm"
    )
    for amount in ("5.123456789", "4.876543211 USD", "14.876543211 USD", "20.00 USD"):
        assert amount in text


def test_local_time(cli: Cli, user: str) -> None:
    text = cli.text("balance", "acme", "--user", user, TZ="Asia/Kolkata")
    assert re.search(r"\d\d\d\d-\d\d-\d\dT05:30\+05:30", text)


# errors


def test_no_sidecar(cli: Cli) -> None:
    error = cli.error("balance", "acme", "--address", "unix:/nonexistent.sock", expect=3)
    assert error.startswith("tallystick: can't reach the sidecar at unix:/nonexistent.sock\nIs it running? ")
    assert "`tallystick serve`" in error
    cli.error("balance", "acme", expect=3, TALLYSTICK_ADDRESS="127.0.0.1:1")
    cli.error("wallet", "show", "acme", expect=3, TALLYSTICK_ADMIN_ADDRESS="/nonexistent.sock")


# explain


def test_every_step_of_a_decision_is_explained_and_nothing_is_held(cli: Cli) -> None:
    cli.run("policy", "apply", "ladder.yaml")
    call = ("ladder", "--user", "alice", "--model", "grand", "--input-tokens", "600", "--max-output", "400")
    first = cli.text("explain", *call)
    assert first.startswith("ALLOW\n")
    assert has_line(first, r"model +grand")
    assert has_line(first, r"would hold +0\.01 USD, 1000 tokens")
    assert has_line(first, r"grand +budget daily user=alice +0\.0176 USD +0\.00 USD +0\.01 USD +yes")
    assert has_line(first, r" +budget calls user=alice +3 requests +0 requests +1 requests +yes")
    assert has_line(first, r" +wallet user user=alice +5\.00 USD +0\.00 USD +0\.01 USD +yes +pays")
    assert has_line(first, r" +wallet org +0\.00 USD +0\.00 USD +0\.01 USD +no")
    assert cli.text("explain", *call) == first

    cli.run("reserve", *call)
    lower = cli.text("explain", *call)
    assert has_line(lower, r"instead of +grand")
    assert has_line(
        lower, r"because +grand is not used: budget daily \(user=alice\) has too little left for it"
    )
    assert has_line(lower, r"grand +budget daily .* +0\.0176 USD +0\.01 USD +0\.01 USD +no +refuses")
    assert has_line(lower, r"tiny +budget daily .* +0\.022 USD +0\.01 USD +0\.001 USD +yes")
    held = cli.text("reserve", *call)
    assert has_line(held, r"instead of +grand")
    assert has_line(held, r"model +tiny")

    cli.run("reserve", *call)
    document = cli.json("explain", *call, expect=10)
    assert (document["result"], document["refusal"]["budget"]) == ("RESULT_DENY", "calls")
    assert document["refusal"]["retryable"] is False  # all is held
    binding = [(step["model"], step["budget"]["name"]) for step in document["steps"] if step["binds"]]
    assert binding == [("grand", "daily"), ("tiny", "calls"), ("grand", "calls")]
    assert cli.text("explain", *call, expect=10).startswith("DENY BUDGET_EXHAUSTED\n")

    shown = cli.text("balance", "ladder", "--user", "alice")
    assert "0.022 USD of 0.02 USD" not in shown
    assert "to 0.022 USD, limit 0.02 USD" in shown
    assert "rolling 1h 30m" in shown


def test_a_refusal_says_what_to_do_instead(cli: Cli) -> None:
    cli.run("policy", "apply", "ladder.yaml")
    call = ("ladder", "--user", "bob", "--model", "grand", "--max-output", "400", "--input-tokens")
    denied = cli.text("explain", *call, "25000", expect=10)
    assert "DENY CAN_NEVER_FIT" in denied
    assert has_line(denied, r"or +ask for a higher limit of budget daily in the policy of tenant ladder")
    denied = cli.text(
        "reserve", "ladder", "--user", "bob", "--model", "tiny", "--max-output", "30000", expect=10
    )
    assert has_line(denied, r"or ask for +at most 22000 tokens of output")
    assert "waiting does not help" in denied


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ("balance A", 1, "tallystick: invalid argument: tenant: expected 1 to 64 of [a-z0-9_.-]"),
        ("settle acme unknown --input 5", 1, "tallystick: not found: no reservation 'unknown'"),
        ("settle acme r --input 5 --cost 1USD", 2, "expected one way to say what the call took"),
        ("settle acme r --input -5", 2, "expected a whole number of tokens"),
        ("settle acme r --tally ?", 2, "--tally: expected base64"),
        ("settle acme r --usage missing.json", 2, "missing.json: No such file or directory"),
        ("settle acme r --usage acme.yaml", 1, "invalid argument: provider_usage"),
        ("reserve acme", 2, "expected one way to say what the call may take"),
        ("reserve acme --input-tokens 5", 2, "--model: expected the model"),
        ("reserve acme --request body.json", 2, "--api: expected one of openai-chat"),
        ("reserve acme --cost 1USD --cost 2USD", 2, "--cost: expected one amount in USD"),
        ("reserve acme --cost 1USD --ttl soon", 2, "--ttl: expected a length of time"),
        ("reserve acme --cost 1USD --label x", 2, "--label: expected NAME=VALUE"),
        ("reserve acme --cost 1USD --label x=1 --label x=2", 2, "--label: x is given twice"),
        ("balance acme --timeout never", 2, "expected seconds"),
        ("balance acme --address here", 2, "--address: expected HOST:PORT or unix:PATH"),
        ("balance", 2, "Missing argument 'TENANT'"),
        ("budget list nobody", 1, "tallystick: not found: tenant nobody has no policy"),
        ("budget show nobody daily", 1, "tallystick: not found: tenant nobody has no policy"),
        ("budget show acme dayly", 1, "budget: expected a budget of the policy (daily, ever, in-flight)"),
        ("budget show acme daily --group team=x", 1, "group: expected values of the budget's per: user"),
        ("budget show acme daily --group x", 2, "--group: expected NAME=VALUE, not 'x'"),
        ("wallet show acme user --group x", 2, "--group: expected NAME=VALUE, not 'x'"),
        ("blance acme", 2, "No such command"),
    ],
)
def test_what_is_wrong_is_said(cli: Cli, arguments: str, code: int, expected: str) -> None:
    error = cli.error(*arguments.split(), expect=code, COLUMNS="200")
    assert expected in error


def test_the_admin_service_is_not_the_budget_service(cli: Cli, sidecar: SidecarProcess) -> None:
    error = cli.error("balance", "acme", "--address", f"{sidecar.directory}/admin.sock", expect=1)
    assert "the admin service has an address of its own" in error


def test_wrong_settings(cli: Cli) -> None:
    error = cli.error("balance", "acme", expect=2, TALLYSTICK_PARTITIONS="0", TALLYSTICK_LISTEN="x")
    assert error.startswith("tallystick: TALLYSTICK_LISTEN: expected HOST:PORT")
    assert "\nTALLYSTICK_PARTITIONS: expected " in error


# key


def test_a_key_is_shown_once_with_its_line_for_the_policy(cli: Cli) -> None:
    text = cli.text("key", "create", "acme", "bot", "--team", "search", "--label", 'desk=7 "a"')
    key, _, once, where, line = text.splitlines()
    assert re.fullmatch(r"tally-acme-[0-9A-Za-z]{43}", key)
    assert once.startswith("The key is shown this once")
    assert where == "For the policy of tenant acme, under consumers:"
    hashed = cli.run("key", "hash", given=key + "\n").stdout
    assert line == f'  bot: {{key: "{hashed.strip()}", subject: {{team: "search", label.desk: "7 \\"a\\""}}}}'
    assert cli.run("policy", "validate", "-", given=f"tenant: acme\nconsumers:\n{line}\n").stdout
    assert cli.json("key", "create", "acme", "bot")["key"] != key


def test_the_hash_of_a_key_as_json(cli: Cli) -> None:
    made = cli.json("key", "create", "acme", "bot")
    told = json.loads(cli.run("key", "hash", "--json", given=made["key"]).stdout)
    assert told == {"hash": made["hash"], "tenant": "acme"}
    told = json.loads(cli.run("key", "hash", "--json", given="abc").stdout)
    assert told["hash"] == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert told["tenant"] == ""


@pytest.mark.parametrize(
    ("arguments", "given", "code", "expected"),
    [
        ("key hash", "", 1, "expected one key on standard input"),
        ("key hash", "KEY other", 1, "expected one key on standard input"),
        ("key hash", "tally-acme-KEY", 1, "expected the whole key, tally-TENANT-SECRET"),
        ("key hash KEY", "", 2, "expected the key on standard input"),
        ("key hash KEY KEY --json", "", 2, "expected the key on standard input"),
        ("key create Acme bot", "", 1, "tenant: expected 1 to 64"),
        ("key create acme Bot", "", 2, "CONSUMER: expected a name"),
        ("key create acme bot --label A=x", "", 1, "subject.labels: expected names"),
        ("key create acme", "", 2, "Missing argument 'CONSUMER'"),
        ("key create nobody bot --apply", "", 1, "not found: tenant nobody has no policy"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_without_it(
    cli: Cli, arguments: str, given: str, code: int, expected: str
) -> None:
    secret = "Xq7Zp2Lw9Rt4"
    words = [word.replace("KEY", secret) for word in arguments.split()]
    result = cli.run(*words, expect=code, given=given.replace("KEY", secret), COLUMNS="200")
    assert expected in result.stderr
    assert not result.stdout
    assert secret not in result.stderr


def test_a_consumer_is_added_to_the_policy_in_force(cli: Cli) -> None:
    (cli.directory / "keyed.yaml").write_text("tenant: keyed  # ours\nunmatched: allow\n")
    cli.run("policy", "apply", "keyed.yaml")
    text = cli.text("key", "create", "keyed", "bot", "--team", "search", "--apply")
    key, last = text.splitlines()[0], text.splitlines()[-1]
    assert last == "keyed: version 2 is in force, with consumer bot"
    made = cli.json("key", "create", "keyed", "cron", "--apply")
    assert made["version"] == 3
    hashed = cli.run("key", "hash", given=key).stdout.strip()
    assert cli.text("policy", "show", "keyed") == (
        "tenant: keyed  # ours\nunmatched: allow\nconsumers:\n"
        f'  cron: {{key: "{made["hash"]}"}}\n'
        f'  bot: {{key: "{hashed}", subject: {{team: "search"}}}}\n'
    )
    error = cli.error("key", "create", "keyed", "bot", "--apply", expect=1)
    assert "consumers.bot: expected a new consumer, got `bot`, which is there" in error


# serve


def test_serve_with_options_and_a_policy(cli: Cli, directory: Path) -> None:
    with (directory / "log").open("wb") as log:
        arguments = ["--policy", "acme.yaml", "--data-dir", str(directory), "--transport", "grpcio"]
        arguments += ["--listen", "", "--http-listen", "", "--log-format", "text", "--log-level", "debug"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tallystick", "serve", *arguments],
            env=cli.environment | {"TALLYSTICK_PRELOAD_TOKENIZERS": "false"},
            cwd=cli.directory,
            stderr=log,
        )
    try:
        waiting = SidecarProcess(directory)
        waiting._process = process
        waiting.wait_serving()
        socket = f"unix:{directory}/tallystick.sock"
        assert "policy version 1" in cli.text("balance", "acme", "--address", socket)
        text = cli.text("reserve", "acme", "--cost", "1 USD", "--address", socket, expect=10)
        assert text.startswith("DENY INSUFFICIENT_FUNDS")
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert "is in force, version 1" in (directory / "log").read_text()


def test_serve_refuses_wrong_options_all_at_once(cli: Cli) -> None:
    error = cli.error("serve", "--listen", "foo", "--log-level", "loud", "--transport", "x", expect=2)
    assert [line.split(":")[0] for line in error.removeprefix("tallystick: ").splitlines()] == [
        "--listen",
        "--transport",
        "--log-level",
    ]


def test_serve_refuses_a_bad_policy_before_it_starts(cli: Cli, directory: Path) -> None:
    error = cli.error("serve", "--policy", "bad.yaml", "--data-dir", str(directory / "new"), expect=1)
    assert "bad.yaml:4:14: budgets.a.limit: expected " in error
    assert not (directory / "new").exists()
    assert "No such file" in cli.error("serve", "--policy", "missing.yaml", expect=2)


def test_serve_never_shows_a_password(cli: Cli) -> None:
    error = cli.error("serve", "--store-url", "http://me:hunter2@there", expect=2)
    assert "--store-url: expected redis://" in error
    assert "hunter2" not in error


def test_serve_that_cannot_start_says_so_in_one_line(
    cli: Cli, sidecar: SidecarProcess, directory: Path
) -> None:
    nowhere = ("--listen", "", "--http-listen", "")
    quiet = {"TALLYSTICK_PRELOAD_TOKENIZERS": "false"}
    taken = cli.error("serve", *nowhere, "--data-dir", str(sidecar.directory), expect=3)
    assert re.fullmatch(r"tallystick: data directory \S+ is in use by another sidecar \(pid \d+\)\n", taken)
    socket = str(sidecar.directory / "tallystick.sock")
    busy = cli.error(
        "serve", *nowhere, "--data-dir", str(directory), expect=3, TALLYSTICK_SOCKET=socket, **quiet
    )
    assert busy == f"tallystick: can't listen on {socket}: another process does\n"
    file = cli.directory / "acme.yaml"
    no_directory = cli.error("serve", *nowhere, "--data-dir", str(file), expect=3, **quiet)
    assert no_directory == f"tallystick: data directory {file}: File exists\n"


# version, help and the documentation


def test_version(cli: Cli) -> None:
    assert re.fullmatch(r"tallystick \d+\.\d+\.\d+\S*\n", cli.text("version"))
    assert cli.text("--version") == cli.text("version")
    assert cli.text("version").split() == ["tallystick", cli.json("version")["version"]]


def test_a_reader_who_leaves_early_is_no_error(cli: Cli) -> None:
    command = f"{shlex.quote(sys.executable)} -m tallystick policy show acme | head -1"
    result = subprocess.run(
        ["bash", "-c", command], env=cli.environment, capture_output=True, text=True, check=True
    )
    assert result.stderr in ("version 1\n", "")


COMMANDS = (
    *("serve", "gateway", "demo", "policy validate", "policy apply", "policy show", "backtest"),
    *("policy diff", "policy history", "policy rollback"),
    *("policy shadow apply", "policy shadow show", "policy shadow report", "policy shadow clear"),
    *("key create", "key hash", "token create", "token list", "token revoke"),
    *("wallet credit", "wallet list", "wallet show", "budget list", "budget show"),
    *("tenant suspend", "tenant resume", "tenant list", "hold list", "hold resolve", "ledger tail"),
    *("balance", "reserve", "explain", "settle", "release", "extend", "version"),
    *("envoy config", "envoy check"),
    *("ticket list", "ticket show", "ticket approve", "ticket reject", "ticket wait"),
)


def examples() -> list[tuple[list[str], int]]:
    """The commands of the reference, and how they exit."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", DOC.read_text(), re.DOTALL):
        for line in block.splitlines():
            code = re.search(r"# exits with (\d+)", line)
            found.append((shlex.split(line, comments=True), int(code[1]) if code else 0))
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_the_reference_has_too(cli: Cli, command: str) -> None:
    text = cli.text(*command.split(), "--help", COLUMNS="80")
    if command != "version":
        assert f"tallystick {command}" in text.partition("Example")[2]
    assert max(map(len, text.splitlines())) <= 80
    assert any(words[1 : 1 + len(command.split())] == command.split() for words, _ in examples())


def test_the_exit_codes_are_in_the_help(cli: Cli) -> None:
    text = cli.text("--help")
    assert has_line(text, r" *10  DENY, or HOLD: a ticket is open")
    assert all(f" {command.split()[0]} " in text for command in COMMANDS)


def test_the_examples_of_the_reference_work(directory: Path) -> None:
    cli = Cli(directory, directory)
    policy = re.search(r"```yaml\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert policy
    (directory / "acme.yaml").write_text(policy[1])
    sidecar = SidecarProcess(directory)
    sidecar.start()
    try:
        for words, code in examples():
            typed, given = words[1:], ""
            if "<" in words:
                typed, given = words[1 : words.index("<")], (directory / words[-1]).read_text()
            if words[1] not in ("serve", "gateway", "demo"):
                cli.run(*typed, expect=code, given=given)
    finally:
        sidecar.stop()
