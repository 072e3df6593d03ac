"""The providers behind Envoy: where each is, and how it is told who pays."""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import SplitResult, urlsplit

from tallystick.core.errors import TallystickError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")


class BadOption(TallystickError):
    """An option is wrong. The message names it and says what was expected."""

    def __init__(self, option: str, expected: str) -> None:
        super().__init__(f"{option}: {expected}")
        self.option = option


class Kind(StrEnum):
    """Whose API a provider speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    AZURE = "azure"
    BEDROCK = "bedrock"
    COMPATIBLE = "compatible"


class KeySource(StrEnum):
    """Where a provider's key comes from."""

    ENVIRONMENT = "env"
    FILE = "file"
    CLIENT = "client"
    """The client sends the provider's own key, and it is passed on."""
    AWS = "aws"
    """Requests are signed with what Envoy finds: environment, profile, instance or web identity."""


@dataclass(frozen=True, slots=True)
class Key:
    """Where a provider's key is, and never the key: a variable's name, or a path."""

    source: KeySource
    where: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """One upstream. `base_path` goes before each path and has no slash at its end."""

    name: str
    kind: Kind
    host: str
    port: int = 443
    tls: bool = True
    base_path: str = ""
    region: str = ""
    key: Key | None = None

    @property
    def prefix(self) -> str:
        """Where clients find it: their `base_url` begins with it."""
        return f"/{self.name}/"

    @property
    def cluster(self) -> str:
        """What Envoy calls it."""
        return f"provider-{self.name}"

    @property
    def authority(self) -> str:
        """The `host` header that it expects."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, which has no SNI and no DNS."""
        return is_address(self.host)


def is_address(host: str) -> bool:
    """Tell an IP address from a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


_HOSTS = MappingProxyType(
    {
        Kind.OPENAI: "api.openai.com",
        Kind.ANTHROPIC: "api.anthropic.com",
        Kind.GEMINI: "generativelanguage.googleapis.com",
    }
)
_EXPECTED = (
    "expected [NAME:]KIND[=WHERE]: openai, anthropic, gemini, azure=HOST, bedrock=REGION or "
    "NAME:compatible=URL, not {!r}"
)
_WHERE = "expected after = an http:// or https:// URL with nothing but host, port and path{}, not {!r}"
_KEY_EXPECTED = (
    "expected NAME=env:VARIABLE, NAME=file:/PATH, NAME=client or, for Bedrock, NAME=aws; never the key itself"
)


def read_provider(text: str) -> Provider:
    """Read `[NAME:]KIND[=WHERE]`, as in `openai`, `azure=my.openai.azure.com`, `eu:bedrock=eu-west-1`.

    Raises:
        BadOption: it is wrong.

    """
    head, _, where = text.partition("=")
    name, colon, kind_text = head.rpartition(":")
    try:
        kind = Kind(kind_text)
    except ValueError:
        raise BadOption("--provider", _EXPECTED.format(text)) from None
    name = name if colon else str(kind)
    if not _NAME.fullmatch(name):
        raise BadOption("--provider", f"expected a name of a-z, 0-9 and -, not {name!r}")
    nowhere = not where and (kind not in _HOSTS or "=" in text)
    if nowhere or (kind is Kind.COMPATIBLE and not colon):
        raise BadOption("--provider", _EXPECTED.format(text))
    if kind is Kind.BEDROCK and _REGION.fullmatch(where):
        return Provider(name, kind, f"bedrock-runtime.{where}.amazonaws.com", region=where)
    if not where:
        return Provider(name, kind, _HOSTS[kind])
    if kind is Kind.AZURE and "/" not in where:
        where = f"https://{where}"
    return _from_url(name, kind, where)


def _from_url(name: str, kind: Kind, url: str) -> Provider:
    also = " or a region" if kind is Kind.BEDROCK else " or a host" if kind is Kind.AZURE else ""
    wrong = BadOption("--provider", _WHERE.format(also, url.rpartition("@")[2]))  # never a password
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    tls = parts.scheme == "https"
    provider = Provider(
        name, kind, parts.hostname or "", port or (443 if tls else 80), tls, parts.path.rstrip("/")
    )
    if port == 0 or not _plain(parts) or not (_HOST.fullmatch(provider.host) or provider.is_address):
        raise wrong
    return provider


def _plain(parts: SplitResult) -> bool:
    """Whether it is a URL of HTTP without a query, a fragment, a user or an unusual path."""
    extra = parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in {"http", "https"} and not extra and bool(_BASE_PATH.fullmatch(parts.path))


def read_key(text: str) -> tuple[str, Key]:
    """Read `NAME=env:VARIABLE`, `NAME=file:/PATH`, `NAME=client` or `NAME=aws`.

    Raises:
        BadOption: it is wrong. What was given is never quoted, for it may be a key.

    """
    name, _, given = text.partition("=")
    source_text, _, where = given.partition(":")
    try:
        source = KeySource(source_text)
    except ValueError:
        raise BadOption("--key", _KEY_EXPECTED) from None
    fits = {
        KeySource.ENVIRONMENT: bool(_VARIABLE.fullmatch(where)),
        KeySource.FILE: where.startswith("/") and where.isprintable(),
    }
    if not _NAME.fullmatch(name) or not fits.get(source, ":" not in given):
        raise BadOption("--key", _KEY_EXPECTED)
    return name, Key(source, where)
