"""The calls that the store is yet to be told of."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tallystick.core.hold import hold_body, tally_record
from tallystick.core.matching import make_plan
from tallystick.core.plan import Plan
from tallystick.core.subject import Subject
from tallystick.engine.alone_calls import Calls
from tallystick.engine.planner import Clock
from tallystick.policyfile import load_policy
from tallystick.store.journal import Journal, JournalFailed
from tallystick.store.memory import MemoryStore
from tests.servers import until

pytestmark = pytest.mark.contract(13)
PLACE = ("acme", "a")


@pytest.fixture
def plan() -> Plan:
    budget = "limit: 9 USD, window: day, store_away: {allowance: 1 USD}"
    policy = load_policy(f"tenant: acme\nbudgets: {{b: {{{budget}}}}}\n", 1)
    return make_plan(policy, Subject(user="ann"), "", "", None, said=(), now_ms=Clock().now_ms())


def record_of(plan: Plan, nano_usd: int) -> str:
    now_ms = Clock().now_ms()
    return tally_record(
        content="", reserved_ms=now_ms, wallet='"",""', nano_usd=nano_usd, tokens=0,
        expires_ms=now_ms + 60_000, body=hold_body(plan, "user=ann"),
    )  # fmt: skip


async def test_one_that_could_not_be_written_takes_nothing_of_its_retry_with_it(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry has the same id, and may be let through before the store is told."""
    store, real = MemoryStore(), os.fsync
    calls, failing = Calls(store, Clock(), Journal(tmp_path / "j", 10_000)), [True]

    def fsync(file: int) -> None:
        if failing.pop() if failing else False:
            raise OSError(errno.EIO, "Input/output error")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    catching_up: Any = asyncio.create_task(calls.catch_up_for_ever())
    first = calls.let_through(PLACE, record_of(plan, 5))
    with pytest.raises(JournalFailed):
        await first.on_disk()
    calls.forget(PLACE, first)
    retried = calls.let_through(PLACE, record_of(plan, 5))
    await retried.on_disk()
    await until(lambda: not len(calls))
    catching_up.cancel()
    hold = await store.hold(*PLACE)
    assert hold is not None
    assert hold.nano_usd == 5
    assert calls.allowances.used(plan.budgets[0].counter, Clock().now_ms()) == 5
