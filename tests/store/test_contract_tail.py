"""The contract, on every store: where the ledger of a time begins."""

import random

import pytest

from tallystick.core.policy import Unit
from tests.store.backends import START_MS, Backend
from tests.store.desk import budget, desk_at
from tests.store.steps import ORG


@pytest.mark.contract(10)
async def test_the_ledger_before_a_time_is_found(backend: Backend, dice: random.Random) -> None:
    desk = await desk_at(backend, ORG, budget("n", 9, Unit.REQUESTS), funds=1_000)
    for _ in range(60):
        backend.move(dice.choice([0, 0, 1, 7, 900]))
        await desk.credit("org", 1)
    log = backend.state().log
    times = [int(entry.fields["at"]) for entry in log]
    for at_ms in {START_MS - 1, START_MS, START_MS + 1, *times, *(time + 1 for time in times), times[-1] + 9}:
        older = [entry.entry_id for entry in log if int(entry.fields["at"]) < at_ms]
        found = await desk.store.ledger_before(0, at_ms)
        assert found == (older[-1] if older else "0"), at_ms
        following = await desk.store.ledger(0, found, 1_000)
        assert list(following) == log[len(older) :]


async def test_an_empty_ledger_has_nothing_before(backend: Backend) -> None:
    store = await backend.client()
    assert await store.ledger_before(0, START_MS) == "0"
