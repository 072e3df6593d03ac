"""What a configuration is made from: plain values, checked when they are put together."""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum

from tallystick.core.subject import TENANT
from tallystick.envoy.providers import BadOption, Key, KeySource, Kind, Provider, is_address
from tallystick.setting_types import split_address

_SOCKET_PATH_BYTES = 107
MIB = 1 << 20

__all__ = ["BadOption", "EnvoyOptions", "Place", "Way", "read_place"]


class Way(StrEnum):
    """How Envoy asks the sidecar."""

    AUTHZ = "authz"
    """ext_authz before the call, the access log after it."""
    PROC = "proc"
    """ext_proc: every part of the call passes through the sidecar."""
    RATELIMIT = "ratelimit"
    """The rate limit service: before the call, and when it is done."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something listens: either `host` and `port`, or `path`, a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, and not a name."""
        return is_address(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return bool(self.path) or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read_place(option: str, text: str) -> Place:
    """Read `HOST:PORT` or `unix:/PATH`.

    Raises:
        BadOption: it is neither.

    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > _SOCKET_PATH_BYTES or not path.isprintable():
            raise BadOption(
                option, f"expected unix:/PATH of at most {_SOCKET_PATH_BYTES} bytes, not {text!r}"
            )
        return Place(path=path)
    try:
        return Place(*split_address(text))
    except ValueError:
        raise BadOption(option, f"expected HOST:PORT or unix:/PATH, not {text!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvoyOptions:
    """What to put in front of the providers. Times are seconds, sizes bytes; see `docs/guides/envoy.md`.

    Raises:
        BadOption: the values don't fit together.

    """

    providers: tuple[Provider, ...]
    sidecar: Place
    way: Way = Way.AUTHZ
    tenant: str = ""
    """Of every call; empty where the callers' keys or the sidecar's settings say it."""
    listen: Place = Place("127.0.0.1", 8080)
    admin: Place | None = Place("127.0.0.1", 9901)
    fail_open: bool = False
    access_log: str = ""
    ca_bundle: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    max_body_bytes: int = 32 * MIB
    shown_body_bytes: int = MIB
    decision_timeout_s: float = 3.0
    idle_timeout_s: float = 600.0
    progress_interval_s: float = 30.0
    log_flush_interval_s: float = 0.02

    def __post_init__(self) -> None:
        names = [provider.name for provider in self.providers]
        if not names:
            raise BadOption("--provider", "expected at least one")
        if twice := {name for name in names if names.count(name) > 1}:
            raise BadOption("--provider", f"{min(twice)} is given twice; name one of them, as in eu:azure=…")
        for provider in self.providers:
            self._check_key(provider)
        if self.tenant and not TENANT.fullmatch(self.tenant):
            raise BadOption("--tenant", f"expected 1 to 64 of [a-z0-9_.-], not {self.tenant!r}")
        if self.admin and not self.admin.is_loopback:
            raise BadOption("--admin", "expected a Unix socket or an address of the loopback")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise BadOption("--tls-cert", "expected --tls-key beside it")
        if self.tls_client_ca and not self.tls_cert:
            raise BadOption("--tls-client-ca", "expected --tls-cert and --tls-key beside it")
        if any(provider.tls for provider in self.providers) and not self.ca_bundle:
            raise BadOption("--ca-bundle", "expected the certificates to trust; the system's were not found")
        if not 0 < self.shown_body_bytes <= self.max_body_bytes:
            raise BadOption("--shown-body", "expected at most --max-body")

    def _check_key(self, provider: Provider) -> None:
        match provider:
            case Provider(kind=Kind.COMPATIBLE, key=None):
                return  # many a server of one's own asks for none
            case Provider(key=None):
                expected = f"expected {provider.name}=env:VARIABLE, =file:/PATH or =client"
                raise BadOption("--key", expected)
            case Provider(kind=kind, key=Key(source=KeySource.AWS)) if (
                kind is not Kind.BEDROCK or not provider.region
            ):
                raise BadOption("--key", f"{provider.name}=aws is for Bedrock with a region")
