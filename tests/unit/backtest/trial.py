"""A policy whose sums can be done by hand, and the calls that it is tried on."""

import asyncio
import io
from collections.abc import Iterable, Sequence
from typing import Any

from tallystick.backtest import PastCall, Replay, Report, Timeline, UsageFile, Wallets
from tallystick.backtest.document import document_of
from tallystick.core.subject import Subject
from tallystick.core.usage import Usage

POLICY = """
tenant: acme
timezone: Europe/Berlin
prices:
  models:
    house: {input: 1, cached_input: 0.1, output: 2}   # 1,000, 100 and 2,000 nano-dollars a token
estimate: {max_output: 100}
budgets:
  daily: {per: [user], limit: 0.0005 USD, window: day}
  warning: {limit: 10 requests, window: total, on_exhausted: alert, alerts: [30, 60]}
"""
NOON_MS = 1_780_308_000_000
"""2026-06-01T10:00:00Z, noon in Berlin."""
HOUR_MS = 3_600_000


def past(at_ms: int = 0, user: str = "alice", **fields: Any) -> PastCall:
    """A call so long after noon; by default 100 tokens in and 50 out, which cost 200,000 nano-dollars."""
    subject = Subject(**{"user": user} | fields.pop("subject", {}))
    given: dict[str, Any] = {
        "model": "house",
        "provider": "",
        "usage": Usage(input=100, output=50),
        "max_output": None,
    }
    given |= {"duration_ms": 0, "billed_nano_usd": None} | fields
    return PastCall(time_ms=NOON_MS + at_ms, subject=subject, **given)


def replayed(
    calls: Iterable[PastCall], policy: str = POLICY, wallets: Wallets = Wallets.UNLIMITED
) -> tuple[Replay, Report]:
    """All calls, sorted and replayed."""
    with Timeline() as timeline:
        timeline.read(calls)
        replay = Replay(policy, wallets, timeline.longest_ms)
        report = Report(replay.policy, replay.zone)
        asyncio.run(replay.run(timeline, report))
    return replay, report


def document(calls: Iterable[PastCall], policy: str = POLICY) -> dict[str, Any]:
    return document_of(replayed(calls, policy)[1])


def reader(data: str | bytes, strict: bool = False) -> UsageFile:
    raw = data.encode() if isinstance(data, str) else data
    return UsageFile(io.BufferedReader(io.BytesIO(raw)), strict)


def read(data: str | bytes) -> Sequence[PastCall]:
    """The calls of a file that has no bad rows."""
    rows = reader(data)
    calls = list(rows.calls())
    assert rows.bad_rows == []
    return calls
