"""The executable specification: a store in plain Python.

It keeps the same state as `valkey` does, field for field; read it beside the
scripts in `lua/`. It serves tests and dry runs, and forgets when it ends.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from tallystick.core.errors import (
    IdMismatch,
    ReservationEnded,
    ReservationNotFound,
)
from tallystick.core.hold import Hold, State, read_hold
from tallystick.core.learning import Counts, Pair
from tallystick.core.ledger import Entry, by_unit
from tallystick.core.lots import Account
from tallystick.core.plan import Plan
from tallystick.store.asks import (
    Again,
    Counters,
    CreditAsk,
    ExtendAsk,
    Extended,
    Held,
    MoveAsk,
    Moved,
    Refused,
    Released,
    Replayed,
    ReserveAsk,
    SettleAsk,
    Settled,
)
from tallystick.store.freezing import Swept
from tallystick.store.keys import partition_of
from tallystick.store.memory_charge import ChargingInMemory
from tallystick.store.memory_freezing import FreezingInMemory
from tallystick.store.memory_funds import credit, move
from tallystick.store.memory_holds import HoldsInMemory
from tallystick.store.memory_learning import learn
from tallystick.store.memory_partition import END_BEFORE_REFUSAL, Partition, drawn_text
from tallystick.store.memory_reserve import reserve, weigh_extension
from tallystick.store.memory_settle import settle
from tallystick.store.memory_shadows import ShadowsInMemory
from tallystick.store.memory_tenants import TenantsInMemory
from tallystick.store.memory_tickets import TicketsInMemory
from tallystick.store.memory_tokens import TokensInMemory


class MemoryStore(
    ChargingInMemory,
    FreezingInMemory,
    HoldsInMemory,
    ShadowsInMemory,
    TenantsInMemory,
    TicketsInMemory,
    TokensInMemory,
):
    """Keeps everything in this process. `clock_ms` gives Unix milliseconds."""

    def __init__(
        self,
        partitions: int = 64,
        retention_ms: int = 86_400_000,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        super().__init__()
        self._partitions = [Partition(retention_ms) for _ in range(partitions)]
        self._retention_ms = retention_ms
        self._clock_ms = clock_ms
        self._key = b""

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return len(self._partitions)

    def state(self, partition: int) -> Partition:
        """A partition's state, for comparison."""
        return self._partitions[partition]

    async def reserve(self, plan: Plan, ask: ReserveAsk) -> Held | Refused | Again | Replayed:
        """See `Store.reserve`."""
        p, name = self._begin(plan.tenant), f"{plan.tenant}:r:{ask.reservation_id}"
        if name in p.hold:
            return _replayed(p.hold[name], ask.content)
        if self._stale(p, plan):
            return Again(p.now_ms, p.version(plan.tenant))
        more = p.end_due(16)
        reply = reserve(p, plan, ask, all_ended=not more)
        return self._refuse(p, plan.tenant, more, reply) if isinstance(reply, Refused) else reply

    async def settle(self, tenant: str, ask: SettleAsk) -> Settled:
        """See `Store.settle`."""
        return settle(self._begin(tenant), tenant, ask, self._retention_ms)

    async def release(self, tenant: str, reservation_id: str) -> Released:
        """See `Store.release`."""
        p, name = self._begin(tenant), f"{tenant}:r:{reservation_id}"
        if name not in p.hold:
            p.append("refuse", tenant, reservation_id)
            p.hold[name] = Hold(State.REFUSED, p.now_ms, 0, 0).text()
            p.schedule(f"r:{name}", p.now_ms + self._retention_ms)
            return Released(p.stamp(), 0, 0, known=False)
        hold = read_hold(p.hold[name])
        if hold.state in (State.REFUSED, State.RELEASED):
            return Released(p.stamp(), hold.nano_usd, hold.tokens, known=hold.state is State.RELEASED)
        if hold.state not in (State.OPEN, State.EXPIRED):
            raise ReservationEnded(f"reservation {reservation_id!r} was settled")
        account, lapsed = p.pay(hold, reservation_id, 0, 0)
        p.append("release", tenant, reservation_id, drawn=drawn_text(hold), lapsed=lapsed)
        p.charge(tenant, reservation_id, hold, account, (0, 0, 0))
        hold.state = State.RELEASED
        p.hold[name] = hold.text()
        p.schedule(f"r:{name}", max(hold.expires_ms, p.now_ms) + self._retention_ms)
        p.end_due(4)
        return Released(p.stamp(), hold.nano_usd, hold.tokens, known=True)

    async def extend(self, tenant: str, ask: ExtendAsk) -> Extended | Refused | Again:
        """See `Store.extend`."""
        p, name = self._begin(tenant), f"{tenant}:r:{ask.reservation_id}"
        seen = f"{tenant}:e:{ask.reservation_id}\t{ask.extension_id}"
        content = f"{ask.nano_usd}\t{ask.tokens}"
        hold = _open_hold(p, name, ask.reservation_id)
        if ask.extension_id and p.hold.get(seen, content) != content:
            raise IdMismatch(f"extension {ask.extension_id!r} was made with other content")
        if ask.extension_id and seen not in p.hold:
            if p.version(tenant) != ask.policy_version:
                return Again(p.now_ms, p.version(tenant))
            more = p.end_due(16)
            hold = _open_hold(p, name, ask.reservation_id)
            refused = weigh_extension(p, tenant, hold, ask)
            if refused:
                return self._refuse(p, tenant, more, refused)
            p.append("extend", tenant, ask.reservation_id, nano=ask.nano_usd, tokens=ask.tokens)
            more_held = by_unit(ask.nano_usd, ask.tokens, 0)
            p.post(tenant, ask.reservation_id, hold, more_held, None)
            if hold.wallet:
                counter, unit = hold.wallet
                p.count[f"{counter}:h"] = p.count.get(f"{counter}:h", 0) + more_held[unit]
            hold.nano_usd += ask.nano_usd
            hold.tokens += ask.tokens
            p.hold[seen] = content
            p.schedule(f"a:{seen}", p.now_ms + self._retention_ms)
        hold.expires_ms = max(hold.expires_ms, p.now_ms + ask.ttl_ms)
        p.hold[name] = hold.text()
        p.schedule(f"r:{name}", hold.expires_ms)
        p.wrote()
        return Extended(p.stamp(), hold.expires_ms, hold.nano_usd, hold.tokens)

    async def balance(self, plan: Plan, parts: Sequence[str] = ()) -> Counters | Again:
        """See `Store.balance`."""
        p = self._begin(plan.tenant)
        if self._stale(p, plan) or p.end_due(END_BEFORE_REFUSAL):
            return Again(p.now_ms, p.version(plan.tenant))
        accounts = [p.account(wallet.counter) for wallet in plan.wallets]
        spent = [p.count.get(part, 0) for part in parts]
        suspended = p.suspended(plan.tenant)
        return Counters(p.stamp(), accounts, p.values(plan.budgets), spent, suspended)

    async def credit(self, tenant: str, ask: CreditAsk) -> Account:
        """See `Store.credit`."""
        return credit(self._begin(tenant), tenant, ask)

    async def move(self, tenant: str, ask: MoveAsk) -> Moved:
        """See `Store.move`."""
        return move(self._begin(tenant), tenant, ask)

    async def wallets(self, tenant: str) -> dict[str, Account]:
        """See `Store.wallets`."""
        p, prefix = self._begin(tenant), f"{tenant}:w:"
        counters = sorted({name[:-2] for name in p.count if name.startswith(prefix)})
        return {counter: p.account(counter) for counter in counters}

    async def budgets(self, tenant: str) -> dict[str, tuple[int, int]]:
        """See `Store.budgets`."""
        p, prefix = self._begin(tenant), f"{tenant}:b:"
        names = (name for name in p.count if name.startswith(prefix) and name.endswith((":s", ":h")))
        counters = sorted({name[:-2] for name in names})
        return {c: (p.count.get(f"{c}:s", 0), p.count.get(f"{c}:h", 0)) for c in counters}

    async def learn(self, tenant: str, news: Mapping[Pair, Counts]) -> dict[Pair, Counts]:
        """See `Store.learn`."""
        return learn(self._begin(tenant), tenant, news)

    async def sweep(self, partition: int, limit: int) -> Swept:
        """See `Store.sweep`."""
        p = self._partitions[partition]
        self._tick(p)
        if p.frozen:
            return Swept(
                p.stamp(),
                p.meta.get("open", 0),
                more=False,
                frozen=p.frozen,
                switched=p.meta.get("switched", 0),
            )
        more = p.end_due(limit)
        return Swept(p.stamp(), p.meta.get("open", 0), more, switched=p.meta.get("switched", 0))

    async def ledger(self, partition: int, after: str, count: int) -> Sequence[Entry]:
        """See `Store.ledger`."""
        seq = int(after.rpartition("-")[2])
        return self._partitions[partition].log[seq : seq + count]

    async def ledger_before(self, partition: int, at_ms: int) -> str:
        """See `Store.ledger_before`."""
        log = self._partitions[partition].log
        older = bisect_left(log, at_ms, key=lambda entry: int(entry.fields["at"]))
        return log[older - 1].entry_id if older else "0"

    async def shared_key(self, proposed: bytes) -> bytes:
        """See `Store.shared_key`."""
        self._key = self._key or proposed
        return self._key

    async def ping(self) -> None:
        """See `Store.ping`."""

    async def close(self) -> None:
        """See `Store.close`."""

    def _begin(self, tenant: str) -> Partition:
        return self._begin_partition(partition_of(tenant, len(self._partitions)))

    def _begin_partition(self, partition: int) -> Partition:
        p = self._partitions[partition]
        if p.frozen:
            raise p.frozen.error(partition)
        self._tick(p)
        return p

    def _tick(self, p: Partition) -> None:
        p.now_ms = max(self._clock_ms(), p.meta.get("clock", 0))

    def _stale(self, p: Partition, plan: Plan) -> bool:
        in_time = plan.valid_from_ms <= p.now_ms < plan.valid_until_ms
        return not in_time or p.version(plan.tenant) != plan.policy_version

    def _refuse(self, p: Partition, tenant: str, more: bool, refused: Refused) -> Refused | Again:
        if not more:
            return refused
        p.end_due(END_BEFORE_REFUSAL)
        return Again(p.now_ms, p.version(tenant))


def _replayed(text: str, content: str) -> Replayed:
    hold = read_hold(text)
    if hold.state is not State.REFUSED and hold.content != content:
        raise IdMismatch("reservation_id: was used before with other content")
    if hold.state in (State.RELEASED, State.REFUSED):
        raise ReservationEnded("reservation_id: was released before")
    return Replayed(hold)


def _open_hold(p: Partition, name: str, reservation_id: str) -> Hold:
    text = p.hold.get(name, "")
    if not text or text.startswith(f'["{State.REFUSED}"'):
        raise ReservationNotFound(f"no reservation {reservation_id!r}")
    hold = read_hold(text)
    if hold.state is not State.OPEN:
        raise ReservationEnded(f"reservation {reservation_id!r} has ended")
    return hold
