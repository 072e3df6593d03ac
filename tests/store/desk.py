"""A desk: the callers of one tenant at one store, in a line of code each."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tallystick.core.hold import hold_body, tally_record
from tallystick.core.lots import Account, Lot, LotKind
from tallystick.core.matching import make_plan
from tallystick.core.outcome import Mode
from tallystick.core.packing import compact
from tallystick.core.plan import Plan, Taken, WalletLine
from tallystick.core.policy import Budget, Policy, Unit, WalletTemplate, used_dimensions
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.core.tickets import Asked, Ticket
from tallystick.core.windows import Span, Window
from tallystick.store.asks import (
    Again,
    ChargeAsk,
    Charged,
    Counters,
    CreditAsk,
    ExtendAsk,
    Extended,
    Held,
    MoveAsk,
    Moved,
    MoveKind,
    Refused,
    Released,
    Replayed,
    ReserveAsk,
    SettleAsk,
    Settled,
    TakeAsk,
    Took,
    Try,
)
from tallystick.store.base import Store
from tallystick.store.ticket_asks import AnswerAsk, AnswerKind, Opened, TicketAsk
from tests.store.backends import Backend

TTL_MS = 60_000
DAY = Window(Span.DAY)
MINUTE = Window(Span.MINUTE)
TOTAL = Window(Span.TOTAL)
SESSION = Window(Span.SESSION)
ROLLING_HOUR = Window(Span.ROLLING, 3_600_000)


def policy_of(*parts: WalletTemplate | Budget, tenant: str = "acme", **more: Any) -> Policy:
    """A policy of these wallets and budgets, in their order, of version 0: none was applied."""
    wallets = tuple(part for part in parts if isinstance(part, WalletTemplate))
    budgets = tuple(part for part in parts if isinstance(part, Budget))
    return Policy(tenant, 0, wallets, budgets, dimensions=used_dimensions(wallets, budgets), **more)


def budget(name: str, limit: int, unit: Unit = Unit.NANO_USD, window: Window = DAY, **more: Any) -> Budget:
    """A budget."""
    return Budget(name, limit, unit, window, **more)


def tally_of(content: str, plan: Plan, held: Held, chosen: Try) -> str:
    """The record that a caller keeps of a hold."""
    wallet = plan.wallets[held.payer - 1] if held.payer else None
    return tally_record(
        content=content,
        reserved_ms=held.stamp.now_ms,
        wallet=compact([wallet.counter, wallet.unit] if wallet else ["", ""])[1:-1],
        nano_usd=chosen.nano_usd,
        tokens=chosen.tokens,
        expires_ms=held.expires_ms,
        body=chosen.body,
    )


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
        priority: str = "",
        model: str = "m",
    ) -> Plan:
        """The plan of a call now."""
        policy = self.policy if version is None else replace(self.policy, version=version)
        return make_plan(
            policy,
            Subject(user=user, session=session, priority=priority),
            model,
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
        **about: str,
    ) -> Held | Refused | Again | Replayed:
        """One ask. `content` follows from the amounts where it is not given."""
        plan = plan or self.plan(**about)  # type: ignore[arg-type]
        refusal = plan.refuses(nano_usd, tokens) if refusal is None else refusal
        chosen = Try(plan, nano_usd, tokens, refusal, hold_body(plan, "user=alice"))
        content = content or f"{nano_usd}/{tokens}"
        return await self.ask(plan, (chosen,), reservation_id, content, ttl_ms)

    async def ask(
        self,
        plan: Plan,
        tries: tuple[Try, ...],
        reservation_id: str = "",
        content: str = "x",
        ttl_ms: int = TTL_MS,
    ) -> Held | Refused | Again | Replayed:
        """One ask of several models; see `ladder`."""
        reservation_id = reservation_id or f"r{next(self.ids)}"
        reply = await self.store.reserve(plan, ReserveAsk(reservation_id, content, ttl_ms, tries))
        if isinstance(reply, Held):
            self.tallies[reservation_id] = tally_of(content, plan, reply, tries[reply.tried - 1])
        return reply

    def ladder(
        self, *costs: tuple[str, int], at: int | None = None, free: tuple[str, ...] = ()
    ) -> tuple[Plan, tuple[Try, ...]]:
        """What is asked for models of these costs, in this order; `at`: in percent of the limits."""
        plan, *rungs = [self.plan(model=model) for model, _ in costs]
        for rung in rungs:
            if rung.model in free:
                rung.wallets = ()
        plan.rungs = tuple(rungs)
        plan.soft = None if at is None else tuple(line.ceiling * at // 100 for line in plan.budgets)
        tries = [
            Try(each, nano_usd, 0, each.refuses(nano_usd, 0), hold_body(each, ""))
            for each, (_, nano_usd) in zip((plan, *rungs), costs, strict=True)
        ]
        if plan.soft is not None:
            tries = [tries[0]._replace(soft=plan.soft), *tries[1:], tries[0]]
        return plan, tuple(tries)

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

    def charging(
        self,
        charge_id: str = "",
        nano_usd: int = 0,
        tokens: int = 0,
        requests: int = 1,
        *,
        content: str = "",
        keep_ms: int = 0,
        **about: Any,
    ) -> ChargeAsk:
        """A cost that nothing was held for."""
        plan, content = self.plan(**about), content or f"charge {nano_usd}/{tokens}"
        body, charge_id = hold_body(plan, "user=alice"), charge_id or f"x{next(self.ids)}"
        return ChargeAsk(plan, charge_id, content, nano_usd, tokens, requests, "", body, keep_ms)

    async def charge(self, charge_id: str = "", nano_usd: int = 0, tokens: int = 0, **more: Any) -> Charged:
        """Charges it."""
        reply = await self.store.charge(self.charging(charge_id, nano_usd, tokens, **more))
        assert isinstance(reply, Charged), reply
        return reply

    def taking(
        self, nano_usd: int = 0, tokens: int = 0, requests: int = 1, needs: Taken | None = None, **more: Any
    ) -> TakeAsk:
        """A cost that is charged where there is room for it, or for what it needs."""
        needs, refusal = needs or Taken(nano_usd, tokens, requests), more.pop("refusal", Reason.NONE)
        return TakeAsk(self.charging("", nano_usd, tokens, requests, **more), needs, refusal)

    async def take(self, *asks: TakeAsk) -> Took:
        """Takes all of them, or none."""
        reply = await self.store.take(asks)
        assert isinstance(reply, Took), reply
        return reply

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
        limits = limits or tuple((line.ceiling, line.rank) for line in self.plan(user=user).budgets)
        ask = ExtendAsk(reservation_id, extension_id, version, ttl_ms, nano_usd, tokens, limits)
        return await self.store.extend(self.policy.tenant, ask)

    async def ask_for_more(
        self, which: int, amount: int, ticket_id: str = "t1", **about: str
    ) -> Opened | Again:
        """A ticket for a call that takes so much of one of its budgets, counted from 0."""
        plan = self.plan(**about)  # type: ignore[arg-type]
        line = plan.budgets[which % len(plan.budgets)]
        said = Asked(amount, line.limit, "m", "user=alice", 'please: "a/b"\té')
        return await self.store.open_ticket(TicketAsk(plan, line, amount, ticket_id, 86_400_000, said))

    async def answer(
        self, ticket_id: str, kind: AnswerKind, amount: int, ends_ms: int = 0
    ) -> tuple[Ticket, bool]:
        """An administrator's word on a ticket."""
        amount = amount if kind is AnswerKind.APPROVE else 0
        ask = AnswerAsk(ticket_id, kind, "ann", "a/note", amount, ends_ms)
        return await self.store.answer_ticket(self.policy.tenant, ask)

    def wallet(self, name: str, user: str = "alice") -> WalletLine:
        """A wallet of the cascade."""
        return next(line for line in self.plan(user=user).wallets if line.name == name)

    async def credit(
        self,
        name: str,
        amount: int,
        credit_id: str = "",
        kind: LotKind = LotKind.PAID,
        expires_ms: int = 0,
        user: str = "alice",
    ) -> Account:
        """Adds funds."""
        credit_id = credit_id or f"c{next(self.ids)}"
        ask = CreditAsk(self.wallet(name, user), amount, credit_id, "a top-up", kind, expires_ms)
        return await self.store.credit(self.policy.tenant, ask)

    async def move(
        self, kind: MoveKind, source: str, target: str, amount: int, move_id: str = "", user: str = "alice"
    ) -> Moved:
        """Takes funds out of a wallet."""
        to = self.wallet(target, user) if target else None
        move_id = move_id or f"m{next(self.ids)}"
        ask = MoveAsk(kind, move_id, self.wallet(source, user), to, amount, "a reason")
        return await self.store.move(self.policy.tenant, ask)

    async def counters(self, session: str = "") -> Counters:
        """Every wallet and budget. Ends what is due first."""
        while True:
            reply = await self.store.balance(self.plan(session=session))
            if isinstance(reply, Counters):
                return reply

    async def balance(self, session: str = "") -> list[int]:
        """Funds, balance, held of each wallet; spent, held of each budget. Ends what is due first."""
        found = await self.counters(session)
        funds = [amount for a in found.accounts for amount in (a.funds, a.balance, a.held)]
        return funds + found.values

    async def lots(self) -> list[tuple[str, int]]:
        """Id and amount of each lot of the first wallet, in the order in which they are drawn."""
        return ids_of((await self.counters()).accounts[0].lots)


def ids_of(lots: Iterable[Lot]) -> list[tuple[str, int]]:
    """Id and amount of each."""
    return [(lot.id, lot.amount) for lot in lots]


async def desk_at(backend: Backend, *parts: WalletTemplate | Budget, funds: int = 0, **more: Any) -> Desk:
    """The desk of a tenant with these wallets and budgets, and with funds in the wallet `org`."""
    desk = Desk(backend, await backend.client(), policy_of(*parts, **more))
    if funds:
        await desk.credit("org", funds)
    return desk
