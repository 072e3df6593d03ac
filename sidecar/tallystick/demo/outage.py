"""A scene: the store is killed, and its disk is away for five seconds. Calls go on within an allowance."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from tallystick.core.errors import StoreUnavailable
from tallystick.core.ledger import Entry
from tallystick.demo.agents import NeverStopped, Stage, ask
from tallystick.demo.books import read_entries
from tallystick.demo.gateway import BudgetRefused
from tallystick.demo.screen import money
from tallystick.store.address import StoreAddress
from tallystick.store.dial import ask_once
from tallystick.v1.budget_pb2 import Subject

NORA = Subject(org="acme", team="platform", user="nora", role="on-call", session="nora-1")
AWAY_S = 5.0
EVERY_S = 0.3
TO_READ_S = 1.5
"""For the eye; and so that the store has all that it answered in its file (`fast`: within a second)."""
BACK_S = 20.0
"""How long the sidecar may take to start the store again, and to tell it."""
MARK = "WITHOUT_STORE"


async def outage(stage: Stage, store: StoreAddress) -> None:
    """Play it: nora works while the store is away, and once more when it is back."""
    await asyncio.sleep(TO_READ_S)
    kept = Path(store.path).parent / "valkey"
    stage.tell("THE STORE IS KILLED, and its disk is gone: nobody can count, for five seconds")
    away = kept.rename(kept.with_name("valkey.away"))
    try:
        os.kill(await _pid(store), signal.SIGKILL)
        let_through = await _work(stage, time.monotonic() + AWAY_S)
    finally:
        away.rename(kept)
    stage.tell("THE DISK IS BACK: the sidecar starts the store, and tells it what it let through")
    told = await _told(store, let_through)
    stage.tell(f"IN THE LEDGER: {let_through} calls without the store, {money(told)}, each of them once")
    await stage.gateway.complete(NORA, ask("demo-large", "All is well again?", 300))


async def _pid(store: StoreAddress) -> int:
    told: bytes = await ask_once(store, None, "INFO", "server", timeout_s=2)
    fields = dict(line.split(":", 1) for line in told.decode().splitlines() if ":" in line)
    return int(fields["process_id"])


async def _work(stage: Stage, until_s: float) -> int:
    """Call, and call again, until then; how many calls were let through."""
    let_through = refused = 0
    while time.monotonic() < until_s:
        try:
            await stage.gateway.complete(NORA, ask("demo-large", f"What is down now? {let_through}", 300))
        except BudgetRefused as error:
            if error.reason != "STORE_UNAVAILABLE":
                raise
            refused += 1
        else:
            let_through += 1
        await asyncio.sleep(EVERY_S)
    if not refused:
        raise NeverStopped("nora")
    return let_through


async def _told(store: StoreAddress, calls: int) -> int:
    """Wait until the ledger has so many calls of the outage; what they were charged, in nano-dollars."""
    async with asyncio.timeout(BACK_S):
        while True:
            with contextlib.suppress(StoreUnavailable):  # it is just starting
                await _pid(store)
                charged = _without_store([entry for page in await read_entries(store) for entry in page])
                if len(charged) >= calls:
                    return sum(charged.values())
            await asyncio.sleep(EVERY_S)


def _without_store(entries: list[Entry]) -> dict[str, int]:
    """What each call was charged that was let through meanwhile."""
    settled = (entry.fields for entry in entries if entry.fields["kind"] == "settle")
    return {fields["id"]: int(fields["nano"]) for fields in settled if MARK in fields["outcome"]}
