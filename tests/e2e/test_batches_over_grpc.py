"""Batches: each item is by itself, as if it had come alone."""

from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import ALLOW, LONG_S, Caller, fails

CODE = grpc.StatusCode


def reserve_all(caller: Caller, requests: list[pb.ReserveRequest]) -> list[Any]:
    batch = pb.ReserveBatchRequest(requests=requests)
    return list(caller.budgets.ReserveBatch(batch, timeout=LONG_S).items)


def settle_all(caller: Caller, requests: list[pb.SettleRequest]) -> list[Any]:
    batch = pb.SettleBatchRequest(requests=requests)
    return list(caller.budgets.SettleBatch(batch, timeout=LONG_S).items)


def test_a_batch_mixes_answers_and_errors_in_the_order_of_its_requests(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit(100)
    caller.release("released")
    items = reserve_all(
        caller,
        [
            caller.ask(40, reservation_id="a"),
            caller.ask(70, reservation_id="b"),
            caller.ask(1, tenant="NO TENANT"),
            caller.ask(60, reservation_id="c"),
            caller.ask(41, reservation_id="a"),
            caller.ask(40, reservation_id="a"),
            caller.ask(1, reservation_id="released"),
        ],
    )
    assert [item.WhichOneof("item") for item in items] == [
        "response", "response", "error", "response", "error", "response", "error"
    ]  # fmt: skip
    results = [item.response.result for item in items if item.HasField("response")]
    assert results == [pb.RESULT_ALLOW, pb.RESULT_DENY, pb.RESULT_ALLOW, pb.RESULT_ALLOW]
    assert items[1].response.refusal.shortfall == 10
    assert items[5].response == items[0].response
    codes = [(item.error.code, item.error.message) for item in items if item.HasField("error")]
    assert [code for code, _ in codes] == [
        code.value[0] for code in (CODE.INVALID_ARGUMENT, CODE.ALREADY_EXISTS, CODE.FAILED_PRECONDITION)
    ]
    assert codes[0][1].startswith("tenant: ")
    assert caller.wallet().held == 100
    with fails(CODE.ALREADY_EXISTS, codes[1][1]):  # as the single call would have ended
        caller.reserve(41, reservation_id="a")


def test_a_batch_of_settles(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit(100)
    tally = caller.allowed(40, reservation_id="a").tally
    caller.allowed(10, reservation_id="b")
    items = settle_all(
        caller,
        [
            caller.end("a", 30, tally=tally),
            caller.end("a", 30),
            caller.end("a", 31),
            caller.end("never", 1),
            caller.end("", 1),
            caller.end("b", outcome=pb.OUTCOME_NOT_DISPATCHED),
            caller.end("b", 5, outcome=99),
        ],
    )
    assert [item.error.code for item in items] == [0, 0, 6, 5, 3, 0, 3]
    assert items[4].error.message.startswith("reservation_id: ")
    assert items[6].error.message.startswith("outcome: ")
    assert items[0].response == items[1].response
    assert items[0].response.charged.nano_usd == 30
    assert (caller.wallet().spent, caller.wallet().held) == (30, 0)


@pytest.mark.contract(1)
def test_a_thousand_at_once_stop_at_the_edge(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}\nbudgets:\n  all: {limit: 900 requests, window: total}")
    caller.credit(777)
    items = reserve_all(caller, [caller.ask(1, reservation_id=f"b{n}") for n in range(1_000)])
    assert sum(item.response.result == ALLOW for item in items) == 777
    settled = settle_all(caller, [caller.end(f"b{n}", 1) for n in range(1_000)])
    assert sum(item.HasField("response") for item in settled) == 777
    assert {item.error.code for item in settled} == {0, CODE.NOT_FOUND.value[0]}
    assert (caller.wallet().spent, caller.wallet().held) == (777, 0)


def test_a_batch_that_is_too_large_does_nothing(caller: Caller, books: Books) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit(10_000)
    before = books.of_tenant(caller.tenant)
    with fails(CODE.INVALID_ARGUMENT, "requests", "1000", "1001"):
        reserve_all(caller, [caller.ask(1) for _ in range(1_001)])
    with fails(CODE.INVALID_ARGUMENT, "requests", "1000", "1001"):
        settle_all(caller, [caller.end("x", 1) for _ in range(1_001)])
    assert books.of_tenant(caller.tenant) == before
    assert reserve_all(caller, []) == []
    assert settle_all(caller, []) == []
