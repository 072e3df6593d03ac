"""What is charged in the end, asked over gRPC: both transports, TCP and the Unix socket."""

from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import COMPLETED, Caller, fails

ORG = "wallets: {org: {}}\n"
CODE = grpc.StatusCode


@pytest.mark.contract(5)
def test_a_true_cost_above_the_hold_is_charged_and_the_debt_refuses_the_next_call(caller: Caller) -> None:
    caller.apply(ORG + "budgets:\n  all: {limit: 0.00000007 USD, window: total, on_exhausted: alert}")
    caller.credit(100)
    caller.allowed(60, reservation_id="dear")
    settled = caller.settle("dear", 250)
    assert (settled.charged.nano_usd, settled.late) == (250, False)
    wallet = caller.wallet()
    assert (wallet.funds, wallet.spent, wallet.held, wallet.available) == (100, 250, 0, -150)
    assert caller.balance().effective_wallet == ""
    assert caller.budget("all").remaining == 70 - 250
    refusal = caller.refused(1)
    assert (refusal.reason, refusal.shortfall) == (pb.REASON_INSUFFICIENT_FUNDS, 151)
    caller.credit(151)
    caller.allowed(1)


@pytest.mark.contract(5)
def test_a_store_that_forgot_the_hold_charges_by_the_tally_once(caller: Caller, books: Books) -> None:
    rules = (
        ORG
        + "prices: {models: {house: {input: 1, output: 10}}}\nbudgets:\n"
        + ("  all: {limit: 1 USD, window: total}\n  busy: {limit: 9 concurrent}")
    )
    caller.apply(rules)
    caller.credit(10**9)
    estimate = pb.TokenEstimate(input=100, max_output=50)
    tally = caller.allowed(model="house", estimate=estimate, reservation_id="lost").tally
    books.forget()
    with fails(CODE.NOT_FOUND, "no tally"):
        caller.settle("lost", 5)
    usage = pb.Usage(input=90, output=20)
    first = caller.settle("lost", tally=tally, usage=usage)
    assert first.charged == pb.Cost(nano_usd=90 * 1_000 + 20 * 10_000, tokens=110)
    assert first.late
    for _ in range(3):
        assert caller.settle("lost", tally=tally, usage=usage) == first
    with fails(CODE.ALREADY_EXISTS):
        caller.settle("lost", 1, tally=tally)
    caller.apply(rules)
    wallet, budget = caller.wallet(), caller.budget("all")
    assert (wallet.spent, wallet.held, wallet.available) == (290_000, 0, -290_000)
    assert (budget.spent, budget.held, caller.budget("busy").held) == (290_000, 0, 0)
    books.check()


@pytest.mark.contract(5)
def test_a_tally_that_is_not_genuine_changes_nothing(caller: Caller, books: Books) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    tally = caller.allowed(50, reservation_id="one").tally
    other = caller.allowed(50, reservation_id="two").tally
    before = books.of_tenant(caller.tenant)
    forged = [tally[:at] + bytes([tally[at] ^ 1]) + tally[at + 1 :] for at in range(0, len(tally), 5)]
    forged += [
        tally[:-1],
        tally[:17],
        tally[:1],
        b"\x00",
        tally + b"\x00",
        tally.replace(b'"50"', b'"10"'),
    ]
    for altered in forged:
        assert altered != tally
        with fails(CODE.INVALID_ARGUMENT, "tally"):
            caller.settle("one", 1, tally=altered)
        with fails(CODE.INVALID_ARGUMENT, "tally"):
            caller.extend("one", ttl=5, tally=altered)
    with fails(CODE.INVALID_ARGUMENT, "tally"):
        caller.settle("one", 1, tally=other)
    with fails(CODE.INVALID_ARGUMENT, "tally"):
        caller.settle("one", 1, tally=bytes(65_537))
    with Caller(caller.sidecar) as stranger, fails(CODE.INVALID_ARGUMENT, "tally"):
        stranger.settle("one", 1, tally=tally)
    assert books.of_tenant(caller.tenant) == before
    assert caller.settle("one", 1, tally=tally).charged.nano_usd == 1


GIVEN_BACK = (pb.OUTCOME_PROVIDER_ERROR_UNBILLED, pb.OUTCOME_NOT_DISPATCHED)
REPORTED = (COMPLETED, pb.OUTCOME_CLIENT_ABORTED, pb.OUTCOME_PROVIDER_ERROR_BILLED)
UNREPORTED = (pb.OUTCOME_COMPLETED_NO_USAGE, pb.OUTCOME_UNKNOWN)


@pytest.mark.contract(6)
@pytest.mark.parametrize("outcome", pb.Outcome.values()[1:])
def test_what_an_outcome_charges(caller: Caller, books: Books, outcome: "pb.Outcome") -> None:
    caller.apply(ORG + "budgets:\n  calls: {limit: 9 requests, window: total}")
    caller.credit(1_000)
    caller.allowed(60, 6, reservation_id="silent")
    settled = caller.settle("silent", outcome=outcome)
    hold = pb.Cost() if outcome in GIVEN_BACK else pb.Cost(nano_usd=60, tokens=6)
    assert settled.charged == hold
    assert settled.estimated == (outcome not in GIVEN_BACK)
    assert caller.wallet().spent == hold.nano_usd
    assert caller.budget("calls").spent == (outcome not in GIVEN_BACK)
    caller.allowed(60, 6, reservation_id="told")
    cost = pb.Cost(nano_usd=11, tokens=2)
    if outcome in REPORTED:
        told = caller.settle("told", outcome=outcome, cost=cost)
        assert (told.charged, told.estimated) == (cost, False)
    else:
        before = books.of_tenant(caller.tenant)
        with fails(CODE.INVALID_ARGUMENT, "outcome", pb.Outcome.Name(outcome).removeprefix("OUTCOME_")):
            caller.settle("told", outcome=outcome, cost=cost)
        assert books.of_tenant(caller.tenant) == before


@pytest.mark.contract(6)
@pytest.mark.parametrize(
    "usage", [{"usage": pb.Usage()}, {"provider_usage": b"{}"}, {"provider_usage": b"null"}]
)
def test_a_usage_that_says_nothing_is_charged_the_hold(caller: Caller, usage: dict[str, Any]) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    caller.allowed(60, 6, reservation_id="silent")
    settled = caller.settle("silent", **usage)
    assert (settled.charged, settled.estimated) == (pb.Cost(nano_usd=60, tokens=6), True)


@pytest.mark.contract(6)
def test_a_hold_that_nobody_ended_is_charged_until_a_late_settle_corrects_it(
    caller: Caller, books: Books
) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    caller.allowed(60, 6, ttl=1, reservation_id="quiet")
    books.shift_clock(caller.tenant, 1_500)
    assert (caller.wallet().spent, caller.wallet().held) == (60, 0)
    unknown = caller.settle("quiet", outcome=pb.OUTCOME_UNKNOWN)
    assert (unknown.charged.nano_usd, unknown.estimated, unknown.late) == (60, True, True)
    late = caller.settle("quiet", cost=pb.Cost(nano_usd=75, tokens=7))
    assert (late.charged.nano_usd, late.estimated, late.late) == (75, False, True)
    assert caller.settle("quiet", cost=pb.Cost(nano_usd=75, tokens=7)) == late
    with fails(CODE.ALREADY_EXISTS):
        caller.settle("quiet", 76)
    assert caller.wallet().spent == 75


@pytest.mark.contract(7)
def test_what_is_due_is_ended_before_anything_is_refused(caller: Caller, books: Books) -> None:
    caller.apply(ORG + "holds: {on_expiry: release}\nbudgets:\n  busy: {limit: 40 concurrent}")
    caller.credit(40)
    for _ in range(40):
        caller.allowed(1, ttl=1)
    assert caller.refused(1).reason == pb.REASON_CONCURRENCY_LIMITED
    books.shift_clock(caller.tenant, 1_500)
    assert caller.allowed(40).wallet == "org"


@pytest.mark.contract(8)
def test_a_late_settle_posts_to_the_window_of_its_reserve(caller: Caller, books: Books) -> None:
    caller.apply("budgets:\n  minutely: {limit: 1 USD, window: 1m}\nholds: {ttl: 1h}")
    caller.allowed(60, reservation_id="over-midnight")
    books.shift_clock(caller.tenant, 60_000)
    now = caller.allowed(5).budgets[0]
    assert (now.spent, now.held) == (0, 5)
    caller.settle("over-midnight", 70)
    assert caller.budget("minutely").spent == 0
    spent = [v for name, v in books.of_tenant(caller.tenant).count.items() if name.endswith(":s")]
    assert spent == [70]


@pytest.mark.contract(9)
def test_a_model_without_a_price_is_refused(caller: Caller, books: Books) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    before = books.of_tenant(caller.tenant)
    refusal = caller.refused(model="nobodys-model", estimate=pb.TokenEstimate(input=1, max_output=1))
    assert (refusal.reason, refusal.retryable) == (pb.REASON_PRICE_UNKNOWN, False)
    assert books.of_tenant(caller.tenant) == before
    caller.apply(ORG + "prices: {unknown_model: {input: 2, output: 20}}")
    caller.credit(10**6)
    held = caller.allowed(
        model="nobodys-model", estimate=pb.TokenEstimate(input=3, max_output=4), reservation_id="capped"
    )
    assert held.cost == pb.Cost(nano_usd=3 * 2_000 + 4 * 20_000, tokens=7)
    charged = caller.settle("capped", usage=pb.Usage(input=1, output=1)).charged
    assert charged == pb.Cost(nano_usd=22_000, tokens=2)


@pytest.mark.contract(9)
def test_a_free_model_passes_at_an_empty_wallet_and_is_tracked(caller: Caller, books: Books) -> None:
    caller.apply(ORG + 'prices: {models: {"local/*": {free: true}}}\nbudgets:\n'
                 "  calls: {limit: 2 requests, window: total}\n  money: {limit: 1 USD, window: total}\n"
                 "  words: {limit: 50 tokens, window: total}")  # fmt: skip
    assert caller.refused(1).reason == pb.REASON_INSUFFICIENT_FUNDS
    estimate = pb.TokenEstimate(input=10, max_output=10)
    decision = caller.allowed(model="local/llama", estimate=estimate, reservation_id="free")
    assert (decision.wallet, decision.cost) == ("", pb.Cost(tokens=20))
    settled = caller.settle("free", usage=pb.Usage(input=9, output=8))
    assert settled.charged == pb.Cost(tokens=17)
    shown = {budget.name: budget.spent for budget in caller.balance().budgets}
    assert shown == {"calls": 1, "money": 0, "words": 17}
    assert caller.refused(model="local/llama", estimate=pb.TokenEstimate(input=40)).budget == "words"
    entry = books.of_tenant(caller.tenant).log[-1].fields
    assert (entry["kind"], entry["tokens"], entry["usage"]) == ("settle", "17", "input=9,output=8")


@pytest.mark.contract(9)
@pytest.mark.parametrize("with_tally", [True, False])
def test_a_free_model_debits_nothing_whatever_cost_is_reported(caller: Caller, with_tally: bool) -> None:
    caller.apply(ORG + 'prices: {models: {"local/*": {free: true}}}\n'
                 "budgets: {money: {limit: 1 USD, window: total}}")  # fmt: skip
    estimate = pb.TokenEstimate(input=10, max_output=10)
    decision = caller.allowed(model="local/llama", estimate=estimate, reservation_id="free")
    tally = decision.tally if with_tally else b""
    settled = caller.settle("free", cost=pb.Cost(nano_usd=5, tokens=7), tally=tally)
    assert settled.charged == pb.Cost(tokens=7)
    assert caller.balance().budgets[0].spent == 0


@pytest.mark.contract(6)
def test_an_estimate_of_the_callers_is_charged_as_one_and_corrected_once(caller: Caller) -> None:
    caller.apply(ORG)
    caller.credit(1_000)
    caller.allowed(60, reservation_id="guessed")
    for nano_usd, charged in ((40, 40), (50, 40)):  # no guess corrects another
        settled = caller.settle("guessed", nano_usd, estimated=True)
        assert (settled.charged.nano_usd, settled.estimated) == (charged, True)
    settled = caller.settle("guessed", 45)
    assert (settled.charged.nano_usd, settled.estimated) == (45, False)
    assert caller.wallet().spent == 45
    with fails(CODE.ALREADY_EXISTS):
        caller.settle("guessed", 46)
    with fails(CODE.INVALID_ARGUMENT, "estimated"):
        caller.settle("guessed", outcome=pb.OUTCOME_COMPLETED, estimated=True)
