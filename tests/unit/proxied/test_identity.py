"""Who is calling: every source, their order, and every refusal, none of which shows a key."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.core.consumer_keys import hash_key, make_key
from tallystick.core.errors import InvalidArgument, StoreUnavailable, Unauthenticated
from tallystick.core.subject import Subject
from tallystick.engine import planner as planners
from tallystick.proxied.credentials import HttpRequest
from tallystick.proxied.identity import Caller, Identity
from tallystick.services.boundary import status_of
from tests.unit.engine.office import Office

BOT, NEXT, OFF, OTHERS = make_key("acme"), make_key("acme"), make_key("acme"), make_key("other")
OWN, NOBODYS = "sk-own-0123456789abcdefghij", make_key("acme")
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJlbWFpbCI6ImEifQ.c2lnbmF0dXJl"
POLICY = f"""
consumers:
  bot: {{keys: ["{hash_key(BOT)}", "{hash_key(NEXT)}"], subject: {{team: search, service: review}}}}
  own: {{key: "{hash_key(OWN)}", subject: {{team: own}}}}
  off: {{key: "{hash_key(OFF)}", disabled: true}}
identity:
  claims: {{user: email, team: groups.0, environment: env}}
  headers: {{user: x-auth-user, team: x-auth-team}}
  principals:
    - {{match: "spiffe://acme/sa/*", subject: {{service: mesh, team: mesh, role: pod}}}}
  self_declared: {{session: x-session, workflow: x-workflow, user: x-user, team: x-team}}
"""
SECRETS = (BOT, NEXT, OFF, OTHERS, OWN, NOBODYS, TOKEN)


@pytest.fixture
async def office() -> Office:
    office = Office()
    await office.apply(POLICY)
    return office


@pytest.fixture
def office_identity(office: Office) -> Identity:
    return Identity(office.planner)


def bearer(key: str, **more: Any) -> HttpRequest:
    headers = {"authorization": f"Bearer {key}"} | more.pop("headers", {})
    return HttpRequest("POST", "/v1/chat/completions", headers, **more)


def plain(**trusted: Any) -> HttpRequest:
    """A request without a key, for the tenant acme."""
    headers = trusted.pop("headers", {})
    trusted["context"] = {"tallystick.tenant": "acme"} | trusted.get("context", {})
    return HttpRequest("POST", "/v1/chat/completions", headers, **trusted)


async def refusal(identity: Identity, request: HttpRequest) -> str:
    with capture_logs() as logs, pytest.raises(Unauthenticated) as refused:
        await identity.identify(request)
    code, text = status_of(refused.value)
    assert code.name == "UNAUTHENTICATED"
    assert logs == []
    assert not [secret for secret in SECRETS if secret[-20:] in f"{text} {refused.value!r} {request!r}"]
    return text


async def test_a_key_tells_tenant_consumer_and_subject(office_identity: Identity) -> None:
    for key in (BOT, NEXT):
        caller = await office_identity.identify(bearer(key))
        subject = Subject(team="search", service="review")
        assert caller == Caller("acme", "bot", subject, ("authorization",), policy_version=1)


@pytest.mark.parametrize("place", ["x-api-key", "api-key", "x-goog-api-key"])
async def test_a_key_in_any_of_its_places(office_identity: Identity, place: str) -> None:
    caller = await office_identity.identify(HttpRequest("POST", "/", {place: BOT}))
    assert (caller.consumer, caller.credentials) == ("bot", (place,))


async def test_a_key_in_the_query(office_identity: Identity) -> None:
    caller = await office_identity.identify(HttpRequest("POST", f"/v1beta/m:generateContent?key={BOT}", {}))
    assert (caller.consumer, caller.credentials) == ("bot", ("?key=",))


async def test_the_same_key_twice_is_one_key_in_two_places(office_identity: Identity) -> None:
    caller = await office_identity.identify(bearer(BOT, headers={"x-api-key": BOT}))
    assert (caller.consumer, caller.credentials) == ("bot", ("authorization", "x-api-key"))
    text = await refusal(office_identity, bearer(BOT, headers={"x-api-key": NEXT}))
    assert text == "expected one key, got different ones in authorization and x-api-key"


async def test_a_key_that_nobody_has_is_refused(office_identity: Identity) -> None:
    unknown = "expected the key of a consumer in authorization: this one is not known"
    assert await refusal(office_identity, bearer(NOBODYS)) == unknown
    # A tenant that does not exist is not told from a key that does not.
    assert await refusal(office_identity, bearer(make_key("nowhere"))) == unknown
    assert await refusal(office_identity, bearer(BOT, headers={"x-api-key": NOBODYS})) == unknown.replace(
        "authorization", "x-api-key"
    )


async def test_a_key_that_was_cut_is_refused(office_identity: Identity) -> None:
    text = await refusal(office_identity, bearer(BOT[:-1]))
    assert text == "expected the whole key in authorization: tally-TENANT-SECRET"


async def test_a_disabled_consumer_is_refused(office_identity: Identity) -> None:
    text = await refusal(office_identity, bearer(OFF))
    assert text == "expected a key that is in use: consumer off is disabled"


async def test_a_key_of_another_tenant_than_the_routes(office: Office, office_identity: Identity) -> None:
    await office.apply(f'consumers: {{o: {{key: "{hash_key(OTHERS)}", subject: {{team: t}}}}}}', "other")
    assert (await office_identity.identify(bearer(OTHERS))).tenant == "other"
    text = await refusal(office_identity, bearer(OTHERS, context={"tallystick.tenant": "acme"}))
    assert text == "expected a key of this route's tenant in authorization"
    text = await refusal(office_identity, bearer(OTHERS, headers={"api-key": BOT}))
    assert text == "expected a key of one tenant in api-key"
    # The default tenant is for those who name none.
    assert (await Identity(office.planner, "acme").identify(bearer(OTHERS))).tenant == "other"


async def test_a_key_of_their_own_is_of_the_routes_tenant_or_the_default(
    office: Office, office_identity: Identity
) -> None:
    assert "this one is not known" in await refusal(office_identity, bearer(OWN))
    for identity, request in (
        (Identity(office.planner, "acme"), bearer(OWN)),
        (office_identity, bearer(OWN, context={"tallystick.tenant": "acme"})),
    ):
        caller = await identity.identify(request)
        assert (caller.tenant, caller.consumer, caller.subject.team) == ("acme", "own", "own")
    assert "not known" in await refusal(Identity(office.planner, "acme"), bearer("sk-someone-elses"))


async def test_nobody_is_refused(office: Office, office_identity: Identity) -> None:
    places = "`authorization: Bearer`, `x-api-key`, `api-key`, `x-goog-api-key` or `?key=`"
    expected = f"expected a consumer's key in {places}"
    assert await refusal(office_identity, HttpRequest("POST", "/", {})) == expected
    assert await refusal(office_identity, plain()) == expected
    assert await refusal(Identity(office.planner, "acme"), HttpRequest("POST", "/", {})) == expected
    assert "a tenant that has a policy" in await refusal(
        Identity(office.planner, "nobody"), HttpRequest("POST", "/", {})
    )


@pytest.mark.parametrize(
    ("trusted", "subject"),
    [
        ({"claims": {"email": "ann@a"}}, Subject(user="ann@a")),
        ({"claims": {"groups": ["ads"], "env": "dev", "x": 1}}, Subject(team="ads", environment="dev")),
        ({"principal": "spiffe://acme/sa/x"}, Subject(service="mesh", team="mesh", role="pod")),
        ({"context": {"tallystick.service": "crm"}}, Subject(service="crm")),
        (
            {
                "headers": {"x-auth-user": "ann"},
                "context": {"tallystick.authenticated_headers": "x-auth-user"},
            },
            Subject(user="ann"),
        ),
    ],
)
async def test_what_others_vouch_for_needs_no_key(
    office_identity: Identity, trusted: dict[str, Any], subject: Subject
) -> None:
    assert await office_identity.identify(plain(**trusted)) == Caller("acme", "", subject, (), 1)


@pytest.mark.parametrize(
    "trusted",
    [
        {"claims": {"sub": "ann"}},
        {"claims": {"email": "", "env": "dev"}},
        {"principal": "spiffe://elsewhere/sa/x"},
        {"context": {"tallystick.environment": "prod", "tallystick.label.desk": "7"}},
        {"headers": {"x-auth-user": "ann"}},
        {
            "headers": {"x-auth-user": "ann"},
            "context": {"tallystick.authenticated_headers": "x-auth-team"},
        },
        {"headers": {"x-user": "ann", "x-team": "search", "x-session": "s"}},
    ],
)
async def test_what_tells_no_caller_is_no_identity(
    office_identity: Identity, trusted: dict[str, Any]
) -> None:
    assert "expected a consumer's key" in await refusal(office_identity, plain(**trusted))


async def test_each_source_goes_before_the_next(office_identity: Identity) -> None:
    """Route, key, claims, authenticated headers, certificate, and last what clients say of themselves."""
    sources: list[tuple[str, dict[str, Any]]] = [
        ("route", {"context": {"tallystick.team": "route"}}),
        ("search", {"headers": {"authorization": f"Bearer {BOT}"}}),
        ("claim", {"claims": {"groups": ["claim"]}}),
        (
            "header",
            {
                "headers": {"x-auth-team": "header"},
                "context": {"tallystick.authenticated_headers": "x-auth-team"},
            },
        ),
        ("mesh", {"principal": "spiffe://acme/sa/x"}),
        ("self", {"headers": {"x-team": "self"}, "context": {"tallystick.user": "someone"}}),
    ]
    for first in range(len(sources)):
        together: dict[str, Any] = {}
        for _, trusted in reversed(sources[first:]):
            for name, value in trusted.items():
                together[name] = together.get(name, {}) | value if isinstance(value, dict) else value
        caller = await office_identity.identify(plain(**together))
        assert caller.subject.team == sources[first][0]


async def test_clients_may_say_what_the_policy_lets_them(office_identity: Identity) -> None:
    headers = {"x-session": "s-1", "x-workflow": "w", "x-user": "me", "x-team": "ads", "x-role": "admin"}
    caller = await office_identity.identify(bearer(BOT, headers=headers))
    assert caller.subject == Subject(team="search", service="review", user="me", session="s-1", workflow="w")
    with pytest.raises(InvalidArgument, match="x-session: expected printable text"):
        await office_identity.identify(bearer(BOT, headers={"x-session": "a\tb"}))


async def test_a_verified_token_is_no_key_and_goes_no_further(office_identity: Identity) -> None:
    request = bearer(TOKEN, claims={"email": "ann@a"}, context={"tallystick.tenant": "acme"})
    caller = await office_identity.identify(request)
    assert (caller.consumer, caller.subject.user, caller.credentials) == ("", "ann@a", ("authorization",))
    unverified = bearer(TOKEN, context={"tallystick.tenant": "acme"})
    assert "not known" in await refusal(office_identity, unverified)
    both = bearer(TOKEN, claims={"email": "ann@a"}, headers={"x-api-key": BOT})
    caller = await office_identity.identify(both)
    assert (caller.consumer, caller.subject.user) == ("bot", "ann@a")
    assert caller.credentials == ("authorization", "x-api-key")


async def test_anonymous_calls_are_let_in_where_the_policy_says_as_whom(office: Office) -> None:
    await office.apply(POLICY + "  anonymous: {subject: {service: guests, environment: dev}}\n")
    identity = Identity(office.planner, "acme")
    caller = await identity.identify(HttpRequest("POST", "/", {"x-session": "s", "x-team": "t"}))
    guest = Subject(service="guests", environment="dev", session="s", team="t")
    assert caller == Caller("acme", "", guest, (), 2)
    caller = await identity.identify(plain(context={"tallystick.environment": "prod"}))
    assert caller.subject == Subject(service="guests", environment="prod")
    caller = await identity.identify(plain(claims={"email": "ann@a"}))
    assert caller.subject == Subject(user="ann@a")
    assert "not known" in await refusal(identity, bearer(NOBODYS))
    assert "is disabled" in await refusal(identity, bearer(OFF))


async def test_unknown_keys_may_be_left_to_the_provider(office: Office) -> None:
    await office.apply(POLICY + "  unknown_keys: ignore\n")
    identity = Identity(office.planner, "acme")
    theirs = bearer("sk-of-the-provider", headers={"x-api-key": BOT})
    caller = await identity.identify(theirs)
    assert (caller.consumer, caller.credentials) == ("bot", ("x-api-key",))
    caller = await identity.identify(bearer("unused", principal="spiffe://acme/sa/x"))
    assert (caller.subject.service, caller.credentials) == ("mesh", ())
    assert "expected a consumer's key" in await refusal(identity, bearer("sk-of-the-provider"))
    for key in (NOBODYS, BOT[:-1], OFF):
        await refusal(identity, bearer(key, principal="spiffe://acme/sa/x"))


async def test_a_key_of_no_unicode_is_unknown(office: Office) -> None:
    assert "not known" in await refusal(Identity(office.planner, "acme"), bearer("\udcff\ud800"))


async def test_a_policy_that_changes_changes_who_is_known(office: Office, office_identity: Identity) -> None:
    assert (await office_identity.identify(bearer(BOT))).policy_version == 1
    await office.apply(POLICY.replace(hash_key(BOT), hash_key(NOBODYS)))
    assert (await office_identity.identify(bearer(NOBODYS))).policy_version == 2
    await refusal(office_identity, bearer(BOT))


async def test_a_policy_that_another_sidecar_applied_counts_within_a_second(
    office: Office, office_identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office_identity.identify(bearer(BOT))
    changed = "tenant: acme\n" + POLICY.replace(hash_key(BOT), hash_key(NOBODYS))
    await office.store.apply_policy("acme", changed, None)
    monkeypatch.setattr(planners, "CONFIRMED_S", 0.05)
    await asyncio.sleep(0.06)
    await refusal(office_identity, bearer(BOT))
    assert (await office_identity.identify(bearer(NOBODYS))).consumer == "bot"


async def test_while_the_store_is_away_those_who_are_known_stay_known(
    office: Office, office_identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office_identity.identify(bearer(BOT))

    async def away(tenant: str) -> Any:
        raise StoreUnavailable(f"no policy of {tenant}")

    monkeypatch.setattr(office.store, "policy", away)
    monkeypatch.setattr(planners, "CONFIRMED_S", 0.0)
    assert (await office_identity.identify(bearer(BOT))).consumer == "bot"
    await refusal(office_identity, bearer(NOBODYS))
    with pytest.raises(StoreUnavailable):
        await office_identity.identify(bearer(make_key("new")))


async def test_tenants_that_callers_make_up_leave_nothing_behind(
    office: Office, office_identity: Identity
) -> None:
    for number in range(50):
        await refusal(office_identity, bearer(make_key(f"made-up-{number}")))
    assert set(office.planner._rules) == {"acme"}
