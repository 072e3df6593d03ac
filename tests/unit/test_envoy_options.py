"""What Envoy's configuration is made from: how it is read, and what is refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.envoy import (
    BadOption,
    EnvoyMissing,
    EnvoyOptions,
    Key,
    Provider,
    Version,
    Way,
    bootstrap,
    dump,
    find_envoy,
    problem_with,
    read_key,
    read_provider,
    version_of,
)
from tallystick.envoy.extension import seconds
from tallystick.envoy.options import Place, read_place
from tallystick.envoy.providers import KeySource, Kind

BEDROCK = Provider("bedrock", Kind.BEDROCK, "bedrock-runtime.eu-west-1.amazonaws.com", region="eu-west-1")
LOCAL = read_provider("local:compatible=http://127.0.0.1:8000")


def options(*providers: Provider, **more: Any) -> EnvoyOptions:
    return EnvoyOptions(providers=providers, sidecar=Place(path="/run/s"), ca_bundle="/ca.pem", **more)


@pytest.mark.parametrize("tenant", ["Acme", "a b", "a/b", "a" * 65])
def test_what_is_no_tenants_name_is_refused(tenant: str) -> None:
    with pytest.raises(BadOption, match="--tenant: expected"):
        options(LOCAL, tenant=tenant)


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("openai", Provider("openai", Kind.OPENAI, "api.openai.com")),
        ("anthropic", Provider("anthropic", Kind.ANTHROPIC, "api.anthropic.com")),
        ("gemini", Provider("gemini", Kind.GEMINI, "generativelanguage.googleapis.com")),
        ("azure=acme.openai.azure.com", Provider("azure", Kind.AZURE, "acme.openai.azure.com")),
        ("eu:azure=https://a.b/", Provider("eu", Kind.AZURE, "a.b")),
        ("bedrock=eu-west-1", BEDROCK),
        ("x:compatible=http://h:8000/a/b/", Provider("x", Kind.COMPATIBLE, "h", 8000, False, "/a/b")),
        ("v:compatible=http://h", Provider("v", Kind.COMPATIBLE, "h", 80, tls=False)),
        ("openai=https://[::1]:8443", Provider("openai", Kind.OPENAI, "::1", 8443)),
    ],
)  # fmt: skip
def test_providers_are_read(text: str, provider: Provider) -> None:
    assert read_provider(text) == provider


@pytest.mark.parametrize(
    "text",
    [
        "", "opanai", "openai=", "azure", "bedrock", "bedrock=frankfurt", "compatible=http://h",
        "x:compatible", "X:openai", "a/b:openai", ":openai", "x:compatible=ftp://h", "x:compatible=h:80",
        "openai=http://",
        "openai=https://h?x=1", "openai=https://h/#a", "openai=https://h/a b", "openai=https://h:0",
        "openai=https://h:99999", "openai=https://h_x", "openai=https://-h",
    ],
)  # fmt: skip
def test_other_providers_are_refused(text: str) -> None:
    with pytest.raises(BadOption, match=r"^--provider: expected "):
        read_provider(text)


def test_a_password_in_a_url_is_refused_and_not_quoted() -> None:
    with pytest.raises(BadOption) as refused:
        read_provider("openai=https://me:secret@h/")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("openai=env:OPENAI_API_KEY", Key(KeySource.ENVIRONMENT, "OPENAI_API_KEY")),
        ("a-1=file:/run/keys/a", Key(KeySource.FILE, "/run/keys/a")),
        ("x=client", Key(KeySource.CLIENT)),
        ("x=aws", Key(KeySource.AWS)),
    ],
)
def test_keys_are_read(text: str, key: Key) -> None:
    assert read_key(text) == (text.partition("=")[0], key)


@pytest.mark.parametrize(
    "text",
    [
        "openai",
        "openai=sk-secret",
        "x=env:",
        "x=env:9A",
        "x=env:A B",
        "x=file:secret",
        "=env:A",
        "x=client:a",
    ],
)
def test_other_keys_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(BadOption, match=r"^--key: expected ") as refused:
        read_key(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:80", Place("127.0.0.1", 80)),
        ("[::1]:80", Place("::1", 80)),
        ("gate.example:80", Place("gate.example", 80)),
        ("unix:/run/s.sock", Place(path="/run/s.sock")),
    ],
)
def test_places_are_read(text: str, place: Place) -> None:
    assert read_place("--listen", text) == place


@pytest.mark.parametrize("text", ["", "80", ":80", "h:", "h:99999", "unix:", "unix:s", "unix:/" + "a" * 107])
def test_other_places_are_refused(text: str) -> None:
    with pytest.raises(BadOption, match=r"^--listen: expected "):
        read_place("--listen", text)


@pytest.mark.parametrize(
    ("providers", "more", "option"),
    [
        ((), {}, "--provider"),
        ((LOCAL, LOCAL), {}, "--provider"),
        ((read_provider("openai"),), {}, "--key"),
        ((dataclasses.replace(LOCAL, key=Key(KeySource.AWS)),), {}, "--key"),
        ((LOCAL,), {"admin": Place("0.0.0.0", 9901)}, "--admin"),
        ((LOCAL,), {"admin": Place("gate.example", 9901)}, "--admin"),
        ((LOCAL,), {"tls_cert": "/c"}, "--tls-cert"),
        ((LOCAL,), {"tls_key": "/k"}, "--tls-cert"),
        ((LOCAL,), {"tls_client_ca": "/ca"}, "--tls-client-ca"),
        ((LOCAL,), {"shown_body_bytes": 1 << 30}, "--shown-body"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    providers: tuple[Provider, ...], more: dict[str, Any], option: str
) -> None:
    with pytest.raises(BadOption, match=f"^{option}: "):
        options(*providers, **more)


def test_tls_needs_certificates_to_trust() -> None:
    provider = read_provider("x:compatible=https://h")
    with pytest.raises(BadOption, match=r"^--ca-bundle: "):
        EnvoyOptions(providers=(provider,), sidecar=Place(path="/run/s"))


def test_the_yaml_says_what_was_built() -> None:
    """Also to readers that take y and n for truths."""
    built = bootstrap(options(dataclasses.replace(LOCAL, name="y"), way=Way.AUTHZ))
    text = dump(built)
    assert yaml.safe_load(text) == built
    assert "key: n\n" not in text
    assert "name: y\n" not in text
    assert "&id" not in text


def test_a_key_is_never_in_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    provider = dataclasses.replace(read_provider("openai"), key=read_key("openai=env:OPENAI_API_KEY")[1])
    assert "sk-secret" not in dump(bootstrap(options(provider)))


@pytest.mark.parametrize(
    ("version", "way", "fits"),
    [
        (Version(1, 40), Way.AUTHZ, True),
        (Version(1, 39, 9), Way.AUTHZ, False),
        (Version(2, 0), Way.AUTHZ, True),
        (Version(1, 37), Way.PROC, True),
        (Version(1, 36, 4), Way.PROC, False),
        (Version(1, 39), Way.RATELIMIT, False),
    ],
)
def test_each_way_has_a_first_version(version: Version, way: Way, fits: bool) -> None:
    assert (problem_with(version, way) == "") == fits


def test_the_envoy_that_is_installed_is_found_and_tells_its_version() -> None:
    assert version_of(find_envoy())[:2] == (1, 40)


def test_something_else_is_no_envoy(tmp_path: Path) -> None:
    for binary in (tmp_path / "absent", Path("/bin/true"), Path("/bin/false")):
        with pytest.raises(EnvoyMissing):
            version_of(binary)


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3s"), (0.25, "0.25s"), (600, "600s"), (0.0005, "0.0005s")]
)
def test_lengths_of_time_are_written_plainly(value: float, text: str) -> None:
    assert seconds(value) == text
