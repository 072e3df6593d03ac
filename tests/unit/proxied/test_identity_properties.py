"""Whatever clients put into headers: it names no tenant, lets nobody in, and overrules nobody."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.consumer_keys import hash_key, make_key
from tallystick.core.errors import InvalidArgument, Unauthenticated
from tallystick.core.identity import CREDENTIAL_HEADERS
from tallystick.core.subject import DIMENSIONS
from tallystick.proxied.credentials import HttpRequest
from tallystick.proxied.identity import Caller, Identity
from tests.unit.engine.office import Office

KEY, SECOND, OTHERS, UNKNOWN = make_key("acme"), make_key("acme"), make_key("other"), make_key("acme")
OWN, TOKEN = "sk-own-key-of-the-customer", "eyJhbGciOiJub25lIn0.eyJlbWFpbCI6ImV2aWwifQ.c2lnbmF0dXJl"
SECRETS = (KEY, SECOND, OTHERS, UNKNOWN, OWN, TOKEN)
LISTENERS, CLIENTS = ("x-auth-a", "x-auth-b", "x-auth-c"), ("x-a", "x-b", "x-c")
WHO = [*DIMENSIONS, "label.a", "label.b"]
NAMES = [
    *(*LISTENERS, *CLIENTS),
    *(f"x-tallystick-{name}" for name in (*DIMENSIONS, "tenant", "consumer", "label-a")),
    *(f"tallystick.{name}" for name in (*DIMENSIONS, "tenant", "authenticated_headers")),
    *(
        "x-forwarded-client-cert",
        "x-jwt-payload",
        "x-envoy-peer-metadata",
        ":authority",
        "host",
        "cookie",
        "user",
    ),
]
WORD = st.sampled_from(["one", "two", "three", "ünï"])


def by_dimension(value: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(WHO), value, min_size=least, max_size=4)


MATCHES = st.sampled_from(["spiffe://a/*", "spiffe://a/x", "b"])
PRINCIPALS = st.fixed_dictionaries({"match": MATCHES, "subject": by_dimension(WORD)})
POLICIES = st.fixed_dictionaries(
    {
        "tenant": st.just("acme"),
        "consumers": st.fixed_dictionaries(
            {
                name: st.fixed_dictionaries(
                    {"key": st.just(hash_key(key)), "subject": by_dimension(WORD)},
                    optional={"disabled": st.booleans()},
                )
                for name, key in (("bot", KEY), ("second", SECOND), ("own", OWN))
            }
        ),
        "identity": st.fixed_dictionaries(
            {
                "claims": by_dimension(st.sampled_from(["a", "b", "list.0", "list.1", "deep.a"])),
                "headers": by_dimension(st.sampled_from(LISTENERS)),
                "self_declared": by_dimension(st.sampled_from(CLIENTS)),
                "principals": st.lists(PRINCIPALS, max_size=2),
                "unknown_keys": st.sampled_from(["deny", "ignore"]),
            },
            optional={"anonymous": st.fixed_dictionaries({"subject": by_dimension(WORD, 1)})},
        ),
    }
)  # fmt: skip
LIST, DEEP = st.lists(WORD, max_size=2), st.fixed_dictionaries({"a": WORD})
CLAIMS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"a": WORD, "b": WORD, "list": LIST, "deep": DEEP}
)
TRUSTED = st.fixed_dictionaries(
    {
        "claims": CLAIMS,
        "principal": st.sampled_from(["", "spiffe://a/x", "spiffe://a/y", "b", "c"]),
        "said": st.dictionaries(st.sampled_from([f"tallystick.{name}" for name in WHO]), WORD, max_size=2),
        "tenant": st.sampled_from(["", "acme", "acme", "other"]),
        "authenticated": st.dictionaries(st.sampled_from(LISTENERS), WORD),
    }
)
KEYS = st.dictionaries(st.sampled_from(CREDENTIAL_HEADERS), st.sampled_from(SECRETS), max_size=2)
SPOOFS = st.dictionaries(
    st.sampled_from(NAMES), st.one_of(WORD, st.sampled_from(["acme", "other"]), st.text(max_size=5))
)


def request_of(trusted: dict[str, Any], keys: dict[str, str], headers: dict[str, str]) -> HttpRequest:
    """What the sidecar sees: the listener sets or removes the headers that it authenticates."""
    authenticated = trusted["authenticated"]
    context = {"tallystick.tenant": trusted["tenant"], **trusted["said"]}
    context["tallystick.authenticated_headers"] = ",".join(authenticated)
    shown = {name: f"Bearer {key}" if name == "authorization" else key for name, key in keys.items()}
    return HttpRequest(
        "POST", "/v1/x", headers | authenticated | shown, trusted["claims"], trusted["principal"], context
    )


async def identified(policy: dict[str, Any], requests: Iterable[HttpRequest]) -> list[Caller | Exception]:
    office = Office()
    await office.administration.apply_policy(json.dumps(policy), None)
    identity = Identity(office.planner, "acme")
    found: list[Caller | Exception] = []
    for request in requests:
        try:
            found.append(await identity.identify(request))
        except (Unauthenticated, InvalidArgument) as error:
            shown = f"{error} {error!r} {request} {request!r}"
            assert not [secret for secret in SECRETS if secret[-12:] in shown]
            found.append(error)
    return found


@settings(deadline=None, max_examples=300)
@given(POLICIES, TRUSTED, KEYS, SPOOFS)
def test_spoofed_headers_have_no_effect(
    policy: dict[str, Any], trusted: dict[str, Any], keys: dict[str, str], spoofed: dict[str, str]
) -> None:
    requests = [request_of(trusted, keys, {}), request_of(trusted, keys, spoofed)]
    honest, other = asyncio.run(identified(policy, requests))
    if isinstance(honest, Exception):
        assert (type(other), str(other)) == (type(honest), str(honest))
        return
    rules = policy["identity"]["self_declared"]
    if isinstance(other, Exception):
        assert isinstance(other, InvalidArgument)
        assert other.field in rules.values()
        return
    assert other._replace(subject=honest.subject) == honest
    for dimension in WHO:
        said = spoofed.get(rules.get(dimension, ""), "")
        assert other.subject.value(dimension) == (honest.subject.value(dimension) or said)


@settings(deadline=None, max_examples=300)
@given(POLICIES, TRUSTED, KEYS, KEYS)
def test_more_keys_name_no_other_tenant_and_no_other_consumer(
    policy: dict[str, Any], trusted: dict[str, Any], keys: dict[str, str], more: dict[str, str]
) -> None:
    requests = [request_of(trusted, keys, {}), request_of(trusted, more | keys, {})]
    first, second = asyncio.run(identified(policy, requests))
    if isinstance(second, Exception):
        return
    assert second.tenant == (trusted["tenant"] or "acme")
    names = {KEY: "bot", SECOND: "second", OWN: "own"}
    assert second.consumer in {"", *(names.get(key) for key in (more | keys).values())}
    if isinstance(first, Caller) and first.consumer:
        assert second.consumer == first.consumer
        assert second.subject == first.subject
