"""Shadows beside the live engine: after its answer, bounded, and at no cost where there is none."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tallystick.core.errors import StoreUnavailable
from tallystick.core.shadow import Side, Verdict, compare, is_namespace, new_namespace, owner_of
from tallystick.engine import Administration, Engine
from tallystick.engine.calls import ChargeCall, Cost, ExtendCall, ProviderRequest
from tallystick.engine.policies import ApplyCall
from tallystick.engine.shadow_policies import ShadowPolicies
from tallystick.engine.shadow_report import MOST_COUNTS, MOST_RECENT, REST, ShadowReport
from tallystick.engine.shadowed import ShadowedEngine
from tallystick.engine.shadows import LANES, MOST_BYTES, MOST_WAITING
from tallystick.providers.call import Api
from tallystick.store.tenant_states import PolicyNote
from tallystick.tokens import TokenCounter
from tests.unit.engine.office import KEY, Office, page

WIDE, NARROW = (f"budgets:\n  b: {{limit: {limit} requests, window: total}}\n" for limit in (10_000, 2))


class ShadowedOffice(Office):
    """An office whose engine has shadows; they are worked off once `working`."""

    def __init__(self) -> None:
        super().__init__()
        counter = TokenCounter(preload=False)
        self.engine = self.shadowed = ShadowedEngine(self.store, self.planner, counter, self.metrics)
        self.engine.seal_with(KEY)
        self.shadows = self.shadowed.shadows
        self.policies = ShadowPolicies(self.store, self.administration, self.shadows)
        self._work: asyncio.Task[None] | None = None

    async def begin(self, live: str = WIDE, shadow: str = NARROW) -> None:
        await self.apply(live)
        await self.policies.apply(ApplyCall(f"tenant: acme\n{shadow}", None))

    def work(self) -> None:
        self._work = asyncio.create_task(self.shadows.run_for_ever())

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tallystick_{name}", labels) or 0

    async def close(self) -> None:
        if self._work:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)


@pytest.fixture
async def office() -> AsyncIterator[ShadowedOffice]:
    made = ShadowedOffice()
    yield made
    await made.close()


async def test_a_tenant_without_a_shadow_has_the_coroutine_of_before(office: ShadowedOffice) -> None:
    await office.begin()
    own = office.engine.reserve(office.call(tenant="b"))
    other = office.engine.reserve(office.call())
    try:
        assert getattr(own, "cr_code", None) is Engine.reserve.__code__
        assert getattr(other, "cr_code", None) is not Engine.reserve.__code__
    finally:
        own.close()
        other.close()


async def test_nothing_is_done_for_a_shadow_before_the_answer(office: ShadowedOffice) -> None:
    await office.begin()
    asked = office.store.asked["reserve"]
    for _ in range(3):
        assert (await office.reserve()).allowed
    assert office.store.asked["reserve"] == asked + 3  # the live ones
    assert office.shadows.report("acme").decided == 0
    office.work()
    await office.shadows.settled_up()
    report = office.shadows.report("acme")
    assert report.decided == 3
    assert report.counts == {(Verdict.WOULD_DENY, "BUDGET_EXHAUSTED", "b"): 1}


async def test_what_there_is_no_room_for_is_counted_and_the_answer_stays(office: ShadowedOffice) -> None:
    await office.begin()
    most = MOST_WAITING // LANES
    for _ in range(most + 5):
        assert (await office.reserve(reservation_id="")).allowed
    for _ in range(most + 5):
        office.shadows.offer("one lane", asyncio.Event().wait)
    assert office.value("shadow_dropped_total", why="full") >= 5


async def test_of_large_requests_only_so_many_bytes_wait(office: ShadowedOffice) -> None:
    await office.begin(live="unmatched: allow\nprices: {unknown_model: {input: 1, output: 1}}\n")
    body = b'{"model": "m", "messages": [{"role": "user", "content": "' + b"x " * (MOST_BYTES // 8) + b'"}]}'
    request = ProviderRequest(Api.OPENAI_CHAT, body, len(body))
    for _ in range(5):
        await office.reserve(estimate=request, model="m")
    assert office.value("shadow_dropped_total", why="full") == 5 - MOST_BYTES // len(body)


async def test_a_store_that_is_away_and_a_fault_end_no_lane(office: ShadowedOffice) -> None:
    await office.begin()
    office.work()

    async def away() -> None:
        raise StoreUnavailable("it is away")

    async def fault() -> None:
        raise ZeroDivisionError

    for work in (away, fault, away):
        office.shadows.offer("r", work)
    await office.shadows.settled_up()
    assert office.value("shadow_dropped_total", why="store") == 2
    assert office.value("shadow_dropped_total", why="failed") == 1
    await office.reserve(reservation_id="r")
    await office.shadows.settled_up()
    assert office.shadows.report("acme").decided == 1


async def test_a_call_that_only_the_shadow_allows_is_charged_there_as_held(office: ShadowedOffice) -> None:
    rules = "budgets:\n  b: {{limit: {} USD, window: total}}\n"
    await office.begin(rules.format("0.000000010"), rules.format("0.000000025"))
    office.work()
    for _ in range(4):
        await office.reserve(8)
        await office.shadows.settled_up()  # their ids' lanes would let one pass the other
    namespace = office.shadows.namespaces["acme"]
    assert list((await office.store.budgets(namespace)).values()) == [(16, 8)]  # three fit; one is live
    assert list((await office.store.budgets("acme")).values()) == [(0, 8)]


async def test_settles_and_releases_reach_the_shadow_in_their_order(office: ShadowedOffice) -> None:
    rules = "budgets:\n  b: {limit: 1 USD, window: total}\n"
    await office.begin(rules, rules)
    for name in "abc":
        await office.reserve(5, reservation_id=name)
    await office.settle("a", 7)
    await office.engine.release("acme", "b")
    office.work()
    await office.shadows.settled_up()
    assert list((await office.store.budgets(office.shadows.namespaces["acme"])).values()) == [(7, 5)]
    assert not office.shadows.report("acme").counts


async def test_extensions_and_charges_reach_the_shadow(office: ShadowedOffice) -> None:
    rules = "budgets:\n  b: {limit: 1 USD, window: total}\n"
    await office.begin(rules, rules)
    await office.reserve(5, reservation_id="a")
    await office.engine.extend(ExtendCall("acme", "a", b"", "x", 0, Cost(3, 0)))
    charge = ChargeCall("acme", "c", "c", office.call().subject, "", "", Cost(11, 0))
    for _ in range(2):
        await office.engine.charge(charge)  # the second time it is a retry
    office.work()
    await office.shadows.settled_up()
    for tenant in ("acme", office.shadows.namespaces["acme"]):
        assert list((await office.store.budgets(tenant)).values()) == [(11, 8)]


async def test_what_was_granted_is_no_fund_that_a_shadow_begins_with(office: ShadowedOffice) -> None:
    wallets = "wallets: {org: {grant: {amount: 100 USD, every: day}}}\n"
    await office.apply(wallets)
    await office.credit(30)
    await office.reserve(1)  # which takes the grant
    await office.policies.apply(ApplyCall("tenant: acme\nwallets: {org: {}}\n", None))
    beside = Administration(office.store, office.shadows.planner)
    (wallet,) = (await beside.wallets(office.shadows.namespaces["acme"], page())).found
    assert (wallet.funds, wallet.available) == (30, 30)


async def test_funds_are_moved_in_the_shadow_as_they_are(office: ShadowedOffice) -> None:
    wallets = "wallets: {org: {}}\n"
    await office.apply(wallets)
    await office.credit(30)
    await office.policies.apply(ApplyCall(f"tenant: acme\n{wallets}", None, PolicyNote("ann")))
    office.work()
    await office.credit(12)
    await office.shadows.settled_up()
    beside = Administration(office.store, office.shadows.planner)
    (wallet,) = (await beside.wallets(office.shadows.namespaces["acme"], page())).found
    assert (wallet.name, wallet.available) == ("org", 42)


async def test_a_shadow_that_has_ended_is_forgotten(office: ShadowedOffice) -> None:
    await office.begin()
    await office.reserve()
    first = office.shadows.namespaces["acme"]
    assert await office.policies.clear("acme", PolicyNote())
    office.work()
    await office.shadows.settled_up()  # what still waited is of no report
    await office.begin()
    assert office.shadows.namespaces["acme"] != first
    assert office.shadows.report("acme").decided == 0


def test_verdicts() -> None:
    yes, other = Side(True, "m", "", ""), Side(True, "n", "", "")
    full, rate = Side(False, "m", "BUDGET_EXHAUSTED", "a"), Side(False, "m", "RATE_LIMITED", "b")
    elsewhere = full._replace(budget="c")
    assert compare(yes, yes) is compare(full, full._replace(model="n")) is Verdict.SAME
    assert compare(yes, full) is Verdict.WOULD_DENY
    assert compare(full, yes) is Verdict.WOULD_ALLOW
    assert compare(yes, other) is Verdict.OTHER_MODEL
    assert compare(full, rate) is compare(full, elsewhere) is Verdict.OTHER_REASON


def test_a_namespace_is_nobodys_name_and_knows_its_owner() -> None:
    names = {new_namespace("a.b-c_1") for _ in range(100)}
    assert len(names) == 100
    assert all(is_namespace(name) and owner_of(name) == "a.b-c_1" for name in names)
    assert not is_namespace("a.b-c_1")
    assert owner_of("a.b-c_1") == "a.b-c_1"


async def test_a_report_is_bounded(office: ShadowedOffice) -> None:
    await office.apply(NARROW)
    decision, report = await office.reserve(), ShadowReport("acme!1")
    for number in range(MOST_COUNTS + 50):
        live = Side(False, "m", "BUDGET_EXHAUSTED", f"b{number}")
        report.add(office.call(estimate=Cost(1, 1)), live, decision, number)
    assert len(report.counts) == MOST_COUNTS + 1
    assert report.counts[REST] == 50
    assert [each.number for each in (report.recent[0], report.recent[-1])] == [
        MOST_COUNTS + 50 - MOST_RECENT + 1, MOST_COUNTS + 50,
    ]  # fmt: skip
