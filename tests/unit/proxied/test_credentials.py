"""Which keys a request brings, where they are, and what a route's configuration says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.errors import InvalidArgument
from tallystick.core.subject import Subject
from tallystick.proxied.credentials import (
    IN_QUERY,
    FoundKey,
    HttpRequest,
    Route,
    find_keys,
    is_token,
    read_route,
    without_key,
)


def found(path: str = "/", **headers: str) -> list[tuple[str, str]]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [tuple(each) for each in find_keys(HttpRequest("POST", path, named))]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("headers", "keys"),
    [
        ({}, []),
        ({"authorization": "Bearer k"}, [("authorization", "k")]),
        ({"authorization": "bearer  k "}, [("authorization", "k")]),
        ({"authorization": "Bearer"}, []),
        ({"authorization": "Bearer "}, []),
        ({"authorization": "Basic azpr"}, []),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=x"}, []),
        ({"authorization": "k"}, []),
        ({"x_api_key": "k"}, [("x-api-key", "k")]),
        ({"api_key": "k"}, [("api-key", "k")]),
        ({"x_goog_api_key": "k"}, [("x-goog-api-key", "k")]),
        ({"x_api_key": " "}, []),
        ({"x_api_token": "k", "cookie": "key=k"}, []),
        ({"authorization": "Bearer a", "x_api_key": "b"}, [("authorization", "a"), ("x-api-key", "b")]),
    ],
)
def test_keys_are_found_where_the_sdks_put_them(headers: dict[str, str], keys: list[tuple[str, str]]) -> None:
    assert found(**headers) == keys


@pytest.mark.parametrize(
    ("path", "keys", "rest"),
    [
        ("/m", [], "/m"),
        ("/m?", [], "/m?"),
        ("/m?key=k", ["k"], "/m"),
        ("/m?alt=sse&key=k&x=1", ["k"], "/m?alt=sse&x=1"),
        ("/m?key=a%2Bb", ["a+b"], "/m"),
        ("/m?%6bey=k", ["k"], "/m"),
        ("/m?key=a&key=b", ["a", "b"], "/m"),
        ("/m?key=&keys=1&akey=2&a=key", [], "/m?keys=1&akey=2&a=key"),
        ("/m?key", [], "/m"),
        ("/key=k", [], "/key=k"),
        ("/m?a=1?key=k", [], "/m?a=1?key=k"),
    ],
)
def test_the_key_in_the_query_is_found_and_can_be_taken_out(path: str, keys: list[str], rest: str) -> None:
    assert found(path) == [(IN_QUERY, key) for key in keys]
    assert without_key(path) == rest
    assert found(rest) == []


@given(st.lists(st.sampled_from(["key", "%6Bey", "alt", "=", "&", "?", "x", "+", "#"])).map("".join))
def test_no_key_is_left_in_a_path(query: str) -> None:
    assert found(without_key(f"/m?{query}")) == []


def test_the_text_of_a_request_and_of_a_key_shows_neither() -> None:
    secret = "s3cret"
    request = HttpRequest("POST", f"/m?key={secret}", {"authorization": f"Bearer {secret}"}, {"sub": secret})
    assert repr(request) == str(request) == "HttpRequest(POST)"
    assert f"{find_keys(request)}" == "[FoundKey(authorization), FoundKey(?key=)]"


def test_a_token_is_told_from_a_key() -> None:
    assert is_token(FoundKey("authorization", "eyJhbGciOi.eyJzdWIi.sig"))
    assert not is_token(FoundKey("x-api-key", "eyJhbGciOi.eyJzdWIi.sig"))
    assert not is_token(FoundKey("authorization", "eyJhbGciOi.eyJzdWIi"))
    assert not is_token(FoundKey("authorization", "sk.a.b"))


def test_a_route_says_what_begins_with_our_name() -> None:
    route = read_route(
        {
            "tallystick.tenant": "acme",
            "tallystick.service": "review",
            "tallystick.label.desk": "7",
            "tallystick.user": "",
            "tallystick.authenticated_headers": "X-Auth-User, x-auth-team,",
            "tallystick.something": "for an adapter",
            "user": "evil",
            "virtual_host": "v",
        }
    )
    subject = Subject(service="review", labels=(("desk", "7"),))
    assert route == Route("acme", subject, frozenset({"x-auth-user", "x-auth-team"}))
    assert read_route({}) == Route("", Subject(), frozenset())


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("tallystick.tenant", "Acme", "tallystick.tenant"),
        ("tallystick.user", "a\nb", "subject.user"),
        ("tallystick.label.A", "x", "subject.labels"),
    ],
)
def test_a_route_that_says_nonsense_is_told_so(name: str, value: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_route({name: value})
    assert refused.value.field == field
