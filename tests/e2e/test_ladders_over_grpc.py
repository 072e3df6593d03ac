"""Ladders of cheaper models, over gRPC: what is used instead, what is told, what is charged."""

import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import ALLOW, DENY, Caller
from tests.e2e.test_contract_over_grpc import at_once

PRICES = """
prices:
  models:
    grand: {input: 10, output: 10}
    mid: {input: 4, output: 4}
    tiny: {input: 1, output: 1}
    gift: {free: true}
"""
CALL = pb.TokenEstimate(input=600, max_output=400)
"""1000 tokens: grand 10 000 000 nano-dollars, mid 4 000 000, tiny 1 000 000."""
GRAND, MID, TINY = 10_000_000, 4_000_000, 1_000_000


def rules(ladder: str, *, limit: str = "0.1 USD", more: str = "") -> str:
    """A budget that ten calls of `grand` fill."""
    return f"""{PRICES}
budgets:
  daily: {{per: [user], limit: {limit}, window: day, on_exhausted: downgrade}}
downgrade:
  - {ladder}
{more}"""


def test_the_model_that_was_asked_for_is_used_while_it_fits_and_the_first_rung_that_fits_then(
    caller: Caller,
) -> None:
    caller.apply(rules("{model: grand, to: [mid, tiny], at: 80%}"))
    for _ in range(8):  # up to 80 % exactly
        asked = caller.allowed(model="grand", estimate=CALL)
        assert (asked.model, asked.cost.nano_usd, asked.HasField("downgrade")) == ("grand", GRAND, False)
    lower = caller.allowed(model="grand", estimate=CALL)
    assert (lower.model, lower.cost) == ("mid", pb.Cost(nano_usd=MID, tokens=1_000))
    assert lower.price_version == asked.price_version != ""
    assert lower.downgrade == pb.Downgrade(
        asked_model="grand",
        reason=pb.REASON_BUDGET_EXHAUSTED,
        budget="daily",
        message="grand is not used: budget daily (user=alice) has too little left for it",
    )
    daily = lower.budgets[0]
    assert (daily.held, daily.ceiling, daily.threshold_percent) == (8 * GRAND + MID, 10 * GRAND, 80)
    for model, cost in (("mid", MID), ("mid", MID), ("mid", MID), ("mid", MID)):  # up to 100 %
        each = caller.allowed(model="grand", estimate=CALL)
        assert (each.model, each.cost.nano_usd) == (model, cost)
    assert caller.refused(model="grand", estimate=CALL).budget == "daily"


def test_a_smaller_rung_follows_and_then_the_refusal_is_that_of_the_model_that_was_asked_for(
    caller: Caller, books: Books
) -> None:
    caller.apply(rules("{model: grand, to: [mid, tiny]}", limit="0.0145 USD"))
    models = [caller.allowed(model="grand", estimate=CALL).model for _ in range(2)]
    assert models == ["grand", "mid"]
    before = books.of_tenant(caller.tenant)
    response = caller.reserve(model="grand", estimate=CALL)
    assert (response.result, response.model, response.cost.nano_usd) == (DENY, "grand", GRAND)
    assert not response.HasField("downgrade")
    refusal = response.refusal
    assert (refusal.reason, refusal.budget) == (pb.REASON_BUDGET_EXHAUSTED, "daily")
    assert refusal.shortfall == GRAND + MID + GRAND - 14_500_000
    assert books.of_tenant(caller.tenant) == before
    smaller = pb.TokenEstimate(input=100, max_output=50)
    assert caller.allowed(model="grand", estimate=smaller).model == "tiny"


def test_the_model_that_was_asked_for_is_used_again_where_no_rung_fits_but_it_does(caller: Caller) -> None:
    closed = "  closed: {match: {model: [mid, tiny]}, limit: 1 tokens, window: day}\n"
    caller.apply(
        rules("{model: grand, to: [mid, tiny], at: 50%}").replace("downgrade:\n", closed + "downgrade:\n")
    )
    answers = [caller.reserve(model="grand", estimate=CALL) for _ in range(11)]
    assert [each.model for each in answers[:10]] == ["grand"] * 10
    assert not any(each.HasField("downgrade") for each in answers)
    assert answers[10].result == DENY
    assert answers[10].refusal.budget == "daily"


def test_rungs_that_are_not_allowed_or_have_no_price_are_left_out(caller: Caller) -> None:
    ladder = "{model: grand, to: [nobodys, mid, tiny]}"
    caller.apply(rules(ladder, limit="0.012 USD", more="models: {deny: [mid]}\n"))
    assert [caller.allowed(model="grand", estimate=CALL).model for _ in range(3)] == ["grand", "tiny", "tiny"]
    assert caller.refused(model="mid", estimate=CALL).reason == pb.REASON_MODEL_NOT_ALLOWED
    only = "{model: grand, to: [nobodys, mid]}"
    caller.apply(rules(only, limit="0.012 USD", more="models: {deny: [mid]}\n"))
    assert caller.refused(model="grand", estimate=CALL).reason == pb.REASON_BUDGET_EXHAUSTED


def test_a_free_rung_needs_no_wallet(caller: Caller) -> None:
    caller.apply(f"{PRICES}\nwallets: {{org: {{}}}}\ndowngrade:\n  - {{model: grand, to: [gift]}}")
    caller.credit(GRAND)
    assert caller.allowed(model="grand", estimate=CALL).wallet == "org"
    gift = caller.allowed(model="grand", estimate=CALL)
    assert (gift.model, gift.wallet, gift.cost) == ("gift", "", pb.Cost(tokens=1_000))
    assert (gift.downgrade.reason, gift.downgrade.budget) == (pb.REASON_INSUFFICIENT_FUNDS, "")
    assert gift.downgrade.message == "grand is not used: no wallet can pay for it"
    assert caller.settle(gift.reservation_id, usage=pb.Usage(input=600, output=400)).charged.nano_usd == 0
    assert caller.wallet().available == 0


@pytest.mark.parametrize("with_tally", [True, False])
def test_a_call_that_was_downgraded_is_settled_by_the_price_of_the_rung(
    caller: Caller, books: Books, with_tally: bool
) -> None:
    caller.apply(rules("{model: grand, to: [tiny]}", limit="0.012 USD"))
    caller.allowed(model="grand", estimate=CALL)
    lower = caller.allowed(model="grand", estimate=CALL)
    tally = lower.tally if with_tally else b""
    settled = caller.settle(lower.reservation_id, usage=pb.Usage(input=500, output=300), tally=tally)
    assert settled.charged == pb.Cost(nano_usd=800_000, tokens=800)
    assert caller.budget("daily").spent == 800_000
    books.check()


@pytest.mark.contract(4)
def test_a_reserve_retried_gives_the_same_downgraded_answer_whatever_has_become_of_the_policy(
    caller: Caller,
) -> None:
    caller.apply(rules("{model: grand, to: [mid, tiny], at: 50%}", limit="0.018 USD"))
    ask = [
        caller.ask(model="grand", estimate=CALL, reservation_id=name) for name in ("first", "second", "third")
    ]
    answers = [caller.send(each) for each in ask]
    assert [each.model for each in answers] == ["mid", "mid", "mid"]
    assert [caller.send(each) for each in ask] == answers
    caller.settle("first", usage=pb.Usage(input=1))
    caller.apply(rules("{model: grand, to: [tiny]}", limit="1 USD"))
    assert [caller.send(each) for each in ask] == answers


@pytest.mark.contract(1)
def test_100_callers_over_two_rungs_get_what_the_limits_allow_and_no_more(
    caller: Caller, books: Books
) -> None:
    per_model = """  tokens-of-mid: {match: {model: mid}, limit: 12k tokens, window: total}
  calls-of-tiny: {match: {model: tiny}, limit: 20 requests, window: total}
"""
    text = rules("{model: grand, to: [mid, tiny]}", limit="1 USD").replace(
        "downgrade:\n", per_model + "  calls-of-grand: {match: {model: grand}, limit: 30 requests, "
        "window: total}\ndowngrade:\n"
    )  # fmt: skip
    caller.apply(text)
    answers = at_once(caller, [caller.ask(model="grand", estimate=CALL) for _ in range(100)])
    used = [each.model for each in answers if each.result == ALLOW]
    assert {name: used.count(name) for name in set(used)} == {"grand": 30, "mid": 12, "tiny": 20}
    denied = [each.refusal for each in answers if each.result == DENY]
    assert {(each.reason, each.budget) for each in denied} == {(pb.REASON_BUDGET_EXHAUSTED, "calls-of-grand")}
    assert caller.budget("daily").held == 30 * GRAND + 12 * MID + 20 * TINY
    books.check()


def test_a_downgrade_is_only_for_calls_whose_tokens_are_known(caller: Caller) -> None:
    caller.apply(rules("{model: grand, to: [tiny]}", limit="0.012 USD"))
    caller.allowed(GRAND, 1_000, model="grand")
    assert caller.refused(GRAND, 1_000, model="grand").budget == "daily"
