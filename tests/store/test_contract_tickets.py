"""The contract, on every store: tickets, and the allowances that administrators give by them."""

import asyncio
from typing import Any

import pytest

from tallystick.core.errors import TicketAnswered, TicketEnded, TicketNotFound
from tallystick.core.policy import OnExhausted
from tallystick.core.reasons import Reason
from tallystick.core.tickets import DEFAULT_TICKET_TTL_MS, Asked, Ticket, TicketState
from tallystick.store.asks import Again, Held, Refused
from tallystick.store.ticket_asks import AnswerAsk, AnswerKind, Opened, TicketAsk
from tests.store.audit import check_all, kinds
from tests.store.backends import RETENTION_MS, Backend
from tests.store.desk import DAY, ROLLING_HOUR, SESSION, TOTAL, Desk, budget, desk_at
from tests.store.steps import ORG

APPROVE, REJECT = AnswerKind.APPROVE, AnswerKind.REJECT
OPEN, APPROVED, REJECTED = TicketState.OPEN, TicketState.APPROVED, TicketState.REJECTED
TICKET = OnExhausted.TICKET
DAY_MS = 86_400_000


async def full_desk(backend: Backend, window: Any = DAY, **more: Any) -> Desk:
    """A budget of 100 that has no room left, and asks."""
    desk = await desk_at(backend, budget("b", 100, window=window, on_exhausted=TICKET, **more))
    await desk.hold("first", 100, ttl_ms=DAY_MS, session="s")
    return desk


def asking(desk: Desk, ticket_id: str, amount: int = 10, ttl_ms: int = DEFAULT_TICKET_TTL_MS) -> TicketAsk:
    plan = desk.plan(session="s")
    said = Asked(amount, 100, "m", "user=alice", 'please: "a/b"\té')
    return TicketAsk(plan, plan.budgets[0], amount, ticket_id, ttl_ms, said)


async def opened(desk: Desk, ticket_id: str, amount: int = 10, **more: Any) -> Ticket:
    reply = await desk.store.open_ticket(asking(desk, ticket_id, amount, **more))
    check_all(desk.backend.state())
    assert isinstance(reply, Opened), reply
    assert reply.now_ms == desk.backend.now_ms
    return reply.ticket


async def answer(
    desk: Desk, ticket_id: str, kind: AnswerKind, amount: int = 0, **more: Any
) -> tuple[TicketState, bool]:
    ask = AnswerAsk(ticket_id, kind, "ann", "a/note", amount, **more)
    ticket, changed = await desk.store.answer_ticket("acme", ask)
    check_all(desk.backend.state())
    assert await find(desk, ticket_id) == ticket
    assert ticket.said == ("ann", "a/note")
    return ticket.state, changed


async def find(desk: Desk, ticket_id: str) -> Ticket | None:
    (found,) = await desk.store.find_tickets(0, [("acme", ticket_id)])
    return found


async def take(desk: Desk, amount: int, reservation_id: str = "") -> bool:
    """Whether there is room for a call."""
    reply = await desk.reserve(amount, reservation_id=reservation_id, session="s")
    check_all(desk.backend.state())
    assert isinstance(reply, (Held, Refused)), reply
    if isinstance(reply, Refused):
        assert (reply.reason, reply.binds) == (Reason.BUDGET_EXHAUSTED, 1)
    return isinstance(reply, Held)


# they open


async def test_a_refused_call_opens_one_ticket_and_writes_no_money(backend: Backend) -> None:
    desk = await full_desk(backend)
    before = dict(backend.state().count)
    ticket = await opened(desk, "t1")
    assert (ticket.id, ticket.state, ticket.opened_ms, ticket.budget) == ("t1", OPEN, backend.now_ms, "b")
    assert ticket.asked == Asked(10, 100, "m", "user=alice", 'please: "a/b"\té')
    assert await opened(desk, "t2", 99) == ticket
    assert await find(desk, "t2") is None
    assert backend.state().count == before
    assert kinds(backend.state().log)[-1] == "ticket"
    assert await desk.store.tickets("acme") == [ticket]
    assert await desk.store.tickets("acm") == []


async def test_none_opens_where_the_call_would_fit_or_the_plan_is_stale(backend: Backend) -> None:
    desk = await full_desk(backend)
    stale = asking(desk, "t1")
    stale.plan.policy_version += 1
    assert isinstance(await desk.store.open_ticket(stale), Again)
    await desk.release("first")
    assert isinstance(await desk.store.open_ticket(asking(desk, "t1", 100)), Again)
    assert (await opened(desk, "t2", 101)).id == "t2"


async def test_many_who_ask_at_once_get_one_ticket(backend: Backend) -> None:
    desk = await full_desk(backend)
    clients = [await backend.client() for _ in range(3)]
    replies = await asyncio.gather(*(clients[n % 3].open_ticket(asking(desk, f"t{n}")) for n in range(30)))
    assert len({reply.ticket.id for reply in replies if isinstance(reply, Opened)}) == 1
    assert len(await desk.store.tickets("acme")) == 1


# they are approved


@pytest.mark.contract(1)
@pytest.mark.parametrize("window", [DAY, ROLLING_HOUR, TOTAL, SESSION])
async def test_an_approved_amount_is_spent_once(backend: Backend, window: Any) -> None:
    desk = await full_desk(backend, window)
    await opened(desk, "t1")
    assert not await take(desk, 1)
    assert await answer(desk, "t1", APPROVE, 25) == (APPROVED, True)
    assert not await take(desk, 26)
    assert await take(desk, 10, "a")
    assert await take(desk, 15, "b")
    assert not await take(desk, 1)
    await desk.settle("a", 10)
    await desk.settle("b", 5)
    assert await take(desk, 10, "c")
    assert not await take(desk, 1)


@pytest.mark.contract(1)
async def test_fifty_callers_together_spend_an_allowance_once(backend: Backend) -> None:
    desk = await full_desk(backend)
    await opened(desk, "t1")
    await answer(desk, "t1", APPROVE, 75)
    desks = [desk.at(await backend.client()) for _ in range(3)]
    replies = await asyncio.gather(*(desks[n % 3].reserve(10) for n in range(50)))
    assert sum(isinstance(reply, Held) for reply in replies) == 7
    check_all(backend.state())


async def test_a_repeated_answer_changes_nothing_and_another_one_is_refused(backend: Backend) -> None:
    desk = await full_desk(backend)
    for name in ("t1", "t2"):
        with pytest.raises(TicketNotFound):
            await answer(desk, name, APPROVE, 5)
    await opened(desk, "t1")
    assert await answer(desk, "t1", APPROVE, 5) == (APPROVED, True)
    before = backend.dump()
    assert await answer(desk, "t1", APPROVE, 5) == (APPROVED, False)
    for kind, amount, more in ((APPROVE, 6, {}), (REJECT, 0, {}), (APPROVE, 5, {"ends_ms": 9})):
        with pytest.raises(TicketAnswered, match="approved before by ann"):
            await answer(desk, "t1", kind, amount, **more)
    assert backend.dump() == before
    assert await take(desk, 5)
    assert not await take(desk, 1)


async def test_an_allowance_ends_with_its_time_and_what_was_spent_of_it_stays(backend: Backend) -> None:
    desk = await full_desk(backend)
    await opened(desk, "t1")
    await answer(desk, "t1", APPROVE, 25, ends_ms=backend.now_ms + 5_000)
    assert await take(desk, 10)
    backend.move(4_999)
    assert await take(desk, 1)
    backend.move(1)
    assert not await take(desk, 1)
    ticket = await find(desk, "t1")
    assert ticket is not None
    assert ticket.state is TicketState.ENDED
    assert kinds(backend.state().log)[-1] == "ticket_end"
    assert (await opened(desk, "t2")).id == "t2"
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 100)
    assert await find(desk, "t1") is None
    check_all(backend.state())


async def test_an_allowance_is_of_one_window(backend: Backend) -> None:
    desk = await full_desk(backend)
    ticket = await opened(desk, "t1")
    await answer(desk, "t1", APPROVE, 25, ends_ms=backend.now_ms + 10 * DAY_MS)
    backend.set_clock(int(ticket.end))
    assert await take(desk, 100)
    assert not await take(desk, 1)
    assert not any(name.endswith(":x") for name in backend.state().count)


async def test_a_rolling_window_gives_an_allowance_for_its_length(backend: Backend) -> None:
    desk = await full_desk(backend, ROLLING_HOUR)
    await opened(desk, "t1")
    await answer(desk, "t1", APPROVE, 50, ends_ms=backend.now_ms + DAY_MS)
    ticket = await find(desk, "t1")
    assert ticket is not None
    assert ticket.expires_ms == backend.now_ms + ROLLING_HOUR.length_ms
    assert await take(desk, 50)


async def test_the_next_ticket_adds_to_what_was_approved_before(backend: Backend) -> None:
    desk = await full_desk(backend)
    for n, amount in enumerate((10, 2**62)):
        await opened(desk, f"t{n}")
        await answer(desk, f"t{n}", APPROVE, amount, ends_ms=backend.now_ms + 5_000 * (n + 1))
        assert await take(desk, 10)
    backend.move(5_000)
    assert await take(desk, 50)
    backend.move(5_000)
    assert not await take(desk, 1)


async def test_an_approval_may_give_no_allowance(backend: Backend) -> None:
    desk = await full_desk(backend)
    await opened(desk, "t1")
    assert await answer(desk, "t1", APPROVE, 0, content="c") == (TicketState.ENDED, True)
    assert await answer(desk, "t1", APPROVE, 0, content="c") == (TicketState.ENDED, False)
    assert not await take(desk, 1)
    assert (await opened(desk, "t2")).id == "t2"


# they are rejected, or nobody answers


async def test_a_rejection_stands_in_its_window(backend: Backend) -> None:
    desk = await full_desk(backend)
    ticket = await opened(desk, "t1")
    assert await answer(desk, "t1", REJECT) == (REJECTED, True)
    assert await answer(desk, "t1", REJECT) == (REJECTED, False)
    with pytest.raises(TicketAnswered, match="rejected before by ann"):
        await answer(desk, "t1", APPROVE, 5)
    told = await opened(desk, "t2")
    assert (told.id, told.refuses(backend.now_ms), told.said) == ("t1", True, ("ann", "a/note"))
    backend.set_clock(int(ticket.end))
    await desk.hold("second", 100, ttl_ms=DAY_MS, session="s")
    assert (await opened(desk, "t3")).id == "t3"


async def test_nobody_answers(backend: Backend) -> None:
    desk = await full_desk(backend)
    await opened(desk, "t1", ttl_ms=5_000)
    backend.move(4_999)
    assert (await opened(desk, "t2")).id == "t1"
    backend.move(1)
    with pytest.raises(TicketEnded):
        await answer(desk, "t1", APPROVE, 5)
    await desk.store.sweep(0, 100)
    ticket = await find(desk, "t1")
    assert ticket is not None
    assert ticket.state is TicketState.EXPIRED
    assert (await opened(desk, "t2")).id == "t2"


async def test_a_ticket_ends_with_its_window(backend: Backend) -> None:
    desk = await full_desk(backend)
    ticket = await opened(desk, "t1", ttl_ms=10 * DAY_MS)
    assert ticket.expires_ms == int(ticket.end)


async def test_a_forgotten_ticket_leaves_nothing_and_is_not_taken_for_the_next_one(backend: Backend) -> None:
    desk = await full_desk(backend, TOTAL)
    await opened(desk, "t1", ttl_ms=5_000)
    backend.move(5_000)
    assert (await opened(desk, "t2", ttl_ms=10 * DAY_MS)).id == "t2"
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 100)
    assert await find(desk, "t1") is None
    await desk.hold("second", 0, ttl_ms=20 * DAY_MS, session="s")
    await desk.settle("first", 100)  # what it took stays taken
    assert (await opened(desk, "t3")).id == "t2"
    backend.move(10 * DAY_MS)
    await desk.store.sweep(0, 100)
    backend.move(RETENTION_MS)
    await desk.store.sweep(0, 100)
    assert backend.state().ticket == {}
    check_all(backend.state())


# among others


async def test_what_no_ticket_is_for_is_refused_as_ever(backend: Backend) -> None:
    desk = await desk_at(backend, ORG, budget("b", 100, on_exhausted=TICKET), budget("hard", 150), funds=500)
    await desk.hold("first", 100, ttl_ms=DAY_MS)
    await opened(desk, "t1")
    await answer(desk, "t1", APPROVE, 100)
    refused = await desk.refused(60)
    assert (refused.reason, refused.binds) == (Reason.BUDGET_EXHAUSTED, 2)
    await desk.hold("second", 50)


async def test_more_that_is_due_ends_before_an_allowance_counts(backend: Backend) -> None:
    desk = await full_desk(backend)
    await desk.settle("first", 60)
    for n in range(20):
        await desk.hold(f"h{n}", 1, ttl_ms=1_000 + n)
    await opened(desk, "t1", 50)
    await answer(desk, "t1", APPROVE, 50, ends_ms=backend.now_ms + 5_000)
    backend.move(5_000)
    assert isinstance(await desk.reserve(50), Again)
    assert not await take(desk, 50)


async def test_a_ladder_uses_an_allowance_for_the_model_that_was_asked_for(backend: Backend) -> None:
    desk = await full_desk(backend)
    await opened(desk, "t1")
    await answer(desk, "t1", APPROVE, 30)
    plan, tries = desk.ladder(("big", 30), ("small", 3))
    held = await desk.ask(plan, tries, "a")
    assert isinstance(held, Held)
    assert held.tried == 1
    plan, tries = desk.ladder(("big", 30), ("small", 3), at=50)
    assert isinstance(await desk.ask(plan, tries, "b"), Refused)
    check_all(backend.state())
