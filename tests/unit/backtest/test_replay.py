"""What a policy would have done, by sums done by hand, and by what must hold for any calls."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.backtest import PastCall, Wallets
from tallystick.backtest.calls import MAX_TOKENS
from tallystick.backtest.document import document_of
from tallystick.core.decision import Decision
from tallystick.core.ledger import replay as replay_ledger
from tallystick.core.reasons import Reason
from tallystick.core.usage import Usage
from tests.unit.backtest.trial import HOUR_MS, NOON_MS, POLICY, document, past, read, replayed

CALLS = [
    past(0),  # holds 100 + 2 × 100 = 300,000 nano-dollars of 500,000, costs 200,000
    past(1 * HOUR_MS, max_output=50, billed_nano_usd=210_000),  # 200,000 held and spent: 400,000
    past(2 * HOUR_MS),  # 300,000 more do not fit
    past(3 * HOUR_MS, "bob", usage=Usage(input=100, output=200)),  # costs 500,000, more than was held
    past(13 * HOUR_MS),  # one o'clock of the next day in Berlin
    past(14 * HOUR_MS, model="unheard-of"),
]


def test_a_backtest_by_hand() -> None:
    found = document(CALLS)
    assert (found["from"], found["until"]) == ("2026-06-01T12:00:00+02:00", "2026-06-02T02:00:00+02:00")
    assert (found["calls"], found["allowed"]) == (6, 4)
    assert found["refused"] == [
        {"reason": "PRICE_UNKNOWN", "calls": 1, "nano_usd": "0"},
        {"reason": "BUDGET_EXHAUSTED", "calls": 1, "nano_usd": "200000"},
    ]
    assert found["cost"] == {
        "nano_usd": "1300000",
        "unpriced_calls": 1,
        "spent_nano_usd": "1100000",
        "billed_nano_usd": "210000",
        "billed_calls": 1,
        "billed_calls_nano_usd": "200000",
    }
    assert found["downgraded"] == []


def test_days_are_those_of_the_policys_zone() -> None:
    first, second = document(CALLS)["days"]
    assert first == {
        "day": "2026-06-01",
        "calls": 4,
        "refused": 1,
        "downgraded": 0,
        "nano_usd": "1100000",
        "spent_nano_usd": "900000",
    }
    assert (second["day"], second["calls"], second["refused"]) == ("2026-06-02", 2, 1)


def test_budgets_by_day() -> None:
    daily, warning = document(CALLS)["budgets"]
    days = daily.pop("days")
    assert daily == {
        "budget": "daily",
        "calls": 6,
        "refused": 1,
        "peak_percent": 80,
        "first_refusal": "2026-06-01T14:00:00+02:00",
        "threshold_days": {"50": 2, "70": 1, "80": 1, "95": 0, "100": 0},
    }
    assert days[0] == {
        "day": "2026-06-01",
        "calls": 4,
        "refused": 1,
        "peak_percent": 80,
        "threshold_percent": 80,
    }
    assert days[1]["peak_percent"] == 60  # a new day: 300,000 held of 500,000
    assert (warning["refused"], warning["first_refusal"], warning["peak_percent"]) == (0, None, 40)
    assert warning["threshold_days"] == {"30": 2, "60": 0}


def test_estimates_and_subjects() -> None:
    found = document(CALLS)
    # 300/200, 200/200, 300/500, 300/200
    assert found["estimates"] == {
        "calls": 4,
        "exceeded_calls": 1,
        "held_by_charged": {"p50": 1.0, "p90": 1.5, "p99": 1.5},
    }
    assert found["subjects"] == [
        {
            "subject": {"user": "alice"},
            "calls": 2,
            "nano_usd": "200000",
            "by": {"daily": 1, "PRICE_UNKNOWN": 1},
        }
    ]


def test_subjects_are_the_same_whatever_their_session_and_prompt() -> None:
    labels = (("product", "search"),)
    calls = [
        past(n, model="none", subject={"session": f"s{n}", "prompt": f"p{n}", "labels": labels})
        for n in range(3)
    ]
    (only,) = document(calls)["subjects"]
    assert only["subject"] == {"user": "alice", "label.product": "search"}
    assert only["calls"] == 3


IN_FLIGHT = (
    "tenant: acme\nprices: {unknown_model: {input: 1, output: 1}}\nbudgets: {one: {limit: 1 concurrent}}"
)


def test_holds_overlap_for_as_long_as_the_calls_were_open() -> None:
    calls = [past(0, duration_ms=1000), past(999), past(1000), past(1000), past(1001, duration_ms=5)]
    found = document(calls, IN_FLIGHT)
    assert [(each["reason"], each["calls"]) for each in found["refused"]] == [("CONCURRENCY_LIMITED", 1)]
    assert found["budgets"][0]["first_refusal"] == "2026-06-01T10:00:00+00:00"


def test_calls_of_one_time_go_in_the_order_of_the_file() -> None:
    calls = [past(0, user, duration_ms=10) for user in ("first", "second", "third")]
    found = document(calls, IN_FLIGHT)
    assert [each["subject"]["user"] for each in found["subjects"]] == ["second", "third"]


def test_a_call_that_was_open_for_longer_than_its_hold_is_charged_what_it_cost() -> None:
    policy = POLICY + "holds: {ttl: 1s}"
    others = [past(n * HOUR_MS, f"u{n}") for n in (1, 2, 25)]
    replay, report = replayed([past(0, duration_ms=24 * HOUR_MS), *others], policy)
    assert report.spent.nano_usd == 4 * 200_000
    kinds = [entry.fields["kind"] for entry in asyncio.run(replay.store.ledger(0, "0", 100))]
    assert "expire" in kinds


def test_a_row_without_tokens_is_charged_nothing() -> None:
    found = document([past(0, usage=Usage()), past(1)])
    assert found["allowed"] == 2
    assert found["cost"]["spent_nano_usd"] == "200000"
    assert found["estimates"]["calls"] == 1


def test_a_free_model_is_let_through_and_costs_nothing() -> None:
    found = document([past()], "tenant: acme\nprices: {models: {house: {free: true}}}")
    assert (found["allowed"], found["cost"]["nano_usd"], found["cost"]["unpriced_calls"]) == (1, "0", 0)


FUNDED = """
tenant: acme
prices: {unknown_model: {input: 1, output: 1}}
wallets: {team: {per: [team]}, user: {per: [user], unit: tokens}}
cascade: [team, user]
"""


def test_unlimited_wallets_are_filled_when_they_cannot_pay() -> None:
    replay, report = replayed([past(0), past(1, "bob", subject={"team": "search"}), past(2, "")], FUNDED)
    assert report.spent.calls == 2
    assert list(report.refused) == [Reason.INSUFFICIENT_FUNDS]  # a subject that no wallet is for
    wallets = asyncio.run(replay.store.wallets("acme"))
    assert {name: funds.funds - funds.balance for name, funds in wallets.items()} == {
        "acme:w:user:user=alice:t": 150,
        "acme:w:team:team=search:u": 150_000,
    }


def test_wallets_as_declared_hold_what_the_policy_grants() -> None:
    _, report = replayed([past()], FUNDED, Wallets.AS_DECLARED)
    assert report.spent.calls == 0
    assert report.refused[Reason.INSUFFICIENT_FUNDS].calls == 1


def test_a_model_other_than_asked_is_a_downgrade() -> None:
    _, report = replayed([past(0)])
    decision = Decision("r", "small", "", 30, 0, [], [])
    day = report.decided(past(1), decision, 200_000)
    report.settled(past(1), decision, day, 20)
    found = document_of(report)
    assert found["downgraded"] == [{"model": "house", "to": "small", "calls": 1, "nano_usd": "20"}]
    assert found["days"][0]["downgraded"] == 1


TIGHT = POLICY + "  flight: {limit: 3 concurrent}\n  rate: {per: [user], limit: 4 requests, window: 1m}\n"
calls_of_any_kind = st.builds(
    past,
    st.integers(0, 2 * 24 * HOUR_MS) | st.integers(0, 90_000),
    st.sampled_from(["alice", "bob", ""]),
    model=st.sampled_from(["house", "house", "unheard-of"]),
    usage=st.tuples(*[st.integers(0, 300)] * 5, st.just(0)).map(Usage._make),
    max_output=st.none() | st.integers(1, 300),
    duration_ms=st.sampled_from([0, 0, 1, 5_000, 700_000, 24 * HOUR_MS]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(calls_of_any_kind, max_size=60))
def test_the_report_agrees_with_the_ledger(calls: list[PastCall]) -> None:
    replay, report = replayed(calls, TIGHT)
    entries = asyncio.run(replay.store.ledger(0, "0", 10_000)) if calls else []
    settles = [entry.fields for entry in entries if entry.fields["kind"] == "settle"]
    assert report.spent.calls == len(settles)
    assert report.spent.nano_usd == sum(int(fields["nano"]) for fields in settles)
    assert report.spent.calls + sum(each.calls for each in report.refused.values()) == len(calls)
    assert sum(day.spent_nano_usd for day in report.days.values()) == report.spent.nano_usd
    assert sum(day.made.nano_usd for day in report.days.values()) == report.made.nano_usd
    counters = replay_ledger(entries)
    assert not [name for name in counters if name.endswith(":h")]  # every call has ended
    spent = sum(value for name, value in counters.items() if ":b:warning:" in name)
    assert spent == sum(int(fields["requests"]) for fields in settles)


@settings(max_examples=30, deadline=None)
@given(st.lists(calls_of_any_kind, max_size=30, unique_by=lambda call: call.time_ms), st.randoms())
def test_the_order_of_rows_of_different_times_does_not_matter(calls: list[PastCall], random: object) -> None:
    shuffled = list(calls)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    if calls:
        assert document(shuffled, TIGHT) == document(calls, TIGHT)


def test_prices_are_those_of_the_time_of_the_call() -> None:
    million = Usage(input=1_000_000)
    calls = [past(at_ms, model="o3", usage=million) for at_ms in (-400 * 24 * HOUR_MS, 0)]
    days = document(calls, "tenant: acme\nunmatched: allow")["days"]
    # o3 fell from 10 to 2 dollars on 2025-06-10
    assert [day["nano_usd"] for day in days] == ["10000000000", "2000000000"]
    assert [day["spent_nano_usd"] for day in days] == ["10000000000", "2000000000"]


def test_the_clock_goes_as_the_calls_did() -> None:
    replay, _ = replayed([past(0), past(HOUR_MS, duration_ms=70)])
    assert replay.clock.now_ms() == NOON_MS + HOUR_MS + 70


def test_the_ledger_is_not_kept_for_the_whole_month() -> None:
    replay, report = replayed([past(n * 1000) for n in range(2_500)])
    assert report.made.calls == 2_500
    assert len(replay.store.state(0).log) < 2_000
    assert len(replay.store.state(0).hold) < 1_000  # those of ten minutes


def test_the_largest_row_at_the_highest_price_is_still_an_amount() -> None:
    policy = "tenant: acme\nunmatched: allow\nprices: {unknown_model: {input: 1000000, output: 1000000}}"
    largest = ",".join([str(MAX_TOKENS)] * 6)
    (call,) = read(f"time,model,max_output,{','.join(Usage._fields)}\n1780308000,m,{MAX_TOKENS},{largest}\n")
    assert document([call], policy)["cost"]["spent_nano_usd"] == str(5 * 10**18)
