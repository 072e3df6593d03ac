"""When a rolling window has room again, against trying every moment."""

import asyncio
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.outcome import Outcome
from tallystick.core.subject import Subject
from tallystick.engine import Administration, Engine, Planner
from tallystick.engine.calls import Cost, ReserveCall, SettleCall
from tallystick.observe.metrics import Metrics
from tallystick.store.memory import MemoryStore
from tallystick.tokens import TokenCounter

START_MS, LENGTH_MS, BUCKET_MS, LIMIT = 1_800_000_000_000, 6_000, 100, 20


@dataclass
class Clock:
    now_ms: int = START_MS


def call(tokens: int, number: int = 0) -> ReserveCall:
    estimate = Cost(0, tokens)
    return ReserveCall("acme", f"r{number}", str(tokens), Subject(), "", "", estimate, 86_400_000)


spends = st.lists(
    st.tuples(st.sampled_from([0, 1, 99, 100, 730, 2_000]), st.integers(0, 8), st.booleans()), max_size=9
)


@settings(deadline=None, max_examples=150)
@given(spends, st.integers(0, 3_000), st.integers(1, LIMIT))
def test_a_rolling_window_has_room_when_it_says_and_not_before(
    before: list[tuple[int, int, bool]], later_ms: int, tokens: int
) -> None:
    """`before`: for each call how much later it is, its tokens, and whether it is settled."""

    async def check() -> None:
        clock = Clock()
        store, metrics = MemoryStore(1, clock_ms=lambda: clock.now_ms), Metrics("0")
        planner = Planner(store, metrics)
        engine = Engine(store, planner, TokenCounter(preload=False), metrics)
        engine.seal_with(b"key")
        text = f"tenant: acme\nbudgets: {{b: {{limit: {LIMIT} tokens, window: rolling 6s}}}}"
        await Administration(store, planner).apply_policy(text, None)
        for number, (wait_ms, amount, settled) in enumerate(before, 1):
            clock.now_ms += wait_ms
            decision = await engine.reserve(call(amount, number))
            if decision.allowed and settled:
                actual = Cost(0, amount)
                end = SettleCall("acme", f"r{number}", "s", b"", Outcome.COMPLETED, actual)
                await engine.settle(end)
        clock.now_ms += later_ms
        told = await engine.explain(call(tokens))
        if told.refusal is None:
            return
        assert told.advice
        assert told.advice.at_ms == clock.now_ms + (told.refusal.retry_after_ms or -clock.now_ms)
        assert await first_room_ms(engine, clock, tokens) == told.advice.at_ms

    asyncio.run(check())


async def first_room_ms(engine: Engine, clock: Clock, tokens: int) -> int:
    """Tries at the end of every sub-bucket, and a moment before; 0: it never fits."""
    end_ms = clock.now_ms + LENGTH_MS + 2 * BUCKET_MS
    for bucket in range(clock.now_ms // BUCKET_MS + 1, end_ms // BUCKET_MS + 1):
        for at_ms in (bucket * BUCKET_MS - 1, bucket * BUCKET_MS):
            clock.now_ms = at_ms
            if (await engine.explain(call(tokens))).refusal is None:
                return at_ms
    return 0
