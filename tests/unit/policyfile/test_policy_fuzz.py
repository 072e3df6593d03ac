"""Whatever the text is, it gives a policy or an InvalidPolicy, and soon."""

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tallystick.core.errors import InvalidPolicy
from tallystick.core.policy import Policy
from tallystick.policyfile import find_problems, load_policy, tree

WORDS = st.sampled_from(
    [
        "tenant: acme",
        "tenant",
        "budgets:",
        "wallets:",
        "prices:",
        "models:",
        "  a:",
        "    limit: 1 USD",
        "    window: day",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "'",
        '"',
        "#",
        "&a ",
        "*a",
        "!!int ",
        "%YAML 1.1\n",
        "---",
        "...",
        "?",
        "<<: ",
        "~",
        "null",
        "true",
        "1e999",
        "0x1F",
        "1:30",
        ".nan",
        "-5",
        "0.40",
        "2M tokens",
        "\t",
        "é",
        "�",
        "\x00",
        "\x85",
        "\u2028",
        "\ufeff",
        "per: [user]",
        "match: {team: x}",
        "{input: 1, output: 2}",
        "consumers:",
        "identity:",
        "routes: {unmetered: ",
        "    key: sha256:" + "0a" * 32,
        "    subject: {team: x}",
        "  claims: {user: email.0}",
        "  headers: {user: x-auth-user}",
        "  principals:",
        "  - match: a*",
        "/v1/*",
    ]
)
NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "tenant",
                    "budgets",
                    "a",
                    "per",
                    "limit",
                    "window",
                    "match",
                    "alerts",
                    "prices",
                    "models",
                    "wallets",
                    "input",
                    "consumers",
                    "keys",
                    "subject",
                    "identity",
                    "claims",
                    "principals",
                    "anonymous",
                    "routes",
                    "unmetered",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
)
LOADERS = [loader for loader in (getattr(yaml, "CSafeLoader", None), yaml.SafeLoader) if loader]


def check_any_text(text: str) -> None:
    """A policy or InvalidPolicy, and the two functions agree."""
    problems = find_problems(text)
    if problems:
        with pytest.raises(InvalidPolicy) as caught:
            load_policy(text)
        assert str(caught.value) == str(problems[0])
        assert all(found.line >= 1 and found.column >= 1 and found.field for found in problems)
    else:
        assert isinstance(load_policy(text), Policy)


@pytest.mark.parametrize("loader", LOADERS)
@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.lists(WORDS, max_size=30).map("".join),
        st.lists(WORDS, max_size=20).map(lambda words: "tenant: a\n" + "".join(words)),
        NESTED.map(lambda value: yaml.safe_dump(value, sort_keys=False)),
    )
)
@example("[" * 100_000)
@example("a: " + "{a: " * 50_000)
@example("- " * 100_000)
@example("? " * 100_000)
@example("a: &a [1]\nb: " + "*a" * 1000)
@example("tenant: 'a" * 1000)
@example('tenant: "\\ud800"')
@example("tenant: a\nprices: {unknown_model: {input: " + "9" * 6000 + ", output: 1}}")
@example("tenant: a\nestimate: {max_output: " + "9" * 6000 + "}")
@example("tenant: a\nholds: {ttl: " + "9" * 6000 + "s}")
@example("tenant: a\nbudgets: {b: {limit: " + "9" * 6000 + " USD}}")
@example("tenant: a\nbudgets: {b: {limit: 1." + "0" * 6000 + " USD}}")
@example("tenant: {text}\n")
@example("tenant: a\n<rates>: 1\nprices: {models: {a: {<rates>: {}, '[key]': 1}}}")
@example("tenant: a\nidentity: {claims: {user: [" + "9" * 6000 + "]}}")
@example("tenant: a\nroutes: {unmetered: {<paths>: 1}}\nidentity: {claims: {<word>: a}}")
@example("x" * ((1 << 20) + 1))
def test_any_text_is_a_policy_or_an_invalid_policy(loader: type, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "_LOADER", loader)
        check_any_text(text)


@pytest.mark.timeout(30)
def test_the_cost_of_a_document_does_not_grow_with_the_square_of_its_size() -> None:
    wallets = ", ".join(f"wallet-{number}: {{}}" for number in range(20_000))
    cascade = ", ".join(f"wallt-{number}" for number in range(30_000))
    assert find_problems(f"tenant: a\nwallets: {{{wallets}}}\ncascade: [{cascade}]\n")
    labels = ", ".join(f"label.{number}" for number in range(60_000))
    assert load_policy(f"tenant: a\nwallets: {{w: {{per: [{labels}]}}}}\n").wallets
