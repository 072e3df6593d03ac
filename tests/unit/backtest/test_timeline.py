"""Sorting more calls than are kept in memory."""

from hypothesis import given
from hypothesis import strategies as st

from tallystick.backtest import PastCall, Timeline
from tests.unit.backtest.trial import past

some_calls = st.lists(
    st.builds(past, st.integers(0, 9), st.sampled_from("abcdef"), duration_ms=st.integers(0, 9))
)


def in_order(calls: list[PastCall], run_calls: int) -> tuple[list[PastCall], int, int]:
    with Timeline(run_calls) as timeline:
        timeline.read(calls)
        return list(timeline), timeline.count, timeline.longest_ms


@given(some_calls, st.integers(1, 7))
def test_calls_come_by_time_and_those_of_one_time_as_they_came(calls: list[PastCall], run: int) -> None:
    longest = max((call.duration_ms for call in calls), default=0)
    assert in_order(calls, run) == (sorted(calls, key=lambda call: call.time_ms), len(calls), longest)


def test_runs_of_several_batches() -> None:
    calls = [past(7_919 * n % 5_000) for n in range(5_000)]
    assert in_order(calls, 2_500)[0] == sorted(calls, key=lambda call: call.time_ms)
