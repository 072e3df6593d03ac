"""How a sidecar starts: stores over TLS, wrong passwords, directories and ports that are taken."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.e2e.caller import Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import eventually, is_serving
from tests.servers import REDIS, StoreServer, free_port, short_directory

PASSWORD = "s3cr:t/p@ss"
QUOTED = "s3cr%3At%2Fp%40ss"
OPENSSL = shutil.which("openssl")


def certify(directory: Path) -> None:
    """An authority, and certificates for 127.0.0.1 and for a client, signed by it."""
    assert OPENSSL is not None

    def openssl(*arguments: str) -> None:
        subprocess.run([OPENSSL, *arguments], cwd=directory, check=True, capture_output=True)

    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    usages = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl(*new, "-x509", "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", *usages)
    for name in ("server", "client"):
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (directory / "ext").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)


@dataclass
class SecureStore:
    """Debian's Redis over TLS, with a password."""

    directory: Path
    port: int

    @property
    def settings(self) -> dict[str, str]:
        return {
            "STORE_URL": f"rediss://:{QUOTED}@127.0.0.1:{self.port}",
            "STORE_TLS_CA": str(self.directory / "ca.pem"),
            "STORE_TLS_CERT": str(self.directory / "client.pem"),
            "STORE_TLS_KEY": str(self.directory / "client.key"),
        }


@pytest.fixture(scope="module")
def secure_store() -> Iterator[SecureStore]:
    if REDIS is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    if OPENSSL is None:
        pytest.skip("openssl is not installed (Debian: apt-get install openssl)")
    with short_directory() as directory:
        certify(directory)
        store = SecureStore(directory, free_port())
        files = {"cert": "server.pem", "key": "server.key", "ca-cert": "ca.pem"}
        extra = ["--tls-port", str(store.port), "--requirepass", PASSWORD]
        extra += [
            word for name, file in files.items() for word in (f"--tls-{name}-file", str(directory / file))
        ]
        server = StoreServer(directory, REDIS, extra)
        server.start()
        try:
            yield store
        finally:
            server.stop()


def test_a_store_over_tls_with_a_password(start: Start, secure_store: SecureStore) -> None:
    sidecar = start(**secure_store.settings)
    with Caller(sidecar) as caller:
        caller.apply("wallets: {org: {}}")
        caller.credit(100)
        caller.allowed(60, reservation_id="one")
        assert caller.settle("one", 50).charged.nano_usd == 50
    assert f"127.0.0.1:{secure_store.port} database 0 over TLS" in sidecar.log
    assert_no_secrets(sidecar.log)


def test_a_wrong_password_is_said_without_saying_it(start: Start, secure_store: SecureStore) -> None:
    url = secure_store.settings["STORE_URL"].replace(QUOTED, "hunter2-hunter2")
    sidecar = start(wait=False, **secure_store.settings | {"STORE_URL": url})
    eventually(lambda: "WRONGPASS" in sidecar.log)
    assert "refused AUTH" in sidecar.log
    with Caller(sidecar, tenant="acme") as caller:
        assert not is_serving(sidecar)
        with fails(grpc.StatusCode.UNAVAILABLE):
            caller.reserve(1)
    assert_no_secrets(sidecar.log)


def test_a_missing_password_is_said(start: Start, secure_store: SecureStore) -> None:
    url = f"rediss://127.0.0.1:{secure_store.port}"
    sidecar = start(wait=False, **secure_store.settings | {"STORE_URL": url})
    eventually(lambda: "NOAUTH" in sidecar.log)


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    start: Start, secure_store: SecureStore
) -> None:
    settings = {"STORE_URL": secure_store.settings["STORE_URL"]}
    sidecar = start(wait=False, **settings)
    eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in sidecar.log)
    assert not is_serving(sidecar)
    assert_no_secrets(sidecar.log)


def assert_no_secrets(log: str) -> None:
    for secret in (PASSWORD, QUOTED, "hunter2"):
        assert secret not in log


def test_two_sidecars_cannot_own_one_directory(start: Start) -> None:
    first = start()
    with Caller(first) as caller:
        caller.apply("wallets: {org: {}}")
        second = start(wait=False, directory=first.directory)
        assert second.exit_code() == 3
        assert f"in use by another sidecar (process {first.pid})" in first.log.replace("pid", "process")
        assert "Traceback" not in first.log
        assert caller.balance().policy_version == 1
    assert is_serving(first)


@pytest.mark.parametrize("transport", ["native", "grpcio"])
@pytest.mark.parametrize("setting", ["LISTEN", "HTTP_LISTEN"])
def test_a_port_that_is_taken_ends_the_start_with_a_clear_error(
    start: Start, transport: str, setting: str
) -> None:
    first = start(TRANSPORT=transport, **{setting: "127.0.0.1:0"})
    port = first.port if setting == "LISTEN" else first.http_port
    second = start(wait=False, TRANSPORT=transport, **{setting: f"127.0.0.1:{port}"})
    assert second.exit_code() == 3
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in second.log
    assert "Traceback" not in second.log


def test_a_socket_that_is_taken_is_refused_and_one_left_behind_is_not(start: Start) -> None:
    first = start()
    socket = str(first.directory / "tallystick.sock")
    second = start(wait=False, SOCKET=socket)
    assert second.exit_code() == 3
    assert f"can't listen on {socket}: another process does" in second.log
    first.kill()
    assert Path(socket).exists()
    third = start(directory=first.directory)
    assert is_serving(third)


def test_another_key_than_that_of_the_store_is_refused(start: Start) -> None:
    with short_directory() as directory:
        store = StoreServer(directory)
        store.start()
        try:
            start(STORE_URL=store.url)
            key = directory / "other.key"
            key.write_text("0" * 64)
            second = start(wait=False, STORE_URL=store.url, TALLY_KEY_FILE=str(key))
            assert second.exit_code() == 3
            assert "other.key is not the one that this store's sidecars share" in second.log
        finally:
            store.stop()


def test_a_store_that_evicts_is_refused(start: Start) -> None:
    with short_directory() as directory:
        store = StoreServer(directory, extra=["--maxmemory-policy", "allkeys-lru"])
        store.start()
        try:
            sidecar = start(wait=False, STORE_URL=store.url)
            assert sidecar.exit_code() == 3
            assert "evicts keys (allkeys-lru)" in sidecar.log
        finally:
            store.stop()


def test_policies_are_applied_at_the_start_and_a_bad_one_ends_it(start: Start) -> None:
    with short_directory() as directory:
        good, bad = directory / "good.yaml", directory / "bad.yaml"
        good.write_text("tenant: acme\nwallets: {org: {}}\n")
        bad.write_text("tenant: evil\nwallet: {}\n")
        sidecar = start(POLICY_FILES=str(good))
        with Caller(sidecar, tenant="acme") as caller:
            assert caller.balance().policy_version == 1
        other = start(wait=False, POLICY_FILES=f"{good},{bad}")
        assert other.exit_code() == 1
        assert "bad.yaml:2:1: wallet: expected" in other.log
