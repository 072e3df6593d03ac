"""What a sidecar counted and wrote into its ledger, compared with the calls that were made."""

import time
from collections import Counter
from typing import Any

from tallystick.envoy import Way
from tallystick.store.keys import partition_keys, partition_of
from tests.bench import workload as direct
from tests.bench.envoy.workload import COST_NANO_USD, TOKENS
from tests.bench.targets import SidecarTarget

PATIENCE_S = 60.0
LOOK_S = 0.01
ENTRIES_A_CALL = 2
"""A reserve and a settle; in way ratelimit the charge of a request and that of its tokens."""
ENTRIES_AT_ONCE = 5_000
AMOUNTS = ("nano", "tokens", "requests")

Counted = Counter[str]
"""Metrics and balances by name, entries of the ledger by kind, and its amounts of what has ended."""


def expected_of(way: Way, calls: int) -> Counted:
    """What so many calls add."""
    if way is Way.RATELIMIT:
        return Counter(allowed=2 * calls, charge=2 * calls, tokens=calls * TOKENS, requests=calls)
    cost_nano_usd = calls * COST_NANO_USD
    found = Counter(allowed=calls, settled=calls, ended=calls, spent_nano_usd=cost_nano_usd)
    found.update(reserve=calls, settle=calls, nano=cost_nano_usd, tokens=calls * TOKENS, requests=calls)
    return found


class Proof:
    """Follows the ledger of a sidecar."""

    def __init__(self, sidecar: SidecarTarget, way: Way) -> None:
        self._sidecar = sidecar
        self._way = way
        self._store = sidecar.store
        partitions = int(self._store.hget(partition_keys(0)[0], "partitions"))
        self._meta, _, _, _, self._log, *_ = partition_keys(partition_of(direct.TENANT, partitions))
        self._next = "-"
        self._ledger: Counted = Counter()
        self._before = self._counted()
        self._entries = self._written()

    def wait(self, calls: int) -> None:
        """Waits until so many more calls are in the ledger, without a word to the sidecar."""
        deadline = time.monotonic() + PATIENCE_S
        wanted = self._entries + calls * ENTRIES_A_CALL
        while (found := self._written()) < wanted:
            assert time.monotonic() < deadline, f"{wanted - found} entries of {calls} calls are missing"
            time.sleep(LOOK_S)

    def check(self, calls: int) -> None:
        """Raises AssertionError unless just these calls were reserved and settled since the last time."""
        now = self._counted()
        found, expected = Counter(now), expected_of(self._way, calls)
        found.subtract(self._before)
        assert found == expected, f"{self._way}: counted {+found} and {-found}, expected {expected}"
        self._before, self._entries = now, self._written()

    def _written(self) -> int:
        return int(self._store.hget(self._meta, "seq") or 0)

    def _counted(self) -> Counted:
        self._read_ledger()
        scrape = self._sidecar.metrics()
        balance = self._sidecar.budget.Balance(direct.balance_request())
        (wallet,) = (each for each in balance.wallets if each.name == balance.effective_wallet)
        found = Counter(self._ledger)
        found.update(
            allowed=scrape.total("tallystick_decisions_total", 'result="ALLOW"'),
            refused=scrape.total("tallystick_decisions_total", 'result="DENY"'),
            settled=scrape.total("tallystick_settles_total", 'outcome="COMPLETED"', 'estimated="false"'),
            settled_otherwise=scrape.total("tallystick_settles_total", 'estimated="true"'),
            ended=scrape.total("tallystick_proxied_ends_total"),
            spent_nano_usd=wallet.spent,
            held_nano_usd=wallet.held,
            open_holds=direct.open_holds(balance.budgets),
        )
        return found

    def _read_ledger(self) -> None:
        entries: Any = True
        while entries:
            entries = self._store.xrange(self._log, self._next, "+", ENTRIES_AT_ONCE)
            for name, fields in entries:
                kind = fields[b"kind"].decode()
                self._ledger[kind] += 1
                if kind in ("settle", "charge"):
                    for amount in AMOUNTS:
                        self._ledger[amount] += int(fields[amount.encode()])
                self._next = f"({name.decode()}"
