"""Which counters a call meets, and what it can never pass."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.counters import counter_window, parse_counter, wallet_counter
from tallystick.core.matching import make_plan
from tallystick.core.plan import FOREVER_MS, Plan
from tallystick.core.policy import (
    Budget,
    Match,
    ModelRules,
    OnExhausted,
    Policy,
    Unit,
    Unmatched,
    WalletTemplate,
    used_dimensions,
)
from tallystick.core.price import Price, Rate, free_price
from tallystick.core.reasons import Reason
from tallystick.core.subject import Subject
from tallystick.core.windows import Span, Window

NOW_MS = 1_760_000_000_000
DAY, MINUTE = Window(Span.DAY), Window(Span.MINUTE)
PRICE = Price("p", Rate(1), Rate(1), Rate(1), Rate(1), Rate(1))
BOTH = (Unit.NANO_USD, Unit.TOKENS)
VALUES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def plan_of(
    *parts: WalletTemplate | Budget,
    subject: Subject = Subject(user="ann"),  # noqa: B008
    model: str = "m",
    price: Price | None = None,
    said: tuple[Unit, ...] | None = BOTH,
    now_ms: int = NOW_MS,
    **more: object,
) -> Plan:
    wallets = tuple(part for part in parts if isinstance(part, WalletTemplate))
    budgets = tuple(part for part in parts if isinstance(part, Budget))
    dimensions = used_dimensions(wallets, budgets)
    policy = Policy("acme", 4, wallets, budgets, dimensions=dimensions)
    policy = dataclasses.replace(policy, **more)  # type: ignore[arg-type]
    return make_plan(policy, subject, model, "prov", price, said=said, now_ms=now_ms)


def counters(plan: Plan) -> list[str]:
    return [line.counter for line in plan.wallets] + [line.counter for line in plan.budgets]


def test_counters_are_named_for_tenant_name_group_unit_and_window() -> None:
    plan = plan_of(
        WalletTemplate("user", ("user",)),
        WalletTemplate("pool", unit=Unit.TOKENS),
        Budget("daily", 5, Unit.NANO_USD, DAY, per=("team", "user")),
        Budget("bursts", 5, Unit.REQUESTS, MINUTE),
        Budget("in-flight", 5, Unit.CONCURRENT, Window(Span.TOTAL)),
        Budget("by-model", 5, Unit.TOKENS, DAY, per=("model", "provider")),
        subject=Subject(user="ann", team="x"),
    )
    assert counters(plan) == [
        "acme:w:user:user=ann:u",
        "acme:w:pool::t",
        "acme:b:daily:team=x,user=ann:u1759968000+86400",
        "acme:b:bursts::r1759999980+60",
        "acme:b:in-flight::c",
        "acme:b:by-model:model=m,provider=prov:t1759968000+86400",
    ]
    assert [line.end for line in plan.budgets] == ["1760054400000", "1760000040000", "0", "1760054400000"]
    assert (plan.valid_from_ms, plan.valid_until_ms) == (1_759_999_980_000, 1_760_000_040_000)


@given(VALUES, VALUES)
def test_groups_of_any_characters_are_told_apart_and_read_back(user: str, team: str) -> None:
    budget = Budget("b", 5, Unit.NANO_USD, DAY, per=("user", "team"))
    line = plan_of(budget, subject=Subject(user=user, team=team)).budgets[0]
    assert line.counter.count(":") == 4
    assert not set("\t\n\r") & set(line.counter)
    assert parse_counter(line.counter) == ("b", f"user={user},team={team}", Unit.NANO_USD)
    assert line.group == f"user={user},team={team}"
    if user != team:
        other = plan_of(budget, subject=Subject(user=team, team=user)).budgets[0]
        assert other.counter != line.counter


def test_a_value_can_not_pass_for_two() -> None:
    budget = Budget("b", 5, Unit.NANO_USD, DAY, per=("user", "team"))
    one = plan_of(budget, subject=Subject(user="a,team=b", team="c")).budgets[0]
    two = plan_of(budget, subject=Subject(user="a", team="b,team=c")).budgets[0]
    assert one.counter != two.counter


@pytest.mark.parametrize("span", [Span.SESSION, Span.TOTAL])
def test_a_window_without_bounds_has_none_in_its_name(span: Span) -> None:
    plan = plan_of(Budget("b", 5, Unit.NANO_USD, Window(span)))
    line = plan.budgets[0]
    assert line.counter == "acme:b:b::u"
    assert (line.start_ms, line.end_ms, counter_window(line.counter)) == (0, 0, (0, 0))
    assert line.end == ("session" if span is Span.SESSION else "0")
    assert (plan.valid_from_ms, plan.valid_until_ms) == (0, FOREVER_MS)


@given(st.integers(0, 4_000_000_000_000), st.sampled_from([DAY, MINUTE, Window(Span.FIXED, 90_000)]))
def test_a_window_is_read_back_from_its_counter(now_ms: int, window: Window) -> None:
    line = plan_of(Budget("b", 5, Unit.NANO_USD, window), now_ms=now_ms).budgets[0]
    assert counter_window(line.counter) == (line.start_ms, line.end_ms) == window.bounds(now_ms)


def test_a_dimension_that_is_not_given_has_no_group() -> None:
    plan = plan_of(
        WalletTemplate("team", ("team",)),
        WalletTemplate("both", ("user", "team")),
        WalletTemplate("org"),
        Budget("team", 5, Unit.NANO_USD, DAY, per=("team",)),
        Budget("label", 5, Unit.NANO_USD, DAY, per=("label.cost-centre",)),
        Budget("all", 5, Unit.NANO_USD, DAY),
    )
    assert counters(plan) == ["acme:w:org::u", "acme:b:all::u1759968000+86400"]
    assert plan.refusal is Reason.NONE


def test_labels_are_dimensions() -> None:
    budget = Budget("label", 5, Unit.NANO_USD, DAY, per=("label.cost-centre",))
    line = plan_of(budget, subject=Subject(labels=(("cost-centre", "7"),))).budgets[0]
    assert line.group == "label.cost-centre=7"


@pytest.mark.parametrize(
    ("patterns", "matches"),
    [
        ((("environment", ("dev", "ci")),), True),
        ((("environment", ("prod",)),), False),
        ((("environment", ("*",)),), True),
        ((("environment", ("d?v",)), ("user", ("a*",))), True),
        ((("environment", ("d?v",)), ("user", ("b*",))), False),
        ((("team", ("*",)),), False),
        ((("model", ("gpt-*",)), ("provider", ("prov",))), True),
        ((("environment", ("DEV",)),), False),
        ((), True),
    ],
)
def test_a_budget_is_about_the_calls_that_it_matches(
    patterns: tuple[tuple[str, tuple[str, ...]], ...], matches: bool
) -> None:
    budget = Budget("b", 5, Unit.NANO_USD, DAY, match=Match(patterns))
    plan = plan_of(budget, subject=Subject(user="ann", environment="dev"), model="gpt-5")
    assert bool(plan.budgets) is matches


# --- refusals that no counter can change -----------------------------------------------------------

ORG = WalletTemplate("org")
TEAM = WalletTemplate("team", ("team",))
DAILY = Budget("d", 100, Unit.NANO_USD, DAY)


@pytest.mark.contract(9)
@pytest.mark.parametrize(
    ("parts", "options", "reason"),
    [
        ((ORG,), {}, Reason.NONE),
        ((DAILY,), {}, Reason.NONE),
        ((), {}, Reason.NO_BUDGET_MATCHED),
        ((), {"unmatched": Unmatched.ALLOW}, Reason.NONE),
        ((TEAM,), {"unmatched": Unmatched.ALLOW}, Reason.INSUFFICIENT_FUNDS),
        ((TEAM, DAILY), {}, Reason.INSUFFICIENT_FUNDS),
        ((ORG,), {"said": None}, Reason.PRICE_UNKNOWN),
        ((ORG,), {"said": None, "price": PRICE}, Reason.NONE),
        ((ORG,), {"said": (Unit.TOKENS,)}, Reason.INSUFFICIENT_FUNDS),
        ((), {"said": None}, Reason.PRICE_UNKNOWN),
        ((), {"said": None, "price": free_price("v")}, Reason.NONE),
        ((TEAM,), {"said": None, "price": free_price("v")}, Reason.NONE),
        ((ORG,), {"models": ModelRules(deny=("m",))}, Reason.MODEL_NOT_ALLOWED),
        ((ORG,), {"models": ModelRules(allow=("x*",))}, Reason.MODEL_NOT_ALLOWED),
        ((ORG,), {"models": ModelRules(allow=("m", "x*"), deny=("m2",))}, Reason.NONE),
        ((), {"models": ModelRules(deny=("*",)), "said": None}, Reason.MODEL_NOT_ALLOWED),
        ((ORG,), {"models": ModelRules(deny=("*",)), "model": ""}, Reason.NONE),
    ],
)
def test_static_refusals_in_their_order(
    parts: tuple[WalletTemplate | Budget, ...], options: dict[str, object], reason: Reason
) -> None:
    assert plan_of(*parts, **options).refusal is reason  # type: ignore[arg-type]


@pytest.mark.contract(9)
def test_a_free_model_debits_no_wallet_and_is_still_counted() -> None:
    plan = plan_of(ORG, DAILY, price=free_price("v"), said=None)
    assert (plan.wallets, len(plan.budgets)) == ((), 1)


@pytest.mark.parametrize(
    ("budgets", "nano_usd", "tokens", "reason"),
    [
        ((DAILY,), 100, 10**18, Reason.NONE),
        ((DAILY,), 101, 0, Reason.CAN_NEVER_FIT),
        ((Budget("w", 200, Unit.NANO_USD, DAY), DAILY), 101, 0, Reason.CAN_NEVER_FIT),
        ((Budget("t", 5, Unit.TOKENS, DAY),), 10**18, 5, Reason.NONE),
        ((Budget("t", 5, Unit.TOKENS, DAY),), 0, 6, Reason.CAN_NEVER_FIT),
        ((Budget("r", 0, Unit.REQUESTS, DAY),), 0, 0, Reason.CAN_NEVER_FIT),
        ((Budget("r", 1, Unit.REQUESTS, DAY),), 0, 0, Reason.NONE),
        ((Budget("c", 0, Unit.CONCURRENT, Window(Span.TOTAL)),), 0, 0, Reason.CAN_NEVER_FIT),
        ((Budget("c", 1, Unit.CONCURRENT, Window(Span.TOTAL)),), 0, 0, Reason.NONE),
        ((Budget("a", 1, Unit.NANO_USD, DAY, on_exhausted=OnExhausted.ALERT),), 2, 0, Reason.NONE),
        ((Budget("m", 2**63 - 1, Unit.NANO_USD, DAY),), 2**63 - 1, 2**63 - 1, Reason.NONE),
        ((), 2**63 - 1, 2**63 - 1, Reason.NO_BUDGET_MATCHED),
    ],
)
def test_what_can_never_fit(budgets: tuple[Budget, ...], nano_usd: int, tokens: int, reason: Reason) -> None:
    assert plan_of(*budgets).refuses(nano_usd, tokens) is reason


def test_what_can_never_fit_comes_after_what_is_not_allowed_and_before_missing_funds() -> None:
    assert plan_of(TEAM, DAILY).refuses(101, 0) is Reason.CAN_NEVER_FIT
    assert plan_of(TEAM, DAILY).refuses(100, 0) is Reason.INSUFFICIENT_FUNDS
    assert plan_of(DAILY, said=None).refuses(101, 0) is Reason.PRICE_UNKNOWN


def test_alert_steps_are_never_early() -> None:
    line = plan_of(Budget("b", 7, Unit.NANO_USD, DAY, alerts=(50, 99, 100))).budgets[0]
    assert line.steps == ((4, 50), (7, 99), (7, 100))


def test_a_wallet_has_one_counter_however_it_is_found() -> None:
    plan = plan_of(WalletTemplate("user", ("user",)), subject=Subject(user="a:b"))
    template = WalletTemplate("user", ("user",))
    assert plan.wallets[0].counter == wallet_counter("acme", template, "user=a%3Ab")
