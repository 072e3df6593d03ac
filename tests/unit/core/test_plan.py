"""Which counters a call meets, and what it can never pass."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.counters import bucket_of, counter_window, parse_counter, rolling_ms, wallet_counter
from tallystick.core.lots import GrantLine
from tallystick.core.matching import ceiling_of, make_plan
from tallystick.core.plan import FOREVER_MS, Plan
from tallystick.core.policy import (
    Budget,
    Grant,
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


# --- grants, priorities, overage, rolling windows ----------------------------------------------------


def test_a_wallet_of_a_plan_knows_its_grant_and_the_plan_ends_with_the_period() -> None:
    grants = {span: Grant(500, Window(span), 20) for span in (Span.DAY, Span.WEEK, Span.MONTH)}
    plan = plan_of(*(WalletTemplate(span.value, grant=grant) for span, grant in grants.items()))
    told = [(x.grant.marker, x.grant.start_ms, x.grant.expires_ms) for x in plan.wallets if x.grant]
    assert told == [
        ("day:739533", 1_759_968_000_000, 1_760_054_400_000),
        ("week:105647", 1_759_708_800_000, 1_760_313_600_000),
        ("month:24310", 1_759_276_800_000, 1_761_955_200_000),
    ]
    assert (plan.valid_from_ms, plan.valid_until_ms) == (1_759_968_000_000, 1_760_054_400_000)
    assert plan.wallets[0].grant == GrantLine(500, 20, "day", 739_533, 1_760_054_400_000, 1_759_968_000_000)


@settings(deadline=None)  # the first use of a zone reads its file
@given(
    st.sampled_from([Span.DAY, Span.WEEK, Span.MONTH, Span.QUARTER, Span.YEAR]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"]),
    st.integers(0, 6),
    st.integers(0, 4_000_000_000_000),
)
def test_the_next_period_has_the_next_number(span: Span, zone: str, week_start: int, now_ms: int) -> None:
    """But where a zone skipped a date, as Samoa did."""
    window = Window(span, zone=zone, week_start=week_start)
    bounds = window.bounds(now_ms)
    assert bounds
    number = window.period(now_ms)
    assert [window.period(ms) for ms in (bounds[0], bounds[1] - 1)] == [number, number]
    assert window.period(bounds[1]) - number in ((1,) if zone != "Pacific/Apia" else (1, 2))


SHARED = Budget(
    "b", 1_001, Unit.NANO_USD, DAY, priorities=(("low", 0), ("normal", 33), ("top", 100)), overage=50
)


@pytest.mark.parametrize(
    ("priority", "ceiling"), [("low", 0), ("normal", 330), ("", 330), ("top", 1_051), ("other", 1_051)]
)
def test_a_priority_has_its_share_and_the_whole_limit_its_overage(priority: str, ceiling: int) -> None:
    line = plan_of(SHARED, subject=Subject(priority=priority)).budgets[0]
    assert (line.limit, line.ceiling, ceiling_of(SHARED, priority)) == (1_001, ceiling, ceiling)
    assert plan_of(SHARED, subject=Subject(priority=priority)).refuses(ceiling, 0) is Reason.NONE
    refused = plan_of(SHARED, subject=Subject(priority=priority)).refuses(ceiling + 1, 0)
    assert refused is Reason.CAN_NEVER_FIT
    assert line.steps[-1] == (1_001, 100)


@pytest.mark.parametrize(
    ("length_ms", "end", "window"),
    [
        (60_000, "~60000+1000", "~60"),
        (90_000, "~90000+1500", "~90"),
        (3_600_000, "~3600000+60000", "~3600"),
        (1_000, "~1000+17", "~1"),
    ],
)
def test_a_rolling_window_has_no_bounds_and_is_named_for_its_length(
    length_ms: int, end: str, window: str
) -> None:
    plan = plan_of(Budget("b", 5, Unit.TOKENS, Window(Span.ROLLING, length_ms)))
    line = plan.budgets[0]
    assert (line.counter, line.end) == (f"acme:b:b::t{window}", end)
    assert (line.start_ms, line.end_ms, counter_window(line.counter)) == (0, 0, (0, 0))
    assert (plan.valid_from_ms, plan.valid_until_ms) == (0, FOREVER_MS)
    assert rolling_ms(end) == (length_ms, -(-length_ms // 60))


@given(st.integers(1, 10_000_000), st.integers(0, 4_000_000_000_000))
def test_an_instant_leaves_a_rolling_window_with_its_bucket(length_ms: int, at_ms: int) -> None:
    bucket_ms = Window(Span.ROLLING, length_ms).bucket_ms
    bucket = bucket_of(f"~{length_ms}+{bucket_ms}", at_ms)
    assert bucket is not None
    assert at_ms + length_ms < bucket.leaves_ms <= at_ms + length_ms + bucket_ms
    assert bucket.number * bucket_ms <= at_ms < (bucket.number + 1) * bucket_ms
    assert bucket_of(str(at_ms), at_ms) is bucket_of("0", at_ms) is bucket_of("session", at_ms) is None
