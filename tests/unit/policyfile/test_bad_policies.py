"""Bad documents: which field is wrong, where it stands, and what the message says was expected."""

import re

import pytest

from tallystick.core.consumer_keys import make_key
from tallystick.core.errors import InvalidPolicy
from tallystick.policyfile import find_problems, load_policy
from tallystick.policyfile.tree import MAX_BYTES, MAX_DEPTH, MAX_NODES


def budget(text: str) -> str:
    """A document whose budget stands on line 3, from column 6 on."""
    return f"tenant: a\nbudgets:\n  b: {text}\n"


def daily(text: str) -> str:
    """A document whose budget has a limit and window; the rest begins at column 34 of line 3."""
    return budget(f"{{limit: 1 USD, window: day, {text}}}")


def wallet(text: str) -> str:
    """A document whose wallet stands on line 2, from column 14 on."""
    return f"tenant: a\nwallets: {{w: {text}}}\n"


def price(text: str) -> str:
    """A document whose price stands on line 2, from column 22 on."""
    return f"tenant: a\nprices: {{models: {{m: {text}}}}}\n"


def consumer(text: str) -> str:
    """A document whose consumer stands on line 2, from column 16 on."""
    return f"tenant: a\nconsumers: {{c: {text}}}\n"


def identity(text: str) -> str:
    """A document whose rules of identity begin on line 2, at column 12."""
    return f"tenant: a\nidentity: {{{text}}}\n"


def routes(text: str) -> str:
    """A document whose rule of unmetered routes stands on line 2, from column 21 on."""
    return f"tenant: a\nroutes: {{unmetered: {text}}}\n"


HASH = "sha256:" + "0123456789abcdef" * 4
LABELS = "{" + ", ".join(f"label.l{number}: x" for number in range(17)) + "}"

Bad = tuple[str, str, int, int, str]

TEXTS: list[Bad] = [
    ("", "document", 1, 1, "got nothing"),
    ("# only a comment\n", "document", 1, 1, "got nothing"),
    ("null", "document", 1, 1, "got nothing"),
    ("- a\n", "document", 1, 1, "expected a mapping"),
    ("tenant", "document", 1, 1, "expected a mapping"),
    ("tenant: a\nbudgets:\n\tb: 1\n", "document", 3, 1, "cannot start any token"),
    ("tenant: [}\n", "document", 1, 10, "expected YAML"),
    ("tenant: a: b\n", "document", 1, 10, "mapping values are not allowed"),
    ("tenant: a\n---\ntenant: b\n", "document", 2, 1, "expected one document"),
    ("tenant: a\nx: \x07\n", "document", 2, 4, "character U+0007"),
    ('tenant: "\\0"\n', "document", 1, 9, "control characters"),
    ("tenant: &t a\n", "document", 1, 9, "anchors (&name) are not supported"),
    ("tenant: a\nx: *t\n", "document", 2, 4, "aliases (*name) are not supported"),
    ("tenant: !!str a\n", "document", 1, 9, "without tags"),
    ("tenant: !!python/object:os.system a\n", "document", 1, 9, "without tags"),
    ("? [a]\n: b\n", "document", 1, 3, "a key that is text"),
    ("tenant: a\ntenant: b\n", "tenant", 2, 1, "each key once: `tenant` is on line 1"),
    (budget("{limit: 1 USD, limit: 2 USD}"), "budgets.b.limit", 3, 21, "each key once"),
    ("tenant: a\nbudgets:\n  b: {}\n  b: {}\n", "budgets.b", 4, 3, "`b` is on line 3"),
    ("tenant: a\nx: [1, {a: 1, a: 2}]\n", "x[1].a", 2, 15, "each key once"),
    ("a: " + "[" * MAX_DEPTH, "document", 1, 3 + MAX_DEPTH, "at most 10 levels"),
    ("#" * (MAX_BYTES + 1), "document", 1, 1, "at most 1048576 bytes"),
    ("#" + "é" * (MAX_BYTES // 2), "document", 1, 1, "at most 1048576 bytes"),
    ("a: [" + "1," * MAX_NODES, "document", 1, 2 * MAX_NODES - 1, "at most 100000 values"),
]

TOP: list[Bad] = [
    ("budgets: {}\n", "tenant", 1, 1, "`tenant`, which is required"),
    ("tenant: Acme\n", "tenant", 1, 9, "1 to 64 of [a-z0-9_.-], got `Acme`"),
    ("tenant: 42\n", "tenant", 1, 9, "the number 42; put it in quotes"),
    ("tenant: true\n", "tenant", 1, 9, "expected text, got true"),
    (f"tenant: {'a' * 65}\n", "tenant", 1, 9, "1 to 64"),
    ("tenant: a\nbudget: {}\n", "budget", 2, 1, "did you mean `budgets`?"),
    ("tenant: a\n<<: {}\n", '["<<"]', 2, 1, "one of the keys tenant, timezone"),
    ("tenant: a\nseats: {}\n", "seats", 2, 1, "expected one of the keys"),
    ("tenant: a\ntimezone: Berlin\n", "timezone", 2, 11, "IANA time zone such as Europe/Berlin"),
    ("tenant: a\ntimezone: right/UTC\n", "timezone", 2, 11, "IANA time zone"),
    ("tenant: a\ntimezone: null\n", "timezone", 2, 11, "expected text, got nothing"),
    ("tenant: a\nweek_start: mon\n", "week_start", 2, 13, "monday, tuesday"),
    ("tenant: a\nbudgets: []\n", "budgets", 2, 10, "expected a mapping, got a list"),
    ("tenant: a\nwallets:\n", "wallets", 2, 9, "expected a mapping, got nothing; write {}"),
    ("tenant: a\nunmatched: refuse\n", "unmatched", 2, 12, "expected deny or allow, got `refuse`"),
    ("tenant: a\nmodels: {allow: []}\n", "models.allow", 2, 17, "at least one value"),
    ("tenant: a\nmodels: {allow: gpt-5}\n", "models.allow", 2, 17, "expected a list, got `gpt-5`"),
    ("tenant: a\nmodels: {deny: [a, 'b[c]']}\n", "models.deny[1]", 2, 20, "only wildcards"),
    ("tenant: a\nmodels: {deny: [a, a]}\n", "models.deny", 2, 16, "each value once"),
    ("tenant: a\nholds: {ttl: 600}\n", "holds.ttl", 2, 14, "a length of time such as 30s"),
    ("tenant: a\nholds: {ttl: 0s}\n", "holds.ttl", 2, 14, "a length of time"),
    ("tenant: a\nholds: {ttl: 25h}\n", "holds.ttl", 2, 14, "1s to 24h"),
    ("tenant: a\nholds: {on_outgrown: stop}\n", "holds.on_outgrown", 2, 22, "go_on or cut"),
    ("tenant: a\nholds: {on_expiry: refund}\n", "holds.on_expiry", 2, 20, "charge or release"),
    (
        "tenant: a\nestimate: {max_output: 0}\n",
        "estimate.max_output",
        2,
        24,
        "1 to 10000000, got the number 0",
    ),
    ("tenant: a\nestimate: {max_output: 10000001}\n", "estimate.max_output", 2, 24, "1 to 10000000"),
    ("tenant: a\nestimate: {max_output: 1.5}\n", "estimate.max_output", 2, 24, "a whole number"),
    ("tenant: a\nestimate: {max_output: 0x10}\n", "estimate.max_output", 2, 24, "a whole number"),
    ("tenant: a\nestimate: {max_output: true}\n", "estimate.max_output", 2, 24, "got true"),
]

PRICES: list[Bad] = [
    (
        "tenant: a\nprices: {unknown_model: allow}\n",
        "prices.unknown_model",
        2,
        25,
        "`deny` or a ceiling price",
    ),
    ("tenant: a\nprices: {unknown_model: {input: 1}}\n", "prices.unknown_model.output", 2, 10, "required"),
    (
        "tenant: a\nprices: {unknown_model: {free: true}}\n",
        "prices.unknown_model.input",
        2,
        10,
        "is required",
    ),
    (
        "tenant: a\nprices: {unknown_model: {input: 0, output: 0}}\n",
        "prices.unknown_model",
        2,
        25,
        "a price above zero",
    ),
    (price("1.5"), "prices.models.m", 2, 22, "expected a mapping, got the number 1.5"),
    (price("{}"), "prices.models.m.input", 2, 19, "`input`, which is required"),
    (price("{input: 1}"), "prices.models.m.output", 2, 19, "`output`, which is required"),
    (price("{free: false}"), "prices.models.m.free", 2, 29, "expected true, got false"),
    (price("{free: yes}"), "prices.models.m.free", 2, 29, "expected true, got `yes`"),
    (price("{free: true, input: 1}"), "prices.models.m.input", 2, 35, "of a free model, got `input`"),
    (price("{input: 0, output: 0}"), "prices.models.m", 2, 22, "declared `{free: true}`"),
    (price("{input: -1, output: 1}"), "prices.models.m.input", 2, 30, "a price from 0 to 1000000"),
    (price("{input: 1000000.1, output: 1}"), "prices.models.m.input", 2, 30, "a price from 0"),
    (price("{input: 0.0000000001, output: 1}"), "prices.models.m.input", 2, 30, "at most 9 decimals"),
    (price('{input: "1", output: 1}'), "prices.models.m.input", 2, 30, "as a plain number, got `1`"),
    (price("{input: 4e-1, output: 1}"), "prices.models.m.input", 2, 30, "as a plain number"),
    (price("{input: .nan, output: 1}"), "prices.models.m.input", 2, 30, "as a plain number"),
    (price("{input: 1, output: }"), "prices.models.m.output", 2, 41, "as a plain number, got nothing"),
    (
        price("{input: 1, output: 1, cached: 1}"),
        "prices.models.m.cached",
        2,
        44,
        "did you mean `cached_input`?",
    ),
    (
        "tenant: a\nprices: {models: {'a[0]': {free: true}}}\n",
        'prices.models["a[0]"]',
        2,
        19,
        "only wildcards",
    ),
]

WALLETS: list[Bad] = [
    (wallet(""), "wallets.w", 2, 14, "expected a mapping, got nothing; write {}"),
    (wallet("{grants: {}}"), "wallets.w.grants", 2, 15, "did you mean `grant`?"),
    (wallet("{per: user}"), "wallets.w.per", 2, 20, "expected a list, got `user`"),
    (wallet("{per: [user, usr]}"), "wallets.w.per[1]", 2, 27, "did you mean `user`?"),
    (wallet("{per: [model]}"), "wallets.w.per[0]", 2, 21, "expected a dimension (org, team"),
    (wallet("{per: [label.A]}"), "wallets.w.per[0]", 2, 21, "label.NAME"),
    (wallet("{per: [user, user]}"), "wallets.w.per", 2, 20, "each value once"),
    (wallet("{unit: EUR}"), "wallets.w.unit", 2, 21, "expected USD or tokens, got `EUR`"),
    ("tenant: a\nwallets: {-w: {}}\n", "wallets.-w", 2, 11, "begins with a letter or digit"),
    (f"tenant: a\nwallets: {{{'w' * 65}: {{}}}}\n", f'wallets["{"w" * 64}…"]', 2, 11, "a name of 1 to 64"),
    ("tenant: a\nwallets: {u: {}}\ncascade: [u, t]\n", "cascade[1]", 3, 14, "the name of a wallet, got `t`"),
    ("tenant: a\nwallets: {user: {}}\ncascade: [usr, user]\n", "cascade[0]", 3, 11, "did you mean `user`?"),
    ("tenant: a\nwallets: {u: {}, t: {}}\ncascade: [u]\n", "cascade", 3, 10, "every wallet, left out: t"),
    ("tenant: a\nwallets: {u: {}}\ncascade: [u, u]\n", "cascade[1]", 3, 14, "each wallet once"),
    ("tenant: a\nwallets: {u: {}}\ncascade:\n", "cascade", 3, 9, "expected a value, got nothing"),
]

BUDGETS: list[Bad] = [
    (budget("{window: day}"), "budgets.b.limit", 3, 3, "`limit`, which is required"),
    (budget("{limit: 1 USD}"), "budgets.b.window", 3, 3, "`window`, which is required"),
    (
        budget("{limit: 25, window: day}"),
        "budgets.b.limit",
        3,
        14,
        "an amount and its unit, such as `25 USD`",
    ),
    (budget("{limit: 25USD, window: day}"), "budgets.b.limit", 3, 14, "an amount and its unit"),
    (budget("{limit: $25, window: day}"), "budgets.b.limit", 3, 14, "an amount and its unit"),
    (budget("{limit: -5 USD, window: day}"), "budgets.b.limit", 3, 14, "an amount and its unit"),
    (budget("{limit: 1e3 USD, window: day}"), "budgets.b.limit", 3, 14, "an amount and its unit"),
    (budget("{limit: 1__0 USD, window: day}"), "budgets.b.limit", 3, 14, "an amount and its unit"),
    (budget("{limit: 2K tokens, window: day}"), "budgets.b.limit", 3, 14, "an amount and its unit"),
    (budget("{limit: 25 EUR, window: day}"), "budgets.b.limit", 3, 14, "the unit USD, tokens"),
    (budget("{limit: 25 usd, window: day}"), "budgets.b.limit", 3, 14, "got `usd`"),
    (budget("{limit: 0 USD, window: day}"), "budgets.b.limit", 3, 14, "above zero"),
    (budget("{limit: 0.0 tokens, window: day}"), "budgets.b.limit", 3, 14, "above zero"),
    (budget("{limit: 1.5 requests, window: day}"), "budgets.b.limit", 3, 14, "of whole requests"),
    (budget("{limit: 0.0000000001 USD, window: day}"), "budgets.b.limit", 3, 14, "at most 9 decimals"),
    (budget("{limit: 9223372037 USD, window: day}"), "budgets.b.limit", 3, 14, "at most 9223372036 USD"),
    (budget("{limit: 9223372036854775808 tokens, window: day}"), "budgets.b.limit", 3, 14, "at most 92233"),
    (budget(f"{{limit: {'9' * 41} USD, window: day}}"), "budgets.b.limit", 3, 14, "at most 40 digits"),
    (budget("{limit: 1 USD, window: daily}"), "budgets.b.window", 3, 29, "did you mean `day`?"),
    (budget("{limit: 1 USD, window: rolling day}"), "budgets.b.window", 3, 29, "one of minute, hour"),
    (budget("{limit: 1 USD, window: rolling}"), "budgets.b.window", 3, 29, "or `rolling 1h`, got `rolling`"),
    (budget("{limit: 1 USD, window: rolling1h}"), "budgets.b.window", 3, 29, "or `rolling 1h`"),
    (budget("{limit: 1 USD, window: rolling 0h}"), "budgets.b.window", 3, 29, "or `rolling 1h`"),
    (budget("{limit: 1 USD, window: rolling 367d}"), "budgets.b.window", 3, 29, "at most 366d, got `367d`"),
    (budget("{limit: 1 USD, window: 10}"), "budgets.b.window", 3, 29, "30s, 10m, 6h, 2d"),
    (budget("{limit: 1 USD, window: 10 m}"), "budgets.b.window", 3, 29, "30s, 10m, 6h, 2d"),
    (budget("{limit: 1 USD, window: 0m}"), "budgets.b.window", 3, 29, "30s, 10m, 6h, 2d"),
    (budget("{limit: 1 USD, window: 400d}"), "budgets.b.window", 3, 29, "at most 366d"),
    (budget("{limit: 1 USD, window: null}"), "budgets.b.window", 3, 29, "got nothing"),
    (budget("{limit: 1 concurrent, window: day}"), "budgets.b.window", 3, 36, "expected no window"),
    (budget("{limit: 1 concurrent, window: rolling 1h}"), "budgets.b.window", 3, 36, "expected no window"),
    (
        budget("{limit: 1 USD, window: rolling 1h, timezone: UTC}"),
        "budgets.b.timezone",
        3,
        51,
        "only calendar windows",
    ),
    (
        budget("{limit: 1 USD, window: rolling 7d, week_start: monday}"),
        "budgets.b.week_start",
        3,
        53,
        "only `window: week`",
    ),
    (
        budget("{limit: 1 USD, window: 1m, timezone: UTC}"),
        "budgets.b.timezone",
        3,
        43,
        "only calendar windows",
    ),
    (daily("timezone: X"), "budgets.b.timezone", 3, 44, "IANA"),
    (daily("week_start: monday"), "budgets.b.week_start", 3, 46, "only `window: week`"),
    (budget("{limit: 1 USD, window: week, week_start: }"), "budgets.b.week_start", 3, 47, "got nothing"),
    (daily("on_exhausted: later"), "budgets.b.on_exhausted", 3, 48, "deny, alert, downgrade or ticket"),
    (
        budget("{limit: 3 concurrent, on_exhausted: ticket}"),
        "budgets.b.on_exhausted",
        3,
        42,
        "no `ticket`: a call in flight",
    ),
    (daily("alerts: [0]"), "budgets.b.alerts[0]", 3, 43, "from 1 to 100"),
    (daily("alerts: [50, 101]"), "budgets.b.alerts[1]", 3, 47, "from 1 to 100"),
    (daily("alerts: [50%]"), "budgets.b.alerts[0]", 3, 43, "a whole number"),
    (daily("alerts: [5, 5]"), "budgets.b.alerts", 3, 42, "the number 5 twice"),
    (daily("alerts: 50"), "budgets.b.alerts", 3, 42, "expected a list"),
    (daily("match: {tem: x}"), "budgets.b.match.tem", 3, 42, "did you mean `team`?"),
    (daily("match: {team: 5}"), "budgets.b.match.team", 3, 48, "put it in quotes"),
    (daily("match: {team: []}"), "budgets.b.match.team", 3, 48, "at least one"),
    (daily("match: {team: [a, '']}"), "budgets.b.match.team[1]", 3, 52, "printable"),
    (daily("match: {team: [a, [b]]}"), "budgets.b.match.team[1]", 3, 52, "a list"),
    (daily("match: [team]"), "budgets.b.match", 3, 41, "expected a mapping"),
    (daily("per: [usr]"), "budgets.b.per[0]", 3, 40, "model, provider, label.NAME"),
    ("tenant: a\nbudgets: {B: {limit: 1 USD, window: day}}\n", "budgets.B", 2, 11, "a name of 1 to 64"),
    ("tenant: a\nbudgets: {'': {limit: 1 USD}}\n", "document", 2, 11, "a key that is text"),
]

IDENTITY: list[Bad] = [
    ("tenant: a\nconsumers: []\n", "consumers", 2, 12, "expected a mapping, got a list"),
    (consumer("sk-secret"), "consumers.c", 2, 16, "expected a mapping, got text"),
    (consumer(""), "consumers.c", 2, 16, "expected a mapping, got nothing"),
    (consumer("{}"), "consumers.c", 2, 16, "expected `key` or `keys`: a consumer is known by its key"),
    (consumer("{key: sk-secret}"), "consumers.c.key", 2, 22, "hash of the key, as `tallystick key hash`"),
    (consumer("{key: tally-a-x}"), "consumers.c.key", 2, 22, "not the key, which too many have seen now"),
    (consumer("{key: 5}"), "consumers.c.key", 2, 22, "`sha256:` and 64 of [0-9a-f]"),
    (consumer("{key: }"), "consumers.c.key", 2, 22, "`sha256:` and 64 of [0-9a-f]"),
    (consumer(f"{{key: {HASH.upper()}}}"), "consumers.c.key", 2, 22, "`sha256:` and 64 of [0-9a-f]"),
    (consumer(f"{{key: '{HASH}', keys: ['{HASH}']}}"), "consumers.c.keys", 2, 103, "`keys`, got both"),
    (consumer("{keys: []}"), "consumers.c.keys", 2, 23, "1 to 8 values, got 0"),
    (consumer("{keys: }"), "consumers.c.keys", 2, 23, "expected a value, got nothing"),
    (consumer("{keys: sk-secret}"), "consumers.c.keys", 2, 23, "hash of the key"),
    (consumer(f"{{keys: ['{HASH}', x]}}"), "consumers.c.keys[1]", 2, 99, "hash of the key"),
    (consumer(f"{{keys: ['{HASH}', '{HASH}']}}"), "consumers.c.keys", 2, 23, "each key once"),
    (
        f"tenant: a\nconsumers:\n  a: {{key: '{HASH}'}}\n  b: {{keys: ['{HASH}']}}\n",
        "consumers.b.keys[0]",
        4,
        14,
        "a key of its own, got that of `a`",
    ),
    (consumer(f"{{key: '{HASH}', disabled: yes}}"), "consumers.c.disabled", 2, 107, "true or false"),
    (
        consumer(f"{{key: '{HASH}', subject: {{tem: x}}}}"),
        "consumers.c.subject.tem",
        2,
        107,
        "did you mean `team`?",
    ),
    (
        consumer(f"{{key: '{HASH}', subject: {{model: x}}}}"),
        "consumers.c.subject.model",
        2,
        107,
        "a dimension (org",
    ),
    (consumer(f"{{key: '{HASH}', subject: {{team: 5}}}}"), "consumers.c.subject.team", 2, 113, "in quotes"),
    (
        consumer(f"{{key: '{HASH}', subject: {{team: ''}}}}"),
        "consumers.c.subject.team",
        2,
        113,
        "printable text",
    ),
    (
        consumer(f"{{key: '{HASH}', subject: {LABELS}}}"),
        "consumers.c.subject",
        2,
        106,
        "at most 16 labels, got 17",
    ),
    ("tenant: a\nconsumers: {C: {}}\n", "consumers.C", 2, 13, "a name of 1 to 64"),
    ("tenant: a\nidentity:\n", "identity", 2, 10, "expected a mapping, got nothing; write {}"),
    (identity("claim: {}"), "identity.claim", 2, 12, "did you mean `claims`?"),
    (identity("claims: {usr: a}"), "identity.claims.usr", 2, 21, "did you mean `user`?"),
    (identity("claims: {user: ''}"), "identity.claims.user", 2, 27, "expected a claim, such as `email`"),
    (identity("claims: {user: a..b}"), "identity.claims.user", 2, 27, "got `a..b`"),
    (identity("claims: {user: 5}"), "identity.claims.user", 2, 27, "expected a claim"),
    (identity("claims: {user: []}"), "identity.claims.user", 2, 27, "expected a claim"),
    (identity("claims: {user: [a, -1]}"), "identity.claims.user", 2, 27, "expected a claim"),
    (identity("claims: {user: [a, true]}"), "identity.claims.user", 2, 27, "expected a claim"),
    (identity("claims: {user: a.b.c.d.e.f.g.h.i}"), "identity.claims.user", 2, 27, "at most 8 names"),
    (identity('claims: {user: [a, "\\t"]}'), "identity.claims.user", 2, 27, "printable text"),
    (identity("headers: {user: X-Auth-User}"), "identity.headers.user", 2, 28, "name in lower case"),
    (identity("headers: {user: ':path'}"), "identity.headers.user", 2, 28, "name in lower case"),
    (identity("headers: {user: authorization}"), "identity.headers.user", 2, 28, "holds no secret"),
    (identity("self_declared: {user: x-api-key}"), "identity.self_declared.user", 2, 34, "holds no secret"),
    (identity("self_declared: {user: cookie}"), "identity.self_declared.user", 2, 34, "holds no secret"),
    (
        identity("headers: {user: x-u}, self_declared: {team: x-u}"),
        "identity.self_declared.team",
        2,
        56,
        "another header than identity.headers.user, which clients must not be able to set",
    ),
    (identity("principals: {match: x}"), "identity.principals", 2, 24, "expected a list"),
    (identity("principals: [{match: x}]"), "identity.principals[0].subject", 2, 25, "which is required"),
    (
        identity("principals: [{match: [], subject: {}}]"),
        "identity.principals[0].match",
        2,
        33,
        "at least one",
    ),
    (
        identity("principals: [{match: 'a[b]', subject: {}}]"),
        "identity.principals[0].match",
        2,
        33,
        "only wildcards",
    ),
    (
        identity("principals: [{match: x, subject: {}, x: 1}]"),
        "identity.principals[0].x",
        2,
        49,
        "keys match, subject",
    ),
    (identity("anonymous: allow"), "identity.anonymous", 2, 23, "expected a mapping, got `allow`"),
    (identity("anonymous: {}"), "identity.anonymous.subject", 2, 12, "`subject`, which is required"),
    (identity("anonymous: "), "identity.anonymous", 2, 23, "expected a value, got nothing"),
    (identity("unknown_keys: allow"), "identity.unknown_keys", 2, 26, "expected deny or ignore, got `allow`"),
    (routes("ask"), "routes.unmetered", 2, 21, "expected deny, allow or a list of paths, got `ask`"),
    (routes("{}"), "routes.unmetered", 2, 21, "expected deny, allow or a list of paths, got a mapping"),
    (routes(""), "routes.unmetered", 2, 21, "expected deny, allow or a list of paths, got nothing"),
    (routes("[]"), "routes.unmetered", 2, 21, "at least one value"),
    (routes("[v1/files]"), "routes.unmetered[0]", 2, 22, "a path that begins with `/`"),
    (routes("[/v1, '*']"), "routes.unmetered[1]", 2, 27, "a path that begins with `/`"),
    (routes("['/v1?x']"), "routes.unmetered[0]", 2, 22, "with * as its only wildcard"),
    (routes("['/v1#x']"), "routes.unmetered[0]", 2, 22, "with * as its only wildcard"),
    (routes("[/v1, /v1]"), "routes.unmetered", 2, 21, "each value once"),
    ("tenant: a\nroutes: {free: [/v1]}\n", "routes.free", 2, 10, "expected one of the keys unmetered"),
]


@pytest.mark.parametrize(
    ("text", "field", "line", "column", "message"),
    [
        pytest.param(*bad, id=f"{name}-{index}")
        for name, table in (
            ("text", TEXTS), ("top", TOP), ("prices", PRICES), ("wallets", WALLETS), ("budgets", BUDGETS),
            ("identity", IDENTITY),
        )
        for index, bad in enumerate(table)
    ],
)  # fmt: skip
def test_a_bad_document_is_refused_with_its_place(
    text: str, field: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(text)
    error = caught.value
    assert message in error.expected
    assert (error.field, error.line, error.column) == (field, line, column)
    assert str(error).startswith(f"line {line}, column {column}: {field}: ")


def test_every_problem_is_found_in_the_order_of_the_text() -> None:
    text = """
tenant: a
budgets:
  first: {limit: 5 EUR, window: fortnight}
  second: {window: day, limits: 5 USD}
wallets: {w: {per: [usr]}}
prices: {unknown_model: no}
"""
    found = [(problem.line, problem.field) for problem in find_problems(text)]
    assert found == [
        (4, "budgets.first.limit"),
        (4, "budgets.first.window"),
        (5, "budgets.second.limit"),
        (5, "budgets.second.limits"),
        (6, "wallets.w.per[0]"),
        (7, "prices.unknown_model"),
    ]


def test_every_broken_rule_is_found() -> None:
    text = "tenant: a\nwallets: {x: {}}\ncascade: [y]\nbudgets: {b: {limit: 1 USD}, c: {limit: 1 USD}}\n"
    fields = [problem.field for problem in find_problems(text)]
    assert fields == ["cascade", "cascade[0]", "budgets.b.window", "budgets.c.window"]


def test_messages_are_short_whatever_was_written() -> None:
    [problem] = find_problems(f"tenant: {'X' * 100_000}\n")
    assert len(str(problem)) < 200
    [problem] = find_problems(f"tenant: a\n{'X' * 1000}: 1\n")
    assert len(str(problem)) < 400


PLACES_OF_KEYS = (
    *("consumers: K", "K: 1", "x: 1\nK: 1\nK: 1", "tenant: K", "unmatched: K", "cascade: [K]"),
    *("consumers: {c: K}", "consumers: {c: [K]}", "consumers: {K: {}}", "consumers: {c: {K: 1}}"),
    *("consumers: {c: {key: K}}", "consumers: {c: {key: [K]}}", "consumers: {c: {keys: K}}"),
    *("consumers: {c: {keys: [K]}}", "consumers: {c: {subject: K}}", "consumers: {c: {disabled: K}}"),
    *(
        "identity: {claims: {user: [{a: K}]}}",
        "identity: {headers: {user: 'K'}}",
        "identity: {claims: {K: a}}",
    ),
    *("identity: {unknown_keys: K}", "identity: {anonymous: K}", "routes: {unmetered: K}"),
)


@pytest.mark.parametrize("text", PLACES_OF_KEYS)
def test_no_message_shows_a_key(text: str) -> None:
    key = make_key("acme")
    problems = find_problems(f"tenant: a\n{text.replace('K', key)}\n")
    assert problems
    assert key[-12:] not in " ".join(f"{problem} {problem!r} {problem.field}" for problem in problems)


@pytest.mark.parametrize(
    "text", [text for text in PLACES_OF_KEYS if re.match(r"consumers: \{c: (K|\[K|\{keys?: )", text)]
)
def test_no_message_about_consumers_shows_a_key_of_their_own(text: str) -> None:
    problems = find_problems(f"tenant: a\n{text.replace('K', 'sk-own-0123456789')}\n")
    assert problems
    assert all("sk-own" not in str(problem) for problem in problems)
