"""Costs that nothing was held for, charged over gRPC: both transports, TCP and the Unix socket."""

import json
from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import LONG_S, Caller, fails

CODE = grpc.StatusCode
PRICES = "prices: {models: {house: {input: 1, cached_input: 0.1, output: 10}, gift: {free: true}}}\n"
RULES = (
    PRICES
    + "wallets: {user: {per: [user]}, org: {}}\nbudgets:\n"
    + "  daily: {per: [user], limit: 0.001 USD, window: day}\n  calls: {limit: 5 requests, window: day}\n"
    + "  busy: {limit: 1 concurrent}\n  models: {per: [model], limit: 1M tokens, window: total}\n"
)


def request(caller: Caller, charge_id: str = "c", **fields: Any) -> pb.ChargeRequest:
    fields.setdefault("tenant", caller.tenant)
    fields.setdefault("subject", pb.Subject(user="alice"))
    return pb.ChargeRequest(charge_id=charge_id, **fields)


def charge(caller: Caller, charge_id: str = "c", **fields: Any) -> Any:
    return caller.budgets.Charge(request(caller, charge_id, **fields), timeout=LONG_S)


@pytest.mark.contract(5)
def test_usage_is_priced_and_charged_to_the_first_wallet_with_enough(caller: Caller, books: Books) -> None:
    caller.apply(RULES)
    caller.credit(100_000, "user", "mine", user="alice")
    caller.credit(1_000_000, credit_id="ours")
    usage = pb.Usage(input=40, cache_read=100, output=5)
    charged = charge(caller, model="house", usage=usage)
    assert charged == pb.ChargeResponse(
        charge_id="c",
        charged=pb.Cost(nano_usd=40 * 1_000 + 100 * 100 + 5 * 10_000, tokens=145),
        wallet="user",
        wallet_group="user=alice",
        wallet_unit=pb.UNIT_NANO_USD,
        drawn=[pb.Draw(lot="mine", kind=pb.LOT_KIND_PAID, amount=100_000)],
    )
    assert charge(caller, "d", model="house", usage=usage).wallet == "org"
    assert caller.budget("daily").spent == 200_000
    assert (caller.budget("calls").spent, caller.budget("busy").held) == (2, 0)
    books.check()


@pytest.mark.contract(5)
def test_it_is_recorded_above_every_limit_and_refuses_the_next_call(caller: Caller, books: Books) -> None:
    caller.apply(RULES)
    for n in range(7):
        assert charge(caller, f"c{n}", cost=pb.Cost(nano_usd=1_000_000)).wallet == "org"
    assert caller.wallet().available == -7_000_000
    assert (caller.budget("daily").remaining, caller.budget("calls").remaining) == (-6_000_000, -2)
    assert caller.refused(1).reason == pb.REASON_BUDGET_EXHAUSTED
    books.check()


@pytest.mark.contract(4)
def test_the_same_id_gets_the_same_answer_and_other_content_is_a_mismatch(caller: Caller) -> None:
    caller.apply(RULES)
    first = charge(caller, cost=pb.Cost(nano_usd=10))
    assert charge(caller, cost=pb.Cost(nano_usd=10)) == first
    with fails(CODE.ALREADY_EXISTS, "'c'"):
        charge(caller, cost=pb.Cost(nano_usd=11))
    with fails(CODE.ALREADY_EXISTS):
        charge(caller, cost=pb.Cost(nano_usd=10), subject=pb.Subject(user="bob"))
    caller.apply(RULES.replace("5 requests", "6 requests"))  # the plan that it followed is gone
    assert charge(caller, cost=pb.Cost(nano_usd=10)) == first
    assert caller.wallet().spent == 10


@pytest.mark.contract(9)
def test_a_model_without_a_price_is_refused_or_charged_at_the_ceiling(caller: Caller) -> None:
    caller.apply(RULES)
    with fails(CODE.INVALID_ARGUMENT, "model: expected one with a price"):
        charge(caller, model="who-knows", usage=pb.Usage(input=1))
    assert charge(caller, "given", model="who-knows", cost=pb.Cost(nano_usd=7)).charged.nano_usd == 7
    caller.apply(RULES.replace("prices: {", "prices: {unknown_model: {input: 2, output: 4}, "))
    charged = charge(caller, model="who-knows", usage=pb.Usage(input=10, output=10)).charged
    assert charged == pb.Cost(nano_usd=60_000, tokens=20)


@pytest.mark.contract(9)
def test_a_free_model_is_counted_and_debits_nothing(caller: Caller) -> None:
    caller.apply(RULES)
    free = charge(caller, model="gift", usage=pb.Usage(input=10, output=20))
    assert (free.charged, free.wallet) == (pb.Cost(tokens=30), "")
    assert (caller.budget("calls").spent, caller.budget("daily").spent) == (1, 0)


@pytest.mark.contract(5)
def test_a_model_that_is_not_allowed_was_used_all_the_same(caller: Caller) -> None:
    caller.apply(RULES + "models: {deny: [house]}\n")
    assert charge(caller, model="house", usage=pb.Usage(output=1)).charged.nano_usd == 10_000


def test_the_providers_own_usage(caller: Caller) -> None:
    caller.apply(RULES)
    usage = {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}}
    charged = charge(caller, model="house", provider_usage=json.dumps(usage).encode()).charged
    assert charged == pb.Cost(nano_usd=10 * 1_000 + 20 * 100 + 4 * 10_000, tokens=34)


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"charge_id": "", "cost": pb.Cost(nano_usd=1)}, ("charge_id: expected an id",)),
        ({"charge_id": "x" * 129, "cost": pb.Cost(nano_usd=1)}, ("charge_id: expected at most 128",)),
        ({"tenant": "A B", "cost": pb.Cost(nano_usd=1)}, ("tenant: expected",)),
        ({"model": "house"}, ("used: expected one of",)),
        ({"model": "house", "usage": pb.Usage()}, ("used: expected one of",)),
        ({"usage": pb.Usage(input=1)}, ("model: expected",)),
        ({"model": "house", "usage": pb.Usage(input=-1)}, ("usage.input: expected at least 0",)),
        ({"model": "house", "usage": pb.Usage(output=2**62)}, ("used: expected at most 2^63",)),
        ({"cost": pb.Cost(tokens=-1)}, ("cost.tokens: expected at least 0",)),
        ({"model": "house", "provider_usage": b"{"}, ("provider_usage",)),
    ],
)
def test_a_wrong_field_is_named(caller: Caller, fields: dict[str, Any], texts: tuple[str, ...]) -> None:
    caller.apply(RULES)
    with fails(CODE.INVALID_ARGUMENT, *texts):
        charge(caller, **({"charge_id": "c"} | fields))
