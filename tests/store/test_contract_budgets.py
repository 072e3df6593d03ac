"""The contract, on every store: the budgets of a tenant, read together."""

import asyncio

import pytest

from tallystick.core.policy import Match, Unit
from tallystick.store.asks import Held, Refused
from tests.store.audit import check_all
from tests.store.backends import Backend
from tests.store.desk import DAY, MINUTE, ROLLING_HOUR, TOTAL, budget, desk_at

FIRST = (
    budget("d", 1_000, window=DAY, per=("user",), alerts=(1,)),
    budget("rolls", 1_000, window=ROLLING_HOUR, alerts=(1,)),
    budget("in-flight", 9, Unit.CONCURRENT, TOTAL),
)


@pytest.mark.contract(3)
async def test_budgets_are_read_with_what_is_spent_and_held(backend: Backend) -> None:
    desk = await desk_at(backend, *FIRST)
    assert await desk.store.budgets("acme") == {}
    await desk.hold("a", 30)
    await desk.hold("b", 50, user="a:*,b")
    await desk.settle("a", 20)
    alice, rolls, in_flight = (line.counter for line in desk.plan().budgets)
    other = desk.plan(user="a:*,b").budgets[0].counter
    before = backend.dump()
    found = await desk.store.budgets("acme")
    assert found == {alice: (20, 0), other: (0, 50), rolls: (20, 50), in_flight: (0, 1)}
    assert list(found) == sorted(found)
    assert backend.dump() == before
    check_all(backend.state())


async def test_budgets_of_other_tenants_and_wallets_are_left_out(backend: Backend) -> None:
    desk = await desk_at(backend, budget("b", 100))
    others = [await desk_at(backend, budget("b", 100), tenant=name) for name in ("acme.b", "cme", "a")]
    for each in (desk, *others):
        await each.hold(f"r-{each.policy.tenant}", 5)
    assert await desk.store.budgets("acme") == {desk.plan().budgets[0].counter: (0, 5)}


async def test_the_counters_of_every_window_that_is_kept_are_read(backend: Backend) -> None:
    desk = await desk_at(backend, budget("m", 100, window=MINUTE))
    before = desk.plan().budgets[0].counter
    await desk.hold("a", 5)
    backend.move(60_000)
    await desk.hold("b", 6)
    await desk.settle("a", 7)
    assert await desk.store.budgets("acme") == {before: (7, 0), desk.plan().budgets[0].counter: (0, 6)}


async def test_many_groups_are_read_in_several_steps(backend: Backend) -> None:
    desk = await desk_at(backend, budget("m", 100, per=("user",)))
    users = [f"u{number}" for number in range(1_500)]
    for user in users:
        await desk.hold(f"r-{user}", 5, user=user)
    assert len(await desk.store.budgets("acme")) == len(users)


@pytest.mark.contract(1)
@pytest.mark.parametrize("tightest", range(4))
async def test_calls_that_come_together_stop_at_the_budget_that_is_fullest(
    backend: Backend, tightest: int
) -> None:
    """Each has another room, and in it spent and held other amounts."""
    units, rooms = [Unit.NANO_USD, Unit.TOKENS] * 2, [70, 80, 90, 100]
    rooms[tightest] = 35
    desk = await desk_at(
        backend,
        *(
            budget(f"b{n}", 1_000, unit, match=Match((("user", ("alice", f"filler-{n}")),)))
            for n, unit in enumerate(units)
        ),
    )
    for n, room in enumerate(rooms):
        spent, user = 300 + 100 * n, f"filler-{n}"
        await desk.hold(f"spent-{n}", spent, spent, user=user)
        await desk.settle(f"spent-{n}", spent, spent)
        await desk.hold(f"held-{n}", 1_000 - spent - room, 1_000 - spent - room, user=user)
    plan = desk.plan()  # of one, so that they share a script
    replies = await asyncio.gather(*(desk.reserve(10, 10, plan=plan) for _ in range(9)))
    assert [type(reply) for reply in replies] == [Held] * 3 + [Refused] * 6
    assert {reply.binds for reply in replies[3:] if isinstance(reply, Refused)} == {tightest + 1}
    check_all(backend.state())
