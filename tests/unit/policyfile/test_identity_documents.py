"""Consumers, identity and unmetered routes: what they mean, and how a consumer is added to a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.consumer_keys import digest_of, hash_key
from tallystick.core.errors import InvalidPolicy
from tallystick.core.identity import Consumer, IdentityRules, PrincipalRule, RouteRules, subject_from
from tallystick.core.policy import Policy
from tallystick.core.subject import DIMENSIONS, Subject
from tallystick.policyfile import load_policy
from tallystick.policyfile.add_consumer import add_consumer, consumer_line

ONE, TWO, NEW = hash_key("one"), hash_key("two"), hash_key("new")


def policy_of(text: str) -> Policy:
    return load_policy(f"tenant: a\n{text}\n")


def identity_of(text: str) -> IdentityRules:
    return policy_of(f"identity: {{{text}}}").identity


def test_without_a_word_nobody_is_known_and_nothing_goes_unmetered() -> None:
    policy = policy_of("identity: {}\nroutes: {}\nconsumers: {}")
    assert policy == Policy("a")
    assert policy.identity == IdentityRules()
    assert (policy.consumers, policy.routes) == ((), RouteRules(()))


def test_consumers_in_the_order_of_the_text() -> None:
    policy = policy_of(
        f"""
consumers:
  z: {{key: "{ONE}", subject: {{team: search, label.desk: "7", user: ann}}}}
  a: {{keys: ["{TWO}", "{NEW}"], disabled: true}}
  1: {{keys: "{hash_key("three")}", disabled: false}}
"""
    )
    assert policy.consumers == (
        Consumer("z", (digest_of("one"),), Subject(team="search", user="ann", labels=(("desk", "7"),))),
        Consumer("a", (digest_of("two"), digest_of("new")), disabled=True),
        Consumer("1", (digest_of("three"),)),
    )
    assert policy.dimensions == ()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("email", ("email",)),
        ("groups.0", ("groups", 0)),
        ("realm_access.roles.10.name", ("realm_access", "roles", 10, "name")),
        ("a.00", ("a", "00")),
        ("a.-1", ("a", "-1")),
        ("a.1000000", ("a", "1000000")),
        ('["https://acme.example/team"]', ("https://acme.example/team",)),
        ("[groups, 0]", ("groups", 0)),
        ('[groups, "0"]', ("groups", "0")),
        ('"with space"', ("with space",)),
    ],
)
def test_claims_are_paths(text: str, path: tuple[str | int, ...]) -> None:
    assert identity_of(f"claims: {{user: {text}}}").claims == (("user", path),)


def test_every_source() -> None:
    rules = identity_of(
        "claims: {team: t, label.x: y}, headers: {user: x-auth-user},"
        "self_declared: {session: x-s, workflow: x-s},"
        "principals: [{match: a, subject: {team: t}}, {match: [b, c*], subject: {}}],"
        "anonymous: {subject: {service: guests}}, unknown_keys: ignore"
    )
    assert rules == IdentityRules(
        claims=(("team", ("t",)), ("label.x", ("y",))),
        headers=(("user", "x-auth-user"),),
        principals=(PrincipalRule(("a",), Subject(team="t")), PrincipalRule(("b", "c*"), Subject())),
        self_declared=(("session", "x-s"), ("workflow", "x-s")),
        anonymous=Subject(service="guests"),
        ignore_unknown_keys=True,
    )
    assert identity_of("anonymous: {subject: {}}, unknown_keys: deny") == IdentityRules(anonymous=Subject())


@pytest.mark.parametrize(
    ("text", "patterns"),
    [("deny", ()), ("allow", ("*",)), ('[/v1/models, "/v1/files*"]', ("/v1/models", "/v1/files*"))],
)
def test_unmetered_routes(text: str, patterns: tuple[str, ...]) -> None:
    assert policy_of(f"routes: {{unmetered: {text}}}").routes == RouteRules(patterns)


# a consumer more


def added_to(text: str) -> str:
    return add_consumer(f"tenant: a\n{text}", "new", NEW, {"team": "x"})


LINE = f'new: {{key: "{NEW}", subject: {{team: "x"}}}}\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"consumers:\n  {LINE}"),
        ("unmatched: allow # no end of line", f"unmatched: allow # no end of line\nconsumers:\n  {LINE}"),
        ("consumers: {}\nunmatched: allow\n", f"consumers:\n  {LINE}unmatched: allow\n"),
        ("consumers: { }  # nobody\n", f"consumers:   # nobody\n  {LINE}"),
        (
            f"consumers:  # ours\n    # the first\n    o: {{key: '{ONE}'}}\nunmatched: allow\n",
            f"consumers:  # ours\n    {LINE}    # the first\n    o: {{key: '{ONE}'}}\nunmatched: allow\n",
        ),
        (
            f"consumers:\n  o:\n    key: '{ONE}'\n    subject: {{team: é}}\n",
            f"consumers:\n  {LINE}  o:\n    key: '{ONE}'\n    subject: {{team: é}}\n",
        ),
        (f"consumers:\r\n  o: {{key: '{ONE}'}}\r\n", f"consumers:\r\n  {LINE}  o: {{key: '{ONE}'}}\r\n"),
    ],
)
def test_a_consumer_is_added_and_the_rest_stays_as_it_was(before: str, after: str) -> None:
    text = added_to(before)
    assert text == f"tenant: a\n{after}"
    assert Consumer("new", (digest_of("new"),), Subject(team="x")) in load_policy(text).consumers


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (f"consumers: {{o: {{key: '{ONE}'}}}}\n", "consumers: expected one consumer a line"),
        (f"consumers: {{\n  o: {{key: '{ONE}'}}\n  }}\n", "consumers: expected one consumer a line"),
        (f"consumers:\n  o: {{key: '{NEW}'}}\n", "consumers: expected one consumer a line"),
        (
            f"consumers:\n  o: {{key: '{ONE}'}}\n  new: {{key: '{TWO}'}}\n",
            "line 4, column 3: consumers.new: expected a new consumer, got `new`, which is there",
        ),
    ],
)
def test_a_text_that_a_line_does_not_fit_into_is_left_alone(before: str, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        added_to(before)


def test_a_text_in_json_has_no_place_for_a_line() -> None:
    with pytest.raises(InvalidPolicy, match="write it down by hand"):
        add_consumer('{"tenant": "a"}', "new", NEW, {})


VALUES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@given(st.dictionaries(st.sampled_from([*DIMENSIONS, "label.x"]), VALUES))
def test_whatever_the_subject_is_the_line_says_it(values: dict[str, str]) -> None:
    line = consumer_line("c", NEW, values)
    [consumer] = load_policy(f"tenant: a\nconsumers:\n  {line}\n").consumers
    assert consumer == Consumer("c", (digest_of("new"),), subject_from(values))
    assert load_policy(add_consumer("tenant: a\n", "c", NEW, values)).consumers == (consumer,)


def test_servers_that_do_not_know_the_wish_for_usage_are_named() -> None:
    text = "routes: {unmetered: allow, without_usage: [vllm, old]}"
    assert policy_of(text).routes == RouteRules(("*",), ("vllm", "old"))
    with pytest.raises(InvalidPolicy, match="without_usage"):
        policy_of("routes: {without_usage: [vllm, vllm]}")
