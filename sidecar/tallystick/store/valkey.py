"""The store on Valkey or Redis: one EVALSHA per operation."""

import ssl
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from tallystick.core.errors import (
    IdMismatch,
    PolicyConflict,
    ReservationEnded,
    ReservationNotFound,
    StoreUnavailable,
    StoreUnusable,
)
from tallystick.core.hold import Hold, read_hold
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
from tallystick.store.keys import SCHEMA, partition_keys, partition_of
from tallystick.store.scripts import load_script
from tallystick.store.wire import Wire, encode

ALLOW, DENY, AGAIN, REPLAY, MISMATCH, ENDED, UNKNOWN, TOO_OLD = range(8)
"""The first element of every script's reply."""

PASSING = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "BUSY",
    "OOM",
    "NOREPLICAS",
    "MISCONF",
    "CLUSTERDOWN",
    "TRYAGAIN",
)
"""Store errors that another time may not bring."""

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
        self._wire = Wire(address, timeout_s, on_change, tls)
        self._wanted = partitions
        self._partitions = 0
        self._retention_ms = retention_ms
        self._scripts = {
            name: load_script(name)
            for name in (
                "reserve",
                "settle",
                "release",
                "extend",
                "balance",
                "credit",
                "apply_policy",
                "sweep",
            )
        }
        self._keys: list[bytes] = []

    @property
    def partitions(self) -> int:
        """How many partitions there are; 0 before `open`."""
        return self._partitions

    async def open(self) -> None:
        """Connects, waiting as long as it takes, and makes sure that the store is of use.

        Raises:
            StoreUnusable: its schema is of another version, or it evicts keys.
        """
        self._wire.start()
        while not self._partitions:
            await self._wire.connected()
            try:
                self._partitions = await self._first_use()
            except StoreUnusable:
                raise
            except StoreUnavailable:
                continue  # it went away again
        self._keys = [
            b"".join(b"$%d\r\n%b\r\n" % (len(key), key.encode()) for key in partition_keys(p))
            for p in range(self._partitions)
        ]

    async def _first_use(self) -> int:
        """How many partitions the store has, now that it certainly has some."""
        key = partition_keys(0)[0]
        eviction = await self._wire.run(encode(["CONFIG", "GET", "maxmemory-policy"]))
        if isinstance(eviction, list) and len(eviction) == 2 and eviction[1].startswith(b"allkeys"):
            raise StoreUnusable(f"the store evicts keys ({eviction[1].decode()}); set noeviction")
        for name, value in (("schema", SCHEMA), ("partitions", str(self._wanted))):
            self._checked(await self._wire.run(encode(["HSETNX", key, name, value])))
        schema, kept = self._checked(await self._wire.run(encode(["HMGET", key, "schema", "partitions"])))
        if schema.decode() != SCHEMA:
            raise StoreUnusable(f"the store has schema {schema.decode()}; this version reads {SCHEMA}")
        return int(kept)

    def _partition(self, tenant: str) -> int:
        if not self._partitions:
            raise StoreUnavailable("the store has not answered yet")
        return partition_of(tenant, self._partitions)

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
        reply = await self._wire.run(message)
        if type(reply) is not list:
            reply = await self._refused(reply, "reserve", message)
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
        args: list[object] = [plan.tenant, plan.policy_version, plan.valid_from_ms, plan.valid_until_ms]
        args += [self._retention_ms, len(plan.wallets), len(plan.budgets)]
        for wallet in plan.wallets:
            args += [wallet.counter, wallet.unit]
        for line in plan.budgets:
            args += [line.counter, line.unit, line.limit, int(line.rank), line.end]
        head = plan.remembered["reserve"] = self._command("reserve", plan.tenant, args, more=OF_THE_CALL)
        return head

    async def settle(self, tenant: str, ask: SettleAsk) -> Settled:
        """See `Store.settle`."""
        reply = await self._run(
            "settle",
            tenant,
            [
                tenant,
                ask.reservation_id,
                ask.content,
                self._retention_ms,
                ask.mode,
                ask.nano_usd,
                ask.tokens,
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
        reply = await self._run("release", tenant, [tenant, reservation_id, self._retention_ms])
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
        reply = await self._run("extend", tenant, args)
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
        reply = await self._run("balance", plan.tenant, args)
        if reply[0] == AGAIN:
            return Again(reply[1], int(reply[2]))
        return Counters(_stamp(reply), _values(reply[4]))

    async def credit(
        self, tenant: str, wallet: WalletLine, amount: int, credit_id: str, reason: str
    ) -> WalletFunds:
        """See `Store.credit`."""
        args = [tenant, credit_id, wallet.counter, wallet.unit, amount, reason, self._retention_ms]
        reply = await self._run("credit", tenant, args)
        if reply[0] == MISMATCH:
            raise IdMismatch(f"credit {credit_id!r} was made with other content")
        return WalletFunds(*map(int, reply[4:7]))

    async def wallets(self, tenant: str) -> dict[str, WalletFunds]:
        """See `Store.wallets`. Counters are read in several steps, so not at one moment."""
        key, prefix = partition_keys(self._partition(tenant))[1], f"{tenant}:w:"
        found: dict[str, int] = {}
        cursor: Any = b"0"
        while True:
            command = encode(["HSCAN", key, cursor, "MATCH", f"{prefix}*", "COUNT", SCAN_COUNT])
            cursor, cells = self._checked(await self._wire.run(command))
            found.update({cells[i].decode(): int(cells[i + 1]) for i in range(0, len(cells), 2)})
            if cursor == b"0":
                break
        counters = sorted({name[:-2] for name in found})
        return {c: WalletFunds(*(found.get(f"{c}:{suffix}", 0) for suffix in "fbh")) for c in counters}

    async def hold(self, tenant: str, reservation_id: str) -> Hold | None:
        """See `Store.hold`."""
        key = partition_keys(self._partition(tenant))[2]
        text = self._checked(await self._wire.run(encode(["HGET", key, f"{tenant}:r:{reservation_id}"])))
        return read_hold(text.decode()) if text else None

    async def apply_policy(self, tenant: str, document: str, expected: int | None) -> tuple[int, bool]:
        """See `Store.apply_policy`."""
        args = [tenant, document, "" if expected is None else expected]
        reply = await self._run("apply_policy", tenant, args)
        if reply[0] == MISMATCH:
            raise PolicyConflict(f"version {int(reply[1])} is in force, not {expected}")
        return int(reply[1]), reply[0] == ALLOW

    async def policy(self, tenant: str) -> StoredPolicy | None:
        """See `Store.policy`."""
        keys = partition_keys(self._partition(tenant))
        version = self._checked(await self._wire.run(encode(["HGET", keys[0], f"policy:{tenant}"])))
        if version is None:
            return None
        command = encode(["HGET", keys[5], f"{tenant}:{int(version)}"])
        document = self._checked(await self._wire.run(command))
        return StoredPolicy(document.decode(), int(version))

    async def sweep(self, partition: int, limit: int) -> Swept:
        """See `Store.sweep`."""
        message = self._message("sweep", partition, [limit, self._retention_ms])
        now_ms, seq, epoch, open_holds, more = await self._evaluate("sweep", message)
        return Swept(Stamp(now_ms, int(seq), int(epoch)), open_holds, more == 1)

    async def ledger(self, partition: int, after: str, count: int) -> Sequence[Entry]:
        """See `Store.ledger`."""
        key, start = partition_keys(partition)[4], "-" if after == "0" else f"({after}"
        rows = self._checked(await self._wire.run(encode(["XRANGE", key, start, "+", "COUNT", count])))
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
        self._checked(await self._wire.run(encode(["HSETNX", key, "tally_key", proposed])))
        return bytes(self._checked(await self._wire.run(encode(["HGET", key, "tally_key"]))))

    async def ping(self) -> None:
        """See `Store.ping`."""
        self._checked(await self._wire.run(encode(["PING"])))

    async def close(self) -> None:
        """See `Store.close`."""
        await self._wire.close()

    def _message(self, name: str, partition: int, args: Sequence[object], more: int = 0) -> bytes:
        raw = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
        head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n6\r\n%b" % (
            9 + len(raw) + more,
            self._scripts[name].sha.encode(),
            self._keys[partition],
        )
        return head + b"".join([b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in raw])

    def _command(self, name: str, tenant: str, args: Sequence[object], more: int = 0) -> bytes:
        return self._message(name, self._partition(tenant), args, more)

    async def _run(self, name: str, tenant: str, args: Sequence[object]) -> list[Any]:
        return await self._evaluate(name, self._command(name, tenant, args))

    async def _evaluate(self, name: str, message: bytes) -> list[Any]:
        reply = await self._wire.run(message)
        return reply if type(reply) is list else await self._refused(reply, name, message)

    async def _refused(self, reply: object, name: str, message: bytes) -> list[Any]:
        """Loads a script that the store does not know, and asks again."""
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            self._checked(await self._wire.run(encode(["SCRIPT", "LOAD", self._scripts[name].source])))
            reply = await self._wire.run(message)
        checked = self._checked(reply)
        assert isinstance(checked, list)
        return checked

    @staticmethod
    def _checked(reply: Any) -> Any:
        if isinstance(reply, hiredis.ReplyError):
            code = str(reply).split(" ", 1)[0]
            if code in PASSING:
                raise StoreUnavailable(f"the store answers {code}")
            raise StoreUnusable(f"the store answers {reply}")
        return reply


def _stamp(reply: list[Any]) -> Stamp:
    return Stamp(reply[1], int(reply[2]), int(reply[3]))


def _values(raw: list[bytes | None]) -> list[int]:
    return [int(value) if value else 0 for value in raw]
