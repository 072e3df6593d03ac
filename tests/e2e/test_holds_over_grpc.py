"""Reservations as administrators see and end them, over gRPC."""

import random
from typing import Any

import grpc
import pytest

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import Caller, fails
from tests.e2e.test_tenants_over_grpc import forged
from tests.seeds import seed_of_run

CODE = grpc.StatusCode
OPEN, EXPIRED, ESTIMATED = apb.HOLD_STATE_OPEN, apb.HOLD_STATE_EXPIRED, apb.HOLD_STATE_ESTIMATED
SETTLED, RELEASED = apb.HOLD_STATE_SETTLED, apb.HOLD_STATE_RELEASED
ALL = [OPEN, EXPIRED, ESTIMATED, SETTLED, RELEASED]
RULES = """
wallets: {user: {per: [user]}, org: {}}
budgets: {daily: {per: [user], limit: 1 USD, window: day, on_exhausted: alert}}
"""


def ids(answer: Any) -> list[str]:
    return [hold.reservation_id for hold in answer.holds]


def in_pages(caller: Caller, size: int, **chosen: Any) -> list[str]:
    found, token = list[str](), ""
    while True:
        answer = caller.list_holds(page_size=size, page_token=token, **chosen)
        assert len(answer.holds) <= size
        found += ids(answer)
        token = answer.next_page_token
        if not token:
            return found


@pytest.fixture
def busy(caller: Caller) -> Caller:
    """A tenant with a few reservations."""
    caller.apply(RULES)
    caller.credit(1_000)
    caller.credit(100, "user", user="bob")
    for number, user in enumerate(["alice", "bob", "alice", "bob", "alice"]):
        subject = pb.Subject(user=user, labels={"task": f"t {number}"})
        caller.allowed(10, 3, reservation_id=f"r-{number}", subject=subject, ttl=600 + number)
    return caller


def test_a_hold_tells_who_what_and_until_when(busy: Caller) -> None:
    hold = busy.hold("r-1")
    assert dict(hold.subject) == {"user": "bob", "label.task": "t 1"}
    assert (hold.state, hold.model, hold.wallet, hold.wallet_group) == (OPEN, "", "user", "user=bob")
    assert (hold.held, hold.charged) == (pb.Cost(nano_usd=10, tokens=3), pb.Cost())
    assert 600 <= hold.expires_at.ToSeconds() - hold.reserved_at.ToSeconds() <= 602


def test_they_are_chosen_by_state_subject_and_age(busy: Caller) -> None:
    assert ids(busy.list_holds()) == [f"r-{n}" for n in range(5)]
    busy.settle("r-0", 4)
    busy.release("r-1")
    assert ids(busy.list_holds()) == ["r-2", "r-3", "r-4"]
    assert ids(busy.list_holds(states=[SETTLED, RELEASED])) == ["r-0", "r-1"]
    assert sorted(ids(busy.list_holds(states=ALL, subject={"user": "bob"}))) == ["r-1", "r-3"]
    assert ids(busy.list_holds(subject={"user": "bob", "label.task": "t 3"})) == ["r-3"]
    assert ids(busy.list_holds(subject={"user": "bob", "team": "x"})) == []
    assert ids(busy.list_holds(older_than=3_000)) == []
    assert len(ids(busy.list_holds(older_than=0.001))) == 3


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_have_each_once(busy: Caller, size: int) -> None:
    assert in_pages(busy, size, states=ALL) == [f"r-{n}" for n in range(5)]
    assert in_pages(busy, size, subject={"user": "alice"}) == ["r-0", "r-2", "r-4"]


def test_a_forged_page_token_is_refused(busy: Caller) -> None:
    token = busy.list_holds(page_size=1).next_page_token
    dice = random.Random(seed_of_run())
    for _ in range(100):
        wrong = forged(token, dice)
        if wrong not in ("", token):
            with fails(CODE.INVALID_ARGUMENT, "page_token: "):
                busy.list_holds(page_token=wrong)
    for other in ({"states": [SETTLED]}, {"subject": {"user": "bob"}}, {"tenant": "another"}):
        with fails(CODE.INVALID_ARGUMENT, "page_token: "):
            busy.list_holds(page_token=token, **other)


@pytest.mark.contract(5)
def test_a_hold_is_ended_with_a_cost_and_the_caller_may_correct_it(busy: Caller, books: Books) -> None:
    answer = busy.resolve("r-0", settle=7, reason="by the invoice")
    assert (answer.changed, answer.hold.state) == (True, ESTIMATED)
    assert answer.hold.charged == pb.Cost(nano_usd=7, tokens=3)
    assert not busy.resolve("r-0", settle=7).changed
    told = books.of_tenant(busy.tenant).log[-1].fields
    assert (told["kind"], told["by"], told["reason"], told["outcome"]) == (
        "settle", "ann", "by the invoice", "RESOLVED",
    )  # fmt: skip
    settled = busy.settle("r-0", 25)
    assert (settled.charged.nano_usd, settled.estimated, settled.late) == (25, False, True)
    with fails(CODE.FAILED_PRECONDITION, "reservation 'r-0' has ended in another way"):
        busy.resolve("r-0", settle=7)


def test_it_is_charged_as_held_released_or_given_time(busy: Caller) -> None:
    assert busy.resolve("r-0", settle_as_held={}).hold.charged == pb.Cost(nano_usd=10, tokens=3)
    released = busy.resolve("r-1", release={}).hold
    assert (released.state, released.charged) == (RELEASED, pb.Cost())
    before = busy.hold("r-2").expires_at.ToSeconds()
    assert busy.resolve("r-2", extend=3_600).hold.expires_at.ToSeconds() > before + 2_900
    assert not busy.resolve("r-2", extend=60).changed
    with fails(CODE.FAILED_PRECONDITION):
        busy.resolve("r-1", extend=60)


def test_a_free_model_is_charged_tokens_alone(caller: Caller) -> None:
    caller.apply("unmatched: allow\nprices: {models: {house: {free: true}}}")
    caller.allowed(reservation_id="r", estimate=pb.TokenEstimate(input=5, max_output=5), model="house")
    assert caller.resolve("r", settle=9).hold.charged == pb.Cost(tokens=10)


def test_what_is_wrong_is_said(busy: Caller) -> None:
    with fails(CODE.NOT_FOUND, "no reservation 'nobody'"):
        busy.resolve("nobody", settle=1)
    with fails(CODE.NOT_FOUND, "no reservation 'nobody'"):
        busy.resolve("nobody", release={})
    with fails(CODE.INVALID_ARGUMENT, "how: expected one of settle, settle_as_held, release and extend"):
        busy.resolve("r-0")
    with fails(CODE.INVALID_ARGUMENT, "settle.nano_usd: expected at least 0"):
        busy.resolve("r-0", settle=-1)
    with fails(CODE.INVALID_ARGUMENT, "extend: expected 1 s to 24 h"):
        busy.resolve("r-0", extend=90_000)
    with fails(CODE.INVALID_ARGUMENT, "by: "):
        busy.resolve("r-0", release={}, by="a\nb")
    with fails(CODE.INVALID_ARGUMENT, "reservation_id: "):
        busy.resolve("", release={})
    with fails(CODE.INVALID_ARGUMENT, "states: expected states of a hold, got 77"):
        busy.list_holds(states=[77])
    with fails(CODE.INVALID_ARGUMENT, "subject: expected dimensions as keys, got 'uzer'"):
        busy.list_holds(subject={"uzer": "a"})
    with fails(CODE.INVALID_ARGUMENT, "older_than: "):
        busy.list_holds(older_than=-5)
    with fails(CODE.INVALID_ARGUMENT, "tenant: "):
        busy.list_holds(tenant="A B")
