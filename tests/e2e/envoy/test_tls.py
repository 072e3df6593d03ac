"""TLS on both sides: providers are checked by name, clients may have to show a certificate."""

import contextlib
import dataclasses
import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tallystick.envoy import Way, read_key, read_provider
from tests.e2e.envoy.gateways import running
from tests.e2e.envoy.provider import ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.servers import short_directory

ASK = {"model": "m", "messages": []}
CA, OTHER_CA = trustme.CA(), trustme.CA()


@pytest.fixture
def files() -> Iterator[Path]:
    with short_directory() as directory:
        CA.cert_pem.write_to_path(directory / "ca.pem")
        OTHER_CA.cert_pem.write_to_path(directory / "other.pem")
        certificate = CA.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(directory / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
        yield directory


@contextlib.contextmanager
def provider_named(name: str, thread: LoopThread) -> Iterator[ScriptedProvider]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert(name).configure_cert(context)
    provider = ScriptedProvider(context)
    thread.run(provider.start())
    try:
        yield provider
    finally:
        thread.run(provider.stop())


@pytest.mark.parametrize(
    ("certified", "host", "ca", "status"),
    [
        ("localhost", "localhost", "ca.pem", 200),
        ("127.0.0.1", "127.0.0.1", "ca.pem", 200),
        ("localhost", "localhost", "other.pem", 503),
        ("elsewhere.example", "localhost", "ca.pem", 503),
        ("127.0.0.2", "127.0.0.1", "ca.pem", 503),
    ],
)
def test_a_provider_must_prove_its_name(
    files: Path, loop_thread: LoopThread, certified: str, host: str, ca: str, status: int
) -> None:
    with provider_named(certified, loop_thread) as provider:
        made = read_provider(f"openai=https://{host}:{provider.port}")
        made = dataclasses.replace(made, key=read_key("openai=env:OPENAI_KEY")[1])
        options: dict[str, Any] = {"providers": (made,), "ca_bundle": str(files / ca)}
        with running(Way.AUTHZ, provider, loop_thread, **options) as gateway:
            script = gateway.script()
            # The only provider is at the root too.
            assert gateway.call(script, "/v1/chat/completions", ASK).status == status
            entry = gateway.adapters.end_of(script)
            assert len(provider.of(script)) == (status == 200)
    failed = entry.common_properties.upstream_transport_failure_reason
    assert ("CERTIFICATE_VERIFY_FAILED" in failed or "SAN" in failed) == (status != 200)


def test_clients_may_have_to_show_a_certificate(
    files: Path, scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    options: dict[str, Any] = {"tls_cert": str(files / "cert.pem"), "tls_key": str(files / "key.pem")}
    options |= {"tls_client_ca": str(files / "ca.pem")}
    with running(Way.AUTHZ, scripted, loop_thread, **options) as gateway:
        context = ssl.create_default_context(cafile=str(files / "ca.pem"))
        stranger = http.client.HTTPSConnection("localhost", gateway.envoy.port, context=context, timeout=10)
        with contextlib.closing(stranger), pytest.raises((OSError, http.client.HTTPException)):
            gateway.send(stranger, gateway.script(), "/openai/v1/x", ASK)
        CA.issue_cert("review-bot.acme.example").configure_cert(context)
        known = http.client.HTTPSConnection("localhost", gateway.envoy.port, context=context, timeout=10)
        with contextlib.closing(known):
            script = gateway.script()
            assert gateway.send(known, script, "/openai/v1/x", ASK).read() == b"{}"
        (check,) = gateway.adapters.checks_of(script)
        assert check.attributes.source.principal == "review-bot.acme.example"
        assert "BEGIN%20CERTIFICATE" in check.attributes.source.certificate


def test_a_key_in_a_file_may_end_in_a_line_feed(
    files: Path, scripted: ScriptedProvider, loop_thread: LoopThread
) -> None:
    (files / "secret").write_text("key-of-a-file\n")
    made = read_provider(f"openai=http://127.0.0.1:{scripted.port}")
    made = dataclasses.replace(made, key=read_key(f"openai=file:{files}/secret")[1])
    with running(Way.AUTHZ, scripted, loop_thread, providers=(made,)) as gateway:
        script = gateway.script()
        assert gateway.call(script, "/openai/v1/x", ASK).status == 200
        assert gateway.seen(script).headers["authorization"] == "Bearer key-of-a-file"


def test_calls_to_bedrock_are_signed(scripted: ScriptedProvider, loop_thread: LoopThread) -> None:
    made = read_provider("bedrock=eu-west-1")
    made = dataclasses.replace(
        made, host="127.0.0.1", port=scripted.port, tls=False, key=read_key("bedrock=aws")[1]
    )
    signer = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with running(Way.AUTHZ, scripted, loop_thread, providers=(made,), environment=signer) as gateway:
        script = gateway.script()
        path = "/bedrock/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/converse"
        assert gateway.call(script, path, ASK, authorization="Bearer consumer").status == 200
        seen = gateway.seen(script)
    assert seen.path == path.removeprefix("/bedrock")
    signed = seen.headers["authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-1/bedrock/aws4_request" in signed


def test_envoy_listens_on_a_socket_too(scripted: ScriptedProvider, loop_thread: LoopThread) -> None:
    with short_directory() as directory:
        from tallystick.envoy.options import Place

        listen = Place(path=f"{directory}/in.sock")
        with running(Way.AUTHZ, scripted, loop_thread, listen=listen) as gateway:
            connection = http.client.HTTPConnection("localhost", timeout=10)
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(listen.path)
            with contextlib.closing(connection):
                script = gateway.script()
                assert gateway.send(connection, script, "/openai/v1/x", ASK).read() == b"{}"
            (check,) = gateway.adapters.checks_of(script)
    assert "x-envoy-internal" not in check.attributes.request.http.headers
