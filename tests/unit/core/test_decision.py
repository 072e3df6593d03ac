"""What a caller is told, in every case."""

import pytest

from tallystick.core.decision import (
    CONCURRENCY_RETRY_MS,
    BudgetState,
    Decision,
    Refusal,
    WalletState,
    amount_text,
    explain_refusal,
    lines_of,
)
from tallystick.core.hold import Hold, State, hold_body
from tallystick.core.matching import make_plan
from tallystick.core.plan import BudgetLine, Plan, Taken
from tallystick.core.policy import Budget, Policy, Unit, WalletTemplate, used_dimensions
from tallystick.core.reasons import FIXED_MESSAGES, Reason
from tallystick.core.subject import Subject
from tallystick.core.windows import Span, Window

NOW_MS = 1_760_000_000_000
WALLETS = (WalletTemplate("user", ("user",)), WalletTemplate("pool", unit=Unit.TOKENS))
BUDGETS = (
    Budget("daily", 2_000_000_000, Unit.NANO_USD, Window(Span.DAY), per=("user",)),
    Budget("tokens", 1_000, Unit.TOKENS, Window(Span.HOUR)),
    Budget("bursts", 60, Unit.REQUESTS, Window(Span.MINUTE)),
    Budget("in-flight", 4, Unit.CONCURRENT, Window(Span.TOTAL)),
    Budget("session", 9, Unit.NANO_USD, Window(Span.SESSION), per=("session",)),
)


def plan() -> Plan:
    policy = Policy("acme", 1, WALLETS, BUDGETS, dimensions=used_dimensions(WALLETS, BUDGETS))
    subject = Subject(user="ann", session="s 1")
    said = (Unit.NANO_USD, Unit.TOKENS)
    return make_plan(policy, subject, "m", "", None, said=said, now_ms=NOW_MS)


def explained(reason: Reason, binds: int, values: list[int], taken: Taken) -> Refusal:
    found = plan()
    return explain_refusal(
        reason, binds, wallets=found.wallets, lines=found.budgets, values=values, taken=taken, now_ms=NOW_MS
    )


EMPTY = [0, 0] * 7


@pytest.mark.parametrize(
    ("reason", "binds", "values", "message", "unit", "shortfall", "retry_after_ms"),
    [
        (
            Reason.BUDGET_EXHAUSTED, 1, [0, 0, 0, 0, 1_500_000_000, 300_000_000, *EMPTY[:8]],
            "budget daily (user=ann) of 2.00 USD lacks 0.05 USD", Unit.NANO_USD, 50_000_000, 54_400_000,
        ),
        (
            Reason.RATE_LIMITED, 2, [0, 0, 0, 0, 0, 0, 900, 60, *EMPTY[:6]],
            "budget tokens of 1000 tokens lacks 10 tokens", Unit.TOKENS, 10, 400_000,
        ),
        (
            Reason.RATE_LIMITED, 3, [0, 0, 0, 0, 0, 0, 0, 0, 40, 20, 0, 0, 0, 0],
            "budget bursts of 60 requests is used up", Unit.REQUESTS, 1, 40_000,
        ),
        (
            Reason.CONCURRENCY_LIMITED, 4, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0],
            "budget in-flight of 4 concurrent is used up", Unit.CONCURRENT, 1, CONCURRENCY_RETRY_MS,
        ),
        (
            Reason.BUDGET_EXHAUSTED, 5, EMPTY,
            "budget session (session=s 1) of 0.000000009 USD lacks 0.249999991 USD",
            Unit.NANO_USD, 249_999_991, None,
        ),
    ],
)  # fmt: skip
def test_a_budget_that_binds(
    reason: Reason,
    binds: int,
    values: list[int],
    message: str,
    unit: Unit,
    shortfall: int,
    retry_after_ms: int | None,
) -> None:
    refusal = explained(reason, binds, values, Taken(250_000_000, 50))
    line = plan().budgets[binds - 1]
    assert refusal == Refusal(
        reason, message, budget=line.name, group=line.group, shortfall=shortfall, unit=unit,
        retry_after_ms=retry_after_ms,
    )  # fmt: skip


def test_a_window_that_ends_now_is_worth_one_more_millisecond() -> None:
    found = plan()
    at = found.budgets[2].end_ms
    refusal = explain_refusal(
        Reason.RATE_LIMITED, 3, wallets=found.wallets, lines=found.budgets, values=EMPTY,
        taken=Taken(1, 1), now_ms=at,
    )  # fmt: skip
    assert refusal.retry_after_ms == 1


def test_what_can_never_fit_names_the_first_limit_that_is_too_small() -> None:
    refusal = explained(Reason.CAN_NEVER_FIT, 0, EMPTY, Taken(0, 1_200))
    message = "1200 tokens is more than the whole limit of budget tokens of 1000 tokens"
    assert refusal == Refusal(Reason.CAN_NEVER_FIT, message, budget="tokens", shortfall=200, unit=Unit.TOKENS)


def test_missing_funds_are_told_of_the_last_wallet() -> None:
    refusal = explained(Reason.INSUFFICIENT_FUNDS, 0, [5, 0, -100, 20, *[0] * 10], Taken(7, 50))
    message = "no wallet can pay; pool lacks 170 tokens"
    assert refusal == Refusal(
        Reason.INSUFFICIENT_FUNDS, message, wallet="pool", shortfall=170, unit=Unit.TOKENS
    )


@pytest.mark.parametrize("reason", FIXED_MESSAGES)
def test_refusals_of_the_plan_have_a_fixed_message(reason: Reason) -> None:
    refusal = explain_refusal(reason, 0, wallets=(), lines=(), values=(), taken=Taken(1, 1), now_ms=NOW_MS)
    assert refusal == Refusal(reason, FIXED_MESSAGES[reason])
    assert refusal.retry_after_ms is None


def test_every_reason_that_a_store_gives_can_be_explained() -> None:
    of_counters = {
        Reason.CAN_NEVER_FIT,
        Reason.RUNAWAY_LOOP,
        Reason.RATE_LIMITED,
        Reason.CONCURRENCY_LIMITED,
        Reason.BUDGET_EXHAUSTED,
    }
    not_yet = {Reason.NONE, Reason.STORE_UNAVAILABLE}
    assert of_counters | set(FIXED_MESSAGES) | not_yet == set(Reason)


def test_budgets_are_shown_as_they_stand_after_the_decision() -> None:
    lines: tuple[BudgetLine, ...] = plan().budgets
    values = [1, 2, 3, 4, 5, 6, 0, 7, 8, 9]
    decision = Decision("r", "m", "", 100, 10, lines, values)
    assert decision.allowed
    assert [(b.spent, b.held) for b in decision.budgets] == [(1, 102), (3, 14), (5, 7), (0, 8), (8, 109)]
    denied = Decision("r", "m", "", 100, 10, lines, values, refusal=Refusal(Reason.RATE_LIMITED, "no"))
    assert not denied.allowed
    assert [(b.spent, b.held) for b in denied.budgets] == [(1, 2), (3, 4), (5, 6), (0, 7), (8, 9)]


@pytest.mark.parametrize(
    ("spent", "held", "remaining", "percent"),
    [
        (0, 0, 1_000, 0),
        (499, 0, 501, 0),
        (250, 250, 500, 50),
        (0, 999, 1, 95),
        (1_000, 0, 0, 100),
        (1_200, 1, -201, 100),
    ],
)
def test_what_remains_of_a_budget(spent: int, held: int, remaining: int, percent: int) -> None:
    state = BudgetState(plan().budgets[1], spent, held)
    assert (state.remaining, state.threshold_percent) == (remaining, percent)


def test_a_wallet_shows_debt() -> None:
    wallet = WalletState("org", "", Unit.NANO_USD, funds=100, balance=-50, held=7)
    assert (wallet.spent, wallet.available) == (150, -57)


def test_the_lines_of_a_hold_are_those_of_its_plan() -> None:
    found = plan()
    hold = Hold(State.OPEN, 1, 0, 0, body=hold_body(found, ""))
    assert tuple(lines_of(hold)) == found.budgets


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (250_000_000, Unit.NANO_USD, "0.25 USD"),
        (1_200, Unit.TOKENS, "1200 tokens"),
        (60, Unit.REQUESTS, "60 requests"),
        (4, Unit.CONCURRENT, "4 concurrent"),
    ],
)
def test_amounts_for_people(amount: int, unit: Unit, text: str) -> None:
    assert amount_text(amount, unit) == text
