"""The order of reasons, which reason a budget refuses with, and how a call is weighed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.errors import InvalidArgument
from tallystick.core.outcome import Mode, Outcome, settle_mode
from tallystick.core.plan import Taken
from tallystick.core.policy import Budget, OnExhausted, Unit
from tallystick.core.reasons import Reason, reason_of
from tallystick.core.weigh import weigh
from tallystick.core.windows import MS_PER_HOUR, Span, Window

ORDER = (
    "TENANT_SUSPENDED MODEL_NOT_ALLOWED PRICE_UNKNOWN NO_BUDGET_MATCHED CAN_NEVER_FIT RUNAWAY_LOOP "
    "RATE_LIMITED CONCURRENCY_LIMITED BUDGET_EXHAUSTED INSUFFICIENT_FUNDS STORE_UNAVAILABLE"
)
LONGER, HOUR = Window(Span.FIXED, MS_PER_HOUR + 1), Window(Span.FIXED, MS_PER_HOUR)
TOTAL, SESSION, MINUTE = Window(Span.TOTAL), Window(Span.SESSION), Window(Span.MINUTE)


def test_the_order_is_the_published_one() -> None:
    assert [reason.name for reason in sorted(Reason)] == ["NONE", *ORDER.split()]
    assert [int(reason) for reason in Reason] == list(range(12))


@pytest.mark.parametrize(
    ("unit", "window", "per", "reason"),
    [
        (Unit.CONCURRENT, TOTAL, (), Reason.CONCURRENCY_LIMITED),
        (Unit.CONCURRENT, TOTAL, ("session",), Reason.CONCURRENCY_LIMITED),
        (Unit.REQUESTS, MINUTE, ("session",), Reason.RUNAWAY_LOOP),
        (Unit.REQUESTS, LONGER, ("user", "prompt"), Reason.RUNAWAY_LOOP),
        (Unit.REQUESTS, MINUTE, ("user",), Reason.RATE_LIMITED),
        (Unit.REQUESTS, HOUR, (), Reason.RATE_LIMITED),
        (Unit.REQUESTS, Window(Span.HOUR), (), Reason.RATE_LIMITED),
        (Unit.REQUESTS, LONGER, (), Reason.BUDGET_EXHAUSTED),
        (Unit.REQUESTS, TOTAL, (), Reason.BUDGET_EXHAUSTED),
        (Unit.TOKENS, MINUTE, ("session",), Reason.RATE_LIMITED),
        (Unit.TOKENS, LONGER, (), Reason.BUDGET_EXHAUSTED),
        (Unit.NANO_USD, MINUTE, ("session",), Reason.BUDGET_EXHAUSTED),
        (Unit.NANO_USD, SESSION, ("session",), Reason.BUDGET_EXHAUSTED),
    ],
)
def test_what_a_budget_refuses_with(unit: Unit, window: Window, per: tuple[str, ...], reason: Reason) -> None:
    assert reason_of(Budget("b", 1, unit, window, per=per)) is reason
    alert = Budget("b", 1, unit, window, per=per, on_exhausted=OnExhausted.ALERT)
    assert reason_of(alert) is Reason.NONE


RANKS = [Reason.NONE, Reason.RUNAWAY_LOOP, Reason.RATE_LIMITED, Reason.BUDGET_EXHAUSTED]
LIMITS = st.lists(
    st.tuples(st.sampled_from(list(Unit)), st.integers(0, 6), st.sampled_from(RANKS)), max_size=6
)


@given(LIMITS, st.integers(0, 4), st.integers(0, 4), st.data())
def test_the_budget_that_binds_has_the_first_reason_and_is_the_first_of_its_kind(
    limits: list[tuple[Unit, int, Reason]], nano_usd: int, tokens: int, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.integers(0, 4), min_size=2 * len(limits), max_size=2 * len(limits)))
    by_unit = {Unit.NANO_USD: nano_usd, Unit.TOKENS: tokens, Unit.REQUESTS: 1, Unit.CONCURRENT: 1}
    full = [
        (rank, i + 1)
        for i, (unit, limit, rank) in enumerate(limits)
        if rank and by_unit[unit] and limit < values[2 * i] + values[2 * i + 1] + by_unit[unit]
    ]
    assert weigh(limits, values, Taken(nano_usd, tokens)) == min(full, default=(Reason.NONE, 0))


# --- outcomes --------------------------------------------------------------------------------------


@pytest.mark.contract(6)
@pytest.mark.parametrize(
    ("outcome", "reported", "unreported"),
    [
        (Outcome.COMPLETED, (Mode.COST, False), (Mode.HOLD, True)),
        (Outcome.CLIENT_ABORTED, (Mode.COST, False), (Mode.HOLD, True)),
        (Outcome.PROVIDER_ERROR_BILLED, (Mode.COST, False), (Mode.HOLD, True)),
        (Outcome.COMPLETED_NO_USAGE, None, (Mode.HOLD, True)),
        (Outcome.UNKNOWN, None, (Mode.HOLD, True)),
        (Outcome.PROVIDER_ERROR_UNBILLED, None, (Mode.NONE, False)),
        (Outcome.NOT_DISPATCHED, None, (Mode.NONE, False)),
    ],
)
def test_what_each_outcome_charges(
    outcome: Outcome, reported: tuple[Mode, bool] | None, unreported: tuple[Mode, bool]
) -> None:
    assert settle_mode(outcome, reported=False) == unreported
    if reported:
        assert settle_mode(outcome, reported=True) == reported
    else:
        with pytest.raises(
            InvalidArgument, match=rf"outcome: expected no usage and no cost with {outcome.name}"
        ):
            settle_mode(outcome, reported=True)


@pytest.mark.contract(6)
def test_only_two_outcomes_give_everything_back() -> None:
    free = {outcome for outcome in Outcome if settle_mode(outcome, reported=False)[0] is Mode.NONE}
    assert free == {Outcome.NOT_DISPATCHED, Outcome.PROVIDER_ERROR_UNBILLED}
