"""Streams that outgrow their holds: what more is held, and what happens where there is no room."""

from typing import Any

import pytest

from tallystick.core.usage import Usage
from tallystick.proxied.calls import Ending
from tallystick.proxied.ends import outgrown
from tallystick.proxied.rates import Rates
from tests.unit.proxied.counter import POLICY, Counter, held_call

LASTING: dict[str, Any] = {"sent": True, "status": 200, "streamed": True}
TEXT: dict[str, Any] = {**LASTING, "text_seen": True}
CALL = held_call(held=Usage(input=10, output=1_000))
OUTPUT_NANO = 100_000
TIGHT = POLICY.replace("limit: 1 USD", "limit: 0.2 USD")


@pytest.fixture
async def counter() -> Counter:
    counter = Counter()
    await counter.office.apply(POLICY)
    return counter


def grown(rates: Rates, so_far: Ending) -> int | None:
    """The output tokens to hold."""
    used = outgrown(CALL, so_far, rates)
    assert used is None or used.input == 10
    return used and used.output


def test_what_a_stream_should_be_held_for() -> None:
    rates = Rates()
    assert grown(rates, Ending(**TEXT, output_bytes=3_000)) is None  # as many as are held
    assert grown(rates, Ending(**TEXT, output_bytes=3_003)) == 1_001 + 250
    assert grown(rates, Ending(**LASTING, output_bytes=1_000_000)) is None  # frames, of unknown density
    assert grown(rates, Ending(sent=True, status=200, text_seen=True, output_bytes=9_999)) is None
    assert grown(rates, Ending(**LASTING)) is None
    whole = Ending(**LASTING, usage=Usage(input=10, output=100), complete=True, output_bytes=10_000)
    rates.learn(CALL, whole)
    assert grown(rates, Ending(**LASTING, output_bytes=100_000)) is None
    assert grown(rates, Ending(**LASTING, output_bytes=200_000)) == 2_500


@pytest.mark.contract(3)
async def test_a_hold_grows_to_what_passed_and_once_for_each_report(counter: Counter) -> None:
    call = (await counter.allowed()).call
    for _ in range(2):
        assert await counter.gate.keep(call, Ending(**TEXT, output_bytes=6_000))
        assert counter.office.held() == call.held.total_input * 10_000 + 2_500 * OUTPUT_NANO
    assert await counter.gate.keep(call, Ending(**TEXT, output_bytes=3_500))  # an older one
    assert counter.office.held() == call.held.total_input * 10_000 + 2_500 * OUTPUT_NANO
    assert await counter.gate.keep(call, Ending(**TEXT, output_bytes=12_000))
    assert counter.office.held() == call.held.total_input * 10_000 + 5_000 * OUTPUT_NANO
    used = Usage(input=10, output=4_321)
    done = Ending(**TEXT, usage=used, complete=True, output_bytes=12_000)
    assert await counter.charged(call, done) == 10 * 10_000 + 4_321 * OUTPUT_NANO


@pytest.mark.contract(1)
@pytest.mark.parametrize("cut", [False, True])
async def test_where_there_is_no_room_the_ceiling_holds_and_the_time_is_given(
    counter: Counter, cut: bool
) -> None:
    await counter.office.apply(TIGHT + ("holds: {on_outgrown: cut}\n" if cut else ""))
    call = (await counter.allowed()).call
    before = counter.office.held()
    counter.office.store.ahead_ms = 300_000
    assert await counter.gate.keep(call, Ending(**TEXT, output_bytes=6_000)) is not cut
    assert counter.office.held() == before
    counter.office.store.ahead_ms = 800_000
    await counter.gate.admit(counter.request())  # ends what is due
    assert counter.spent() == 0
