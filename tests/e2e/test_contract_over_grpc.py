"""The contract, asked over gRPC: both transports, TCP and the Unix socket."""

from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub
from tests.e2e.books import Books
from tests.e2e.caller import ALLOW, LONG_S, Caller, fails

ORG = "wallets: {org: {}}\n"
CODE = grpc.StatusCode


def at_once(caller: Caller, requests: list[pb.ReserveRequest], connections: int = 8) -> list[Any]:
    """The answers to requests that are all under way before the first answer is looked at."""
    with ExitStack() as ending:
        options = (("grpc.use_local_subchannel_pool", 1),)
        stubs = [
            BudgetServiceStub(ending.enter_context(grpc.insecure_channel(caller.target, options)))
            for _ in range(connections)
        ]
        calls = [
            stubs[i % connections].Reserve.future(request, timeout=LONG_S)
            for i, request in enumerate(requests)
        ]
        return [call.result() for call in calls]


def results(answers: list[Any]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for answer in answers:
        reason = answer.refusal.reason if answer.result != ALLOW else 0
        counts[reason] = counts.get(reason, 0) + 1
    return counts


@pytest.mark.contract(1)
def test_200_callers_at_the_edge_of_a_wallet_get_what_it_holds_and_no_more(caller: Caller) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    answers = at_once(caller, [caller.ask(7) for _ in range(200)])
    assert results(answers) == {0: 142, pb.REASON_INSUFFICIENT_FUNDS: 58}
    wallet = caller.wallet()
    assert (wallet.held, wallet.available) == (994, 6)


@pytest.mark.contract(1)
@pytest.mark.parametrize(
    ("limit", "reason", "admitted"),
    [
        ("345 requests, window: total", pb.REASON_BUDGET_EXHAUSTED, 115),
        ("115 requests, window: 1h", pb.REASON_RATE_LIMITED, 115),
        ("0.000000349 USD, window: total", pb.REASON_BUDGET_EXHAUSTED, 116),
        ("350 tokens, window: total", pb.REASON_BUDGET_EXHAUSTED, 70),
        ("32 concurrent", pb.REASON_CONCURRENCY_LIMITED, 32),
    ],
)
def test_200_callers_at_the_edge_of_a_budget(
    caller: Caller, limit: str, reason: "pb.Reason", admitted: int
) -> None:
    caller.apply(f"budgets:\n  wide: {{limit: 1 USD, window: total}}\n  edge: {{limit: {limit}}}")
    if limit.startswith("345"):  # a third of the room was used before
        caller.apply("budgets:\n  wide: {limit: 1 USD, window: total}\n  edge: {limit: 115 requests, "
                     "window: total}")  # fmt: skip
    answers = at_once(caller, [caller.ask(3, 5) for _ in range(200)])
    assert results(answers) == {0: admitted, reason: 200 - admitted}
    assert caller.budget("wide").held == 3 * admitted


@pytest.mark.contract(2)
@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        ("tight: {limit: 0.00000005 USD, window: total}", pb.REASON_BUDGET_EXHAUSTED),
        ("tight: {limit: 1 requests, window: 1h}", pb.REASON_RATE_LIMITED),
        ("tight: {limit: 1 requests, per: [session], window: session}", pb.REASON_RUNAWAY_LOOP),
        ("tight: {limit: 1 concurrent}", pb.REASON_CONCURRENCY_LIMITED),
        ("tight: {limit: 0.000000039 USD, window: total}", pb.REASON_CAN_NEVER_FIT),
        ("loose: {limit: 2 USD, window: total}", pb.REASON_INSUFFICIENT_FUNDS),
    ],
)
def test_a_denial_writes_nothing_anywhere(
    caller: Caller, books: Books, binding: str, reason: "pb.Reason"
) -> None:
    subject = pb.Subject(user="alice", session="s1")
    caller.apply(ORG + "budgets:\n  wide: {limit: 1 USD, window: total}\n  " + binding)
    caller.credit(60)
    caller.allowed(30, subject=subject)
    before, shown = books.of_tenant(caller.tenant), caller.balance(user="alice", session="s1")
    for number in range(3):
        refusal = caller.refused(40, subject=subject, reservation_id=f"refused-{number}")
        assert refusal.reason == reason
    assert books.of_tenant(caller.tenant) == before
    assert caller.balance(user="alice", session="s1") == shown


@pytest.mark.contract(3)
def test_held_and_spent_are_kept_apart(caller: Caller, books: Books) -> None:
    caller.apply(ORG + "budgets:\n  all: {limit: 0.000001 USD, window: total}\n  busy: {limit: 9 concurrent}")
    caller.credit(1_000)
    ids = [caller.allowed(amount).reservation_id for amount in (100, 200, 300)]
    caller.settle(ids[0], 70)
    caller.release(ids[1])
    wallet, budget = caller.wallet(), caller.budget("all")
    assert (wallet.funds, wallet.spent, wallet.held, wallet.available) == (1_000, 70, 300, 630)
    assert (budget.spent, budget.held, budget.remaining) == (70, 300, 630)
    assert caller.budget("busy").held == 1
    books.check()


@pytest.mark.contract(4)
def test_a_reserve_retried_a_hundred_times_is_one_and_answers_byte_for_byte_alike(caller: Caller) -> None:
    caller.apply(ORG + "budgets:\n  all: {limit: 0.0000002 USD, window: month, alerts: [40, 60]}\n"
                 "  told: {limit: 1 requests, window: 1h, on_exhausted: alert}")  # fmt: skip
    caller.credit(1_000)
    caller.allowed(50)
    request = caller.ask(
        50, 7, reservation_id="one", subject=pb.Subject(user="bob", labels={"a": "1", "b": "2"})
    )
    first = caller.send(request)
    assert [budget.threshold_percent for budget in first.budgets] == [40, 100]
    again = [*at_once(caller, [request] * 50), *(caller.send(request) for _ in range(50))]
    assert {answer.SerializeToString(deterministic=True) for answer in again} == {
        first.SerializeToString(deterministic=True)
    }
    caller.settle("one", 20)
    assert caller.send(request) == first
    caller.apply(ORG + "budgets:\n  all: {limit: 1 USD, window: year}")
    assert caller.send(request) == first
    assert caller.wallet().held == 50


@pytest.mark.contract(4)
def test_an_answer_that_was_lost_is_had_by_asking_again(caller: Caller, books: Books) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    caller.allowed(1)
    for number in range(100):
        request = caller.ask(1, reservation_id=f"lost-{number}")
        call = caller.budgets.Reserve.future(request, timeout=LONG_S)
        if number % 2:
            while len(books.of_tenant(caller.tenant).hold) < 2 + number:  # until it is held
                pass
        call.cancel()
        assert caller.send(request).result == ALLOW
    assert caller.wallet().held == 101


@pytest.mark.contract(4)
def test_the_same_id_with_other_content_is_a_mismatch(caller: Caller, books: Books) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    caller.allowed(5, 1, reservation_id="one")
    before = books.of_tenant(caller.tenant)
    others: list[dict[str, Any]] = [
        {"nano_usd": 6, "tokens": 1},
        {"nano_usd": 5, "tokens": 2},
        {"nano_usd": 5, "tokens": 1, "model": "gpt-5"},
        {"nano_usd": 5, "tokens": 1, "ttl": 7},
        {"nano_usd": 5, "tokens": 1, "subject": pb.Subject(user="bob")},
    ]
    for other in others:
        with fails(CODE.ALREADY_EXISTS, "other content"):
            caller.reserve(reservation_id="one", **other)
    assert books.of_tenant(caller.tenant) == before


@pytest.mark.contract(4)
def test_a_settle_counts_once_and_keeps_its_answer(caller: Caller, books: Books) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    tally = caller.allowed(50, reservation_id="one").tally
    first = caller.settle("one", 30)
    assert (first.charged.nano_usd, first.estimated, first.late) == (30, False, False)
    before = books.of_tenant(caller.tenant)
    for number in range(100):
        assert caller.settle("one", 30, tally=tally if number % 2 else b"") == first
        with fails(CODE.ALREADY_EXISTS, "other content"):
            caller.settle("one", 31 + number)
    with fails(CODE.FAILED_PRECONDITION, "'one'"):
        caller.release("one")
    assert books.of_tenant(caller.tenant) == before
    assert caller.wallet().spent == 30


@pytest.mark.contract(4)
def test_a_release_is_remembered(caller: Caller) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    for _ in range(3):
        assert not caller.release("late").HasField("released")
        with fails(CODE.FAILED_PRECONDITION, "released"):
            caller.reserve(5, reservation_id="late")
    caller.allowed(7, 2, reservation_id="open")
    for _ in range(3):
        assert caller.release("open").released == pb.Cost(nano_usd=7, tokens=2)
        with fails(CODE.FAILED_PRECONDITION, "released"):
            caller.reserve(7, 2, reservation_id="open")
    wallet = caller.wallet()
    assert (wallet.spent, wallet.held) == (0, 0)


@pytest.mark.contract(11)
@pytest.mark.parametrize("amount", [2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1])
def test_amounts_are_exact(caller: Caller, amount: int) -> None:
    caller.apply("wallets: {org: {}, pool: {unit: tokens}}\nbudgets:\n"
                 "  money: {limit: 9223372036.854775807 USD, window: total}\n"
                 "  tokens: {limit: 9223372036854775807 tokens, window: total}")  # fmt: skip
    caller.credit(amount)
    if amount < 2**63 - 1:
        refusal = caller.refused(amount + 1, 1)
        assert (refusal.reason, refusal.shortfall) == (pb.REASON_INSUFFICIENT_FUNDS, 1)
    decision = caller.allowed(amount, amount, reservation_id="big")
    assert decision.cost == pb.Cost(nano_usd=amount, tokens=amount)
    assert [budget.remaining for budget in decision.budgets] == [2**63 - 1 - amount] * 2
    assert (caller.wallet().held, caller.wallet().available) == (amount, 0)
    charged = caller.settle("big", cost=pb.Cost(nano_usd=amount - 1, tokens=amount - 2)).charged
    assert charged == pb.Cost(nano_usd=amount - 1, tokens=amount - 2)
    wallet = caller.wallet()
    assert (wallet.funds, wallet.spent, wallet.available) == (amount, amount - 1, 1)
    assert caller.budget("tokens").spent == amount - 2
    assert caller.allowed(1).wallet == "org"
