"""The store on Valkey or Redis: one EVALSHA per operation."""

import ssl
from collections.abc import Callable, Mapping, Sequence

from tallystick.core.errors import (
    FundsMissing,
    IdMismatch,
    ReservationEnded,
    ReservationNotFound,
)
from tallystick.core.hold import read_hold
from tallystick.core.learning import FADE_ABOVE, IDLE_MS, MOST_PAIRS, Counts, Pair, pack, unpack
from tallystick.core.lots import Account
from tallystick.core.packing import compact
from tallystick.core.plan import Plan
from tallystick.core.reasons import Reason
from tallystick.store.address import StoreAddress
from tallystick.store.arguments import (
    ACCOUNT,
    OF_A_SETTLE,
    account_of,
    call_cells,
    held_of,
    moved_of,
    plan_cells,
    refused_of,
    settle_cells,
    settled_of,
    stamp_of,
    values_of,
    wallet_cells,
)
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
    Stamp,
)
from tallystick.store.breaker import Breaker
from tallystick.store.durability import Promise
from tallystick.store.freezing import Swept
from tallystick.store.keys import partition_keys
from tallystick.store.line import Line
from tallystick.store.script_runner import FAST, ScriptRunner
from tallystick.store.valkey_charge import ChargingOnValkey
from tallystick.store.valkey_freezing import FreezingOnValkey
from tallystick.store.valkey_holds import HoldsOnValkey
from tallystick.store.valkey_ledger import LedgerOnValkey
from tallystick.store.valkey_shadows import ShadowsOnValkey
from tallystick.store.valkey_tenants import TenantsOnValkey
from tallystick.store.valkey_tickets import TicketsOnValkey
from tallystick.store.valkey_tokens import TokensOnValkey

ALLOW, DENY, AGAIN, REPLAY, MISMATCH, ENDED, UNKNOWN, TOO_OLD = range(8)
"""The first element of every script's reply."""

MOST_LINES = 10_000


class ValkeyStore(
    ChargingOnValkey,
    FreezingOnValkey,
    HoldsOnValkey,
    LedgerOnValkey,
    ShadowsOnValkey,
    TenantsOnValkey,
    TicketsOnValkey,
    TokensOnValkey,
):
    """Speaks to one Valkey or Redis; nothing is answered before `open`. See `ScriptRunner`."""

    def __init__(
        self,
        address: StoreAddress,
        *,
        partitions: int = 64,
        retention_ms: int = 86_400_000,
        timeout_s: float = 2.0,
        tls: ssl.SSLContext | None = None,
        on_change: Callable[[bool], None] = lambda up: None,
        promise: Promise = FAST,
    ) -> None:
        super().__init__()
        self.durability: str = promise.mode
        self._runner = ScriptRunner(
            address,
            partitions=partitions,
            timeout_s=timeout_s,
            tls=tls,
            on_change=on_change,
            promise=promise,
        )
        self._retention_ms = retention_ms
        self._settles: dict[str, Line] = {}

    @property
    def partitions(self) -> int:
        """How many partitions there are; 0 before `open`."""
        return self._runner.partitions

    @property
    def told_settings(self) -> bool:
        """Whether all nodes told their settings, so that the promise could be checked."""
        return self._runner.told_settings

    def breakers(self) -> dict[str, Breaker]:
        """The circuit breakers of its nodes."""
        return self._runner.nodes.breakers()

    async def open(self) -> None:
        """Connects, waiting as long as it takes, and makes sure that the store is of use.

        Raises:
            StoreUnusable: its schema is of another version, it evicts keys, or it doesn't keep the promise.
        """
        await self._runner.open()
        self.forget_sequences()

    async def reserve(self, plan: Plan, ask: ReserveAsk) -> Held | Refused | Again | Replayed:
        """See `Store.reserve`."""
        line = plan.remembered.get("reserve") or self._line(plan)
        assert isinstance(line, Line)
        reply = await line.join(call_cells(plan, ask))
        code = reply[0]
        if code in (ALLOW, DENY):
            answer = held_of(reply) if code == ALLOW else refused_of(reply)
            if self._behind(line.partition, answer.stamp):
                await self._look_again(line.partition)
            return answer
        if code == AGAIN:
            return Again(reply[1], int(reply[2]))
        if code == REPLAY:
            return Replayed(read_hold(reply[1].decode()))
        if code == MISMATCH:
            raise IdMismatch("reservation_id: was used before with other content")
        raise ReservationEnded("reservation_id: was released before")

    def _line(self, plan: Plan) -> Line:
        """Where the calls of a plan come together, made once for it."""
        cells, partition = plan_cells(plan, self._retention_ms), self._runner.partition(plan.tenant)
        of_a_call = 4 + 3 * int(str(cells[6]))
        line = plan.remembered["reserve"] = Line(self._runner, "reserve", partition, cells, of_a_call)
        return line

    async def settle(self, tenant: str, ask: SettleAsk) -> Settled:
        """See `Store.settle`."""
        line = self._settles.get(tenant) or self._settle_line(tenant)
        reply = await line.join(settle_cells(ask, ""))
        if reply[0] == UNKNOWN and ask.tally:  # the store has lost it, and is told what it was
            reply = await line.join(settle_cells(ask, ask.tally))
        code = reply[0]
        if code == MISMATCH:
            raise IdMismatch(f"reservation {ask.reservation_id!r} was settled with other content")
        if code == UNKNOWN:
            raise ReservationNotFound(f"no reservation {ask.reservation_id!r}, and no tally came with it")
        if code == TOO_OLD:
            raise ReservationEnded(f"the tally of {ask.reservation_id!r} is older than the retention")
        settled = settled_of(reply, changed=code == ALLOW)
        if self._behind(line.partition, settled.stamp):
            await self._look_again(line.partition)
        return settled

    def _settle_line(self, tenant: str) -> Line:
        """Where the settles of a tenant come together."""
        if len(self._settles) >= MOST_LINES:
            self._settles.clear()  # who waits in one still leaves with it
        partition, args = self._runner.partition(tenant), (tenant, self._retention_ms)
        line = self._settles[tenant] = Line(self._runner, "settle", partition, args, OF_A_SETTLE)
        return line

    async def release(self, tenant: str, reservation_id: str) -> Released:
        """See `Store.release`."""
        reply = await self._runner.run("release", tenant, [tenant, reservation_id, self._retention_ms])
        if reply[0] == ENDED:
            raise ReservationEnded(f"reservation {reservation_id!r} was settled")
        if reply[0] == UNKNOWN:
            return Released(stamp_of(reply), 0, 0, known=False)
        return Released(stamp_of(reply), int(reply[4]), int(reply[5]), known=True)

    async def extend(self, tenant: str, ask: ExtendAsk) -> Extended | Refused | Again:
        """See `Store.extend`."""
        args: list[object] = [tenant, ask.reservation_id, ask.extension_id, ask.policy_version]
        args += [self._retention_ms, ask.ttl_ms, ask.nano_usd, ask.tokens]
        args.append(compact([[str(ceiling), int(rank)] for ceiling, rank in ask.limits]))
        reply = await self._runner.run("extend", tenant, args)
        code = reply[0]
        if code == AGAIN:
            return Again(reply[1], int(reply[2]))
        if code == UNKNOWN:
            raise ReservationNotFound(f"no reservation {ask.reservation_id!r}")
        if code == ENDED:
            raise ReservationEnded(f"reservation {ask.reservation_id!r} has ended")
        if code == MISMATCH:
            raise IdMismatch(f"extension {ask.extension_id!r} was made with other content")
        if code == DENY:
            return Refused(stamp_of(reply), Reason(reply[4]), reply[5], values_of(reply[6]))
        return Extended(stamp_of(reply), reply[4], int(reply[5]), int(reply[6]))

    async def balance(self, plan: Plan, parts: Sequence[str] = ()) -> Counters | Again:
        """See `Store.balance`."""
        args: list[object] = [plan.tenant, plan.policy_version, plan.valid_from_ms, plan.valid_until_ms]
        args.append(self._retention_ms)
        args += [f"{line.counter}:{suffix}" for line in plan.wallets for suffix in ACCOUNT]
        args += [f"{line.counter}:{suffix}" for line in plan.budgets for suffix in "sh"]
        args += parts
        reply = await self._runner.run("balance", plan.tenant, args)
        if reply[0] == AGAIN:
            return Again(reply[1], int(reply[2]))
        cells, width = reply[4], len(ACCOUNT)
        second = (first := width * len(plan.wallets)) + 2 * len(plan.budgets)
        accounts = [account_of(cells[i : i + width]) for i in range(0, first, width)]
        values, spent = values_of(cells[first:second]), values_of(cells[second:])
        return Counters(stamp_of(reply), accounts, values, spent, reply[5] == 1)

    async def credit(self, tenant: str, ask: CreditAsk) -> Account:
        """See `Store.credit`."""
        args = [tenant, ask.credit_id, compact(wallet_cells(ask.wallet)), int(ask.kind), ask.amount]
        args += [ask.expires_ms, ask.reason, self._retention_ms]
        reply = await self._runner.run("credit", tenant, args)
        if reply[0] == MISMATCH:
            raise IdMismatch(f"id {ask.credit_id!r} was used for something else")
        return account_of(reply[4])

    async def move(self, tenant: str, ask: MoveAsk) -> Moved:
        """See `Store.move`."""
        target = compact(wallet_cells(ask.target)) if ask.target else ""
        args = [tenant, ask.move_id, ask.kind, compact(wallet_cells(ask.source)), target, ask.amount]
        args += [ask.reason, self._retention_ms]
        reply = await self._runner.run("move", tenant, args)
        if reply[0] == MISMATCH:
            raise IdMismatch(f"id {ask.move_id!r} was used for something else")
        if reply[0] == DENY:
            raise FundsMissing(f"{int(reply[4])} are available, not {ask.amount}", int(reply[4]))
        return moved_of(reply)

    async def wallets(self, tenant: str) -> dict[str, Account]:
        """See `Store.wallets`."""
        found = await self._scan(tenant, "w:*")
        counters = sorted({name[:-2] for name in found})
        return {c: account_of([found.get(f"{c}:{suffix}") for suffix in ACCOUNT]) for c in counters}

    async def budgets(self, tenant: str) -> dict[str, tuple[int, int]]:
        """See `Store.budgets`."""
        found = await self._scan(tenant, "b:*:[sh]")
        counters = sorted({name[:-2] for name in found})
        return {c: (int(found.get(f"{c}:s", 0)), int(found.get(f"{c}:h", 0))) for c in counters}

    async def _scan(self, tenant: str, pattern: str) -> dict[str, bytes]:
        partition = self._runner.partition(tenant)
        return await self._runner.scan(partition, partition_keys(partition)[1], f"{tenant}:{pattern}")

    async def learn(self, tenant: str, news: Mapping[Pair, Counts]) -> dict[Pair, Counts]:
        """See `Store.learn`."""
        args: list[object] = [tenant, self._retention_ms, IDLE_MS, MOST_PAIRS, FADE_ABOVE]
        for pair, counts in news.items():
            args += [pair.name, pack(counts)]
        texts = (await self._runner.run("learn", tenant, args))[4]
        return {pair: unpack(text.decode()) for pair, text in zip(news, texts, strict=True) if text}

    async def sweep(self, partition: int, limit: int) -> Swept:
        """See `Store.sweep`."""
        args = (limit, self._retention_ms)
        told = await self._runner.evaluate_even_frozen("sweep", partition, args)
        now_ms, seq, epoch, open_holds, more, text, switched = told
        stamp, frozen = Stamp(now_ms, int(seq), int(epoch)), self._learned(partition, text)
        if not frozen and self._behind(partition, stamp):
            frozen = await self.freeze(partition, *self._seen[partition])
        return Swept(stamp, open_holds, more == 1, frozen, switched)

    async def shared_key(self, proposed: bytes) -> bytes:
        """See `Store.shared_key`."""
        place = (partition_keys(0)[0], "tally_key")
        await self._runner.ask(0, "HSETNX", *place, proposed)
        return bytes(await self._runner.ask(0, "HGET", *place))

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._runner.ask(0, "PING")

    async def close(self) -> None:
        """See `Store.close`."""
        await self._runner.close()
