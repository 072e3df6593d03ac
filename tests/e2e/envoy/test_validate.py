"""Every configuration that can be asked for is one that Envoy takes."""

import dataclasses
import itertools
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme

from tallystick.envoy import EnvoyOptions, Way, bootstrap, dump, find_envoy, read_key, read_provider
from tallystick.envoy.options import Place
from tallystick.envoy.providers import Provider
from tests.servers import short_directory

SETS: dict[str, list[tuple[str, str | None]]] = {
    "openai": [("openai", "env:K")],
    "all": [
        ("openai", "env:K"), ("anthropic", "file:{}/key"), ("gemini", "client"),
        ("azure=acme.openai.azure.com", "env:K"), ("bedrock=eu-west-1", "aws"),
        ("vllm:compatible=http://127.0.0.1:8000/base", None),
    ],
    "several of a kind": [
        ("eu:azure=eu.openai.azure.com", "env:K"), ("us:azure=us.openai.azure.com", "env:K"),
        ("n:compatible=https://[2001:db8::1]:8443", None), ("bedrock=us-gov-west-1", "env:K"),
    ],
}  # fmt: skip
SIDECARS = {"unix": Place(path="/run/tallystick/s.sock"), "address": Place("10.0.0.1", 50061)}
SIDECARS |= {"ipv6": Place("::1", 50061), "name": Place("tallystick.svc.local", 50061)}


def made(text: str, source: str | None, directory: Path) -> Provider:
    provider = read_provider(text)
    key = source and read_key(f"{provider.name}={source.format(directory)}")[1]
    return dataclasses.replace(provider, key=key or None)


def assert_valid(options: EnvoyOptions, directory: Path) -> None:
    file = directory / "envoy.yaml"
    file.write_text(dump(bootstrap(options)))
    command = [str(find_envoy()), "--mode", "validate", "-c", str(file), "--log-level", "error"]
    found = subprocess.run(
        command, env=os.environ | {"K": "key"}, capture_output=True, text=True, check=False
    )
    assert not found.returncode, found.stderr


@pytest.mark.parametrize(
    ("way", "chosen", "sidecar", "fail_open"),
    [
        *itertools.product(Way, SETS, ["unix"], [False, True]),
        *itertools.product(Way, ["openai"], sorted(SIDECARS.keys() - {"unix"}), [False]),
    ],
)
def test_envoy_takes_it(way: Way, chosen: str, sidecar: str, fail_open: bool) -> None:
    with short_directory() as directory:
        (directory / "key").write_text("key")
        providers = tuple(made(text, source, directory) for text, source in SETS[chosen])
        options = EnvoyOptions(
            providers=providers,
            way=way,
            sidecar=SIDECARS[sidecar],
            ca_bundle=str(_ca(directory)),
            fail_open=fail_open,
            access_log=str(directory / "log") if fail_open else "",
            admin=None if fail_open else Place("::1", 9901),
            tenant="acme" if fail_open else "",
        )
        assert_valid(options, directory)


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("mutual", [False, True])
def test_envoy_takes_it_with_tls_for_clients(way: Way, mutual: bool) -> None:
    with short_directory() as directory:
        certificate = trustme.CA().issue_cert("gateway.example")
        certificate.private_key_pem.write_to_path(directory / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(directory / "cert.pem")
        more: dict[str, Any] = {"tls_client_ca": str(_ca(directory))} if mutual else {}
        options = EnvoyOptions(
            providers=(made("y:compatible=http://localhost:8000", None, directory),),
            way=way,
            sidecar=SIDECARS["unix"],
            tls_cert=str(directory / "cert.pem"),
            tls_key=str(directory / "key.pem"),
            listen=Place("0.0.0.0", 8443),
            decision_timeout_s=0.0005,
            **more,
        )
        assert_valid(options, directory)


def _ca(directory: Path) -> Path:
    trustme.CA().cert_pem.write_to_path(directory / "ca.pem")
    return directory / "ca.pem"
