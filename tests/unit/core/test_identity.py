"""What sources say of a caller, and which routes go unmetered: pure functions."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallystick.core.errors import InvalidArgument
from tallystick.core.identity import (
    NOBODY,
    IdentityRules,
    Path,
    PrincipalRule,
    RouteRules,
    claimed,
    names_caller,
    over,
    said_by_headers,
    stood_for,
    subject_from,
)
from tallystick.core.subject import DIMENSIONS, Subject

CLAIMS: dict[str, Any] = {
    "email": "ann@acme.example",
    "groups": ["search", "ads"],
    "realm": {"roles": [{"name": "dev"}], "0": "zero"},
    "https://acme.example/team": "x.y",
    "number": 42.0,
    "half": 0.5,
    "huge": 1e300,
    "whole": 7,
    "yes": True,
    "nothing": None,
    "empty": "",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("email",), "ann@acme.example"),
        (("groups", 0), "search"),
        (("groups", 1), "ads"),
        (("groups", 2), ""),
        (("groups", "0"), ""),
        (("groups",), ""),
        (("email", 0), ""),
        (("realm", "roles", 0, "name"), "dev"),
        (("realm", 0), "zero"),
        (("realm",), ""),
        (("https://acme.example/team",), "x.y"),
        (("number",), "42"),
        (("whole",), "7"),
        (("yes",), "true"),
        (("half",), ""),
        (("huge",), ""),
        (("nothing",), ""),
        (("empty",), ""),
        (("missing", "deep", 3), ""),
    ],
)
def test_a_claim_is_found_by_its_path(path: Path, value: str) -> None:
    assert claimed(IdentityRules(claims=(("user", path),)), CLAIMS).user == value


@pytest.mark.parametrize("value", ["a\nb", "x" * 257, "ü" * 129])
def test_a_value_that_no_dimension_can_have_is_refused_and_its_place_named(value: str) -> None:
    rules = IdentityRules(claims=(("user", ("a", 0)),))
    with pytest.raises(InvalidArgument, match=r"claim a\.0: expected"):
        claimed(rules, {"a": [value]})
    with pytest.raises(InvalidArgument, match="x-user: expected"):
        said_by_headers((("user", "x-user"),), {"x-user": value})


def test_headers_count_only_where_they_are_named_and_among_those_that_may() -> None:
    rules = (("user", "x-user"), ("label.desk", "x-desk"))
    headers = {"x-user": "ann", "x-desk": "7", "x-team": "search"}
    assert said_by_headers(rules, headers) == Subject(user="ann", labels=(("desk", "7"),))
    assert said_by_headers(rules, headers, frozenset({"x-desk"})) == Subject(labels=(("desk", "7"),))
    assert said_by_headers(rules, headers, frozenset()) == NOBODY
    assert said_by_headers(rules, {"x-user": ""}) == NOBODY


def test_the_first_rule_that_fits_a_principal_counts() -> None:
    rules = IdentityRules(
        principals=(
            PrincipalRule(
                ("spiffe://acme/ns/prod/sa/review", "review.acme.example"), Subject(service="review")
            ),
            PrincipalRule(("spiffe://acme/ns/prod/sa/*",), Subject(service="other")),
        )
    )
    assert stood_for(rules, "spiffe://acme/ns/prod/sa/review").service == "review"
    assert stood_for(rules, "review.acme.example").service == "review"
    assert stood_for(rules, "spiffe://acme/ns/prod/sa/x").service == "other"
    assert stood_for(rules, "spiffe://evil/spiffe://acme/ns/prod/sa/x") == NOBODY
    assert stood_for(rules, "") == NOBODY


SUBJECTS = st.builds(
    lambda values, labels: Subject._make((*values, tuple(sorted(labels.items())))),
    st.lists(st.sampled_from(["", "a", "b"]), min_size=len(DIMENSIONS), max_size=len(DIMENSIONS)),
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.sampled_from(["1", "2"])),
)


@given(SUBJECTS, SUBJECTS)
def test_the_stronger_of_two_is_never_overruled(strong: Subject, weak: Subject) -> None:
    both = over(strong, weak)
    for dimension in (*DIMENSIONS, "label.x", "label.y", "label.z"):
        assert both.value(dimension) == (strong.value(dimension) or weak.value(dimension))


def test_together_they_have_no_more_labels_than_a_subject_may() -> None:
    few = Subject(labels=tuple((f"a{n}", "1") for n in range(9)))
    more = Subject(labels=tuple((f"b{n}", "1") for n in range(8)))
    with pytest.raises(InvalidArgument, match=r"subject\.labels: expected at most 16, got 17"):
        over(few, more)


def test_who_it_is_and_how_it_is() -> None:
    callers = {name for name in DIMENSIONS if names_caller(subject_from({name: "x"}))}
    assert callers == {"org", "team", "user", "service", "repository"}
    assert not names_caller(subject_from({"label.team": "x"}))


FILES = RouteRules(("/v1/files*", "/v1/models", "/v1/*/content"))


@pytest.mark.parametrize(
    ("path", "through"),
    [
        ("/v1/models", True),
        ("/v1/models?limit=3", True),
        ("/v1/models/", False),
        ("/v1/models/x", False),
        ("/v1/files", True),
        ("/v1/files/", True),
        ("/v1/files/f-1/content", True),
        ("/v1/files/a..b", True),
        ("/V1/files", False),
        ("/v1/chat/completions", False),
        ("/v1/files/../chat/completions", False),
        ("/v1/files/./x", False),
        ("/v1/files/.../x", False),
        ("/v1/files//x", False),
        ("//v1/files", False),
        ("/v1/files/%2e%2e/chat/completions", False),
        ("/v1/files/..%2fchat", False),
        ("/v1/files\\..\\chat", False),
        ("/v1/files/..;/chat", False),
        ("/v1/files/x#/", False),
        ("/v1/files/\n", False),
        ("/v1/files/ü", False),
        ("v1/files", False),
        ("http://host/v1/files", False),
        ("", False),
        ("*", False),
    ],
)
def test_an_unmetered_path_fits_a_pattern_and_reads_in_one_way(path: str, through: bool) -> None:
    assert FILES.let_through(path) is through
    assert not RouteRules().let_through(path)
    assert RouteRules(("*",)).let_through(path)


@given(st.lists(st.sampled_from(["..", ".", "", "x", "%2e", "%2F", "chat"])).map("/".join))
@example("../chat")
def test_no_way_out_of_a_pattern(rest: str) -> None:
    if FILES.let_through(f"/v1/files/{rest}"):
        assert not {"..", ".", "%2e", "%2F"} & set(rest.split("/"))
