"""TLS and client certificates: who is let in, and certificates that are renewed under way."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from tallystick.v1 import admin_pb2
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1.admin_pb2_grpc import AdminServiceStub
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub
from tests.e2e.authority import LOCAL, Authority
from tests.e2e.caller import LONG_S, fails, subject_of
from tests.e2e.conftest import Start
from tests.e2e.guarded import admin_port, bearing, channel_to, make
from tests.servers import SidecarProcess

NOBODY, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
CALLERS = """
certificates:
  - {match: "spiffe://acme/ns/prod/sa/*", tenant: acme, roles: [decide, read], subject: {environment: prod}}
  - {match: [gateway.acme.example, old-gateway], tenant: acme, roles: read}
  - {match: root.example, tenant: "*", roles: [admin, read]}
"""


@pytest.fixture
def authority(directory: Path) -> Authority:
    return Authority(directory)


def settings(authority: Authority, auth: str) -> dict[str, str]:
    certificate, key = authority.issue("server", LOCAL)
    callers = authority.directory / "callers.yaml"
    callers.write_text(CALLERS)
    found = {"AUTH": auth, "LISTEN": f"{LOCAL}:0", "TLS_CERT": str(certificate), "TLS_KEY": str(key)}
    if auth != "tokens":
        found |= {"TLS_CLIENT_CA": str(authority.path), "CALLERS_FILE": str(callers)}
    return found


@contextmanager
def over_tls(port: int, ca: Path, client: tuple[Path, Path] | None = None) -> Iterator[grpc.Channel]:
    certificate, key = (path.read_bytes() for path in client) if client else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)
    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.secure_channel(f"{LOCAL}:{port}", credentials, options) as channel:
        yield channel


def balance(channel: grpc.Channel, tenant: str = "acme", token: str = "", **subject: str) -> None:
    request = pb.BalanceRequest(tenant=tenant, subject=subject_of(subject or {"user": "alice"}))
    metadata = bearing(token) if token else ()
    BudgetServiceStub(channel).Balance(request, metadata=metadata, timeout=LONG_S)


@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_a_certificate_stands_for_a_caller(start: Start, authority: Authority, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, ADMIN_LISTEN=f"{LOCAL}:0", **settings(authority, "mtls"))
    spiffe = authority.issue("spiffe", "spiffe://acme/ns/prod/sa/review")
    with over_tls(sidecar.port, authority.path, spiffe) as channel:
        balance(channel)
        balance(channel, environment="prod")
        with fails(DENIED, "subject.environment: expected 'prod'"):
            balance(channel, environment="dev")
        with fails(DENIED, "expected acme"):
            balance(channel, "other")
    for names, common_name in ((["gateway.acme.example"], ""), ([], "old-gateway")):
        by_name = authority.issue("gateway", *names, common_name=common_name)
        with over_tls(sidecar.port, authority.path, by_name) as channel:
            balance(channel)
            with fails(DENIED, "has not"):
                BudgetServiceStub(channel).Release(pb.ReleaseRequest(tenant="acme", reservation_id="r"))
    for names, common_name in ((["evil.example"], "old-gateway"), (["spiffe://acme/ns/dev/sa/x"], "")):
        unknown = authority.issue("unknown", *names, common_name=common_name)
        with over_tls(sidecar.port, authority.path, unknown) as channel, fails(NOBODY, "client certificate"):
            balance(channel, token="tallytoken-ignored")
    root = authority.issue("root", "root.example")
    with over_tls(admin_port(sidecar), authority.path, root) as channel:
        AdminServiceStub(channel).ListWallets(admin_pb2.ListWalletsRequest(tenant="any"))


def test_no_certificate_and_that_of_a_stranger_get_no_connection(
    start: Start, authority: Authority, directory: Path
) -> None:
    sidecar = start(**settings(authority, "mtls"))
    stranger = Authority(directory, "stranger").issue("stranger", "gateway.acme.example")
    for client in (None, stranger):
        with (
            over_tls(sidecar.port, authority.path, client) as channel,
            fails(grpc.StatusCode.UNAVAILABLE),
        ):
            balance(channel)
    with channel_to(f"{LOCAL}:{sidecar.port}") as channel, fails(grpc.StatusCode.UNAVAILABLE):
        balance(channel)  # in clear text


def test_tokens_over_tls_and_either_of_both(start: Start, authority: Authority, directory: Path) -> None:
    sidecar = start(**settings(authority, "tokens"))
    token = make(sidecar, "acme")
    with over_tls(sidecar.port, authority.path) as channel:
        balance(channel, token=token)
        with fails(NOBODY, "authorization: Bearer TOKEN"):
            balance(channel)
    both = start(**settings(authority, "both"))
    token = make(both, "other")
    gateway = authority.issue("gateway", "gateway.acme.example")
    with over_tls(both.port, authority.path, gateway) as channel:
        balance(channel, "acme")
        balance(channel, "other", token=token)
        with fails(DENIED):
            balance(channel, "acme", token=token)
        with fails(NOBODY, "not known"):  # a token that was revoked does not fall back to the certificate
            balance(channel, "acme", token="tallytoken-gone")


def serial(port: int, ca: Path) -> int:
    """Of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((LOCAL, port), timeout=LONG_S) as plain,
        context.wrap_socket(plain, server_hostname=LOCAL) as wrapped,
    ):
        found = wrapped.getpeercert()
    assert found
    return int(str(found["serialNumber"]), 16)


def shown_after(sidecar: SidecarProcess, ca: Path, before: int) -> int:
    """The certificate of the first new connection that is shown another one."""
    deadline = time.monotonic() + 5
    while (now := serial(sidecar.port, ca)) == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return now


def test_a_renewed_certificate_is_shown_without_a_restart(start: Start, authority: Authority) -> None:
    sidecar = start(**settings(authority, "tokens"))
    token = make(sidecar, "acme")
    first = serial(sidecar.port, authority.path)
    with over_tls(sidecar.port, authority.path) as old:
        balance(old, token=token)
        authority.issue("server", LOCAL)
        second = shown_after(sidecar, authority.path, first)
        balance(old, token=token)  # what is open stays
        with over_tls(sidecar.port, authority.path) as new:
            balance(new, token=token)
        (authority.directory / "server.crt").write_text("half of a certificate")
        assert serial(sidecar.port, authority.path) == second
        assert "the certificate in use is kept" in sidecar.log
        authority.issue("server", LOCAL)
        assert shown_after(sidecar, authority.path, second) not in (first, second)


def test_a_client_ca_is_replaced_without_a_restart(
    start: Start, authority: Authority, directory: Path
) -> None:
    sidecar = start(**settings(authority, "mtls"))
    other = Authority(directory, "next")
    client = other.issue("client", "gateway.acme.example")
    with over_tls(sidecar.port, authority.path, client) as channel, fails(grpc.StatusCode.UNAVAILABLE):
        balance(channel)
    both = authority.path.read_bytes() + other.path.read_bytes()
    server_trusts = authority.path.read_bytes()
    (directory / "roots.pem").write_bytes(server_trusts)
    authority.path.write_bytes(both)
    with over_tls(sidecar.port, directory / "roots.pem", client) as channel:
        balance(channel)
