from collections.abc import Sequence

import pytest

from tallystick.core.decision import Decision, Refusal, WalletState
from tallystick.core.matching import make_plan
from tallystick.core.plan import BudgetLine, Plan, WalletLine
from tallystick.core.policy import Budget, OnExhausted, Policy, Unit, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.core.windows import Span, Window
from tallystick.services.writing import write_decision
from tallystick.services.writing_states import UNITS, clamp, duration, timestamp, write_refusal, write_wallet
from tallystick.v1 import budget_pb2 as pb

BIG = 2**63 - 1
DAY, TOTAL = Window(Span.DAY), Window(Span.TOTAL)
POLICY = Policy(
    "acme",
    1,
    (WalletTemplate("org"),),
    (
        Budget("daily", 100, Unit.NANO_USD, DAY, alerts=(50, 90)),
        Budget("words", 50, Unit.TOKENS, TOTAL, on_exhausted=OnExhausted.ALERT),
        Budget("busy", 4, Unit.CONCURRENT, TOTAL),
    ),
)


def plan_of(policy: Policy = POLICY) -> Plan:
    now_ms = 1_760_000_000_000
    units = (Unit.NANO_USD, Unit.TOKENS)
    return make_plan(policy, Subject(user="alice"), "m", "", None, said=units, now_ms=now_ms)


def decision_of(
    plan: Plan,
    values: Sequence[int],
    nano_usd: int = 10,
    refusal: Refusal | None = None,
    *,
    planned: bool = True,
) -> Decision:
    wallet: WalletLine = plan.wallets[0]
    lines: Sequence[BudgetLine] = plan.budgets
    expires_ms, source = 1_760_000_600_123, plan if planned else None
    return Decision(
        "r", "m", "", nano_usd, 3, lines, values, wallet, b"tally", expires_ms, refusal, plan=source
    )


def test_an_allow_counts_itself_in() -> None:
    response = write_decision(decision_of(plan_of(), (30, 15, 1, 2, 0, 1)))
    assert (response.result, response.tally, response.wallet) == (pb.RESULT_ALLOW, b"tally", "org")
    assert (response.expires_at.seconds, response.expires_at.nanos) == (1_760_000_600, 123_000_000)
    daily, words, busy = response.budgets
    assert (daily.spent, daily.held, daily.remaining, daily.threshold_percent) == (30, 25, 45, 50)
    assert (words.spent, words.held, words.remaining, words.enforced) == (1, 5, 44, False)
    assert (busy.spent, busy.held, busy.remaining) == (0, 2, 2)


def test_a_deny_does_not() -> None:
    refusal = Refusal(Reason.BUDGET_EXHAUSTED, "no", budget="daily", shortfall=5, retry_after_ms=1_500)
    response = write_decision(decision_of(plan_of(), (80, 15, 1, 2, 0, 1), refusal=refusal))
    assert (response.result, response.tally) == (pb.RESULT_DENY, b"")
    assert not response.HasField("expires_at")
    assert [state.held for state in response.budgets] == [15, 2, 1]
    assert response.budgets[0].threshold_percent == 90
    assert (response.refusal.retryable, response.refusal.retry_after.ToMilliseconds()) == (True, 1_500)


@pytest.mark.contract(4)
def test_a_plan_and_a_record_are_written_alike_and_share_nothing() -> None:
    plan, values = plan_of(), (30, 15, 1, 2, 0, 1)
    first = write_decision(decision_of(plan, values))
    kept = first.SerializeToString()
    write_decision(decision_of(plan, (99, 99, 9, 9, 0, 3), nano_usd=77))
    assert first.SerializeToString() == kept
    assert write_decision(decision_of(plan, values)).SerializeToString() == kept
    assert write_decision(decision_of(plan, values, planned=False)).SerializeToString() == kept


@pytest.mark.contract(11)
def test_what_is_beyond_64_bits_is_shown_as_the_most_there_is() -> None:
    assert (clamp(BIG), clamp(BIG + 1), clamp(-BIG), clamp(-BIG - 5)) == (BIG, BIG, -BIG, -BIG)
    response = write_decision(decision_of(plan_of(), (BIG, BIG, 1, 2, 0, 1)))
    assert (response.budgets[0].spent, response.budgets[0].held) == (BIG, BIG)
    assert response.budgets[0].remaining == -BIG
    assert response.budgets[0].threshold_percent == 90
    wallet = write_wallet(WalletState("org", "", Unit.NANO_USD, BIG, -BIG, BIG))
    assert (wallet.funds, wallet.spent, wallet.available) == (BIG, BIG, -BIG)


def test_a_refusal_has_a_unit_where_something_binds() -> None:
    assert write_refusal(Refusal(Reason.PRICE_UNKNOWN, "none")).unit == pb.UNIT_UNSPECIFIED
    by_wallet = Refusal(Reason.INSUFFICIENT_FUNDS, "none", wallet="org", unit=Unit.TOKENS)
    assert write_refusal(by_wallet).unit == pb.UNIT_TOKENS
    assert not write_refusal(by_wallet).HasField("retry_after")


def test_the_numbers_are_those_of_the_api() -> None:
    for reason in Reason:
        assert pb.Reason.Name(int(reason)).removeprefix("REASON_") == (
            reason.name if reason else "UNSPECIFIED"
        )
    assert len(Reason) == len(pb.Reason.values())
    for unit, number in UNITS.items():
        assert pb.Unit.Name(number) == f"UNIT_{unit.name}"
    assert len(UNITS) == len(Unit) == len(pb.Unit.values()) - 1


def test_times_keep_their_milliseconds() -> None:
    assert timestamp(1_760_000_600_007).ToMilliseconds() == 1_760_000_600_007
    assert duration(86_399_999).ToMilliseconds() == 86_399_999
    assert (duration(1_500).seconds, duration(1_500).nanos) == (1, 500_000_000)
