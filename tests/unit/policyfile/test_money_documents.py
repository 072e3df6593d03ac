"""Grants, rolling windows, priorities, overage, ladders, estimates: what they mean, and what is refused."""

from pathlib import Path

import pytest

from tallystick.core.errors import InvalidPolicy
from tallystick.core.money import MAX_AMOUNT, NANO_PER_USD
from tallystick.core.policy import (
    WITHOUT_BOUND,
    Budget,
    Grant,
    Ladder,
    OnExhausted,
    OutputRule,
    Policy,
    PriceRules,
    Unit,
    WalletTemplate,
)
from tallystick.core.windows import Span, Window
from tallystick.policyfile import find_problems, load_policy

GUIDES = sorted((Path(__file__).parents[3] / "docs" / "guides").glob("*.yaml"))
USD = NANO_PER_USD
MONTH = Window(Span.MONTH, zone="Asia/Tokyo")


def policy_of(text: str) -> Policy:
    return load_policy(f"tenant: a\ntimezone: Asia/Tokyo\nweek_start: saturday\n{text}\n")


def grant_of(text: str, unit: str = "USD") -> Grant:
    [wallet] = policy_of(f"wallets: {{w: {{unit: {unit}, grant: {text}}}}}").wallets
    assert wallet.grant is not None
    return wallet.grant


def budget_of(text: str) -> Budget:
    [budget] = policy_of(f"budgets: {{b: {text}}}\ndowngrade: [{{model: a, to: [b]}}]").budgets
    return budget


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_guide_is_a_good_policy(path: Path) -> None:
    text = path.read_text("utf-8")
    assert find_problems(text) == []
    assert load_policy(text).tenant == "acme"


def test_the_guide_to_money_shows_all_of_it() -> None:
    [path] = [path for path in GUIDES if path.name == "money.yaml"]
    policy = load_policy(path.read_text("utf-8"))
    assert [wallet.grant and wallet.grant.rollover for wallet in policy.wallets] == [
        5 * USD, 0, 125 * USD, None
    ]  # fmt: skip
    spans = {budget.window.span for budget in policy.budgets}
    assert Span.ROLLING in spans
    assert {budget.on_exhausted for budget in policy.budgets} == set(OnExhausted)
    assert [budget.overage for budget in policy.budgets if budget.overage] == [50 * USD, 60]
    assert any(budget.priorities for budget in policy.budgets)
    assert [ladder.at for ladder in policy.ladders] == [80, 100]
    assert (policy.output_rule, policy.max_output_tokens) == (OutputRule.LEARNED, 2_048)
    assert dict(policy.prices.max_output) == {"house-llm": 16_384, "local/*": 8_192}


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("{amount: 20 USD, every: month}", Grant(20 * USD, MONTH)),
        ("{amount: 20 USD, every: month, rollover: 5 USD}", Grant(20 * USD, MONTH, 5 * USD)),
        ("{amount: 20 USD, every: month, rollover: 30 USD}", Grant(20 * USD, MONTH, 30 * USD)),
        ("{amount: 20 USD, every: month, rollover: 25%}", Grant(20 * USD, MONTH, 5 * USD)),
        ("{amount: 20 USD, every: month, rollover: 100%}", Grant(20 * USD, MONTH, 20 * USD)),
        ("{amount: 0.000000199 USD, every: month, rollover: 1%}", Grant(199, MONTH, 1)),
        ("{amount: 1 USD, every: day}", Grant(USD, Window(Span.DAY, zone="Asia/Tokyo"))),
        ("{amount: 1 USD, every: week}", Grant(USD, Window(Span.WEEK, zone="Asia/Tokyo", week_start=5))),
        (
            "{amount: 1 USD, every: week, week_start: monday, timezone: Europe/Berlin}",
            Grant(USD, Window(Span.WEEK, zone="Europe/Berlin")),
        ),
        (
            "{amount: 1 USD, every: quarter, timezone: Europe/Berlin}",
            Grant(USD, Window(Span.QUARTER, zone="Europe/Berlin")),
        ),
        ("{amount: 1 USD, every: year, timezone: UTC}", Grant(USD, Window(Span.YEAR))),
    ],
)
def test_grants(text: str, grant: Grant) -> None:
    assert grant_of(text) == grant


def test_a_wallet_of_tokens_is_granted_tokens() -> None:
    text = "{amount: 9007199254740993 tokens, every: month, rollover: 1.5k tokens}"
    assert grant_of(text, "tokens") == Grant(2**53 + 1, MONTH, 1_500)
    assert policy_of("wallets: {w: {unit: tokens}}").wallets == (WalletTemplate("w", unit=Unit.TOKENS),)


def test_a_budget_has_its_own_zone_and_week() -> None:
    text = "window: week, timezone: America/New_York, week_start: sunday"
    window = budget_of(f"{{limit: 1 USD, {text}}}").window
    assert window == Window(Span.WEEK, zone="America/New_York", week_start=6)


@pytest.mark.parametrize(
    ("limit", "overage", "amount"),
    [
        ("1000 USD", "50 USD", 50 * USD),
        ("1000 USD", "2k USD", 2_000 * USD),
        ("1000 USD", "10%", 100 * USD),
        ("0.000000199 USD", "1%", 1),
        ("9007199254740993 tokens", "100%", 2**53 + 1),
        ("9007199254740993 tokens", "33%", 2972375754064527),
        ("9 requests", "10%", 0),
        ("10 requests", "19%", 1),
        ("4611686018427387904 tokens", "4611686018427387903 tokens", 2**62 - 1),
    ],
)
def test_overage_is_exact_and_rounded_down(limit: str, overage: str, amount: int) -> None:
    assert budget_of(f"{{limit: {limit}, window: day, overage: {overage}}}").overage == amount


def test_calls_in_flight_may_have_priorities_and_overage() -> None:
    budget = budget_of("{limit: 32 concurrent, priorities: {low: 50%}, overage: 2 concurrent}")
    assert (budget.priorities, budget.overage, budget.window) == ((("low", 50),), 2, Window(Span.TOTAL))


def test_priorities_are_any_values_in_the_order_of_the_text() -> None:
    budget = budget_of('{limit: 1 USD, window: day, priorities: {normal: 90%, low: 1%, 7: 100%, "à b": 5%}}')
    assert budget.priorities == (("normal", 90), ("low", 1), ("7", 100), ("à b", 5))


def test_priorities_are_a_dimension_of_the_policy() -> None:
    def dimensions(more: str) -> tuple[str, ...]:
        return policy_of(f"budgets: {{b: {{limit: 1 USD, window: day, per: [user]{more}}}}}").dimensions

    assert dimensions("") == dimensions(", priorities: {}") == ("user",)
    assert dimensions(", priorities: {low: 50%}") == ("priority", "user")


def test_a_budget_that_downgrades() -> None:
    budget = budget_of(
        "{limit: 1 USD, window: day, on_exhausted: downgrade, overage: 1%, priorities: {a: 1%}}"
    )
    assert budget.on_exhausted is OnExhausted.DOWNGRADE


def test_ladders_stay_in_order() -> None:
    ladders = policy_of(
        'downgrade:\n- {model: gpt-5, to: [gpt-5-mini, gpt-5-nano], at: 80%}\n- {model: "gpt-*", to: [gpt-5]}'
    ).ladders
    assert ladders == (Ladder("gpt-5", ("gpt-5-mini", "gpt-5-nano"), 80), Ladder("gpt-*", ("gpt-5",), 100))
    assert policy_of("downgrade: []").ladders == ()


@pytest.mark.parametrize(
    ("text", "rule", "tokens"),
    [
        ("{}", OutputRule.NUMBER, 4_096),
        ("{max_output: 100}", OutputRule.NUMBER, 100),
        ("{max_output: ceiling}", OutputRule.CEILING, 4_096),
        ("{max_output: ceiling, fallback: 1}", OutputRule.CEILING, 1),
        ("{max_output: learned}", OutputRule.LEARNED, 4_096),
        ("{max_output: learned, fallback: 10000000}", OutputRule.LEARNED, 10_000_000),
    ],
)
def test_estimates(text: str, rule: OutputRule, tokens: int) -> None:
    policy = policy_of(f"estimate: {text}")
    assert (policy.output_rule, policy.max_output_tokens) == (rule, tokens)


def test_the_most_that_models_can_answer_is_in_the_order_of_the_prices() -> None:
    rules: PriceRules = policy_of(
        """
prices:
  models:
    "*": {input: 1, output: 1, max_output: 1}
    gpt-?: {free: true, max_output: 10000000}
    gpt-5: {input: 1, output: 1, max_output: 2}
    gpt-6: {input: 1, output: 1}
"""
    ).prices
    assert rules.max_output == (("gpt-5", 2), ("gpt-?", 10_000_000), ("*", 1))
    assert [name for name, _ in rules.models] == ["gpt-5", "gpt-6", "gpt-?", "*"]


def wallet(text: str) -> str:
    return f"wallets: {{w: {text}}}"


def daily(text: str) -> str:
    return f"budgets: {{b: {{limit: 100 USD, window: day, {text}}}}}"


def ladder(text: str) -> str:
    return f"downgrade:\n- {{model: a, to: [b]}}\n- {text}"


MAX = f"{MAX_AMOUNT} tokens"
GRANT = "wallets.w.grant"
# (document with `^` before what is wrong, field, what the message says)
BAD = [
    (wallet("{grant: ^}"), GRANT, "expected a value, got nothing"),
    (wallet("{grant: ^20 USD}"), GRANT, "expected a mapping, got `20 USD`"),
    (wallet("{^grant: {amount: 20 USD}}"), f"{GRANT}.every", "`every`, which is required"),
    (wallet("{^grant: {every: day}}"), f"{GRANT}.amount", "`amount`, which is required"),
    (wallet("{grant: {amount: 1 USD, every: day, ^rolover: 1%}}"), f"{GRANT}.rolover", "mean `rollover`?"),
    (wallet("{grant: {amount: ^20, every: day}}"), f"{GRANT}.amount", "an amount and its unit"),
    (wallet("{grant: {amount: ^50%, every: day}}"), f"{GRANT}.amount", "an amount and its unit"),
    (wallet("{grant: {amount: ^0 USD, every: day}}"), f"{GRANT}.amount", "above zero"),
    (
        wallet("{grant: {amount: ^1k tokens, every: day}}"),
        f"{GRANT}.amount",
        "expected USD, the unit of the wallet, got tokens",
    ),
    (
        wallet("{unit: tokens, grant: {amount: ^1 USD, every: day}}"),
        f"{GRANT}.amount",
        "expected tokens, the unit of the wallet, got USD",
    ),
    (wallet("{grant: {amount: ^5 requests, every: day}}"), f"{GRANT}.amount", "got requests"),
    (wallet("{grant: {amount: 1 USD, every: ^hour}}"), f"{GRANT}.every", "day, week, month, quarter or year"),
    (wallet("{grant: {amount: 1 USD, every: ^30d}}"), f"{GRANT}.every", "day, week, month"),
    (wallet("{grant: {amount: 1 USD, every: ^}}"), f"{GRANT}.every", "got nothing"),
    (
        wallet("{grant: {amount: 1 USD, every: day, rollover: ^1 tokens}}"),
        f"{GRANT}.rollover",
        "expected USD, the unit of the wallet, got tokens",
    ),
    (
        wallet("{grant: {amount: 1 USD, every: day, rollover: ^5}}"),
        f"{GRANT}.rollover",
        "an amount such as `5 USD` or a percentage such as `25%`, got the number 5",
    ),
    (wallet("{grant: {amount: 1 USD, every: day, rollover: ^0%}}"), f"{GRANT}.rollover", "1% to 100%"),
    (wallet("{grant: {amount: 1 USD, every: day, rollover: ^101%}}"), f"{GRANT}.rollover", "1% to 100%"),
    (wallet("{grant: {amount: 1 USD, every: day, rollover: ^2.5%}}"), f"{GRANT}.rollover", "a whole percent"),
    (wallet("{grant: {amount: 1 USD, every: day, rollover: ^5 %}}"), f"{GRANT}.rollover", "a whole percent"),
    (wallet("{grant: {amount: 1 USD, every: day, rollover: ^5 EUR}}"), f"{GRANT}.rollover", "got `EUR`"),
    (wallet("{grant: {amount: 1 USD, every: day, rollover: ^}}"), f"{GRANT}.rollover", "got nothing"),
    (
        wallet(f"{{unit: tokens, grant: {{amount: {MAX}, every: day, rollover: ^1 tokens}}}}"),
        f"{GRANT}.rollover",
        "`amount` and `rollover` together are more than can be counted",
    ),
    (wallet("{grant: {amount: 1 USD, every: day, timezone: ^Berlin}}"), f"{GRANT}.timezone", "IANA"),
    (
        wallet("{grant: {amount: 1 USD, every: month, week_start: ^sunday}}"),
        f"{GRANT}.week_start",
        "only `every: week`",
    ),
    (wallet("{grant: {amount: 1 USD, every: week, week_start: ^sun}}"), f"{GRANT}.week_start", "sunday"),
    (daily("priorities: ^"), "budgets.b.priorities", "a mapping, got nothing; write {}"),
    (daily("priorities: ^[low]"), "budgets.b.priorities", "expected a mapping, got a list"),
    (daily("priorities: {low: ^70}"), "budgets.b.priorities.low", "such as `80%`, got the number 70"),
    (daily("priorities: {low: ^0%}"), "budgets.b.priorities.low", "1% to 100%"),
    (daily("priorities: {low: ^101%}"), "budgets.b.priorities.low", "1% to 100%"),
    (daily("priorities: {low: ^07%}"), "budgets.b.priorities.low", "1% to 100%"),
    (daily("priorities: {low: ^7.5%}"), "budgets.b.priorities.low", "a whole percentage"),
    (daily("priorities: {low: ^5 USD}"), "budgets.b.priorities.low", "a whole percentage"),
    (daily("priorities: {low: 5%, ^low: 6%}"), "budgets.b.priorities.low", "each key once"),
    (daily(f"priorities: {{^{'x' * 257}: 6%}}"), f'budgets.b.priorities["{"x" * 64}…"]', "1 to 256 bytes"),
    (
        daily("priorities: ^{low: 70%}, on_exhausted: alert"),
        "budgets.b.priorities",
        "no priorities: `on_exhausted: alert` refuses no call",
    ),
    (daily("overage: ^50 tokens"), "budgets.b.overage", "expected USD, the unit of the limit, got tokens"),
    (daily("overage: ^50"), "budgets.b.overage", "an amount such as `5 USD` or a percentage"),
    (daily("overage: ^0 USD"), "budgets.b.overage", "above zero"),
    (daily("overage: ^0%"), "budgets.b.overage", "1% to 100%"),
    (daily("overage: ^"), "budgets.b.overage", "got nothing"),
    (daily("overage: ^1%, on_exhausted: alert"), "budgets.b.overage", "lets every call through"),
    (
        f"budgets: {{b: {{limit: {MAX}, window: day, overage: ^1%}}}}",
        "budgets.b.overage",
        "`limit` and `overage` together are more than can be counted",
    ),
    (
        daily("on_exhausted: ^downgrade"),
        "budgets.b.on_exhausted",
        "expected deny or alert, as the policy has no list `downgrade` of cheaper models",
    ),
    (daily("on_exhausted: ^downgrade") + "\ndowngrade: []", "budgets.b.on_exhausted", "no list `downgrade`"),
    ("downgrade:^", "downgrade", "expected a list, got nothing"),
    ("downgrade: ^{model: a, to: [b]}", "downgrade", "expected a list, got a mapping"),
    (ladder("^gpt-5"), "downgrade[1]", "expected a mapping, got `gpt-5`"),
    (ladder("^{to: [b]}"), "downgrade[1].model", "`model`, which is required"),
    (ladder("^{model: c}"), "downgrade[1].to", "`to`, which is required"),
    (ladder("{model: c, to: [b], ^form: 80%}"), "downgrade[1].form", "one of the keys model, to, at"),
    (ladder("{model: ^'c[d]', to: [b]}"), "downgrade[1].model", "only wildcards"),
    (ladder("{model: ^a, to: [c]}"), "downgrade[1].model", "each model once, got `a` twice"),
    (ladder("{model: c, to: ^b}"), "downgrade[1].to", "expected a list, got `b`"),
    (ladder("{model: c, to: ^[]}"), "downgrade[1].to", "expected 1 to 8 values, got 0"),
    (ladder("{model: c, to: ^[d, e, f, g, h, i, j, k, l]}"), "downgrade[1].to", "1 to 8 values, got 9"),
    (ladder("{model: c, to: ^[d, e, d]}"), "downgrade[1].to", "each value once, got `d` twice"),
    (ladder("{model: c, to: [d, ^c]}"), "downgrade[1].to[1]", "other models than `c`"),
    (ladder("{model: c, to: [d, ^'e*']}"), "downgrade[1].to[1]", "without wildcards, got `e*`"),
    (ladder("{model: c, to: [^'e?']}"), "downgrade[1].to[0]", "without wildcards"),
    (ladder("{model: c, to: [^'e[f]']}"), "downgrade[1].to[0]", "without wildcards"),
    (ladder("{model: c, to: [^'']}"), "downgrade[1].to[0]", "printable text, got empty text"),
    (ladder("{model: c, to: [^5]}"), "downgrade[1].to[0]", "put it in quotes"),
    (ladder("{model: c, to: [b], at: ^80}"), "downgrade[1].at", "such as `80%`, got the number 80"),
    (ladder("{model: c, to: [b], at: ^0%}"), "downgrade[1].at", "1% to 100%"),
    (ladder("{model: c, to: [b], at: ^}"), "downgrade[1].at", "got nothing"),
    (
        "estimate: {max_output: ^learnt}",
        "estimate.max_output",
        "`ceiling` or `learned` or a whole number from 1 to 10000000, got `learnt`",
    ),
    ("estimate: {max_output: ^[learned]}", "estimate.max_output", "got a list"),
    ("estimate: {max_output: learned, fallback: ^0}", "estimate.fallback", "from 1 to 10000000"),
    ("estimate: {max_output: learned, fallback: ^learned}", "estimate.fallback", "a whole number"),
    ("estimate: {max_output: learned, fallback: ^}", "estimate.fallback", "got nothing"),
    ("estimate: {max_output: 4096, fallback: ^1}", "estimate.fallback", "expected no fallback"),
    ("estimate: {fallback: ^1}", "estimate.fallback", "only `max_output: ceiling` and"),
    (
        "prices: {models: {m: {free: true, max_output: ^0}}}",
        "prices.models.m.max_output",
        "a whole number from 1 to 10000000",
    ),
    (
        "prices: {models: {m: {input: 1, output: 1, max_output: ^}}}",
        "prices.models.m.max_output",
        "a whole number",
    ),
    (
        "prices: {models: {m: {input: 1, output: 1, max_output: ^ceiling}}}",
        "prices.models.m.max_output",
        "a whole number",
    ),
    ("prices: {models: {^m: {max_output: 5}}}", "prices.models.m.input", "`input`, which is required"),
    (
        "prices: {models: {m: ^{input: 0, output: 0, max_output: 5}}}",
        "prices.models.m",
        "declared `{free: true}`",
    ),
    (
        "prices: {unknown_model: {input: 1, output: 1, ^max_output: 5}}",
        "prices.unknown_model.max_output",
        "one of the keys input, cached_input, cache_write, cache_write_1h, output, got",
    ),
]


@pytest.mark.parametrize(("marked", "field", "message"), BAD)
def test_what_is_wrong_is_refused_with_its_place(marked: str, field: str, message: str) -> None:
    before, mark, after = f"tenant: a\n{marked}\n".partition("^")
    assert mark
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(before + after)
    error = caught.value
    assert message in error.expected
    assert error.field == field
    assert (error.line, error.column) == (before.count("\n") + 1, len(before) - before.rfind("\n"))


def test_every_broken_rule_of_money_is_found() -> None:
    text = """
tenant: a
wallets:
  w: {grant: {amount: 1 tokens, every: day, rollover: 1 tokens, week_start: monday}}
budgets:
  b: {limit: 1 USD, window: day, on_exhausted: alert, priorities: {low: 1%}, overage: 1 tokens}
  c: {limit: 1 USD, window: day, on_exhausted: downgrade}
estimate: {fallback: 1}
"""
    assert [(problem.line, problem.field) for problem in find_problems(text)] == [
        (4, "wallets.w.grant.amount"),
        (4, "wallets.w.grant.rollover"),
        (4, "wallets.w.grant.week_start"),
        (6, "budgets.b.priorities"),
        (6, "budgets.b.overage"),
        (6, "budgets.b.overage"),
        (7, "budgets.c.on_exhausted"),
        (8, "estimate.fallback"),
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [("", None), (", store_away: deny", 0), (", store_away: allow", WITHOUT_BOUND),
     (", store_away: {allowance: 5 USD}", 5 * USD)],
)  # fmt: skip
@pytest.mark.contract(13)
def test_a_budget_says_what_happens_while_the_store_is_away(said: str, kept: int | None) -> None:
    assert budget_of(f"{{limit: 9 USD, window: day{said}}}").store_away == kept


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("open", "expected `deny`, `allow` or an allowance such as `{allowance: 5 USD}`, got `open`"),
        ("5 USD", "expected `deny`, `allow` or an allowance such as `{allowance: 5 USD}`, got `5 USD`"),
        ("", "store_away: expected a value"),
        ("[deny]", "expected `deny`, `allow` or an allowance"),
        ("{}", "`allowance`, which is required"),
        ("{allowance: 5 tokens}", "of the limit"),
        ("{allowance: 0 USD}", "expected"),
        ("{allowance: 5 USD, per: day}", "per"),
    ],
)
def test_a_wrong_rule_for_a_store_that_is_away_is_refused_with_its_place(said: str, expected: str) -> None:
    text = f"tenant: a\nbudgets:\n  b:\n    limit: 9 USD\n    window: day\n    store_away: {said}\n"
    problems = [str(problem) for problem in find_problems(text)]
    assert problems
    assert all(problem.startswith("line 6, column ") for problem in problems), problems
    assert expected in problems[0]
