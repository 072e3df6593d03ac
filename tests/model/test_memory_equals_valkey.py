"""Random operations on the specification and on a real store: equal replies, equal state.

After every step each reply, every field of every key and the audits of
`tests.store.audit` are compared. `TALLYSTICK_TEST_EXAMPLES` makes it more
thorough, `TALLYSTICK_TEST_SEED` repeats a run.
"""

import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tallystick.core.hold import hold_body, tally_record
from tallystick.core.learning import Counts, Pair
from tallystick.core.matching import make_plan
from tallystick.core.outcome import Mode
from tallystick.core.plan import Plan, WalletLine
from tallystick.core.policy import Unit
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.store.asks import ExtendAsk, Extended, Held, ReserveAsk, SettleAsk
from tests.model.worlds import AMOUNTS, FAR_MOVES_MS, MODES, MOVES_MS, POLICIES, World
from tests.seeds import seed_of_run
from tests.servers import StoreServer
from tests.store.backends import RETENTION_MS, START_MS

Id = tuple[str, str]
"""Tenant and reservation."""

TENANTS = st.sampled_from(["acme", "acme", "acme", "b"])
KNOWN = st.integers(0, 9)
"""Which of the reservations that the store knows; 5 is one that it doesn't."""
NEW = st.sampled_from([5, 5, 5, 5, 0, 1, 2])
USERS = st.sampled_from(["ann", "b,ö:b%\t"[:-1]])
SESSIONS = st.sampled_from(["", "s 1", "s/2"])
SOME = st.sampled_from(AMOUNTS)
SMALL = st.sampled_from(AMOUNTS[:7])
TTLS = st.sampled_from([1_000, 60_000, 60_000, 200_000_000])
NEWS = st.dictionaries(
    st.builds(Pair, st.sampled_from(["m", "a/b:c"]), st.sampled_from(["", "w x"])),
    st.dictionaries(st.sampled_from([0, 3, 11, 480]), st.sampled_from([1, 7, 600, 3_000]), max_size=3),
    min_size=1,
)
VERSIONS_OFF = st.sampled_from([0, 0, 0, 0, 0, 1, -1])
STEPS = 50


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

    @initialize(index=st.integers(0, len(POLICIES) - 1), funds=st.sampled_from([5_000, 2**63 - 1]))
    def fund(self, index: int, funds: int) -> None:
        for tenant in self.policies:
            self.apply_policy(tenant, index, None)
            for n, line in enumerate(self.plan(tenant, "ann", "").wallets):
                credit = (tenant, line, funds, f"start{n}", "why")
                self.world.both(lambda store, credit=credit: store.credit(*credit))  # type: ignore[misc]

    def plan(self, tenant: str, user: str, session: str, off: int = 0, late_ms: int = 0) -> Plan:
        index, version = self.policies[tenant]
        policy = replace(POLICIES[index], tenant=tenant, version=version + off)
        now_ms = max(self.world.memory.now_ms, self.world.memory.state().meta.get("clock", 0)) - late_ms
        subject = Subject(user=user, session=session)
        return make_plan(policy, subject, "m", "", None, said=(Unit.NANO_USD, Unit.TOKENS), now_ms=now_ms)

    def one_of_the_known(self, which: int, tenant: str = "acme") -> Id:
        """The latest first; where there is none, a new one."""
        names = [name for name in reversed(self.world.memory.state().hold) if name.split(":")[1] == "r"]
        if which == 5 or not names:
            return tenant, f"r{next(self.ids)}"
        owner, _, reservation_id = names[which % len(names)].split(":", 2)
        return owner, reservation_id

    @rule(
        which=NEW, tenant=TENANTS, user=USERS, session=SESSIONS,
        off=VERSIONS_OFF, nano_usd=st.one_of(SMALL, SMALL, SOME), tokens=st.one_of(SMALL, SMALL, SOME),
        ttl_ms=TTLS, late_ms=st.sampled_from([0] * 9 + [60_000]),
        content=st.sampled_from(["", "", "", "x"]), refusal=st.sampled_from([None] * 30 + list(Reason)),
    )  # fmt: skip
    def reserve(
        self,
        which: int,
        tenant: str,
        user: str,
        session: str,
        off: int,
        nano_usd: int,
        tokens: int,
        ttl_ms: int,
        late_ms: int,
        content: str,
        refusal: Reason | None,
    ) -> None:
        tenant, reservation_id = self.one_of_the_known(which, tenant)
        plan = self.plan(tenant, user, session, off, late_ms)
        static = plan.refuses(nano_usd, tokens) if refusal is None else refusal
        body = hold_body(plan, f"user={user}")
        ask = ReserveAsk(reservation_id, content, nano_usd, tokens, ttl_ms, static, body)
        reply = self.world.both(lambda store: store.reserve(plan, ask))
        if type(reply) is Held:
            self.keep_tally(plan, ask, reply)

    def keep_tally(self, plan: Plan, ask: ReserveAsk, held: Held) -> None:
        wallet = plan.wallets[held.payer - 1] if held.payer else None
        record = tally_record(
            content=ask.content,
            reserved_ms=held.stamp.now_ms,
            wallet=f"{wallet.counter}\t{wallet.unit}" if wallet else "\t",
            nano_usd=ask.nano_usd,
            tokens=ask.tokens,
            expires_ms=held.expires_ms,
            body=ask.body,
        )
        self.tallies.setdefault((plan.tenant, ask.reservation_id), []).append(record)

    @rule(tenant=TENANTS, user=USERS, nano_usd=SMALL, ttl_ms=TTLS, many=st.sampled_from([2, 3, 18]))
    def reserve_many(self, tenant: str, user: str, nano_usd: int, ttl_ms: int, many: int) -> None:
        plan = self.plan(tenant, user, "")
        seq = self.world.memory.state().meta.get("seq", 0)
        for n in range(many):
            body = hold_body(plan, "")
            ask = ReserveAsk(f"m{seq}.{n}", "", nano_usd, 1, ttl_ms, plan.refuses(nano_usd, 1), body)
            self.world.both(lambda store, ask=ask: store.reserve(plan, ask))  # type: ignore[misc]

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

    def lost(self) -> Id:
        """One that the store has forgotten, where there is one."""
        known = self.world.memory.state().hold
        of = [of for of in self.tallies if f"{of[0]}:r:{of[1]}" not in known]
        return of[-1] if of else self.one_of_the_known(0)

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
        tenant, reservation_id = of = self.one_of_the_known(which)
        hold = self.world.both(lambda store: store.hold(*of))
        lines = hold.budgets if hold is not None and hold.body else []
        limits = tuple(
            (line.limit if by is None else by, Reason(line.rank) if rank is None else rank) for line in lines
        )
        version = self.policies[tenant][1] + off
        ask = ExtendAsk(reservation_id, extension_id, version, ttl_ms, nano_usd, tokens, limits)
        if type(self.world.both(lambda store: store.extend(tenant, ask))) is Extended:
            longer = self.world.both(lambda store: store.hold(*of))
            self.tallies.setdefault(of, []).append(longer.text())

    @rule(tenant=TENANTS, user=USERS, amount=SOME, credit_id=st.sampled_from("abcdefgh"), last=st.booleans())
    def credit(self, tenant: str, user: str, amount: int, credit_id: str, last: bool) -> None:
        wallets = self.plan(tenant, user, "").wallets
        if wallets:
            line: WalletLine = wallets[-1 if last else 0]
            self.world.both(lambda store: store.credit(tenant, line, amount, credit_id, "why"))

    @rule(tenant=TENANTS, news=NEWS)
    def learn(self, tenant: str, news: dict[Pair, Counts]) -> None:
        self.world.both(lambda store: store.learn(tenant, news))

    @rule(tenant=TENANTS, index=st.integers(0, 2 * len(POLICIES)), off=st.sampled_from([None, 0, 0, 1]))
    def apply_policy(self, tenant: str, index: int, off: int | None) -> None:
        if index >= len(POLICIES):
            return
        expected = None if off is None else self.policies[tenant][1] + off
        reply = self.world.both(lambda store: store.apply_policy(tenant, f"document {index}", expected))
        if type(reply[0]) is int:
            self.policies[tenant] = (index, reply[0])
        self.world.both(lambda store: store.policy(tenant))

    @rule(limit=st.sampled_from([1, 2, 5, 100]))
    def sweep(self, limit: int) -> None:
        self.world.both(lambda store: store.sweep(0, limit))

    @rule(tenant=TENANTS, user=USERS, session=SESSIONS, off=VERSIONS_OFF)
    def read(self, tenant: str, user: str, session: str, off: int) -> None:
        plan = self.plan(tenant, user, session, off)
        self.world.both(lambda store: store.balance(plan))
        self.world.both(lambda store: store.wallets(tenant))

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

    @rule()
    def back_up(self) -> None:
        self.backup = self.world.memory.snapshot(), self.world.server.snapshot()
        self.backed_up = dict(self.policies)

    @rule(user=USERS, nano_usd=SMALL, tokens=SMALL)
    def lose(self, user: str, nano_usd: int, tokens: int) -> None:
        """A hold that was made after the backup."""
        self.back_up()
        self.reserve(5, "acme", user, "", 0, nano_usd, tokens, 60_000, 0, "", None)
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


def explore(server: StoreServer, examples: int) -> None:
    """Runs the machine; its seed is printed."""
    world = World(server)
    examples = int(os.environ.get("TALLYSTICK_TEST_EXAMPLES", examples))
    shrink = {Phase.shrink} if os.environ.get("TALLYSTICK_TEST_SHRINK", "1") == "1" else set()
    before = Stores.steps
    machine = hypothesis.seed(seed_of_run())(type("Stores", (Stores,), {"world": world}))
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                print_blob=True,
                phases={Phase.generate} | shrink,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.normal,
            ),
        )
    finally:
        world.close()
    assert Stores.steps - before >= examples  # it did walk


@pytest.mark.contract(10)
@pytest.mark.timeout(600)
def test_memory_equals_valkey(valkey_server: StoreServer) -> None:
    explore(valkey_server, 300)


@pytest.mark.contract(10)
@pytest.mark.timeout(600)
def test_memory_equals_redis(redis_server: StoreServer) -> None:
    explore(redis_server, 100)


@pytest.fixture
def world(store_server: StoreServer) -> Iterator[World]:
    made = World(store_server)
    yield made
    made.close()


@pytest.mark.contract(7)
@pytest.mark.parametrize("due", [16, 17, 515, 516, 517, 533])
def test_as_much_is_ended_before_a_refusal(world: World, due: int) -> None:
    """The bounds of one call are alike, to the last entry."""
    policy = replace(POLICIES[5], tenant="acme")
    plan = make_plan(policy, Subject(), "m", "", None, said=(Unit.NANO_USD, Unit.TOKENS), now_ms=START_MS)
    for n in range(due):
        ask = ReserveAsk(f"d{n}", "", 0, 0, 1_000, Reason.NONE, hold_body(plan, ""))
        world.both(lambda store, ask=ask: store.reserve(plan, ask))  # type: ignore[misc]
    world.move(1_000)
    ask = ReserveAsk("new", "", 1, 0, 1_000, Reason.NONE, hold_body(plan, ""))
    for _ in range(4):
        world.both(lambda store: store.reserve(plan, ask))
        world.compare()


def test_the_same_pairs_are_dropped_where_there_is_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory_learning", "valkey"):
        monkeypatch.setattr(f"tallystick.store.{module}.MOST_PAIRS", 4)
    dice = random.Random(seed_of_run())
    for _ in range(200):
        news = {
            Pair(dice.choice("abcde"), dice.choice(["", "w"])): {
                dice.randrange(9): dice.choice([1, 2, 9]) for _ in range(dice.choice([0, 1, 2]))
            }
            for _ in range(dice.randrange(1, 8))
        }
        world.move(dice.choice([0, 1_000, 3 * RETENTION_MS]))
        assert len(world.both(lambda store, news=news: store.learn("acme", news))) <= 4  # type: ignore[misc]
        assert sum(name.startswith("acme:q:") for name in world.compare().hold) <= 4
