"""The last scene: a grant is used up, and comes anew at midnight."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from tallystick.core.ledger import Entry, replay
from tallystick.core.money import usd_text
from tallystick.demo.agents import MOST_TRIES, NeverStopped, Stage, ask
from tallystick.demo.books import read_entries
from tallystick.demo.gateway import BudgetRefused
from tallystick.store.address import StoreAddress
from tallystick.store.keys import partition_keys, partition_of
from tallystick.store.script_runner import ScriptRunner
from tallystick.v1.budget_pb2 import Refusal, Subject

CLERK = Subject(service="clerk", session="clerk-1")
PAST_MIDNIGHT_MS = 1_000
TO_READ_S = 1.5
"""How long the screen stays as it is, for the eye."""


class Renewal(NamedTuple):
    """What became of a grant, in nano-dollars."""

    left: int
    lapsed: int
    rolled_over: int
    granted: int


async def midnight(stage: Stage, tenant: str, store: StoreAddress) -> None:
    """Play it. It moves the clock of everybody in the tenant's partition, so it comes last."""
    refusal, body = await _use_up(stage)
    midnight_ms = refusal.advice.at.ToMilliseconds()
    await asyncio.sleep(TO_READ_S)
    await _put_clock_to(midnight_ms + PAST_MIDNIGHT_MS, tenant, store)
    stage.tell("MIDNIGHT: the store's clock is put ahead, and clerk asks again")
    await stage.gateway.complete(CLERK, body)
    pages = await read_entries(store)
    new = renewed(pages[partition_of(tenant, len(pages))], midnight_ms)
    left, lapsed, rolled_over = (usd_text(amount) for amount in new[:3])
    stage.tell(f"OF ${left} LEFT: ${lapsed} lapsed, ${rolled_over} rolled over")
    stage.tell(f"GRANTED: ${usd_text(new.granted)} for the new day")
    await asyncio.sleep(TO_READ_S)


async def _use_up(stage: Stage) -> tuple[Refusal, dict[str, Any]]:
    """Answer letters until the day's grant cannot pay another one; the refusal, and the call."""
    for number in range(MOST_TRIES):
        body = ask("demo-large", f"Answer letter {number}.", 500)
        try:
            await stage.gateway.complete(CLERK, body)
        except BudgetRefused as refused:
            if refused.reason != "INSUFFICIENT_FUNDS":
                raise
            return refused.refusal, body
    raise NeverStopped("clerk")


async def _put_clock_to(at_ms: int, tenant: str, address: StoreAddress) -> None:
    """Shift the clock of the tenant's partition, by the store's seam for tests."""
    runner = ScriptRunner(address, partitions=1, timeout_s=2, tls=None, on_change=lambda up: None)
    try:
        await runner.open()
        ahead_ms = at_ms - time.time_ns() // 1_000_000
        partition = runner.partition(tenant)
        await runner.ask(partition, "HSET", partition_keys(partition)[0], "time", f"{ahead_ms:+d}")
    finally:
        await runner.close()


def renewed(entries: Sequence[Entry], midnight_ms: int) -> Renewal:
    """What the ledger of the partition tells of the one grant that came at midnight."""
    before = [entry for entry in entries if int(entry.fields["at"]) < midnight_ms]
    after = [entry.fields for entry in entries[len(before) :]]
    grant = next(fields for fields in after if fields["kind"] == "grant")
    wallet = grant["wallet"]
    # Whoever comes first tells what lapsed: the sweeper, or the call that the new grant pays.
    swept = [f["amount"] for f in after if f["kind"] == "lapse" and f["wallet"] == wallet]
    left, lapsed = replay(before).get(f"{wallet}:b", 0), sum(map(int, [*swept, grant["lapsed"]]))
    return Renewal(left, lapsed, left - lapsed, int(grant["amount"]))
