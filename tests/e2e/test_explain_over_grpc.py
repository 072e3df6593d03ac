"""A dry run tells what a Reserve would be told, step by step, and leaves no trace."""

import random
from itertools import groupby
from operator import attrgetter

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import ALLOW, DENY, LONG_S, Caller
from tests.e2e.test_ladders_over_grpc import CALL, GRAND, PRICES, rules
from tests.e2e.worlds_of_calls import World


def explain(caller: Caller, request: pb.ReserveRequest) -> pb.ExplainResponse:
    answer = caller.budgets.Explain(pb.ExplainRequest(call=request), timeout=LONG_S)
    assert isinstance(answer, pb.ExplainResponse)
    return answer


def step_names(answer: pb.ExplainResponse) -> list[tuple[str, str, bool, bool]]:
    """Model, budget or wallet, whether it fits, whether it binds."""
    return [(x.model, x.budget.name or x.wallet.name, x.fits, x.binds) for x in answer.steps]


def check_explained(world: World, request: pb.ReserveRequest) -> None:
    world.caller.balance(user="alice")  # ends what is due
    before = world.books.of_tenant(world.caller.tenant)
    told = explain(world.caller, request)
    assert world.books.of_tenant(world.caller.tenant) == before
    answer = world.caller.send(request)
    note(f"{world.document()}\n{request}\n{told}\n{answer}")
    assert (told.result, told.model, told.cost) == (answer.result, answer.model, answer.cost)
    assert told.refusal == answer.refusal
    assert told.downgrade == answer.downgrade
    assert told.HasField("refusal") == (answer.result == DENY)
    check_steps(told, request.model)
    if answer.result == ALLOW:
        last = [step for step in told.steps if step.model == told.model and step.HasField("wallet")]
        payers = [step.wallet.name for step in last if step.binds]
        assert payers[-1:] == ([answer.wallet] if answer.wallet else [])
        world.caller.release(answer.reservation_id)


LADDERS = {"grand": ("mid", "tiny"), "mid": ("gift",)}
NOTHING_BINDS = (pb.REASON_MODEL_NOT_ALLOWED, pb.REASON_NO_BUDGET_MATCHED)


def check_steps(told: pb.ExplainResponse, asked: str) -> None:
    """Of each model its budgets, then its wallets, and one that decides; in the order of the ladder."""
    runs = [(name, list(steps)) for name, steps in groupby(told.steps, key=attrgetter("model"))]
    ladder = iter((asked, *LADDERS.get(asked, ()), asked))
    assert all(name in ladder for name, _ in runs)
    why = told.downgrade.reason or told.refusal.reason
    for i, (name, steps) in enumerate(runs):
        kinds = [step.WhichOneof("of") for step in steps]
        assert kinds == sorted(kinds)  # budgets, then wallets
        binding = [step for step in steps if step.binds]
        if told.result == ALLOW and name == told.model and i == len(runs) - 1:
            assert [step.WhichOneof("of") for step in binding] == ["wallet"] * ("wallet" in kinds)
            assert all(step.fits for step in steps if step.HasField("budget") or step.binds)
        elif name != asked or why not in NOTHING_BINDS:
            assert [step.fits for step in binding] == [False]


def test_what_is_explained_is_what_a_reserve_is_told_right_after(caller: Caller, books: Books) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        world = World(caller, books, random.Random(seed))
        world.spend()
        for _ in range(3):
            check_explained(world, world.call(ttl=86_400))

    check()


def test_it_writes_nothing_also_before_the_first_call_on_a_wallet_with_a_grant(
    caller: Caller, books: Books
) -> None:
    caller.apply(
        f"{PRICES}\nwallets: {{user: {{per: [user], grant: {{amount: 1 USD, every: day}}}}, org: {{}}}}"
    )
    before = books.of_tenant(caller.tenant)
    told = explain(caller, caller.ask(model="grand", estimate=CALL))
    assert (told.result, told.model, told.cost.nano_usd) == (ALLOW, "grand", GRAND)
    assert step_names(told) == [("grand", "user", True, True), ("grand", "org", False, False)]
    assert told.steps[0].wallet.available == 1_000_000_000
    assert told.steps[0].takes == GRAND
    assert books.of_tenant(caller.tenant) == before


def test_every_model_of_the_ladder_is_told_of_in_order(caller: Caller) -> None:
    caller.apply(
        rules("{model: grand, to: [mid, tiny], at: 50%}", limit="0.012 USD").replace(
            "downgrade:\n",
            "  few: {match: {model: mid}, limit: 900 tokens, window: day}\ndowngrade:\n",
        )
    )
    told = explain(caller, caller.ask(model="grand", estimate=CALL))
    assert step_names(told) == [
        ("grand", "daily", False, True),
        ("mid", "daily", True, False),
        ("mid", "few", False, True),
        ("tiny", "daily", True, False),
    ]
    assert (told.result, told.model, told.downgrade.budget) == (ALLOW, "tiny", "daily")
    assert [step.budget.ceiling for step in told.steps] == [6_000_000, 12_000_000, 900, 12_000_000]


def test_a_call_that_can_never_fit_is_bound_by_the_budget_that_is_too_small(caller: Caller) -> None:
    caller.apply(
        f"{PRICES}\nbudgets:\n  wide: {{limit: 1 USD, window: day}}\n"
        "  small: {limit: 999 tokens, window: day}"
    )
    told = explain(caller, caller.ask(model="grand", estimate=CALL))
    assert step_names(told) == [("grand", "wide", True, False), ("grand", "small", False, True)]
    assert told.refusal.reason == pb.REASON_CAN_NEVER_FIT
    assert told.refusal.budget == "small"
    assert told.refusal.advice.max_output == 399
