"""A desk: the callers of one tenant at one store, in a line of code each."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from tallystick.core.hold import hold_body, tally_record
from tallystick.core.matching import make_plan
from tallystick.core.outcome import Mode
from tallystick.core.plan import Plan, WalletLine
from tallystick.core.policy import Budget, Policy, Unit, WalletTemplate, used_dimensions
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.core.windows import Span, Window
from tallystick.store.asks import (
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
)
from tallystick.store.base import Store, WalletFunds
from tests.store.backends import Backend

TTL_MS = 60_000
DAY = Window(Span.DAY)
MINUTE = Window(Span.MINUTE)
TOTAL = Window(Span.TOTAL)
SESSION = Window(Span.SESSION)


def policy_of(*parts: WalletTemplate | Budget, tenant: str = "acme", **more: Any) -> Policy:
    """A policy of these wallets and budgets, in their order, of version 0: none was applied."""
    wallets = tuple(part for part in parts if isinstance(part, WalletTemplate))
    budgets = tuple(part for part in parts if isinstance(part, Budget))
    return Policy(tenant, 0, wallets, budgets, dimensions=used_dimensions(wallets, budgets), **more)


def budget(name: str, limit: int, unit: Unit = Unit.NANO_USD, window: Window = DAY, **more: Any) -> Budget:
    """A budget."""
    return Budget(name, limit, unit, window, **more)


@dataclass
class Desk:
    """Asks a store on behalf of one tenant, and keeps the tallies that it gets."""

    backend: Backend
    store: Store
    policy: Policy
    tallies: dict[str, str] = field(default_factory=dict)
    ids: "itertools.count[int]" = field(default_factory=itertools.count)

    def at(self, store: Store) -> "Desk":
        """The same tenant at another client of the store."""
        return replace(self, store=store)

    def plan(
        self,
        *,
        version: int | None = None,
        now_ms: int | None = None,
        user: str = "alice",
        session: str = "",
    ) -> Plan:
        """The plan of a call now."""
        policy = self.policy if version is None else replace(self.policy, version=version)
        return make_plan(
            policy,
            Subject(user=user, session=session),
            "m",
            "",
            None,
            said=(Unit.NANO_USD, Unit.TOKENS),
            now_ms=self.backend.now_ms if now_ms is None else now_ms,
        )

    async def reserve(
        self,
        nano_usd: int = 0,
        tokens: int = 0,
        *,
        reservation_id: str = "",
        content: str = "",
        ttl_ms: int = TTL_MS,
        plan: Plan | None = None,
        refusal: Reason | None = None,
        user: str = "alice",
        session: str = "",
    ) -> Held | Refused | Again | Replayed:
        """One ask. `content` follows from the amounts where it is not given."""
        plan = plan or self.plan(user=user, session=session)
        refusal = plan.refuses(nano_usd, tokens) if refusal is None else refusal
        reservation_id = reservation_id or f"r{next(self.ids)}"
        body = hold_body(plan, "user=alice")
        content = content or f"{nano_usd}/{tokens}"
        ask = ReserveAsk(reservation_id, content, nano_usd, tokens, ttl_ms, refusal, body)
        reply = await self.store.reserve(plan, ask)
        if isinstance(reply, Held):
            wallet = plan.wallets[reply.payer - 1] if reply.payer else None
            self.tallies[reservation_id] = tally_record(
                content=content,
                reserved_ms=reply.stamp.now_ms,
                wallet=f"{wallet.counter}\t{wallet.unit}" if wallet else "\t",
                nano_usd=nano_usd,
                tokens=tokens,
                expires_ms=reply.expires_ms,
                body=body,
            )
        return reply

    async def hold(self, reservation_id: str, nano_usd: int = 0, tokens: int = 0, **more: Any) -> Held:
        """A reservation that finds room."""
        reply = await self.reserve(nano_usd, tokens, reservation_id=reservation_id, **more)
        assert isinstance(reply, Held), reply
        return reply

    async def refused(self, nano_usd: int = 0, tokens: int = 0, **more: Any) -> Refused:
        """A reservation that finds none."""
        reply = await self.reserve(nano_usd, tokens, **more)
        assert isinstance(reply, Refused), reply
        return reply

    async def settle(
        self,
        reservation_id: str,
        nano_usd: int | None = 0,
        tokens: int | None = 0,
        *,
        mode: Mode = Mode.COST,
        content: str = "",
        tally: bool = False,
    ) -> Settled:
        """The end of a hold; with its tally if so wished."""
        ask = SettleAsk(
            reservation_id,
            content or f"{mode}:{nano_usd}/{tokens}",
            mode,
            nano_usd,
            tokens,
            mode is Mode.HOLD,
            "COMPLETED",
            "",
            self.tallies[reservation_id] if tally else "",
        )
        return await self.store.settle(self.policy.tenant, ask)

    async def release(self, reservation_id: str) -> Released:
        """Nothing was sent."""
        return await self.store.release(self.policy.tenant, reservation_id)

    async def extend(
        self,
        reservation_id: str,
        extension_id: str = "",
        nano_usd: int = 0,
        tokens: int = 0,
        *,
        ttl_ms: int = TTL_MS,
        version: int = 0,
        user: str = "alice",
        limits: tuple[tuple[int, Reason], ...] = (),
    ) -> Extended | Refused | Again:
        """More time, more money."""
        limits = limits or tuple((line.limit, line.rank) for line in self.plan(user=user).budgets)
        ask = ExtendAsk(reservation_id, extension_id, version, ttl_ms, nano_usd, tokens, limits)
        return await self.store.extend(self.policy.tenant, ask)

    def wallet(self, name: str) -> WalletLine:
        """A wallet of the cascade."""
        return next(line for line in self.plan().wallets if line.name == name)

    async def credit(self, name: str, amount: int, credit_id: str = "") -> WalletFunds:
        """Adds funds."""
        credit_id = credit_id or f"c{next(self.ids)}"
        wallet = self.wallet(name)
        return await self.store.credit(self.policy.tenant, wallet, amount, credit_id, "a top-up")

    async def balance(self, session: str = "") -> list[int]:
        """Funds, balance, held of each wallet; spent, held of each budget. Ends what is due first."""
        while True:
            reply = await self.store.balance(self.plan(session=session))
            if isinstance(reply, Counters):
                return reply.values


async def desk_at(backend: Backend, *parts: WalletTemplate | Budget, funds: int = 0, **more: Any) -> Desk:
    """The desk of a tenant with these wallets and budgets, and with funds in the wallet `org`."""
    desk = Desk(backend, await backend.client(), policy_of(*parts, **more))
    if funds:
        await desk.credit("org", funds)
    return desk
