"""Good documents, and what they mean."""

import re
from pathlib import Path

import pytest

from tallystick.core.errors import InvalidPolicy
from tallystick.core.identity import Consumer, IdentityRules, RouteRules
from tallystick.core.money import MAX_AMOUNT, NANO_PER_USD
from tallystick.core.policy import (
    DEFAULT_ALERTS,
    Budget,
    Grant,
    Ladder,
    Match,
    ModelRules,
    OnExhausted,
    OnExpiry,
    OnOutgrown,
    OutputRule,
    Policy,
    PriceRules,
    Unit,
    Unmatched,
    WalletTemplate,
)
from tallystick.core.price import Price, Rate, free_price
from tallystick.core.subject import Subject
from tallystick.core.windows import Span, Window
from tallystick.policyfile import find_problems, load_policy

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [DOCS / "reference/policy.md", DOCS / "guides/identity.md", DOCS / "guides/without-the-store.md"]
EXAMPLES = [
    block
    for page in PAGES
    for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    if block.startswith("tenant:")
]
USD = NANO_PER_USD


def budget_of(text: str) -> Budget:
    [budget] = load_policy(f"tenant: a\ntimezone: Asia/Tokyo\nbudgets:\n  b: {text}\n").budgets
    return budget


def price_of(text: str) -> Price:
    [(_, price)] = load_policy(f"tenant: a\nprices: {{models: {{m: {text}}}}}\n").prices.models
    return price


def rates(*thousandths: int, version: str = "policy 0") -> Price:
    """Input, cached, written for 5 min, for 1 h, output: in thousandths of a dollar per million tokens."""
    made = [Rate(rate * 1_000_000) for rate in thousandths]
    return Price(version, made[0], made[1], made[2], made[3], made[4])


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_of_the_reference_and_the_guide_loads(text: str) -> None:
    assert find_problems(text) == []
    assert load_policy(text, 1).tenant == "acme"


def test_the_complete_example() -> None:
    policy = load_policy(EXAMPLES[0], 7)
    berlin_month = Window(Span.MONTH, zone="Europe/Berlin")
    assert policy == Policy(
        tenant="acme",
        version=7,
        wallets=(
            WalletTemplate("user", ("user",), grant=Grant(20 * USD, berlin_month)),
            WalletTemplate("team", ("team",), grant=Grant(500 * USD, berlin_month, 100 * USD)),
            WalletTemplate("org"),
        ),
        budgets=(
            Budget(
                "developer-daily",
                25 * USD,
                Unit.NANO_USD,
                Window(Span.DAY, zone="Europe/Berlin"),
                Match((("environment", ("dev", "ci")),)),
                ("user",),
            ),
            Budget(
                "repository-weekly",
                300 * USD,
                Unit.NANO_USD,
                Window(Span.WEEK, zone="Europe/Berlin"),
                per=("repository",),
                on_exhausted=OnExhausted.DOWNGRADE,
            ),
            Budget(
                "production",
                20_000 * USD,
                Unit.NANO_USD,
                berlin_month,
                Match((("environment", ("prod",)),)),
                ("service",),
                OnExhausted.ALERT,
            ),
            Budget(
                "shared-pool",
                2_000_000,
                Unit.TOKENS,
                Window(Span.ROLLING, 3_600_000),
                priorities=(("low", 70), ("normal", 90)),
            ),
            Budget(
                "new-york-desk",
                2_000_000,
                Unit.TOKENS,
                Window(Span.DAY, zone="America/New_York"),
                Match((("team", ("desk-ny",)),)),
            ),
            Budget("bursts", 60, Unit.REQUESTS, Window(Span.FIXED, 60_000), per=("user",), overage=6),
            Budget("in-flight", 32, Unit.CONCURRENT, Window(Span.TOTAL), per=("service",)),
            Budget("loops", 5, Unit.REQUESTS, Window(Span.FIXED, 600_000), per=("session", "prompt")),
        ),
        models=ModelRules(("*",), ("*-preview",)),
        prices=PriceRules(
            (
                ("house-llm", rates(400, 40, 400, 400, 1600, version="policy 7")),
                ("local/*", free_price("policy 7")),
            ),
            max_output=(("house-llm", 16_384),),
        ),
        max_output_tokens=2_048,
        output_rule=OutputRule.LEARNED,
        ladders=(Ladder("gpt-5", ("gpt-5-mini", "gpt-5-nano"), 80),),
        consumers=(
            Consumer(
                "review-bot",
                (bytes.fromhex("4f0a1c0e5d7b9b7e0c3a2d1f6e8b7a9c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f00"),),
                Subject(team="search", service="review", environment="prod"),
            ),
        ),
        identity=IdentityRules(
            claims=(("user", ("email",)), ("team", ("groups", 0))),
            self_declared=(("session", "x-tallystick-session"), ("workflow", "x-tallystick-workflow")),
        ),
        routes=RouteRules(("/v1/models",)),
    )
    assert policy.dimensions == (
        "environment", "priority", "prompt", "repository", "service", "session", "team", "user"
    )  # fmt: skip


def test_a_tenant_alone_takes_every_default() -> None:
    assert load_policy("tenant: acme") == Policy("acme")
    assert load_policy("tenant: acme").dimensions == ()
    assert load_policy("\ufefftenant: acme\r\nbudgets: {}\r\n") == Policy("acme")
    assert load_policy('{"tenant": "acme", "wallets": {}}') == Policy("acme")


def test_everything_but_the_defaults() -> None:
    policy = load_policy(
        """
tenant: "42"
models: {allow: [gpt-*, "claude-?"], deny: [gpt-4]}
unmatched: allow
holds: {ttl: 90s, on_expiry: release, on_outgrown: cut}
estimate: {max_output: 10000000}
wallets: {b: {unit: tokens, per: [label.project]}, a: {}}
cascade: [a, b]
"""
    )
    assert policy == Policy(
        "42",
        wallets=(WalletTemplate("a"), WalletTemplate("b", ("label.project",), Unit.TOKENS)),
        models=ModelRules(("gpt-*", "claude-?"), ("gpt-4",)),
        unmatched=Unmatched.ALLOW,
        hold_ttl_ms=90_000,
        on_expiry=OnExpiry.RELEASE,
        on_outgrown=OnOutgrown.CUT,
        max_output_tokens=10_000_000,
    )
    assert policy.dimensions == ("label.project",)


def test_the_cascade_is_the_order_of_the_wallets_unless_it_is_given() -> None:
    wallets = "tenant: a\nwallets: {z: {}, a: {}, m: {}}\n"
    assert [wallet.name for wallet in load_policy(wallets).wallets] == ["z", "a", "m"]
    assert [wallet.name for wallet in load_policy(wallets + "cascade: [m, z, a]").wallets] == ["m", "z", "a"]


@pytest.mark.parametrize(
    ("text", "limit", "unit"),
    [
        ("25 USD", 25 * USD, Unit.NANO_USD),
        ("0.5 USD", USD // 2, Unit.NANO_USD),
        ("0.000000001 USD", 1, Unit.NANO_USD),
        ("0.1000000000000 USD", USD // 10, Unit.NANO_USD),
        ("1_000.25 USD", 1_000_250_000_000, Unit.NANO_USD),
        ("20k USD", 20_000 * USD, Unit.NANO_USD),
        ("0.0000000000025k USD", None, None),
        ("0.000000000002k USD", 2, Unit.NANO_USD),
        ("9223372036.854775807 USD", MAX_AMOUNT, Unit.NANO_USD),
        ("9007199254740993 tokens", 2**53 + 1, Unit.TOKENS),
        ("9223372036854775807 tokens", MAX_AMOUNT, Unit.TOKENS),
        ("2M tokens", 2_000_000, Unit.TOKENS),
        ("1.5M tokens", 1_500_000, Unit.TOKENS),
        ("3G tokens", 3_000_000_000, Unit.TOKENS),
        ("1_000 tokens", 1_000, Unit.TOKENS),
        ("1.5k  requests", 1_500, Unit.REQUESTS),
        ("007 requests", 7, Unit.REQUESTS),
    ],
)
def test_amounts_are_exact(text: str, limit: int | None, unit: Unit | None) -> None:
    if limit is None:
        with pytest.raises(InvalidPolicy, match="at most 9 decimals"):
            budget_of(f"{{limit: {text}, window: day}}")
    else:
        budget = budget_of(f"{{limit: {text}, window: day}}")
        assert (budget.limit, budget.unit) == (limit, unit)


@pytest.mark.parametrize(
    ("keys", "window"),
    [
        ("window: minute", Window(Span.MINUTE, zone="Asia/Tokyo")),
        ("window: hour", Window(Span.HOUR, zone="Asia/Tokyo")),
        ("window: day", Window(Span.DAY, zone="Asia/Tokyo")),
        ("window: week", Window(Span.WEEK, zone="Asia/Tokyo")),
        ("window: week, week_start: sunday", Window(Span.WEEK, zone="Asia/Tokyo", week_start=6)),
        ("window: month, timezone: Europe/Rome", Window(Span.MONTH, zone="Europe/Rome")),
        ("window: quarter", Window(Span.QUARTER, zone="Asia/Tokyo")),
        ("window: year, timezone: UTC", Window(Span.YEAR)),
        ("window: total", Window(Span.TOTAL)),
        ("window: 30s", Window(Span.FIXED, 30_000)),
        ("window: 1m", Window(Span.FIXED, 60_000)),
        ("window: 6h", Window(Span.FIXED, 21_600_000)),
        ("window: 366d", Window(Span.FIXED, 366 * 86_400_000)),
        ("window: rolling 30s", Window(Span.ROLLING, 30_000)),
        ("window: rolling 10m", Window(Span.ROLLING, 600_000)),
        ("window: rolling  1h", Window(Span.ROLLING, 3_600_000)),
        ("window: rolling 30d", Window(Span.ROLLING, 30 * 86_400_000)),
        ("window: rolling 366d", Window(Span.ROLLING, 366 * 86_400_000)),
    ],
)
def test_windows(keys: str, window: Window) -> None:
    assert budget_of(f"{{limit: 1 USD, {keys}}}").window == window


def test_the_week_start_of_the_document_counts_for_weeks_only() -> None:
    budgets = load_policy(
        "tenant: a\nweek_start: saturday\nbudgets:\n"
        "  w: {limit: 1 USD, window: week}\n  d: {limit: 1 USD, window: day}\n"
    ).budgets
    assert [budget.window.week_start for budget in budgets] == [5, 0]


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        ("", ("session",)),
        (", per: [user]", ("user", "session")),
        (", per: [session, user]", ("session", "user")),
    ],
)
def test_a_session_window_is_per_session(per: str, expected: tuple[str, ...]) -> None:
    budget = budget_of(f"{{limit: 1 USD, window: session{per}}}")
    assert budget.window == Window(Span.SESSION)
    assert budget.per == expected


def test_matches_take_one_pattern_or_several() -> None:
    budget = budget_of('{limit: 1 USD, window: day, match: {model: gpt-*, label.a: [x, "y?"], provider: no}}')
    assert budget.match == Match((("model", ("gpt-*",)), ("label.a", ("x", "y?")), ("provider", ("no",))))


def test_alerts_are_sorted() -> None:
    assert budget_of("{limit: 1 USD, window: day}").alerts == DEFAULT_ALERTS
    assert budget_of("{limit: 1 USD, window: day, alerts: []}").alerts == ()
    assert budget_of("{limit: 1 USD, window: day, alerts: [90, 1, 100]}").alerts == (1, 90, 100)


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("{free: true}", free_price("policy 0")),
        ("{input: 1, output: 2}", rates(1000, 1000, 1000, 1000, 2000)),
        ("{input: 1, output: 2, cached_input: 0}", rates(1000, 0, 1000, 1000, 2000)),
        ("{input: 1, output: 2, cache_write: 1.25}", rates(1000, 1000, 1250, 1250, 2000)),
        ("{input: 1, output: 2, cache_write_1h: 2}", rates(1000, 1000, 1000, 2000, 2000)),
        (
            "{input: 0.4, cached_input: .04, cache_write: 0.5, cache_write_1h: 0.8, output: 1.60}",
            rates(400, 40, 500, 800, 1600),
        ),
        ("{input: 0.02, output: 0}", rates(20, 20, 20, 20, 0)),
    ],
)
def test_prices(text: str, price: Price) -> None:
    assert price_of(text) == price


def test_prices_are_exact() -> None:
    price = price_of("{input: 0.000000001, output: 1000000}")
    assert (price.input, price.output) == (Rate(1), Rate(10**15))
    assert price_of("{input: 0.1000000000000000000, output: 0.3}").output == Rate(300_000_000)


def test_the_most_specific_price_comes_first() -> None:
    names = ["*", "gpt-*", "zeta", "gpt-?", "gpt-5-*", "alpha"]
    models = ", ".join(f'"{name}": {{free: true}}' for name in names)
    rules = load_policy(f"tenant: a\nprices: {{models: {{{models}}}}}").prices
    # of equal length, the order is that of the text: any will do, if it is always the same
    assert [name for name, _ in rules.models] == ["alpha", "zeta", "gpt-5-*", "gpt-*", "gpt-?", "*"]


def test_the_ceiling_of_unknown_models() -> None:
    assert load_policy("tenant: a\nprices: {unknown_model: deny}").prices.ceiling is None
    policy = load_policy("tenant: a\nprices: {unknown_model: {input: 30, output: 150}}", 3)
    assert policy.prices.ceiling == rates(30_000, 30_000, 30_000, 30_000, 150_000, version="policy 3")


def test_the_same_text_gives_the_same_policy() -> None:
    first, second = load_policy(EXAMPLES[0], 1), load_policy(EXAMPLES[0], 1)
    assert first == second
    assert repr(first) == repr(second)
