"""The contract, on every store: a suspended tenant takes nothing on, and ends what is under way."""

from dataclasses import replace

import pytest

from tallystick.core.errors import IdMismatch, PolicyNotFound
from tallystick.core.outcome import Mode
from tallystick.core.policy import Unit
from tallystick.core.reasons import Reason
from tallystick.store.asks import Again, Extended, Held, Refused, Replayed
from tallystick.store.tenant_states import Suspension, TenantState
from tests.store.audit import check_all, kinds
from tests.store.backends import START_MS, Backend, ServerBackend
from tests.store.conftest import MakeBackend
from tests.store.desk import TTL_MS, Desk, budget, policy_of
from tests.store.steps import ORG

SUSPENDED = Reason.TENANT_SUSPENDED


async def desk_in_force(backend: Backend, tenant: str = "acme", funds: int = 1_000) -> Desk:
    """A desk whose policy was applied, so that the tenant is known."""
    store = await backend.client()
    version, _ = await store.apply_policy(tenant, "document", None)
    parts = (ORG, budget("d", 1_000), budget("n", 9, Unit.CONCURRENT))
    desk = Desk(backend, store, replace(policy_of(*parts, tenant=tenant), version=version))
    await desk.credit("org", funds)
    return desk


@pytest.mark.contract(2)
async def test_a_suspended_tenant_reserves_nothing_and_nothing_is_written(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    assert await desk.store.suspend("acme", "ann", "a leak") == (Suspension(START_MS, "ann", "a leak"), True)
    before = backend.dump()
    for refusal in (Reason.NONE, Reason.PRICE_UNKNOWN, Reason.INSUFFICIENT_FUNDS):
        reply = await desk.reserve(10, refusal=refusal)
        assert isinstance(reply, Refused)
        assert (reply.reason, reply.binds, reply.tried) == (SUSPENDED, 0, 1)
        assert reply.values == [1_000, 0, 0, 0, 0, 0]
    assert backend.dump() == before
    assert await desk.store.resume("acme", "ann", "replaced")
    assert isinstance(await desk.reserve(10), Held)
    check_all(backend.state())


async def test_no_model_of_a_ladder_is_used(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    await desk.store.suspend("acme", "", "")
    for at in (None, 50):
        plan, tries = desk.ladder(("big", 10), ("small", 1), at=at)
        reply = await desk.ask(plan, tries)
        assert isinstance(reply, Refused)
        assert (reply.reason, reply.binds) == (SUSPENDED, 0)


async def test_it_is_so_for_every_client_and_no_other_tenant(make_backend: MakeBackend) -> None:
    backend = make_backend(partitions=1)
    desk, other = await desk_in_force(backend), await desk_in_force(backend, "b")
    there = desk.at(await backend.client())
    assert isinstance(await there.reserve(1), Held)
    await desk.store.suspend("acme", "", "")
    assert (await there.refused(1)).reason is SUSPENDED
    assert isinstance(await other.reserve(1), Held)


@pytest.mark.contract(4)
async def test_what_was_answered_is_answered_again(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    await desk.hold("a", 10)
    await desk.store.suspend("acme", "", "")
    assert isinstance(await desk.reserve(10, reservation_id="a"), Replayed)
    with pytest.raises(IdMismatch):
        await desk.reserve(11, reservation_id="a")


async def test_a_stale_plan_is_made_anew_before_it_is_refused(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    await desk.store.suspend("acme", "", "")
    assert isinstance(await desk.reserve(1, plan=desk.plan(version=7)), Again)


@pytest.mark.contract(5)
async def test_what_is_under_way_ends_as_ever(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    for name in "abcd":
        await desk.hold(name, 10)
    await desk.store.suspend("acme", "", "")
    assert (await desk.settle("a", 12)).nano_usd == 12
    assert (await desk.release("b")).known
    charged = await desk.charge("x", 7)
    assert (charged.nano_usd, charged.suspended) == (7, True)
    longer = await desk.extend("c", version=1)
    assert isinstance(longer, Extended)
    backend.move(TTL_MS + 1)
    await desk.counters()
    assert (await desk.settle("d", 5, mode=Mode.COST)).late
    assert kinds(backend.state().log)[-3:] == ["expire", "expire", "settle"]
    check_all(backend.state())


async def test_no_hold_gets_more_money(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    await desk.hold("a", 10)
    await desk.extend("a", "before", 5, version=1)
    await desk.store.suspend("acme", "", "")
    before = backend.dump()
    refused = await desk.extend("a", "more", 5, version=1)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.binds) == (SUSPENDED, 0)
    assert backend.dump() == before
    again = await desk.extend("a", "before", 5, version=1)  # as it was answered before
    assert isinstance(again, Extended)
    assert again.nano_usd == 15


async def test_no_check_of_a_rate_limit_passes(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    await desk.store.suspend("acme", "", "")
    before = backend.dump()
    took = await desk.take(desk.taking(1), desk.taking(0, 0, 0), desk.taking(1, refusal=Reason.CAN_NEVER_FIT))
    assert [verdict[:2] for verdict in took.verdicts] == [(SUSPENDED, 0)] * 3
    assert backend.dump() == before


async def test_a_balance_tells_of_it(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    assert not (await desk.counters()).suspended
    await desk.store.suspend("acme", "", "")
    assert (await desk.counters()).suspended


async def test_the_first_to_suspend_stands_and_the_ledger_tells_who_and_why(backend: Backend) -> None:
    desk = await desk_in_force(backend)
    store = desk.store
    first = Suspension(START_MS, "Ann Ü", 'a "leak"')
    assert await store.suspend("acme", first.by, first.reason) == (first, True)
    backend.move(5)
    assert await store.suspend("acme", "bob", "the same") == (first, False)
    assert await store.resume("acme", "bob", "done")
    assert not await store.resume("acme", "bob", "done")
    told = [entry.fields for entry in backend.state().log[-2:]]
    common = {"tenant": "acme", "id": "acme"}
    assert told == [
        common | {"kind": "suspend", "at": str(START_MS), "by": first.by, "reason": first.reason},
        common | {"kind": "resume", "at": str(START_MS + 5), "by": "bob", "reason": "done"},
    ]
    check_all(backend.state())


async def test_a_tenant_that_has_no_policy_is_a_slip_of_the_pen(backend: Backend) -> None:
    store = (await desk_in_force(backend)).store
    before = backend.dump()
    with pytest.raises(PolicyNotFound, match="tenant amce has no policy"):
        await store.suspend("amce", "", "")
    with pytest.raises(PolicyNotFound):
        await store.resume("amce", "", "")
    assert backend.dump() == before


async def test_tenants_are_listed_by_name(make_backend: MakeBackend) -> None:
    backend = make_backend(partitions=4)
    store = await backend.client()
    assert await store.tenants() == []
    names = [f"t{n}" for n in range(12)]
    for name in names:
        await store.apply_policy(name, "document", None)
    await store.apply_policy("t3", "another", None)
    await store.suspend("t3", "ann", "")
    assert await store.tenants() == [
        TenantState(name, *((2, Suspension(START_MS, "ann", "")) if name == "t3" else (1, None)))
        for name in sorted(names)
    ]


async def test_a_suspension_is_taken_where_the_store_is_full(own_backend: ServerBackend) -> None:
    desk = await desk_in_force(own_backend)
    own_backend.raw.config_set("maxmemory", "1kb")
    assert (await desk.store.suspend("acme", "ann", ""))[1]
    own_backend.raw.config_set("maxmemory", "0")
    assert (await desk.refused(1)).reason is SUSPENDED
