"""What a policy says otherwise than another one, in words."""

from dataclasses import fields

import pytest

from tallystick.core.differences import Difference, Kind
from tallystick.core.identity import IdentityRules, RouteRules
from tallystick.core.policy import Budget, Policy
from tallystick.core.policy_differences import policy_differences
from tallystick.policyfile import load_policy

TIGHTER, LOOSER, NEW, GONE, CHANGED = Kind
KEY, OTHER = ("sha256:" + digit * 64 for digit in "ab")
BUDGET = "limit: 20 USD, window: day"


def budget(text: str) -> str:
    return f"budgets: {{b: {{{text}}}}}"


def models(text: str) -> str:
    return f"prices: {{models: {{{text}}}}}"


def consumer(text: str) -> str:
    return f"consumers: {{c: {{{text}}}}}"


CASES: dict[str, tuple[str, str, list[Difference]]] = {
    "limit down": (
        budget(BUDGET), budget("limit: 15 USD, window: day"),
        [Difference(TIGHTER, "budgets.b.limit", "15.00 USD instead of 20.00 USD")],
    ),
    "limit up": (
        budget(BUDGET), budget("limit: 20.5 USD, window: day"),
        [Difference(LOOSER, "budgets.b.limit", "20.50 USD instead of 20.00 USD")],
    ),
    "unit": (
        budget(BUDGET), budget("limit: 9 tokens, window: day"),
        [Difference(CHANGED, "budgets.b.limit", "9 tokens instead of 20.00 USD; it counts from 0 anew")],
    ),
    "window, per and match": (
        budget(BUDGET), budget("limit: 20 USD, window: week, per: [user], match: {team: [a, b]}"),
        [
            Difference(CHANGED, "budgets.b.window", "week instead of day; it counts from 0 anew"),
            Difference(CHANGED, "budgets.b.per", "user instead of nothing; it counts from 0 anew"),
            Difference(CHANGED, "budgets.b.match", "team=a|b instead of all calls"),
        ],
    ),
    "time zone": (
        budget(BUDGET), "timezone: Europe/Berlin\n" + budget(BUDGET),
        [
            Difference(
                CHANGED, "budgets.b.window", "day in Europe/Berlin instead of day; it counts from 0 anew"
            )
        ],
    ),
    "when full": (
        budget(BUDGET), budget(f"{BUDGET}, on_exhausted: alert"),
        [Difference(LOOSER, "budgets.b.on_exhausted", "alert instead of deny")],
    ),
    "when full, asking": (
        budget(f"{BUDGET}, on_exhausted: alert"), budget(f"{BUDGET}, on_exhausted: ticket"),
        [Difference(TIGHTER, "budgets.b.on_exhausted", "ticket instead of alert")],
    ),
    "overage": (
        budget(BUDGET), budget(f"{BUDGET}, overage: 10%"),
        [Difference(LOOSER, "budgets.b.overage", "2.00 USD instead of 0.00 USD")],
    ),
    "priorities": (
        budget(f"{BUDGET}, priorities: {{low: 50%, high: 90%}}"),
        budget(f"{BUDGET}, priorities: {{low: 70%}}"),
        [
            Difference(LOOSER, "budgets.b.priorities.high", "100% of the limit instead of 90% of the limit"),
            Difference(LOOSER, "budgets.b.priorities.low", "70% of the limit instead of 50% of the limit"),
        ],
    ),
    "alerts": (
        budget(BUDGET), budget(f"{BUDGET}, alerts: [90]"),
        [Difference(CHANGED, "budgets.b.alerts", "90% instead of 50%, 70%, 80%, 95%, 100%")],
    ),
    "store away": (
        budget(f"{BUDGET}, store_away: deny"), budget(f"{BUDGET}, store_away: {{allowance: 1 USD}}"),
        [Difference(LOOSER, "budgets.b.store_away", "an allowance of 1.00 USD instead of deny")],
    ),
    "store away, unsaid": (
        budget(BUDGET), budget(f"{BUDGET}, store_away: allow"),
        [Difference(CHANGED, "budgets.b.store_away", "allow instead of what follows from the rest")],
    ),
    "budgets new and gone": (
        budget(BUDGET), "budgets: {n: {limit: 5 requests, window: 1m, per: [user]}}",
        [
            Difference(NEW, "budgets.n", "5 requests for each user, window 1m"),
            Difference(GONE, "budgets.b", "20.00 USD, window day"),
        ],
    ),
    "order of budgets": (
        f"budgets: {{a: {{{BUDGET}}}, b: {{{BUDGET}}}}}", f"budgets: {{b: {{{BUDGET}}}, a: {{{BUDGET}}}}}",
        [Difference(CHANGED, "budgets", "b, a instead of a, b")],
    ),
    "wallets": (
        "wallets: {a: {per: [user]}, b: {}}", "wallets: {b: {unit: tokens}, c: {}}",
        [
            Difference(
                CHANGED, "wallets.b.unit",
                "tokens instead of USD; wallets of before keep their funds, and pay for nothing",
            ),
            Difference(NEW, "wallets.c", "in USD"),
            Difference(GONE, "wallets.a", "in USD for each user"),
        ],
    ),
    "cascade": (
        "wallets: {a: {}, b: {}}", "wallets: {a: {}, b: {}}\ncascade: [b, a]",
        [Difference(CHANGED, "cascade", "b, a instead of a, b")],
    ),
    "grant": (
        "wallets: {a: {grant: {amount: 9 USD, every: day, rollover: 1 USD}}}",
        "wallets: {a: {grant: {amount: 8 USD, every: day, rollover: 2 USD}}}",
        [
            Difference(TIGHTER, "wallets.a.grant.amount", "8.00 USD instead of 9.00 USD"),
            Difference(LOOSER, "wallets.a.grant.rollover", "2.00 USD instead of 1.00 USD"),
        ],
    ),
    "grant new": (
        "wallets: {a: {}}", "wallets: {a: {grant: {amount: 9 USD, every: month}}}",
        [Difference(NEW, "wallets.a.grant", "9.00 USD every month")],
    ),
    "models": (
        "models: {allow: ['a*', 'b*'], deny: [aa]}", "models: {allow: ['a*', 'c*'], deny: [ab]}",
        [
            Difference(LOOSER, "models.allow", "c* is in it"),
            Difference(TIGHTER, "models.allow", "b* is no longer in it"),
            Difference(TIGHTER, "models.deny", "ab is in it"),
            Difference(LOOSER, "models.deny", "aa is no longer in it"),
        ],
    ),
    "prices": (
        models("a: {input: 1, output: 2}, b: {free: true}, d: {free: true}"),
        models("a: {input: 1, output: 2.5}, b: {input: 1, output: 1}, c: {free: true}"),
        [
            Difference(
                CHANGED, "prices.models.a.output", "2.50 USD per million instead of 2.00 USD per million"
            ),
            Difference(
                CHANGED, "prices.models.b",
                "1.00 USD per million in, 1.00 USD per million out instead of free",
            ),
            Difference(NEW, "prices.models.c", "free"),
            Difference(GONE, "prices.models.d", "free"),
        ],
    ),
    "price of the unknown": (
        "prices: {unknown_model: {input: 1, output: 2}}", "prices: {unknown_model: deny}",
        [
            Difference(
                TIGHTER, "prices.unknown_model",
                "deny instead of 1.00 USD per million in, 2.00 USD per million out",
            )
        ],
    ),
    "most of an answer": (
        models("a: {input: 1, output: 2}"), models("a: {input: 1, output: 2, max_output: 9}"),
        [Difference(CHANGED, "prices.models.a.max_output", "9 tokens instead of what the catalogue says")],
    ),
    "unmatched": (
        "unmatched: deny", "unmatched: allow", [Difference(LOOSER, "unmatched", "allow instead of deny")],
    ),
    "holds": (
        "holds: {ttl: 5m}", "holds: {ttl: 4m, on_expiry: release, on_outgrown: cut}",
        [
            Difference(CHANGED, "holds.ttl", "240000 ms instead of 300000 ms"),
            Difference(CHANGED, "holds.on_expiry", "release instead of charge"),
            Difference(CHANGED, "holds.on_outgrown", "cut instead of go_on"),
        ],
    ),
    "estimate": (
        "estimate: {max_output: 9}", "estimate: {max_output: learned, fallback: 9}",
        [Difference(CHANGED, "estimate.max_output", "learned (9 tokens) instead of number (9 tokens)")],
    ),
    "ladders": (
        "downgrade: [{model: a, to: [b]}, {model: c, to: [d]}]",
        "downgrade: [{model: a, to: [b, e], at: 80%}, {model: f, to: [d]}]",
        [
            Difference(CHANGED, "downgrade.a.to", "b, e instead of b"),
            Difference(TIGHTER, "downgrade.a.at", "80% instead of 100%"),
            Difference(NEW, "downgrade.f", "d instead"),
            Difference(GONE, "downgrade.c", "d instead"),
        ],
    ),
    "consumers": (
        consumer(f"key: '{KEY}', subject: {{team: a}}"),
        consumer(f"key: '{OTHER}', subject: {{team: b}}, disabled: true"),
        [
            Difference(CHANGED, "consumers.c.key", "1 more, 1 gone"),
            Difference(CHANGED, "consumers.c.subject", "team=b instead of team=a"),
            Difference(TIGHTER, "consumers.c.disabled", "true instead of false"),
        ],
    ),
    "nobody": (
        "identity: {anonymous: {subject: {team: a}}}", "identity: {}",
        [Difference(TIGHTER, "identity.anonymous", "deny instead of team=a")],
    ),
    "routes": (
        "routes: {unmetered: deny}", "routes: {unmetered: [/v1/a]}",
        [Difference(CHANGED, "routes.unmetered", "/v1/a instead of nothing")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES.keys())
def test_what_is_said_otherwise_is_told_in_words(old: str, new: str, expected: list[Difference]) -> None:
    before, after = (load_policy(f"tenant: a\n{text}\n", version) for version, text in ((3, old), (4, new)))
    assert policy_differences(before, after) == expected
    assert policy_differences(before, load_policy(f"# noted\ntenant: a\n{old}\n", 9)) == []
    assert {(each.kind, each.path) for each in policy_differences(after, before)} == {
        (OPPOSITE[each.kind], each.path) for each in expected
    }


OPPOSITE = {TIGHTER: LOOSER, LOOSER: TIGHTER, NEW: GONE, GONE: NEW, CHANGED: CHANGED}


@pytest.mark.parametrize(
    ("part", "known"),
    [
        (
            Policy,
            "tenant version wallets budgets models prices unmatched hold_ttl_ms on_expiry on_outgrown "
            "max_output_tokens output_rule ladders consumers identity routes dimensions",
        ),
        (
            Budget,
            "name limit unit window match per on_exhausted alerts priorities overage store_away",
        ),
        (IdentityRules, "claims headers principals self_declared anonymous ignore_unknown_keys"),
        (RouteRules, "unmetered without_usage"),
    ],
)
def test_a_field_that_is_added_is_compared_too(part: type, known: str) -> None:
    """Whoever adds one extends the comparison, and then this list."""
    assert [each.name for each in fields(part)] == known.split()


def test_no_hash_of_a_key_is_told() -> None:
    old, new = load_policy("tenant: a"), load_policy(f"tenant: a\n{consumer(f'key: {KEY!r}')}\n")
    told = [each.text for pair in ((old, new), (new, old)) for each in policy_differences(*pair)]
    assert told == ["1 key, for nobody"] * 2
