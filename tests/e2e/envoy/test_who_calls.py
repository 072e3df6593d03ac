"""Who calls, by what a real Envoy verified: tokens by its jwt_authn, client certificates by its TLS."""

import base64
import contextlib
import http.client
import itertools
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tallystick.envoy import Way
from tests.e2e.authority import Authority
from tests.e2e.envoy.cases import ASK, CHAT_JSON, CHAT_PATH, CHAT_USED, charged
from tests.e2e.envoy.desks import DAILY, Desk, desk_at
from tests.e2e.envoy.gateways import running
from tests.e2e.envoy.provider import ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.servers import SidecarProcess, short_directory

WAYS = [Way.AUTHZ, Way.PROC]
ISSUER, AUDIENCE = "https://idp.acme.example", "llm"
OURS, STRANGERS = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"sub": "7", "email": "ada@acme.example", "groups": ["search", "all"]}
BY_CLAIM = "identity: {claims: {user: email, team: groups.0}}\n"
BY_CERTIFICATE = (
    'identity: {principals: [{match: "spiffe://acme/sa/review", subject: {user: reviewer}}, '
    '{match: "*.acme.example", subject: {user: host}}]}\n'
)
SPOOFED = {
    "x_user": "root", "x_tallystick_user": "root", "tallystick_user": "root", "x_jwt_payload": "root",
    "x_forwarded_client_cert": "URI=spiffe://acme/sa/root", "x_tallystick_tenant": "root",
}  # fmt: skip
_tenants = itertools.count(1)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(key: ec.EllipticCurvePrivateKey = OURS, head: dict[str, str] | None = None, **claims: Any) -> str:
    """A JWT, good for an hour unless the claims say otherwise."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3_600, **CLAIMS, **claims}
    parts: list[dict[str, Any]] = [head or {"alg": "ES256", "kid": "k", "typ": "JWT"}, said]
    signed = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_base64(r.to_bytes(32) + s.to_bytes(32))}"


def _verify_tokens(configuration: dict[str, Any]) -> None:
    """Puts Envoy's own filter before ours. A call without a token is left to the sidecar."""
    public = OURS.public_key().public_numbers()
    point = {"x": _base64(public.x.to_bytes(32)), "y": _base64(public.y.to_bytes(32))}
    keys: dict[str, Any] = {"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", **point}]}
    provider: dict[str, Any] = {
        "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"inline_string": json.dumps(keys)},
        "payload_in_metadata": "payload", "forward": True,
    }  # fmt: skip
    either: dict[str, Any] = {
        "requires_any": {"requirements": [{"provider_name": "idp"}, {"allow_missing": {}}]}
    }
    (listener,) = configuration["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    kind = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
    settings: dict[str, Any] = {"@type": kind, "providers": {"idp": provider}}
    settings["rules"] = [{"match": {"prefix": "/"}, "requires": either}]
    manager["http_filters"].insert(0, {"name": "envoy.filters.http.jwt_authn", "typed_config": settings})


@pytest.fixture(scope="module")
def sidecar() -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory, ENVOY="true", HTTP_LISTEN="127.0.0.1:0")
        process.start()
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture(params=WAYS)
def by_token(
    request: pytest.FixtureRequest, sidecar: SidecarProcess, scripted: ScriptedProvider,
    loop_thread: LoopThread,
) -> Iterator[Desk]:  # fmt: skip
    tenant = f"tokens-{next(_tenants)}"
    with (
        running(
            request.param, scripted, loop_thread, sidecar=sidecar, tenant=tenant, change=_verify_tokens
        ) as gateway,
        desk_at(gateway, sidecar, tenant) as desk,
    ):
        desk.apply(DAILY, BY_CLAIM)
        yield desk


def body_of_reserve(desk: Desk) -> str:
    (reserved,) = desk.entries("reserve")
    assert "root" not in str(reserved)
    return reserved["body"]


def test_a_verified_token_says_who_calls(by_token: Desk) -> None:
    desk, script = by_token, by_token.script(CHAT_JSON)
    bearer = {"authorization": f"Bearer {token()}"}
    assert desk.gateway.call(script, CHAT_PATH, ASK, **bearer | SPOOFED).status == 200
    charged(desk, CHAT_USED)
    assert r'"team=search\tuser=ada@acme.example"' in body_of_reserve(desk)
    (seen,) = desk.sent(script)
    assert seen.headers["authorization"] == "Bearer key-of-openai"  # the provider gets no token


BAD = {
    "of another's key": {"key": STRANGERS},
    "expired": {"exp": 1_000_000_000},
    "of another issuer": {"iss": "https://idp.evil.example"},
    "for another audience": {"aud": "mail"},
    "unsigned": {"head": {"alg": "none", "typ": "JWT"}},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_token_is_refused(by_token: Desk, bad: dict[str, Any]) -> None:
    desk, script = by_token, by_token.script(CHAT_JSON)
    bearer = {"authorization": f"Bearer {token(**bad)}"}
    assert desk.gateway.call(script, CHAT_PATH, ASK, **bearer | SPOOFED).status in (401, 403)
    assert not desk.sent(script)
    desk.nothing_held()


def test_without_a_token_or_with_one_that_names_nobody_nobody_calls(by_token: Desk) -> None:
    desk, script = by_token, by_token.script(CHAT_JSON)
    assert desk.gateway.call(script, CHAT_PATH, ASK, **SPOOFED).status == 401
    nobody = {"authorization": f"Bearer {token(email=None, groups=[])}"}
    assert desk.gateway.call(script, CHAT_PATH, ASK, **nobody | SPOOFED).status == 401
    assert not desk.sent(script)
    desk.nothing_held()


@pytest.fixture
def authority() -> Iterator[Authority]:
    with short_directory() as directory:
        yield Authority(directory)


@pytest.fixture(params=WAYS)
def by_certificate(
    request: pytest.FixtureRequest, sidecar: SidecarProcess, scripted: ScriptedProvider,
    loop_thread: LoopThread, authority: Authority,
) -> Iterator[Desk]:  # fmt: skip
    tenant = f"certificates-{next(_tenants)}"
    certificate, key = authority.issue("gateway", "localhost")
    options: dict[str, Any] = {"tls_cert": str(certificate), "tls_key": str(key)}
    options |= {"tls_client_ca": str(authority.path), "tenant": tenant}
    with (
        running(request.param, scripted, loop_thread, sidecar=sidecar, **options) as gateway,
        desk_at(gateway, sidecar, tenant) as desk,
    ):
        desk.apply(DAILY, BY_CERTIFICATE)
        yield desk


def call(desk: Desk, trusted: Authority, script: str, *names: str, signer: Authority | None = None) -> int:
    """The status of a call by a client with a certificate of these names; none without names."""
    context = ssl.create_default_context(cafile=str(trusted.path))
    if names:
        context.load_cert_chain(*(signer or trusted).issue("client", *names))
    connection = http.client.HTTPSConnection(
        "localhost", desk.gateway.envoy.port, context=context, timeout=30
    )
    with contextlib.closing(connection):
        response = desk.gateway.send(connection, script, CHAT_PATH, ASK, **SPOOFED)
        response.read()
        return response.status


@pytest.mark.parametrize(
    ("names", "user"),
    [
        (["spiffe://acme/sa/review"], "reviewer"),
        (["box.acme.example", "spiffe://acme/sa/review"], "reviewer"),  # the URI goes first
        (["box.acme.example"], "host"),
    ],
)
def test_a_verified_certificate_says_who_calls(
    by_certificate: Desk, authority: Authority, names: list[str], user: str
) -> None:
    script = by_certificate.script(CHAT_JSON)
    assert call(by_certificate, authority, script, *names) == 200
    charged(by_certificate, CHAT_USED)
    assert f'"user={user}"' in body_of_reserve(by_certificate)


def test_a_certificate_of_nobody_is_refused(by_certificate: Desk, authority: Authority) -> None:
    script = by_certificate.script(CHAT_JSON)
    assert call(by_certificate, authority, script, "spiffe://acme/sa/reviewer") == 401
    assert not by_certificate.sent(script)
    by_certificate.nothing_held()


def test_a_certificate_of_another_authority_or_none_does_not_connect(
    by_certificate: Desk, authority: Authority
) -> None:
    script = by_certificate.script(CHAT_JSON)
    stranger = Authority(authority.directory, "stranger")
    with pytest.raises((OSError, http.client.HTTPException)):
        call(by_certificate, authority, script, "spiffe://acme/sa/review", signer=stranger)
    with pytest.raises((OSError, http.client.HTTPException)):
        call(by_certificate, authority, script)
    assert not by_certificate.sent(script)
    by_certificate.nothing_held()
