"""Tickets over gRPC: calls that ask for more, administrators who answer, and those who wait for it."""

import asyncio
import re
from typing import Any

import grpc
import pytest

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1 import ticket_pb2 as kpb
from tests.e2e.books import Books
from tests.e2e.caller import LONG_S, Caller, fails, seconds
from tests.e2e.conftest import Start
from tests.servers import http_get, until

CODE = grpc.StatusCode
RULES = """
wallets: {org: {}}
budgets:
  background: {per: [team], limit: 0.0000001 USD, window: total, on_exhausted: ticket}
"""
SEARCH = pb.Subject(team="search")
HOLD, DENY = pb.RESULT_HOLD, pb.RESULT_DENY
OPEN, APPROVED, REJECTED = pb.TICKET_STATE_OPEN, pb.TICKET_STATE_APPROVED, pb.TICKET_STATE_REJECTED
DAY_MS = 86_400_000


def full(caller: Caller) -> None:
    """The budget of the team `search`, of 100, has no room left; there is money enough."""
    caller.apply(RULES)
    caller.credit(1_000_000)
    caller.allowed(100, subject=SEARCH)


def held(caller: Caller, amount: int = 10, **more: Any) -> Any:
    """A call that opens a ticket, or finds it."""
    response = caller.reserve(amount, subject=SEARCH, **more)
    assert response.result == HOLD, response
    assert not response.tally
    return response


def approve(caller: Caller, ticket_id: str, amount: int = 25, **more: Any) -> Any:
    fields = {"unit": pb.UNIT_NANO_USD, "by": "ann", "note": "go on", **more}
    request = kpb.ApproveTicketRequest(tenant=caller.tenant, ticket_id=ticket_id, amount=amount, **fields)
    return caller.administration.ApproveTicket(request, timeout=LONG_S)


def reject(caller: Caller, ticket_id: str, **more: Any) -> Any:
    fields = {"tenant": caller.tenant, "by": "ann", "reason": "not today", **more}
    request = kpb.RejectTicketRequest(ticket_id=ticket_id, **fields)
    return caller.administration.RejectTicket(request, timeout=LONG_S)


def get(caller: Caller, ticket_id: str, wait: float = 0) -> Any:
    request = kpb.GetTicketRequest(
        tenant=caller.tenant, ticket_id=ticket_id, wait=seconds(wait) if wait else None
    )
    return caller.administration.GetTicket(request, timeout=LONG_S).ticket


def listed(caller: Caller, **more: Any) -> list[Any]:
    request = kpb.ListTicketsRequest(tenant=caller.tenant, **more)
    return list(caller.administration.ListTickets(request, timeout=LONG_S).tickets)


def ask_and_wait(caller: Caller, amount: int = 10, wait: float = LONG_S, timeout: float = LONG_S) -> Any:
    """A call that waits, as a future."""
    request = caller.ask(amount, subject=SEARCH, wait=seconds(wait))
    return caller.budgets.Reserve.future(request, timeout=timeout)


async def waiting(caller: Caller, number: int) -> None:
    """Returns once so many calls wait at the sidecar."""

    def all_wait() -> bool:
        text = http_get(caller.sidecar.http_port, "/metrics")[1]
        found = re.search(r"^tallystick_waiting_for_tickets (\d+)", text, re.MULTILINE)
        return found is not None and int(found[1]) == number

    await until(all_wait)


def test_a_call_without_room_opens_a_ticket(caller: Caller) -> None:
    full(caller)
    response = held(caller, 30, justification="nightly run", model="m")
    ticket, refusal = response.ticket, response.refusal
    assert refusal.reason == pb.REASON_BUDGET_EXHAUSTED
    assert f"ticket {ticket.id} asks for more" in refusal.message
    said = (ticket.state, ticket.budget, ticket.group, ticket.limit, ticket.asked, ticket.shortfall)
    assert said == (OPEN, "background", "team=search", 100, 30, 30)
    assert (ticket.justification, ticket.model) == ("nightly run", "m")
    assert dict(ticket.subject) == {"team": "search"}
    assert ticket.expires_at.seconds - ticket.opened_at.seconds == DAY_MS // 1_000
    assert not ticket.HasField("answered_at")
    assert held(caller, 40, justification="another").ticket == ticket
    assert [get(caller, ticket.id), *listed(caller)] == [ticket, ticket]
    caller.allowed(100, subject=pb.Subject(team="other"))
    assert caller.budget("background", team="search").held == 100


@pytest.mark.contract(4)
def test_an_approval_is_spent_once_and_given_once(caller: Caller) -> None:
    full(caller)
    first = caller.ask(20, subject=SEARCH, reservation_id="mine", justification="please")
    ticket_id = caller.send(first).ticket.id
    answer = approve(caller, ticket_id)
    assert answer.changed
    ticket = answer.ticket
    assert (ticket.state, ticket.allowance, ticket.by, ticket.note) == (APPROVED, 25, "ann", "go on")
    again = approve(caller, ticket_id)
    assert (again.changed, again.ticket) == (False, ticket)
    with fails(CODE.FAILED_PRECONDITION, "approved before by ann"):
        approve(caller, ticket_id, 26)
    with fails(CODE.FAILED_PRECONDITION, "approved before by ann"):
        reject(caller, ticket_id)
    came_back = caller.send(caller.ask(20, subject=SEARCH, reservation_id="mine", wait=seconds(1)))
    assert came_back.result == pb.RESULT_ALLOW
    assert caller.send(first).tally == came_back.tally
    second = held(caller).ticket
    assert (second.id != ticket_id, second.shortfall) == (True, 5)
    assert caller.reserve(5, subject=SEARCH).result == pb.RESULT_ALLOW


def test_a_dry_run_counts_what_was_approved(caller: Caller) -> None:
    full(caller)
    approve(caller, held(caller).ticket.id)
    for amount, result in ((25, pb.RESULT_ALLOW), (26, DENY)):
        request = pb.ExplainRequest(call=caller.ask(amount, subject=SEARCH))
        told = caller.budgets.Explain(request, timeout=LONG_S)
        assert told.result == result
        assert [(step.budget.ceiling, step.fits) for step in told.steps][:1] == [
            (125, result == pb.RESULT_ALLOW)
        ]
    assert len(listed(caller)) == 1


def test_a_rejection_is_told_with_its_reason(caller: Caller) -> None:
    full(caller)
    ticket_id = held(caller).ticket.id
    assert reject(caller, ticket_id).changed
    assert not reject(caller, ticket_id).changed
    with fails(CODE.FAILED_PRECONDITION, "rejected before by ann"):
        approve(caller, ticket_id)
    response = caller.reserve(10, subject=SEARCH, wait=seconds(LONG_S))
    assert (response.result, response.ticket.state) == (DENY, REJECTED)
    assert response.refusal.message.endswith(f"ticket {ticket_id} was rejected by ann: not today")


def test_an_answer_may_be_a_credit(caller: Caller) -> None:
    full(caller)
    ticket_id, credit = held(caller).ticket.id, kpb.TicketCredit(wallet="org")
    with fails(CODE.INVALID_ARGUMENT, "wallet"):
        approve(caller, ticket_id, credit=kpb.TicketCredit(wallet="none"))
    assert listed(caller)[0].state == OPEN
    before = caller.wallet().funds
    for changed in (True, False):
        assert approve(caller, ticket_id, 7, credit=credit).changed is changed
    assert caller.wallet().funds == before + 7
    with fails(CODE.FAILED_PRECONDITION):
        approve(caller, ticket_id, 8, credit=credit)
    assert caller.wallet().funds == before + 7


@pytest.mark.parametrize("count", [1_200, pytest.param(4_000, marks=pytest.mark.long)])
async def test_many_wait_and_one_approval_lets_in_whom_it_has_room_for(caller: Caller, count: int) -> None:
    full(caller)
    calls = [ask_and_wait(caller) for _ in range(count)]
    await waiting(caller, count)
    assert caller.budget("background", team="search").held == 100  # others are answered meanwhile
    (ticket,) = listed(caller)
    approve(caller, ticket.id, 10 * 70 + 9)
    await until(lambda: len(listed(caller)) == 2)
    await waiting(caller, count - 70)
    assert sum(call.done() for call in calls) == 70
    reject(caller, listed(caller, states=[OPEN])[0].id)
    results = [call.result().result for call in calls]
    assert [results.count(result) for result in (pb.RESULT_ALLOW, DENY)] == [70, count - 70]
    assert caller.budget("background", team="search").held == 800


@pytest.mark.contract(1)
async def test_fifty_callers_together_spend_an_allowance_once(caller: Caller) -> None:
    full(caller)
    approve(caller, held(caller).ticket.id, 75)
    calls = [caller.budgets.Reserve.future(caller.ask(10, subject=SEARCH), timeout=LONG_S) for _ in range(50)]
    results = [call.result().result for call in calls]
    assert [results.count(result) for result in (pb.RESULT_ALLOW, HOLD)] == [7, 43]


def test_who_waits_is_answered_before_the_deadline(caller: Caller) -> None:
    full(caller)
    assert ask_and_wait(caller, timeout=1.5).result().result == HOLD
    assert ask_and_wait(caller, wait=0.1).result().result == HOLD
    assert get(caller, listed(caller)[0].id, wait=0.1).state == OPEN


async def test_an_administrator_waits_too(caller: Caller) -> None:
    full(caller)
    ticket_id = held(caller).ticket.id
    told = asyncio.create_task(asyncio.to_thread(get, caller, ticket_id, LONG_S))
    await asyncio.sleep(0)
    approve(caller, ticket_id)
    assert (await told).state == APPROVED


def test_what_was_answered_is_told_as_events_and_in_the_ledger(caller: Caller) -> None:
    full(caller)
    ticket_id = held(caller, justification="why").ticket.id
    approve(caller, ticket_id)
    caller.allowed(25, subject=SEARCH)
    other = held(caller).ticket.id
    reject(caller, other)
    request = apb.WatchEventsRequest(tenant=caller.tenant, since={"seconds": 1})
    found = list[Any]()
    for response in caller.administration.WatchEvents(request, timeout=LONG_S):
        found += [each for each in response.events if each.WhichOneof("event").startswith("ticket")]
        if len(found) == 4:
            break
    opened, approved, _, rejected = found
    assert (opened.ticket_opened.ticket_id, opened.ticket_opened.justification) == (ticket_id, "why")
    told = approved.ticket_approved
    assert (told.ticket_id, told.amount, told.by, told.note) == (ticket_id, 25, "ann", "go on")
    assert (told.budget, told.group, told.unit) == ("background", "team=search", pb.UNIT_NANO_USD)
    refused = rejected.ticket_rejected
    assert (refused.ticket_id, refused.by, refused.note) == (other, "ann", "not today")


def test_lists_are_filtered_and_paged(caller: Caller) -> None:
    full(caller)
    first = held(caller).ticket
    caller.allowed(100, subject=pb.Subject(team="other"))
    second = caller.reserve(10, subject=pb.Subject(team="other")).ticket
    reject(caller, first.id)
    assert [each.id for each in listed(caller)] == [first.id, second.id]
    assert [each.id for each in listed(caller, states=[OPEN])] == [second.id]
    assert [len(listed(caller, budget=name)) for name in ("background", "nope")] == [2, 0]
    request = kpb.ListTicketsRequest(tenant=caller.tenant, page_size=1)
    page = caller.administration.ListTickets(request, timeout=LONG_S)
    assert [each.id for each in page.tickets] == [first.id]
    request.page_token = page.next_page_token
    page = caller.administration.ListTickets(request, timeout=LONG_S)
    assert ([each.id for each in page.tickets], page.next_page_token) == ([second.id], "")


def test_nobody_answers_in_time(caller: Caller, books: Books) -> None:
    full(caller)
    ticket_id = held(caller).ticket.id
    books.shift_clock(caller.tenant, DAY_MS)
    with fails(CODE.FAILED_PRECONDITION, "has ended"):
        approve(caller, ticket_id)
    assert held(caller).ticket.id != ticket_id
    assert get(caller, ticket_id).state == pb.TICKET_STATE_EXPIRED


def test_what_is_wrong_is_said(caller: Caller) -> None:
    full(caller)
    with fails(CODE.INVALID_ARGUMENT, "justification: expected at most 1000 bytes"):
        caller.reserve(10, subject=SEARCH, justification="x" * 1_001)
    for wait in (-1, 86_401):
        with fails(CODE.INVALID_ARGUMENT, "wait: expected 0 s to 24 h"):
            caller.reserve(10, subject=SEARCH, wait=seconds(wait))
    assert not listed(caller)
    ticket_id = held(caller).ticket.id
    with fails(CODE.NOT_FOUND, "no ticket 'none'"):
        approve(caller, "none")
    with fails(CODE.NOT_FOUND, "no ticket 'none'"):
        get(caller, "none", wait=1)
    with fails(CODE.INVALID_ARGUMENT, "ticket_id: expected the id"):
        reject(caller, "")
    with fails(CODE.INVALID_ARGUMENT, "amount: expected at least 1"):
        approve(caller, ticket_id, 0)
    with fails(CODE.INVALID_ARGUMENT, "unit: expected NANO_USD, the unit of budget background"):
        approve(caller, ticket_id, unit=pb.UNIT_TOKENS)
    with fails(CODE.INVALID_ARGUMENT, "unit: expected the unit of the amount"):
        approve(caller, ticket_id, unit=pb.UNIT_UNSPECIFIED)
    with fails(CODE.INVALID_ARGUMENT, "reason: expected at most 256 bytes"):
        reject(caller, ticket_id, reason="x" * 257)
    with fails(CODE.INVALID_ARGUMENT, "states: expected states of a ticket, got 77"):
        listed(caller, states=[77])
    assert listed(caller)[0].state == OPEN


@pytest.mark.contract(14)
@pytest.mark.parametrize("transport", ["native", "grpcio"])
async def test_a_ticket_outlives_its_sidecar(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, HTTP_LISTEN="127.0.0.1:0")
    with Caller(sidecar) as caller:
        full(caller)
        ticket_id = held(caller).ticket.id
        call = ask_and_wait(caller)
        await waiting(caller, 1)
        sidecar.stop()
        assert call.result().result == HOLD
        tenant = caller.tenant
    sidecar.start()
    with Caller(sidecar, tenant=tenant) as caller:
        assert held(caller).ticket.id == ticket_id
        call = ask_and_wait(caller)
        await waiting(caller, 1)
        approve(caller, ticket_id)
        assert call.result().result == pb.RESULT_ALLOW
