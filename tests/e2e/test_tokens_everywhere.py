"""Tokens, and the file of callers, as several sidecars of one store see them; and where no secret may be."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from tallystick.core.callers import make_token
from tallystick.core.consumer_keys import hash_key
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub
from tests.e2e.caller import LONG_S, fails, new_tenant
from tests.e2e.conftest import Start
from tests.e2e.guarded import bearing, channel_to, make, revoke
from tests.servers import SidecarProcess, StoreServer, http_get, short_directory

NOBODY = grpc.StatusCode.UNAUTHENTICATED
WITHIN_S = 1.0
"""What is promised."""


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[StoreServer, SidecarProcess, SidecarProcess]]:
    """Two sidecars of one store, each on its own transport."""
    with ExitStack() as ending:
        store = StoreServer(ending.enter_context(short_directory()))
        store.start()
        ending.callback(store.stop)
        sidecars = []
        for transport in ("native", "grpcio"):
            directory = ending.enter_context(short_directory())
            sidecar = SidecarProcess(
                directory,
                TRANSPORT=transport,
                STORE_URL=store.url,
                AUTH="tokens",
                LOG_LEVEL="debug",
                HTTP_LISTEN="127.0.0.1:0",
            )
            sidecar.start()
            ending.callback(sidecar.stop)
            sidecars.append(sidecar)
        yield store, sidecars[0], sidecars[1]


def let_in(channel: grpc.Channel, token: str, tenant: str) -> bool:
    try:
        BudgetServiceStub(channel).Balance(
            pb.BalanceRequest(tenant=tenant), metadata=bearing(token), timeout=LONG_S
        )
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        assert error.code() is NOBODY, error.details()
        return False
    return True


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 10 * WITHIN_S, "it never came true"
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_token_is_good_and_then_not_within_a_second_everywhere(
    two: tuple[StoreServer, SidecarProcess, SidecarProcess],
) -> None:
    _, one, other = two
    took = []
    with channel_to(other.socket) as channel:
        for _ in range(5):
            tenant = new_tenant()
            token = make(one, tenant)
            took.append(seconds_until(lambda: let_in(channel, token, tenant)))  # noqa: B023 - used at once
            revoke(one, tenant)
            took.append(seconds_until(lambda: not let_in(channel, token, tenant)))  # noqa: B023
            with channel_to(one.socket) as there:
                assert not let_in(there, token, tenant)
    assert max(took) < WITHIN_S, took


def test_tokens_outlive_a_sidecar_and_a_store_that_is_away(start: Start, directory: Path) -> None:
    store = StoreServer(directory)
    store.start()
    try:
        sidecar = start(STORE_URL=store.url, AUTH="tokens")
        tenant = new_tenant()
        token = make(sidecar, tenant)
        sidecar.kill()
        sidecar.start()
        with channel_to(sidecar.socket) as channel:
            assert let_in(channel, token, tenant)
            store.kill()
            service = BudgetServiceStub(channel)
            with fails(grpc.StatusCode.UNAVAILABLE):  # it is known, and there is no answer for it
                service.Balance(pb.BalanceRequest(), metadata=bearing(token))
            with fails(NOBODY):
                service.Balance(pb.BalanceRequest(tenant=tenant), metadata=bearing("tallytoken-x"))
            with fails(NOBODY):
                service.Balance(pb.BalanceRequest(tenant=tenant))
    finally:
        store.stop()


def test_before_the_store_has_told_of_its_tokens_nobody_is_called_unknown(
    start: Start, directory: Path
) -> None:
    sidecar = start(wait=False, STORE_URL=f"unix://{directory}/nothing", AUTH="tokens")
    seconds_until(lambda: (sidecar.directory / "tallystick.sock").exists())
    with channel_to(sidecar.socket) as channel:
        service = BudgetServiceStub(channel)
        with fails(grpc.StatusCode.UNAVAILABLE, "which tokens there are"):
            service.Balance(pb.BalanceRequest(tenant="acme"), metadata=bearing(make_token()))
        with fails(NOBODY):
            service.Balance(pb.BalanceRequest(tenant="acme"))


def test_nothing_secret_is_kept_shown_or_logged(
    two: tuple[StoreServer, SidecarProcess, SidecarProcess],
) -> None:
    store, one, other = two
    tenant, unknown = new_tenant(), make_token()
    token = make(one, tenant)
    said = []
    for sidecar in (one, other):
        with channel_to(sidecar.socket) as channel:
            seconds_until(lambda: let_in(channel, token, tenant))
            for metadata in (bearing(unknown), bearing(token) * 2, (("authorization", token),)):
                with suppress(grpc.RpcError):
                    BudgetServiceStub(channel).Balance(pb.BalanceRequest(tenant="x"), metadata=metadata)
                try:
                    BudgetServiceStub(channel).Balance(pb.BalanceRequest(tenant="x"), metadata=metadata)
                except grpc.RpcError as error:
                    said.append(str(error))
        said += [sidecar.log, http_get(sidecar.http_port, "/metrics")[1], processes()]
    said += [path.read_bytes().decode("latin-1") for path in store.directory.rglob("*") if path.is_file()]
    assert len(said) > 10
    for secret in (token, unknown):
        found = [text for text in said if secret.removeprefix("tallytoken-") in text]
        assert not found
    assert any(hash_key(token).removeprefix("sha256:") in text for text in said)  # the store's file has that


def processes() -> str:
    """The arguments of every process that may be seen."""
    seen = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            seen.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(seen)


FILE = """
tokens:
  gateway: {{hash: "{hash}", tenant: acme, roles: [decide, read]}}
"""


def test_a_file_of_callers_is_read_again_when_it_changes(start: Start, directory: Path) -> None:
    first, second = make_token(), make_token()
    path = directory / "callers.yaml"
    path.write_text(FILE.format(hash=hash_key(first)))
    sidecar = start(AUTH="tokens", CALLERS_FILE=str(path))
    with channel_to(sidecar.socket) as channel:
        assert let_in(channel, first, "acme")
        assert not let_in(channel, second, "acme")
        path.write_text(FILE.format(hash=hash_key(second)))
        assert seconds_until(lambda: let_in(channel, second, "acme")) < WITHIN_S
        assert not let_in(channel, first, "acme")
        path.write_text(FILE.format(hash=second))  # the token where its hash belongs
        seconds_until(lambda: "not taken over: " in sidecar.log)
        assert let_in(channel, second, "acme")
        assert second not in sidecar.log
        path.unlink()
        seconds_until(lambda: sidecar.log.count("not taken over") > 1)
        assert let_in(channel, second, "acme")


def test_the_socket_may_stand_for_a_caller(start: Start, directory: Path) -> None:
    path = directory / "callers.yaml"
    path.write_text("socket: {tenant: acme, roles: [read], subject: {team: search}}")
    sidecar = start(AUTH="tokens", CALLERS_FILE=str(path), LISTEN="127.0.0.1:0")
    with channel_to(sidecar.socket) as channel:
        service = BudgetServiceStub(channel)
        service.Balance(pb.BalanceRequest())
        with fails(grpc.StatusCode.PERMISSION_DENIED, "the Unix socket's caller has not"):
            service.Release(pb.ReleaseRequest(tenant="acme", reservation_id="r"))
        with fails(grpc.StatusCode.PERMISSION_DENIED, "expected acme"):
            service.Balance(pb.BalanceRequest(tenant="other"))
    with channel_to(f"127.0.0.1:{sidecar.port}") as channel, fails(NOBODY):
        BudgetServiceStub(channel).Balance(pb.BalanceRequest(tenant="acme"))


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"LISTEN": "0.0.0.0:0"}, r"TALLYSTICK_AUTH: expected tokens, mtls or both, .*LISTEN 0\.0\.0\.0:0"),
    ({"LISTEN": "[::]:0"}, "TALLYSTICK_ALLOW_ANYONE=true"),
    ({"LISTEN": "some.host:0"}, "TALLYSTICK_ALLOW_ANYONE=true"),
    ({"ADMIN_LISTEN": "127.0.0.1:0"}, "TALLYSTICK_AUTH: expected tokens, mtls or both beside"),
    ({"ADMIN_LISTEN": "127.0.0.1:0", "ALLOW_ANYONE": "true"}, "TALLYSTICK_AUTH: expected tokens"),
    ({"AUTH": "mtls"}, "TALLYSTICK_AUTH: expected TALLYSTICK_TLS_CERT beside mtls"),
    ({"AUTH": "token"}, "TALLYSTICK_AUTH: expected 'none', 'tokens', 'mtls' or 'both'"),
    ({"TLS_CERT": "pyproject.toml"}, "TALLYSTICK_TLS_KEY: expected the key of TALLYSTICK_TLS_CERT"),
    ({"TLS_KEY": "pyproject.toml"}, "TALLYSTICK_TLS_KEY: expected TALLYSTICK_TLS_CERT beside it"),
    ({"TLS_CERT": "pyproject.toml", "TLS_KEY": "pyproject.toml"}, "expected certificate, key and CA as PEM"),
    ({"CALLERS_FILE": "pyproject.toml", "AUTH": "tokens"}, "pyproject.toml: line 2, column 1"),
    ({"CALLERS_FILE": "/nowhere", "AUTH": "tokens"}, "TALLYSTICK_CALLERS_FILE: expected a file that exists"),
]


@pytest.mark.parametrize(("settings", "text"), REFUSED)
def test_what_would_let_anybody_in_does_not_start(start: Start, settings: dict[str, str], text: str) -> None:
    sidecar = start(wait=False, **settings)
    assert sidecar.exit_code() in (1, 2, 3)
    assert re.search(text, sidecar.log), sidecar.log
    assert "Traceback" not in sidecar.log


def test_anybody_may_be_let_in_on_purpose_and_in_clear_text_with_a_warning(start: Start) -> None:
    sidecar = start(LISTEN="0.0.0.0:0", ALLOW_ANYONE="true")
    with channel_to(f"127.0.0.1:{sidecar.port}") as channel:
        BudgetServiceStub(channel).Balance(pb.BalanceRequest(tenant="acme"))
    assert "has no TLS" in sidecar.log
