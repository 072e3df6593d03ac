"""The store on Valkey or Redis: one EVALSHA per operation."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tallystick.core.errors import (
    IdMismatch,
    PolicyConflict,
    ReservationEnded,
    ReservationNotFound,
)
from tallystick.core.hold import Hold, read_hold
from tallystick.core.learning import FADE_ABOVE, IDLE_MS, MOST_PAIRS, Counts, Pair, pack, unpack
from tallystick.core.ledger import Entry
from tallystick.core.plan import Plan, WalletLine
from tallystick.core.reasons import Reason
from tallystick.store.address import StoreAddress
from tallystick.store.base import (
    Again,
    Counters,
    ExtendAsk,
    Extended,
    Held,
    Refused,
    Released,
    Replayed,
    ReserveAsk,
    SettleAsk,
    Settled,
    Stamp,
    StoredPolicy,
    Swept,
    WalletFunds,
)
from tallystick.store.keys import partition_keys
from tallystick.store.script_runner import ScriptRunner

ALLOW, DENY, AGAIN, REPLAY, MISMATCH, ENDED, UNKNOWN, TOO_OLD = range(8)
"""The first element of every script's reply."""

SCAN_COUNT = 1_000

OF_THE_CALL = 7
"""How many arguments of `reserve` are of the call, and not of its plan."""
RESERVE = b"%b" + OF_THE_CALL * b"$%d\r\n%b\r\n"


class ValkeyStore:
    """Speaks to one Valkey or Redis; nothing is answered before `open`.

    `partitions` counts only when the store is used for the first time. A store
    that answers nothing for `timeout_s` is taken to be away. `on_change` is told
    when it comes and goes.
    """

    def __init__(
        self,
        address: StoreAddress,
        *,
        partitions: int = 64,
        retention_ms: int = 86_400_000,
        timeout_s: float = 2.0,
        tls: ssl.SSLContext | None = None,
        on_change: Callable[[bool], None] = lambda up: None,
    ) -> None:
        self._runner = ScriptRunner(
            address, partitions=partitions, timeout_s=timeout_s, tls=tls, on_change=on_change
        )
        self._retention_ms = retention_ms

    @property
    def partitions(self) -> int:
        """How many partitions there are; 0 before `open`."""
        return self._runner.partitions

    async def open(self) -> None:
        """Connects, waiting as long as it takes, and makes sure that the store is of use.

        Raises:
            StoreUnusable: its schema is of another version, or it evicts keys.
        """
        await self._runner.open()

    async def reserve(self, plan: Plan, ask: ReserveAsk) -> Held | Refused | Again | Replayed:
        """See `Store.reserve`."""
        reservation_id, content, body = ask.reservation_id.encode(), ask.content.encode(), ask.body.encode()
        nano_usd, tokens, ttl_ms = b"%d" % ask.nano_usd, b"%d" % ask.tokens, b"%d" % ask.ttl_ms
        message = RESERVE % (
            plan.remembered.get("reserve") or self._reserve_head(plan),
            *(len(reservation_id), reservation_id),
            *(len(content), content),
            *(len(nano_usd), nano_usd),
            *(len(tokens), tokens),
            *(len(ttl_ms), ttl_ms),
            *(1 if ask.refusal < 10 else 2, b"%d" % ask.refusal),
            *(len(body), body),
        )
        reply = await self._runner.evaluate("reserve", message)
        code = reply[0]
        if code == ALLOW:
            return Held(Stamp(reply[1], int(reply[2]), int(reply[3])), reply[4], reply[5], _values(reply[6]))
        if code == DENY:
            stamp = Stamp(reply[1], int(reply[2]), int(reply[3]))
            return Refused(stamp, Reason(reply[4]), reply[5], _values(reply[6]))
        if code == AGAIN:
            return Again(reply[1], int(reply[2]))
        if code == REPLAY:
            return Replayed(read_hold(reply[1].decode()))
        if code == MISMATCH:
            raise IdMismatch("reservation_id: was used before with other content")
        raise ReservationEnded("reservation_id: was released before")

    def _reserve_head(self, plan: Plan) -> object:
        """The command up to the arguments of the call, made once for a plan."""
        runner = self._runner
        args: list[object] = [plan.tenant, plan.policy_version, plan.valid_from_ms, plan.valid_until_ms]
        args += [self._retention_ms, len(plan.wallets), len(plan.budgets)]
        for wallet in plan.wallets:
            args += [wallet.counter, wallet.unit]
        for line in plan.budgets:
            args += [line.counter, line.unit, line.limit, int(line.rank), line.end]
        head = plan.remembered["reserve"] = runner.message(
            "reserve", runner.partition(plan.tenant), args, more=OF_THE_CALL
        )
        return head

    async def settle(self, tenant: str, ask: SettleAsk) -> Settled:
        """See `Store.settle`."""
        reply = await self._runner.run(
            "settle",
            tenant,
            [
                tenant,
                ask.reservation_id,
                ask.content,
                self._retention_ms,
                ask.mode,
                "" if ask.nano_usd is None else ask.nano_usd,
                "" if ask.tokens is None else ask.tokens,
                1 if ask.estimated else 0,
                ask.outcome,
                ask.usage,
                ask.tally,
            ],
        )
        code = reply[0]
        if code == MISMATCH:
            raise IdMismatch(f"reservation {ask.reservation_id!r} was settled with other content")
        if code == UNKNOWN:
            raise ReservationNotFound(f"no reservation {ask.reservation_id!r}, and no tally came with it")
        if code == TOO_OLD:
            raise ReservationEnded(f"the tally of {ask.reservation_id!r} is older than the retention")
        nano_usd, tokens = int(reply[4]), int(reply[5])
        return Settled(_stamp(reply), nano_usd, tokens, reply[6] == 1, reply[7] == 1, code == ALLOW)

    async def release(self, tenant: str, reservation_id: str) -> Released:
        """See `Store.release`."""
        reply = await self._runner.run("release", tenant, [tenant, reservation_id, self._retention_ms])
        if reply[0] == ENDED:
            raise ReservationEnded(f"reservation {reservation_id!r} was settled")
        if reply[0] == UNKNOWN:
            return Released(_stamp(reply), 0, 0, known=False)
        return Released(_stamp(reply), int(reply[4]), int(reply[5]), known=True)

    async def extend(self, tenant: str, ask: ExtendAsk) -> Extended | Refused | Again:
        """See `Store.extend`."""
        args: list[object] = [tenant, ask.reservation_id, ask.extension_id, ask.policy_version]
        args += [self._retention_ms, ask.ttl_ms, ask.nano_usd, ask.tokens]
        for limit, rank in ask.limits:
            args += [limit, int(rank)]
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
            return Refused(_stamp(reply), Reason(reply[4]), reply[5], _values(reply[6]))
        return Extended(_stamp(reply), reply[4], int(reply[5]), int(reply[6]))

    async def balance(self, plan: Plan) -> Counters | Again:
        """See `Store.balance`."""
        args: list[object] = [plan.tenant, plan.policy_version, plan.valid_from_ms, plan.valid_until_ms]
        args.append(self._retention_ms)
        args += [f"{line.counter}:{suffix}" for line in plan.wallets for suffix in "fbh"]
        args += [f"{line.counter}:{suffix}" for line in plan.budgets for suffix in "sh"]
        reply = await self._runner.run("balance", plan.tenant, args)
        if reply[0] == AGAIN:
            return Again(reply[1], int(reply[2]))
        return Counters(_stamp(reply), _values(reply[4]))

    async def credit(
        self, tenant: str, wallet: WalletLine, amount: int, credit_id: str, reason: str
    ) -> WalletFunds:
        """See `Store.credit`."""
        args = [tenant, credit_id, wallet.counter, wallet.unit, amount, reason, self._retention_ms]
        reply = await self._runner.run("credit", tenant, args)
        if reply[0] == MISMATCH:
            raise IdMismatch(f"credit {credit_id!r} was made with other content")
        return WalletFunds(*map(int, reply[4:7]))

    async def wallets(self, tenant: str) -> dict[str, WalletFunds]:
        """See `Store.wallets`. Counters are read in several steps, so not at one moment."""
        key, prefix = partition_keys(self._runner.partition(tenant))[1], f"{tenant}:w:"
        found: dict[str, int] = {}
        cursor: Any = b"0"
        while True:
            cursor, cells = await self._runner.ask(
                "HSCAN", key, cursor, "MATCH", f"{prefix}*", "COUNT", SCAN_COUNT
            )
            found.update({cells[i].decode(): int(cells[i + 1]) for i in range(0, len(cells), 2)})
            if cursor == b"0":
                break
        counters = sorted({name[:-2] for name in found})
        return {c: WalletFunds(*(found.get(f"{c}:{suffix}", 0) for suffix in "fbh")) for c in counters}

    async def hold(self, tenant: str, reservation_id: str) -> Hold | None:
        """See `Store.hold`."""
        key = partition_keys(self._runner.partition(tenant))[2]
        text = await self._runner.ask("HGET", key, f"{tenant}:r:{reservation_id}")
        return read_hold(text.decode()) if text else None

    async def apply_policy(self, tenant: str, document: str, expected: int | None) -> tuple[int, bool]:
        """See `Store.apply_policy`."""
        args = [tenant, document, "" if expected is None else expected]
        reply = await self._runner.run("apply_policy", tenant, args)
        if reply[0] == MISMATCH:
            raise PolicyConflict(f"version {int(reply[1])} is in force, not {expected}")
        return int(reply[1]), reply[0] == ALLOW

    async def policy(self, tenant: str) -> StoredPolicy | None:
        """See `Store.policy`."""
        keys = partition_keys(self._runner.partition(tenant))
        version = await self._runner.ask("HGET", keys[0], f"policy:{tenant}")
        if version is None:
            return None
        document = await self._runner.ask("HGET", keys[5], f"{tenant}:{int(version)}")
        return StoredPolicy(document.decode(), int(version))

    async def learn(self, tenant: str, news: Mapping[Pair, Counts]) -> dict[Pair, Counts]:
        """See `Store.learn`."""
        args: list[object] = [tenant, self._retention_ms, IDLE_MS, MOST_PAIRS, FADE_ABOVE]
        for pair, counts in news.items():
            args += [pair.name, pack(counts)]
        texts = (await self._runner.run("learn", tenant, args))[4]
        return {pair: unpack(text.decode()) for pair, text in zip(news, texts, strict=True) if text}

    async def sweep(self, partition: int, limit: int) -> Swept:
        """See `Store.sweep`."""
        message = self._runner.message("sweep", partition, [limit, self._retention_ms])
        now_ms, seq, epoch, open_holds, more = await self._runner.evaluate("sweep", message)
        return Swept(Stamp(now_ms, int(seq), int(epoch)), open_holds, more == 1)

    async def ledger(self, partition: int, after: str, count: int) -> Sequence[Entry]:
        """See `Store.ledger`."""
        key, start = partition_keys(partition)[4], "-" if after == "0" else f"({after}"
        rows = await self._runner.ask("XRANGE", key, start, "+", "COUNT", count)
        return [
            Entry(
                row_id.decode(),
                {cells[i].decode(): cells[i + 1].decode() for i in range(0, len(cells), 2)},
            )
            for row_id, cells in rows
        ]

    async def shared_key(self, proposed: bytes) -> bytes:
        """See `Store.shared_key`."""
        key = partition_keys(0)[0]
        await self._runner.ask("HSETNX", key, "tally_key", proposed)
        return bytes(await self._runner.ask("HGET", key, "tally_key"))

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._runner.ask("PING")

    async def close(self) -> None:
        """See `Store.close`."""
        await self._runner.close()


def _stamp(reply: list[Any]) -> Stamp:
    return Stamp(reply[1], int(reply[2]), int(reply[3]))


def _values(raw: list[bytes | None]) -> list[int]:
    return [int(value) if value else 0 for value in raw]
