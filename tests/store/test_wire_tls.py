"""TLS to the store, with certificates made on the spot."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.core.errors import StoreUnavailable
from tallystick.store.address import StoreAddress
from tallystick.store.resp import encode
from tests.servers import REDIS, StoreServer
from tests.store.test_wire import PATIENCE_S, wire_to

OPENSSL = shutil.which("openssl")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def make_certificate(directory: Path, name: str) -> None:
    command = [str(OPENSSL), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.crt")]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def tls_port(directory: Path) -> Iterator[int]:
    if REDIS is None:
        pytest.skip("redis-server is not installed, and the bundled Valkey has no TLS")
    if OPENSSL is None:
        pytest.skip("openssl is not installed")
    for name in ("server", "other"):
        make_certificate(directory, name)
    port = free_port()
    extra = ["--tls-port", str(port), "--tls-auth-clients", "no", "--bind", "127.0.0.1"]
    extra += [
        "--tls-cert-file",
        str(directory / "server.crt"),
        "--tls-key-file",
        str(directory / "server.key"),
    ]
    server = StoreServer(directory, REDIS, extra)
    server.start()
    yield port
    server.stop()


def trusting(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(path))


async def test_a_store_over_tls_answers(tls_port: int, directory: Path) -> None:
    address = StoreAddress(host="localhost", port=tls_port, tls=True)
    async with wire_to(address, tls=trusting(directory / "server.crt")) as wire:
        await asyncio.wait_for(wire.connected(), PATIENCE_S)
        replies = await asyncio.gather(
            *(wire.run(encode(["ECHO", "x" * 50_000 + str(n)])) for n in range(50))
        )
        assert replies == [b"x" * 50_000 + b"%d" % n for n in range(50)]


@pytest.mark.parametrize("why", ["stranger", "other name", "no TLS"])
async def test_a_store_that_is_not_what_it_should_be_is_not_spoken_to(
    tls_port: int, directory: Path, why: str
) -> None:
    trusted = trusting(directory / ("other.crt" if why == "stranger" else "server.crt"))
    host = "127.0.0.1" if why == "other name" else "localhost"
    address = StoreAddress(host=host, port=tls_port, tls=why != "no TLS")
    async with wire_to(address, tls=trusted) as wire:
        with pytest.raises(StoreUnavailable):
            await wire.run(encode(["PING"]))
        assert not wire.up
