"""Random operations on both stores, as a state machine."""

import itertools
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tallystick.core.counters import parse_counter
from tallystick.core.hold import hold_body
from tallystick.core.learning import Counts, Pair
from tallystick.core.lots import LotKind, read_lots
from tallystick.core.matching import make_plan
from tallystick.core.outcome import Mode
from tallystick.core.plan import Plan, Taken, WalletLine
from tallystick.core.policy import Unit
from tallystick.core.price import free_price
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.core.tickets import Asked
from tallystick.store.asks import (
    ChargeAsk,
    CreditAsk,
    ExtendAsk,
    Extended,
    Held,
    MoveAsk,
    MoveKind,
    Refused,
    ReserveAsk,
    SettleAsk,
    TakeAsk,
    Took,
    Try,
)
from tallystick.store.base import Store
from tallystick.store.hold_places import ResolveAsk, ResolveKind
from tallystick.store.tenant_states import PolicyNote
from tallystick.store.ticket_asks import AnswerAsk, AnswerKind, TicketAsk
from tests.model.worlds import (
    AMOUNTS,
    BIG,
    FAR_MOVES_MS,
    MODES,
    MOVES_MS,
    POLICIES,
    World,
    holds_of,
    resolve_with,
)
from tests.store.desk import tally_of


def reserve_with(plan: Plan, ask: ReserveAsk, store: Store) -> Awaitable[object]:
    return store.reserve(plan, ask)


def settle_with(tenant: str, ask: SettleAsk, store: Store) -> Awaitable[object]:
    return store.settle(tenant, ask)


async def tickets_of(tenant: str, ticket_id: str, store: Store) -> object:
    """All of a tenant, in the order of their ids; and one."""
    found = sorted(await store.tickets(tenant), key=lambda ticket: ticket.id)
    return found, await store.find_tickets(0, [(tenant, ticket_id)])


Id = tuple[str, str]
"""Tenant and reservation."""

TENANTS = st.sampled_from(["acme", "acme", "acme", "b"])
KNOWN = st.integers(0, 9)
"""Which of the reservations that the store knows; 5 is one that it doesn't."""
NEW = st.sampled_from([5, 5, 5, 5, 0, 1, 2])
USERS = st.sampled_from(["ann", "b,ö:b%\t"[:-1]])
SESSIONS = st.sampled_from(["", "s 1", "s/2"])
PRIORITIES = st.sampled_from(["", "", "low", "high"])
SOME = st.sampled_from(AMOUNTS)
SMALL = st.sampled_from(AMOUNTS[:7])
EITHER = st.one_of(SMALL, SMALL, SOME)
TTLS = st.sampled_from([1_000, 60_000, 60_000, 200_000_000])
LATE = st.sampled_from([0] * 9 + [60_000])
NEWS = st.dictionaries(
    st.builds(Pair, st.sampled_from(["m", "a/b:c"]), st.sampled_from(["", "w x"])),
    st.dictionaries(st.sampled_from([0, 3, 11, 480]), st.sampled_from([1, 7, 600, 3_000]), max_size=3),
    min_size=1,
)
KEEP = st.sampled_from([0, 0, 1_000, 60_000])
COSTS = st.lists(
    st.tuples(USERS, EITHER, EITHER, st.sampled_from([0, 1, 1, 3]), st.booleans()), min_size=1, max_size=3
)
"""User, nano-dollars, tokens and requests of each; whether it only looks."""
VERSIONS_OFF = st.sampled_from([0, 0, 0, 0, 0, 1, -1])
MOVE_IDS = st.sampled_from(["a", "b", "c", "start0", "", "", "", ""])
"""Empty: a new one."""
SHARES = st.sampled_from([0, 1, 5, 10, 100])
RUNGS = st.lists(SHARES, min_size=1, max_size=2)
"""Of each model to use instead: the percentage of the cost of the model that was asked for; 0 is free."""
SOFT = st.sampled_from([None, None, 0, 50, 99])
TIMES_MS = st.sampled_from([None, None, None, -1, 0, 1, 1_000, 60_000, 86_400_000, 40 * 86_400_000])


class Stores(RuleBasedStateMachine):
    """Asks both stores the same."""

    world: ClassVar[World]
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.world.begin()
        self.policies = dict.fromkeys(("acme", "b"), (0, 0))
        self.ids = itertools.count()
        self.tallies: dict[tuple[str, str], list[str]] = {}
        self.backup: tuple[Any, Any] | None = None

    @initialize(index=st.integers(0, len(POLICIES) - 1), funds=st.sampled_from([0, 5_000, 2**63 - 1]))
    def fund(self, index: int, funds: int) -> None:
        for tenant in self.policies:
            self.apply_policy(tenant, index, None)
            for n, line in enumerate(self.plan(tenant, "ann", "").wallets if funds else ()):
                ask = CreditAsk(line, funds, f"start{n}", "why")
                self.world.both(lambda store, to=tenant, ask=ask: store.credit(to, ask))  # type: ignore[misc]

    def now_ms(self) -> int:
        return max(self.world.memory.now_ms, self.world.memory.state().meta.get("clock", 0))

    def plan(
        self,
        tenant: str,
        user: str,
        session: str = "",
        *,
        off: int = 0,
        late_ms: int = 0,
        priority: str = "",
        model: str = "m",
    ) -> Plan:
        index, version = self.policies[tenant]
        policy = replace(POLICIES[index], tenant=tenant, version=version + off)
        subject = Subject(user=user, session=session, priority=priority)
        now_ms = self.now_ms() - late_ms
        if model == "free":
            return make_plan(policy, subject, model, "", free_price("v"), said=None, now_ms=now_ms)
        said = (Unit.NANO_USD, Unit.TOKENS)
        return make_plan(policy, subject, model, "", None, said=said, now_ms=now_ms)

    def one_of_the_known(self, which: int, tenant: str = "acme") -> Id:
        """The latest first; where there is none, a new one."""
        names = [name for name in reversed(self.world.memory.state().hold) if name.split(":")[1] == "r"]
        if which == 5 or not names:
            return tenant, f"r{next(self.ids)}"
        owner, _, reservation_id = names[which % len(names)].split(":", 2)
        return owner, reservation_id

    @rule(
        which=NEW, tenant=TENANTS, user=USERS, session=SESSIONS, priority=PRIORITIES,
        off=VERSIONS_OFF, nano_usd=EITHER, tokens=EITHER, ttl_ms=TTLS, late_ms=LATE,
        content=st.sampled_from(["", "", "", "x"]), refusal=st.sampled_from([None] * 30 + list(Reason)),
    )  # fmt: skip
    def reserve(
        self,
        which: int,
        tenant: str,
        user: str,
        session: str,
        priority: str,
        off: int,
        nano_usd: int,
        tokens: int,
        ttl_ms: int,
        late_ms: int,
        content: str,
        refusal: Reason | None,
    ) -> None:
        tenant, reservation_id = self.one_of_the_known(which, tenant)
        plan = self.plan(tenant, user, session, off=off, late_ms=late_ms, priority=priority)
        static = plan.refuses(nano_usd, tokens) if refusal is None else refusal
        tries = (Try(plan, nano_usd, tokens, static, hold_body(plan, f"user={user}")),)
        self.ask(plan, ReserveAsk(reservation_id, content, ttl_ms, tries))

    @rule(
        tenant=TENANTS, user=USERS, nano_usd=EITHER, tokens=EITHER, ttl_ms=TTLS, rungs=RUNGS, at=SOFT,
        priority=PRIORITIES,
    )  # fmt: skip
    def reserve_on_a_ladder(
        self,
        tenant: str,
        user: str,
        nano_usd: int,
        tokens: int,
        ttl_ms: int,
        rungs: list[int],
        at: int | None,
        priority: str,
    ) -> None:
        plan = self.plan(tenant, user, priority=priority)
        tries = [Try(plan, nano_usd, tokens, plan.refuses(nano_usd, tokens), hold_body(plan, ""))]
        for n, share in enumerate(rungs):
            model = "free" if share == 0 else f"small{n}"
            rung, cost = self.plan(tenant, user, priority=priority, model=model), nano_usd * share // 100
            tries.append(Try(rung, cost, tokens, rung.refuses(cost, tokens), hold_body(rung, "")))
        plan.rungs = tuple(each.plan for each in tries[1:])
        plan.valid_from_ms = max(each.plan.valid_from_ms for each in tries)
        plan.valid_until_ms = min(each.plan.valid_until_ms for each in tries)
        if at is not None:
            plan.soft = tuple(line.ceiling * at // 100 for line in plan.budgets)
            tries = [tries[0]._replace(soft=plan.soft), *tries[1:], tries[0]]
        self.ask(plan, ReserveAsk(f"l{next(self.ids)}", "", ttl_ms, tuple(tries)))

    def ask(self, plan: Plan, ask: ReserveAsk) -> None:
        """And a denial before which nothing had to end leaves everything as it was."""
        state = self.world.memory.state()
        ends = min(state.due.values(), default=self.now_ms() + 1) <= self.now_ms()
        before = None if ends else str(state)
        reply = self.world.both(lambda store: store.reserve(plan, ask))
        if type(reply) is Held:
            record = tally_of(ask.content, plan, reply, ask.tries[reply.tried - 1])
            self.tallies.setdefault((plan.tenant, ask.reservation_id), []).append(record)
        elif before is not None and type(reply) is Refused:
            assert str(self.world.memory.state()) == before

    @rule(
        tenant=TENANTS, user=USERS, session=SESSIONS, late_ms=LATE, off=VERSIONS_OFF, static=st.booleans(),
        calls=st.lists(
            st.tuples(NEW, SMALL, SMALL, TTLS, st.sampled_from(["", "", "x"])), min_size=2, max_size=18
        ),
    )  # fmt: skip
    def reserve_many_at_once(
        self,
        tenant: str,
        user: str,
        session: str,
        late_ms: int,
        off: int,
        static: bool,
        calls: list[tuple[int, int, int, int, str]],
    ) -> None:
        plan = self.plan(tenant, user, session, off=off, late_ms=late_ms)
        asks = []
        for which, nano_usd, tokens, ttl_ms, content in calls:
            _, reservation_id = self.one_of_the_known(which, tenant)
            refusal = plan.refuses(nano_usd, tokens) if static else Reason.NONE
            tries = (Try(plan, nano_usd, tokens, refusal, hold_body(plan, f"user={user}")),)
            asks.append(ReserveAsk(reservation_id, content, ttl_ms, tries))
        replies = self.world.both_at_once([partial(reserve_with, plan, ask) for ask in asks])
        for ask, reply in zip(asks, replies, strict=True):
            if type(reply) is Held:
                record = tally_of(ask.content, plan, reply, ask.tries[0])
                self.tallies.setdefault((plan.tenant, ask.reservation_id), []).append(record)

    @rule(
        tenant=TENANTS,
        ends=st.lists(
            st.tuples(
                KNOWN, st.sampled_from(MODES), st.one_of(SMALL, st.none()), st.sampled_from("pq"),
                st.booleans(),
            ),
            min_size=2, max_size=18,
        ),
    )  # fmt: skip
    def settle_many_at_once(self, tenant: str, ends: list[tuple[int, Mode, int | None, str, bool]]) -> None:
        asks = []
        for which, mode, nano_usd, content, odd in ends:
            reservation_id = self.one_of_the_known(which, tenant)[1]
            record = self.tallies.get((tenant, reservation_id), [""])[-1]
            estimated = (mode is Mode.HOLD) != odd
            ask = SettleAsk(reservation_id, content, mode, nano_usd, None, estimated, "o", "", record)
            asks.append(partial(settle_with, tenant, ask))
        self.world.both_at_once(asks)

    @rule(
        which=NEW, tenant=TENANTS, user=USERS, session=SESSIONS, off=VERSIONS_OFF, nano_usd=EITHER,
        tokens=EITHER, requests=st.sampled_from([0, 1, 1, 1, 7]), late_ms=LATE, keep_ms=KEEP,
        content=st.sampled_from(["c", "c", "", "p"]),
    )  # fmt: skip
    def charge(
        self,
        which: int,
        tenant: str,
        user: str,
        session: str,
        off: int,
        nano_usd: int,
        tokens: int,
        requests: int,
        late_ms: int,
        keep_ms: int,
        content: str,
    ) -> None:
        tenant, charge_id = self.one_of_the_known(which, tenant)
        plan = self.plan(tenant, user, session, off=off, late_ms=late_ms)
        body = hold_body(plan, f"user={user}")
        ask = ChargeAsk(plan, charge_id, content, nano_usd, tokens, requests, "i=1", body, keep_ms)
        self.world.both(lambda store: store.charge(ask))

    @rule(
        tenant=TENANTS, costs=COSTS, session=SESSIONS, priority=PRIORITIES, off=VERSIONS_OFF, late_ms=LATE,
        keep_ms=KEEP, known=st.sampled_from([False] * 5 + [True]),
        refusal=st.sampled_from([Reason.NONE] * 30 + list(Reason)),
    )  # fmt: skip
    def take(
        self,
        tenant: str,
        costs: list[tuple[str, int, int, int, bool]],
        session: str,
        priority: str,
        off: int,
        late_ms: int,
        keep_ms: int,
        known: bool,
        refusal: Reason,
    ) -> None:
        """And a refusal before which nothing had to end leaves everything as it was."""
        asks = []
        for user, nano_usd, tokens, requests, looks in costs:
            plan = self.plan(tenant, user, session, off=off, late_ms=late_ms, priority=priority)
            amounts = (0, 0, 0) if looks else (nano_usd, tokens, requests)
            take_id = self.one_of_the_known(0, tenant)[1] if known else f"t{next(self.ids)}"
            charge = ChargeAsk(plan, take_id, "t", *amounts, "", hold_body(plan, ""), keep_ms)
            asks.append(TakeAsk(charge, Taken(nano_usd, tokens, requests), refusal))
        state = self.world.memory.state()
        ends = min(state.due.values(), default=self.now_ms() + 1) <= self.now_ms()
        before = None if ends else str(state)
        reply = self.world.both(lambda store: store.take(asks))
        if before is not None and type(reply) is Took and any(each.reason for each in reply.verdicts):
            assert str(self.world.memory.state()) == before

    @rule(
        which=KNOWN, mode=st.sampled_from(MODES), nano_usd=st.one_of(SMALL, SOME, st.none()),
        tokens=st.one_of(SOME, SOME, st.none()), content=st.sampled_from("pq"),
        odd=st.sampled_from([False, False, False, True]), tally=st.sampled_from([None, None, 0, -1]),
    )  # fmt: skip
    def settle(
        self,
        which: int,
        mode: Mode,
        nano_usd: int | None,
        tokens: int | None,
        content: str,
        odd: bool,
        tally: int | None,
    ) -> None:
        tenant, reservation_id = of = self.lost() if tally is not None else self.one_of_the_known(which)
        kept = self.tallies.get(of)
        record = kept[tally] if kept and tally is not None else ""
        estimated = (mode is Mode.HOLD) != odd
        ask = SettleAsk(reservation_id, content, mode, nano_usd, tokens, estimated, "o", "u=1", record)
        self.world.both(lambda store: store.settle(tenant, ask))

    @rule(
        which=KNOWN, share=st.sampled_from([None, 0, 1, 50, 100, 101, 300]),
        codes=st.sampled_from(["O", "O", "XE", "R"]),
    )  # fmt: skip
    def settle_one(self, which: int, share: int | None, codes: str) -> None:
        """An open hold, an estimate, or one that was released, at a share of what was held."""
        found = self.one_that_is(codes, which)
        if found is not None:
            hold = self.world.both(lambda store: store.hold(*found))
            part = 100 if share is None else share
            amounts = (min(BIG, hold.nano_usd * part // 100), min(BIG, hold.tokens * part // 100))
            mode = Mode.HOLD if share is None else Mode.COST
            ask = SettleAsk(found[1], f"{share}", mode, *amounts, share is None, "o", "", "")
            self.world.both(lambda store: store.settle(found[0], ask))

    def one_that_is(self, codes: str, which: int) -> Id | None:
        """A reservation whose state is one of these codes."""
        known = self.world.memory.state().hold
        names = [name for name in known if name.split(":")[1] == "r" and known[name][2] in codes]
        if not names:
            return None
        tenant, _, reservation_id = names[-1 - which % len(names)].split(":", 2)
        return tenant, reservation_id

    def lost(self) -> Id:
        """One that the store has forgotten, where there is one."""
        known = self.world.memory.state().hold
        of = [of for of in self.tallies if f"{of[0]}:r:{of[1]}" not in known]
        return of[-1] if of else self.one_of_the_known(0)

    @rule(which=KNOWN, tally=st.sampled_from([0, -1]), again=st.booleans())
    def hold_again(self, which: int, tally: int, again: bool) -> None:
        """What the store has forgotten, or never heard of under this id."""
        tenant, reservation_id = of = self.lost() if again else self.one_of_the_known(which)
        kept = self.tallies.get(of) or next(
            (kept for (to, _), kept in self.tallies.items() if to == tenant), []
        )
        if kept:
            record = kept[tally]
            if self.world.both(lambda store: store.restore(tenant, reservation_id, record, "o")) is True:
                self.tallies.setdefault(of, kept)

    @rule(which=KNOWN)
    def release(self, which: int) -> None:
        of = self.one_of_the_known(which)
        self.world.both(lambda store: store.release(*of))

    @rule(
        which=KNOWN, extension_id=st.sampled_from(["", "e", "f"]), ttl_ms=TTLS,
        nano_usd=st.one_of(SMALL, SOME), tokens=SMALL, off=VERSIONS_OFF,
        by=st.sampled_from([None, None, None, 0, 1_000, 2**63 - 1]),
        rank=st.sampled_from([None, None, Reason.NONE, Reason.RATE_LIMITED]),
    )  # fmt: skip
    def extend(
        self,
        which: int,
        extension_id: str,
        ttl_ms: int,
        nano_usd: int,
        tokens: int,
        off: int,
        by: int | None,
        rank: Reason | None,
    ) -> None:
        found = self.one_that_is("O", which) if which < 8 else None
        tenant, reservation_id = of = found or self.one_of_the_known(which)
        hold = self.world.both(lambda store: store.hold(*of))
        limits = tuple(
            (line.ceiling if by is None else by, line.rank if rank is None else rank)
            for line in (hold.budgets if hold is not None else ())
        )
        version = self.policies[tenant][1] + off
        ask = ExtendAsk(reservation_id, extension_id, version, ttl_ms, nano_usd, tokens, limits)
        if type(self.world.both(lambda store: store.extend(tenant, ask))) is Extended:
            longer = self.world.both(lambda store: store.hold(*of))
            self.tallies.setdefault(of, []).append(longer.text())

    @rule(
        tenant=TENANTS, user=USERS, amount=st.one_of(SMALL, SOME), credit_id=MOVE_IDS,
        which=st.integers(0, 2), kind=st.sampled_from([LotKind.EARNED, LotKind.PAID]), in_ms=TIMES_MS,
        late_ms=LATE,
    )  # fmt: skip
    def credit(
        self,
        tenant: str,
        user: str,
        amount: int,
        credit_id: str,
        which: int,
        kind: LotKind,
        in_ms: int | None,
        late_ms: int,
    ) -> None:
        wallets = self.plan(tenant, user, late_ms=late_ms).wallets
        if wallets:
            line: WalletLine = wallets[which % len(wallets)]
            expires_ms = 0 if in_ms is None else self.now_ms() + in_ms
            credit_id = credit_id or f"c{next(self.ids)}"
            ask = CreditAsk(line, amount, credit_id, "why", kind, expires_ms)
            self.world.both(lambda store: store.credit(tenant, ask))

    @rule(
        tenant=TENANTS, user=USERS, other=USERS, kind=st.sampled_from(MoveKind), amount=EITHER,
        move_id=MOVE_IDS, back=st.booleans(), late_ms=LATE,
    )  # fmt: skip
    def move_funds(
        self,
        tenant: str,
        user: str,
        other: str,
        kind: MoveKind,
        amount: int,
        move_id: str,
        back: bool,
        late_ms: int,
    ) -> None:
        here, there = self.plan(tenant, user, late_ms=late_ms).wallets, self.plan(tenant, other).wallets
        pairs = [(a, b) for a in here for b in there if a.unit is b.unit and a.counter != b.counter]
        if kind is MoveKind.DEBIT:
            pairs = [(line, line) for line in here]
        if pairs:
            source, target = pairs[0 if back else -1]
            to = None if kind is MoveKind.DEBIT else target
            ask = MoveAsk(kind, move_id or f"m{next(self.ids)}", source, to, amount, "why")
            self.world.both(lambda store: store.move(tenant, ask))

    @rule(which=KNOWN, user=USERS, amount=st.sampled_from([0, 0, 1, 7, 100]))
    def reclaim_what_was_allocated(self, which: int, user: str, amount: int) -> None:
        texts = self.world.memory.state().texts.items()
        found = [
            (name[:-2], lot.source)
            for name, text in texts
            if name.endswith(":l")
            for lot in read_lots(text)
            if lot.source
        ]
        if found:
            source, target = found[which % len(found)]
            tenant = source.partition(":")[0]
            lines = {line.counter: line for line in self.plan(tenant, user).wallets}
            here, there = (
                lines.get(each) or WalletLine(*parse_counter(each), each) for each in (source, target)
            )
            ask = MoveAsk(MoveKind.RECLAIM, f"m{next(self.ids)}", here, there, amount, "why")
            self.world.both(lambda store: store.move(tenant, ask))

    @rule(tenant=TENANTS, index=st.integers(0, 2 * len(POLICIES)), off=st.sampled_from([None, 0, 0, 1]))
    def apply_policy(self, tenant: str, index: int, off: int | None) -> None:
        if index >= len(POLICIES):
            return
        expected = None if off is None else self.policies[tenant][1] + off
        note = PolicyNote("ann", "é/why", index % 3)
        reply = self.world.both(lambda store: store.apply_policy(tenant, f"document {index}", expected, note))
        if type(reply[0]) is int:
            self.policies[tenant] = (index, reply[0])
        self.world.both(lambda store: store.policy(tenant))
        self.world.both(lambda store: store.policy(tenant, index))
        self.world.both(lambda store: store.policy_history(tenant))

    @rule(
        which=KNOWN, kind=st.sampled_from(ResolveKind), nano_usd=st.one_of(SMALL, st.none()),
        tokens=st.one_of(SMALL, st.none()), ttl_ms=TTLS, codes=st.sampled_from(["OXE", "OXE", "O", "SRT"]),
    )  # fmt: skip
    def resolve(
        self,
        which: int,
        kind: ResolveKind,
        nano_usd: int | None,
        tokens: int | None,
        ttl_ms: int,
        codes: str,
    ) -> None:
        tenant, reservation_id = self.one_that_is(codes, which) or self.one_of_the_known(which)
        ask = ResolveAsk(reservation_id, kind, "ann", "why", nano_usd, tokens, ttl_ms)
        self.world.both(partial(resolve_with, tenant, ask))

    @rule(tenant=TENANTS, count=st.sampled_from([1, 3, 1_000]))
    def list_holds(self, tenant: str, count: int) -> None:
        found = self.world.both(partial(holds_of, tenant, count))
        known = self.world.memory.state().hold
        names = {n for n in known if n.startswith(f"{tenant}:r:") and known[n][2] != "T"}
        assert {f"{tenant}:r:{reservation_id}" for _, reservation_id, _ in found} <= names
        assert [place for place, _, _ in found] == sorted(place for place, _, _ in found)

    @rule(
        tenant=TENANTS, user=USERS, off=VERSIONS_OFF, late_ms=LATE, which=st.integers(0, 3), amount=SMALL,
        ttl_ms=TTLS,
    )  # fmt: skip
    def open_ticket(
        self, tenant: str, user: str, off: int, late_ms: int, which: int, amount: int, ttl_ms: int
    ) -> None:
        plan = self.plan(tenant, user, off=off, late_ms=late_ms)
        if plan.budgets:
            line, said = plan.budgets[which % len(plan.budgets)], Asked(amount, 2, "m/n", "user=é", "why\n")
            ask = TicketAsk(plan, line, amount, f"k{next(self.ids)}", ttl_ms, said)
            self.world.both(lambda store: store.open_ticket(ask))

    @rule(
        which=st.sampled_from([0, 0, 0, 1, 2, 9]), kind=st.sampled_from([*AnswerKind, AnswerKind.APPROVE]),
        amount=SOME, ends_ms=TIMES_MS,
    )  # fmt: skip
    def answer_ticket(self, which: int, kind: AnswerKind, amount: int, ends_ms: int | None) -> None:
        """The latest first; 9 is one that nobody opened."""
        names = [name for name in reversed(self.world.memory.state().ticket) if name.split(":")[1] == "t"]
        tenant, _, ticket_id = (names[which % len(names)] if names and which < 9 else "acme:t:none").split(
            ":"
        )
        ends_ms = 0 if ends_ms is None else self.now_ms() + ends_ms
        amount = 0 if kind is AnswerKind.REJECT else amount
        ask = AnswerAsk(ticket_id, kind, "ann", "é/why", amount, ends_ms)
        self.world.both(lambda store: store.answer_ticket(tenant, ask))
        self.world.both(partial(tickets_of, tenant, ticket_id))

    @rule(tenant=TENANTS, kind=st.sampled_from(["suspend", "resume", "resume", "resume"]))
    def switch(self, tenant: str, kind: str) -> None:
        self.world.both(lambda store: getattr(store, kind)(tenant, "ann", "why"))
        self.world.both(lambda store: store.tenants())

    @rule(tenant=TENANTS, number=st.sampled_from(["", "1", "2"]))
    def set_shadow(self, tenant: str, number: str) -> None:
        namespace, stamp = number and f"{tenant}!{number}", f"s{next(self.ids)}"
        self.world.both(lambda store: store.set_shadow(tenant, namespace, stamp, PolicyNote("ann", "é")))
        self.world.both(lambda store: store.shadows("-"))

    @rule(tenant=TENANTS, news=NEWS)
    def learn(self, tenant: str, news: dict[Pair, Counts]) -> None:
        self.world.both(lambda store: store.learn(tenant, news))

    @rule(limit=st.sampled_from([1, 2, 5, 100]))
    def sweep(self, limit: int) -> None:
        self.world.both(lambda store: store.sweep(0, limit))

    @rule(ahead=st.sampled_from([-1, 0, 1]), epochs=st.sampled_from([0, 0, 1]))
    def freeze(self, ahead: int, epochs: int) -> None:
        """It is thawed at once, so that the rest has something to do."""
        meta = self.world.memory.state().meta
        epoch, seq = meta.get("epoch", 1) + epochs, meta.get("seq", 0) + ahead
        self.world.both(lambda store: store.freeze(0, epoch, seq))
        self.world.both(lambda store: store.sweep(0, 1))
        self.reserve(5, "acme", "ann", "", "", 0, 1, 1, 60_000, 0, "", None)
        self.world.both(lambda store: store.thaw(0, "ann", "why"))

    @rule(tenant=TENANTS, user=USERS, session=SESSIONS, off=VERSIONS_OFF)
    def read(self, tenant: str, user: str, session: str, off: int) -> None:
        plan = self.plan(tenant, user, session, off=off)
        self.world.both(lambda store: store.balance(plan))
        self.world.both(lambda store: store.wallets(tenant))
        self.world.both(lambda store: store.budgets(tenant))

    @rule(ms=st.sampled_from(MOVES_MS))
    def move(self, ms: int) -> None:
        self.world.move(ms)

    @rule(ms=st.sampled_from(FAR_MOVES_MS), sure=st.integers(0, 3))
    def move_far(self, ms: int, sure: int) -> None:
        if sure == 0:
            self.world.move(ms)

    @rule(which=st.integers(0, 5), by_ms=st.sampled_from([-1, 0, 0, 1]))
    def move_to_what_is_due(self, which: int, by_ms: int) -> None:
        due = sorted(set(self.world.memory.state().due.values()))
        if due:
            self.world.move(due[min(which, len(due) - 1)] + by_ms - self.world.memory.now_ms)

    @rule(tenant=TENANTS, by_ms=st.sampled_from([-1, 0, 0, 1]))
    def move_to_a_new_plan(self, tenant: str, by_ms: int) -> None:
        """Where a window or the period of a grant ends."""
        until_ms = self.plan(tenant, "ann").valid_until_ms
        if until_ms < self.now_ms() + 400 * 86_400_000:
            self.world.move(until_ms + by_ms - self.world.memory.now_ms)

    @rule()
    def back_up(self) -> None:
        self.backup = self.world.memory.snapshot(), self.world.server.snapshot()
        self.backed_up = dict(self.policies)

    @rule(user=USERS, nano_usd=SMALL, tokens=SMALL)
    def lose(self, user: str, nano_usd: int, tokens: int) -> None:
        """A hold that was made after the backup."""
        self.back_up()
        self.reserve(5, "acme", user, "", "", 0, nano_usd, tokens, 60_000, 0, "", None)
        self.restore(sure=True)

    @rule(sure=st.booleans())
    def restore(self, sure: bool) -> None:
        if self.backup and sure:
            self.world.memory.restore(self.backup[0])
            self.world.server.restore(self.backup[1])
            self.policies = dict(self.backed_up)

    @invariant()
    def both_are_alike_and_sound(self) -> None:
        Stores.steps += 1
        self.world.compare()
