"""What a decision tells: every budget as it stands, and what binds."""

import time
from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.caller import DENY, Caller, fails, seconds

DAY_S, WEEK_S = 86_400, 7 * 86_400
SUBJECT = pb.Subject(user="ann o'hara", team="search", environment="prod", service="api", session="s-1")


def test_an_allow_shows_every_budget_that_matched(caller: Caller) -> None:
    caller.apply("""
wallets: {user: {per: [user]}, org: {}}
budgets:
  others: {match: {team: ads}, limit: 1 USD, window: day}
  daily: {per: [user, team], limit: 0.000001 USD, window: day, alerts: [25, 50, 75]}
  weekly: {limit: 500 tokens, window: week, week_start: sunday, on_exhausted: alert}
  ever: {limit: 10 requests, window: total, alerts: []}
  chat: {limit: 9 requests, window: session}
  busy: {per: [service], limit: 4 concurrent}
  nobody: {per: [repository], limit: 1 USD, window: day}
""")
    caller.credit(10_000)
    caller.settle(caller.allowed(200, 20, subject=SUBJECT).reservation_id, 150)
    now = time.time()
    decision = caller.allowed(400, 30, subject=SUBJECT, reservation_id="x", model="gpt-5", ttl=90)
    assert (decision.reservation_id, decision.model) == ("x", "gpt-5")
    assert (decision.wallet, decision.wallet_group) == ("org", "")
    assert decision.cost == pb.Cost(nano_usd=400, tokens=30)
    assert abs(decision.expires_at.seconds - now - 90) < 30
    assert decision.price_version.startswith("genai-prices ")
    assert not decision.HasField("refusal")
    daily, weekly, ever, chat, busy = decision.budgets
    assert (daily.name, daily.group) == ("daily", "user=ann o'hara,team=search")
    assert (daily.unit, daily.limit, daily.spent, daily.held) == (pb.UNIT_NANO_USD, 1_000, 150, 400)
    assert (daily.remaining, daily.threshold_percent, daily.enforced) == (450, 50, True)
    assert daily.window_end.seconds - daily.window_start.seconds == DAY_S
    assert daily.window_start.seconds % DAY_S == 0
    assert daily.window_start.seconds <= now <= daily.window_end.seconds
    assert (weekly.unit, weekly.limit, weekly.held, weekly.enforced) == (pb.UNIT_TOKENS, 500, 30, False)
    assert weekly.window_end.seconds - weekly.window_start.seconds == WEEK_S
    assert (weekly.window_start.seconds // DAY_S + 4) % 7 == 0  # 1970-01-01 was a Thursday
    assert (ever.unit, ever.spent, ever.held, ever.threshold_percent) == (pb.UNIT_REQUESTS, 1, 1, 0)
    assert (chat.group, chat.held) == ("session=s-1", 1)
    assert (busy.unit, busy.group, busy.spent, busy.held) == (pb.UNIT_CONCURRENT, "service=api", 0, 1)
    for unbounded in (ever, chat, busy):
        assert not unbounded.HasField("window_start")
        assert not unbounded.HasField("window_end")


def test_the_first_wallet_with_enough_pays_the_whole_call(caller: Caller) -> None:
    caller.apply("wallets: {user: {per: [user]}, team: {per: [team]}, org: {}}\ncascade: [team, user, org]")
    caller.credit(100, "user", user="ann o'hara")
    caller.credit(50, "team", team="search")
    caller.credit(1_000)
    paid = [caller.allowed(amount, subject=SUBJECT) for amount in (50, 80, 30, 20)]
    assert [(each.wallet, each.wallet_group) for each in paid] == [
        ("team", "team=search"), ("user", "user=ann o'hara"), ("org", ""), ("user", "user=ann o'hara")
    ]  # fmt: skip
    balance = caller.balance(user="ann o'hara", team="search")
    assert [(w.name, w.available) for w in balance.wallets] == [("team", 0), ("user", 0), ("org", 970)]
    assert balance.effective_wallet == "org"
    assert balance.policy_version == 1


def refusal_of(caller: Caller, budget: str, before: int = 1, ask: dict[str, Any] | None = None) -> Any:
    """What a call is told after `before` others, by a policy of this budget and an ample one."""
    caller.apply(f"budgets:\n  ample: {{limit: 1 USD, window: day}}\n  tight: {budget}")
    for _ in range(before):
        caller.allowed(40, 4, subject=SUBJECT)
    response = caller.reserve(**(ask or {"nano_usd": 40, "tokens": 4}), subject=SUBJECT)
    assert response.result == DENY
    assert [state.name for state in response.budgets] == ["ample", "tight"]
    tight = response.budgets[1]
    assert (tight.spent, tight.held) == (0, before * {1: 40, 2: 4, 3: 1, 4: 1}[tight.unit])
    assert not response.HasField("expires_at")
    assert response.refusal.budget == "tight"
    return response.refusal


def test_a_refusal_names_the_budget_its_group_and_what_is_missing(caller: Caller) -> None:
    refusal = refusal_of(caller, "{per: [user], limit: 0.00000005 USD, window: total}")
    assert refusal.reason == pb.REASON_BUDGET_EXHAUSTED
    assert (refusal.group, refusal.shortfall, refusal.unit) == ("user=ann o'hara", 30, pb.UNIT_NANO_USD)
    assert (refusal.retryable, refusal.HasField("retry_after")) == (False, False)
    assert "tight (user=ann o'hara)" in refusal.message
    assert "0.00000003 USD" in refusal.message


@pytest.mark.parametrize(
    ("budget", "reason", "shortfall", "longest_s"),
    [
        ("{limit: 0.00000005 USD, window: day}", pb.REASON_BUDGET_EXHAUSTED, 30, DAY_S),
        ("{limit: 1 requests, window: 2h}", pb.REASON_BUDGET_EXHAUSTED, 1, 7_200),
        ("{limit: 5 tokens, window: hour}", pb.REASON_RATE_LIMITED, 3, 3_600),
        ("{limit: 1 requests, window: 10m}", pb.REASON_RATE_LIMITED, 1, 600),
        ("{limit: 1 requests, per: [session], window: 10m}", pb.REASON_RUNAWAY_LOOP, 1, 600),
        ("{limit: 1 concurrent}", pb.REASON_CONCURRENCY_LIMITED, 1, 1),
    ],
)
def test_a_refusal_that_time_mends_says_when(
    caller: Caller, budget: str, reason: "pb.Reason", shortfall: int, longest_s: int
) -> None:
    refusal = refusal_of(caller, budget)
    assert (refusal.reason, refusal.shortfall, refusal.retryable) == (reason, shortfall, True)
    retry_s = refusal.retry_after.seconds + refusal.retry_after.nanos / 1e9
    if reason == pb.REASON_CONCURRENCY_LIMITED:
        assert retry_s == longest_s
    else:  # when the window ends
        assert 0 < retry_s <= longest_s
        then_s = time.time() + retry_s
        assert min(then_s % longest_s, -then_s % longest_s) < 5


def test_a_call_larger_than_a_whole_limit_can_never_fit(caller: Caller) -> None:
    ask = {"nano_usd": 60, "tokens": 4}
    refusal = refusal_of(caller, "{limit: 0.00000005 USD, window: 1m}", before=0, ask=ask)
    assert (refusal.reason, refusal.shortfall, refusal.retryable) == (pb.REASON_CAN_NEVER_FIT, 10, False)


def test_reasons_are_reported_in_their_order(caller: Caller) -> None:
    subject = pb.Subject(user="bob", session="s")
    budgets = {
        "loop": "1 requests, per: [session], window: 1h",
        "rate": "1 requests, window: 1h",
        "busy": "1 concurrent",
        "money": "0.00000005 USD, window: total",
    }

    def apply() -> None:
        lines = [f"  {name}: {{limit: {limit}}}" for name, limit in budgets.items()]
        head = (
            "wallets: {org: {}}\nmodels: {deny: [secret]}\nbudgets:\n  all: {limit: 1 USD, window: total}\n"
        )
        caller.apply(head + "\n".join(lines))

    apply()
    caller.credit(20)
    caller.allowed(20, 2, subject=subject)
    estimate = pb.TokenEstimate(input=1)
    secret = caller.refused(model="secret", estimate=estimate, subject=subject)
    assert secret.reason == pb.REASON_MODEL_NOT_ALLOWED
    unknown = caller.refused(model="nobodys", estimate=estimate, subject=subject)
    assert unknown.reason == pb.REASON_PRICE_UNKNOWN
    assert caller.refused(60, 2, subject=subject).reason == pb.REASON_CAN_NEVER_FIT
    for name, reason in (
        ("loop", pb.REASON_RUNAWAY_LOOP),
        ("rate", pb.REASON_RATE_LIMITED),
        ("busy", pb.REASON_CONCURRENCY_LIMITED),
        ("money", pb.REASON_BUDGET_EXHAUSTED),
    ):
        refusal = caller.refused(40, 2, subject=subject)
        assert (refusal.reason, refusal.budget) == (reason, name)
        del budgets[name]
        apply()
    refusal = caller.refused(40, 2, subject=subject)
    assert (refusal.reason, refusal.wallet) == (pb.REASON_INSUFFICIENT_FUNDS, "org")


def test_a_call_that_nothing_covers(caller: Caller) -> None:
    assert caller.refused(1).reason == pb.REASON_NO_BUDGET_MATCHED  # no policy at all
    caller.apply("budgets:\n  ads: {match: {team: ads}, limit: 1 USD, window: day}")
    refusal = caller.refused(1)
    assert (refusal.reason, refusal.budget, refusal.unit) == (pb.REASON_NO_BUDGET_MATCHED, "", 0)
    assert caller.allowed(1, subject=pb.Subject(team="ads")).budgets[0].name == "ads"
    caller.apply("unmatched: allow\nbudgets:\n  ads: {match: {team: ads}, limit: 1 USD, window: day}")
    assert not caller.allowed(1).budgets


def test_an_alert_lets_through_and_tells(caller: Caller) -> None:
    caller.apply(
        "budgets:\n  soft: {limit: 0.0000001 USD, window: month, on_exhausted: alert, alerts: [50, 90]}"
    )
    reached = [caller.allowed(amount).budgets[0] for amount in (49, 1, 39, 1, 500)]
    assert [state.threshold_percent for state in reached] == [0, 50, 50, 90, 90]
    assert reached[-1].remaining == 100 - 590
    assert not any(state.enforced for state in reached)


def test_an_extension(caller: Caller) -> None:
    caller.apply(
        "wallets: {org: {}}\nholds: {ttl: 30s}\nbudgets:\n  all: {limit: 0.0000001 USD, window: total}"
    )
    caller.credit(90)
    first = caller.allowed(50, 5, reservation_id="long", ttl=300)
    more = caller.extend("long", ttl=600)
    assert more.expires_at.seconds - first.expires_at.seconds >= 299
    assert (more.cost.nano_usd, more.result) == (50, pb.RESULT_ALLOW)
    assert caller.extend("long", ttl=1).expires_at == more.expires_at  # never back
    grown = caller.extend("long", 30, extension_id="e1", tally=first.tally)
    assert grown.cost == pb.Cost(nano_usd=80, tokens=5)
    assert grown.tally not in (first.tally, b"")
    retried = caller.extend("long", 30, extension_id="e1")  # adds nothing
    assert (retried.result, retried.cost) == (pb.RESULT_ALLOW, grown.cost)
    with fails(grpc.StatusCode.ALREADY_EXISTS, "e1"):
        caller.extend("long", 31, extension_id="e1")
    denied = caller.extend("long", 11, extension_id="e2")
    assert (denied.result, denied.cost.nano_usd, denied.tally) == (DENY, 80, b"")
    assert (denied.refusal.reason, denied.refusal.wallet) == (pb.REASON_INSUFFICIENT_FUNDS, "org")
    assert denied.refusal.shortfall == 1
    caller.credit(100)
    never = caller.extend("long", 21, extension_id="e3").refusal
    assert (never.reason, never.budget) == (pb.REASON_CAN_NEVER_FIT, "all")
    assert (caller.wallet().held, caller.budget("all").held) == (80, 80)
    settled = caller.settle("long", outcome=pb.OUTCOME_COMPLETED_NO_USAGE, tally=grown.tally)
    assert settled.charged == pb.Cost(nano_usd=80, tokens=5)
    with fails(grpc.StatusCode.FAILED_PRECONDITION, "long"):
        caller.extend("long", ttl=5)
    with fails(grpc.StatusCode.NOT_FOUND, "never-was"):
        caller.extend("never-was", ttl=5)


def test_an_extension_without_a_time_is_as_long_as_the_reserve(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}\nholds: {ttl: 30s}")
    caller.credit(90)
    first = caller.allowed(50, reservation_id="long", ttl=3_600)
    extended = caller.extend("long")
    since = extended.expires_at.ToMilliseconds() - first.expires_at.ToMilliseconds()
    assert 0 < since < 30_000
    assert first.expires_at.seconds > time.time() + seconds(3_000).seconds
