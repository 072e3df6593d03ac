"""Priorities, overage, rolling windows and alerts, over gRPC."""

import time
from typing import Any

import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import Caller

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS


def of(priority: str) -> pb.Subject:
    return pb.Subject(user="alice", priority=priority)


def test_each_priority_ends_at_its_share(caller: Caller) -> None:
    caller.apply(
        "budgets:\n  pool: "
        "{limit: 100 tokens, window: day, priorities: {low: 50%, normal: 80%}, overage: 10%}"
    )
    assert [caller.allowed(tokens=50, subject=of("low")).budgets[0].ceiling] == [50]
    low = caller.refused(tokens=1, subject=of("low"))
    assert (low.reason, low.budget, low.shortfall) == (pb.REASON_BUDGET_EXHAUSTED, "pool", 1)
    for priority in ("", "normal"):
        assert caller.allowed(tokens=15, subject=of(priority)).budgets[0].ceiling == 80
        assert caller.budget("pool", user="alice", priority=priority).ceiling == 80
    assert caller.refused(tokens=1, subject=of("")).shortfall == 1
    for priority in ("high", "of-our-own"):  # the whole limit, and what is beyond it
        assert caller.allowed(tokens=15, subject=of(priority)).budgets[0].ceiling == 110
    refusal = caller.refused(tokens=1, subject=of("high"))
    assert refusal.message == "budget pool of 110 tokens lacks 1 tokens"
    assert caller.refused(tokens=51, subject=of("low")).reason == pb.REASON_CAN_NEVER_FIT


def test_calls_are_let_through_beyond_the_limit_up_to_the_overage(caller: Caller, books: Books) -> None:
    caller.apply("budgets:\n  plan: {limit: 0.0000001 USD, window: month, overage: 20%, alerts: [80, 100]}")
    seen = [caller.allowed(amount).budgets[0] for amount in (79, 20, 1, 20)]
    assert [state.threshold_percent for state in seen] == [0, 80, 100, 100]
    assert [(state.limit, state.ceiling) for state in seen] == [(100, 120)] * 4
    assert seen[-1].remaining == -20
    refusal = caller.refused(1)
    assert (refusal.shortfall, refusal.message) == (1, "budget plan of 0.00000012 USD lacks 0.000000001 USD")
    assert alerts(caller, books) == [(80, 99), (100, 100)]


def alerts(caller: Caller, books: Books) -> list[tuple[int, int]]:
    """Threshold and use of each alert in the ledger."""
    entries = [
        entry.fields for entry in books.of_tenant(caller.tenant).log if entry.fields["kind"] == "alert"
    ]
    return [(int(fields["percent"]), int(fields["used"])) for fields in entries]


@pytest.mark.contract(12)
def test_each_threshold_is_told_of_once_in_a_window(caller: Caller, books: Books) -> None:
    caller.apply("budgets:\n  plan: {limit: 100 tokens, window: day, on_exhausted: alert, alerts: [50, 90]}")
    first = caller.allowed(tokens=60)
    caller.release(first.reservation_id)  # below again
    caller.allowed(tokens=55)
    assert alerts(caller, books) == [(50, 60)]
    last = caller.allowed(tokens=1)
    caller.settle(last.reservation_id, cost=pb.Cost(tokens=60))  # passed by the true cost
    caller.allowed(tokens=60)
    assert alerts(caller, books) == [(50, 60), (90, 115)]
    books.shift_clock(caller.tenant, DAY_MS)
    caller.allowed(tokens=95)
    assert alerts(caller, books)[2:] == [(50, 95), (90, 95)]


def start_of_bucket(books: Books, caller: Caller, bucket_ms: int) -> int:
    """Stops the clock where a sub-bucket begins; when that is."""
    now_ms = (int(time.time() * 1_000) // bucket_ms + 2) * bucket_ms
    books.stop_clock(caller.tenant, now_ms)
    return now_ms


def spend(caller: Caller, tokens: int) -> None:
    caller.settle(caller.allowed(tokens=tokens).reservation_id, cost=pb.Cost(tokens=tokens))


def retry_ms(refusal: Any) -> int | None:
    return refusal.retry_after.ToMilliseconds() if refusal.retryable else None


def test_a_rolling_window_lets_through_again_when_enough_has_left_it(caller: Caller, books: Books) -> None:
    caller.apply("budgets:\n  last-hour: {limit: 100 tokens, window: rolling 1h}")
    state = caller.budget("last-hour")
    assert (state.rolling.seconds, state.HasField("window_end")) == (3_600, False)
    start_ms = start_of_bucket(books, caller, MINUTE_MS)
    for minute, tokens in ((0, 30), (10, 40), (20, 30)):
        books.stop_clock(caller.tenant, start_ms + minute * MINUTE_MS + 5)
        spend(caller, tokens)
    now_ms = start_ms + 30 * MINUTE_MS
    books.stop_clock(caller.tenant, now_ms)
    # The sub-bucket of a minute is counted until it has left whole.
    for tokens, minute in ((30, 61), (31, 71), (70, 71), (71, 81), (100, 81)):
        refusal = caller.refused(tokens=tokens)
        assert (refusal.reason, refusal.budget) == (pb.REASON_RATE_LIMITED, "last-hour")
        then_ms = start_ms + minute * MINUTE_MS
        assert retry_ms(refusal) == then_ms - now_ms
        assert refusal.advice.at.ToMilliseconds() == then_ms
    books.stop_clock(caller.tenant, start_ms + 61 * MINUTE_MS - 1)
    assert retry_ms(caller.refused(tokens=30)) == 1
    books.stop_clock(caller.tenant, start_ms + 61 * MINUTE_MS)
    spend(caller, 30)
    assert retry_ms(caller.refused(tokens=31)) == 10 * MINUTE_MS


def test_what_is_held_in_a_rolling_window_is_not_mended_by_time(caller: Caller, books: Books) -> None:
    caller.apply("budgets:\n  last-hour: {limit: 100 tokens, window: rolling 1h}")
    start_of_bucket(books, caller, MINUTE_MS)
    spend(caller, 30)
    caller.allowed(tokens=60, ttl=86_400)
    assert retry_ms(caller.refused(tokens=40)) == 61 * MINUTE_MS
    refusal = caller.refused(tokens=41)
    assert (retry_ms(refusal), refusal.advice.HasField("at")) == (None, False)


def test_the_whole_call_waits_for_the_last_of_its_budgets(caller: Caller, books: Books) -> None:
    caller.apply("""budgets:
  day: {limit: 50 tokens, window: day}
  calls: {limit: 2 requests, window: rolling 10m}
""")
    start_of_bucket(books, caller, 10_000)
    for _ in range(2):
        spend(caller, 20)
    refusal = caller.refused(tokens=20)
    assert (refusal.reason, refusal.budget) == (pb.REASON_RATE_LIMITED, "calls")
    assert retry_ms(refusal) == 610_000
    day = caller.balance().budgets[0].window_end
    assert refusal.advice.at == day
    assert not caller.refused(tokens=51).advice.HasField("at")


def test_an_extension_does_not_wait_for_the_window_of_its_reserve(caller: Caller) -> None:
    caller.apply("budgets:\n  day: {limit: 0.0000001 USD, window: day}")
    first = caller.allowed(60, ttl=86_400)
    caller.allowed(20)
    for more, reason in ((41, pb.REASON_CAN_NEVER_FIT), (21, pb.REASON_BUDGET_EXHAUSTED)):
        refusal = caller.extend(first.reservation_id, more, extension_id=f"x{more}").refusal
        assert (refusal.reason, refusal.budget, refusal.retryable) == (reason, "day", False)
