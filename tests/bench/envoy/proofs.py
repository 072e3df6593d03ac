"""What a sidecar counted and wrote into its ledger, compared with the calls that were made."""

import time
from collections import Counter
from typing import Any, NamedTuple, Self

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


class Counted(NamedTuple):
    """Sums of the sidecar's metrics, of its balances and of its ledger."""

    allowed: int
    refused: int
    settled: int
    """As the provider reported it."""
    ended: int
    """Calls through Envoy whose end was told."""
    spent_nano_usd: int
    """Of the wallet that pays."""
    held_nano_usd: int
    open_holds: int
    ledger: Counter[str]
    """Entries by kind, and their `nano`, `tokens` and `requests` once ended."""

    def since(self, before: Self) -> "Counted":
        """What has come to it since `before`."""
        # Subtracting with `-` would leave out what is not above zero.
        ledger = Counter(self.ledger)
        ledger.subtract(before.ledger)
        numbers = (now - then for now, then in zip(self[:-1], before[:-1], strict=True))
        return Counted(*numbers, ledger)


class Proof:
    """Follows the ledger of a sidecar."""

    def __init__(self, sidecar: SidecarTarget, way: Way) -> None:
        self._sidecar = sidecar
        self._way = way
        partition = partition_of(direct.TENANT, int(sidecar.store.hget(partition_keys(0)[0], "partitions")))
        self._meta, *_, self._log, _ = partition_keys(partition)
        self._next = "-"
        self._ledger: Counter[str] = Counter()
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
        found, expected = now.since(self._before), self._expected(calls)
        assert found == expected, f"{self._way}: counted {found}, expected {expected}"
        self._before, self._entries = now, self._written()

    def _expected(self, calls: int) -> Counted:
        cost_nano_usd, tokens = calls * COST_NANO_USD, calls * TOKENS
        if self._way is Way.RATELIMIT:
            ledger = Counter({"charge": 2 * calls, "tokens": tokens, "requests": calls, "nano": 0})
            return Counted(2 * calls, 0, 0, 0, 0, 0, 0, ledger)
        ledger = Counter(reserve=calls, settle=calls, nano=cost_nano_usd, tokens=tokens, requests=calls)
        return Counted(calls, 0, calls, calls, cost_nano_usd, 0, 0, ledger)

    def _written(self) -> int:
        return int(self._sidecar.store.hget(self._meta, "seq") or 0)

    def _counted(self) -> Counted:
        self._read_ledger()
        scrape = self._sidecar.metrics()
        balance = self._sidecar.budget.Balance(direct.balance_request())
        (wallet,) = (each for each in balance.wallets if each.name == balance.effective_wallet)
        return Counted(
            allowed=scrape.total("tallystick_decisions_total", 'result="ALLOW"'),
            refused=scrape.total("tallystick_decisions_total", 'result="DENY"'),
            settled=scrape.total("tallystick_settles_total", 'outcome="COMPLETED"', 'estimated="false"'),
            ended=scrape.total("tallystick_proxied_ends_total"),
            spent_nano_usd=wallet.spent,
            held_nano_usd=wallet.held,
            open_holds=direct.open_holds(balance.budgets),
            ledger=Counter(self._ledger),
        )

    def _read_ledger(self) -> None:
        entries: Any = True
        while entries:
            entries = self._sidecar.store.xrange(self._log, self._next, "+", ENTRIES_AT_ONCE)
            for name, fields in entries:
                kind = fields[b"kind"].decode()
                self._ledger[kind] += 1
                if kind in ("settle", "charge"):
                    for amount in ("nano", "tokens", "requests"):
                        self._ledger[amount] += int(fields[amount.encode()])
                self._next = f"({name.decode()}"
