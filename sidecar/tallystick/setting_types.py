"""The types of settings: how each is read from text, checked, and called in the reference."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from tallystick.core.subject import TENANT
from tallystick.store.address import parse_store_url
from tallystick.store.durability import Durability

_SOCKET_PATH_BYTES = 103
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_DURATION_PART = re.compile(rf"({_NUMBER.pattern})(ms|s|m|h|d)")
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """What the reference calls a type."""

    text: str


def split_address(text: str) -> tuple[str, int]:
    """Take `host:port` or `[ipv6]:port` apart; port 0 asks the system for a free one.

    Raises:
        ValueError: it is neither.

    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    number = int(port) if port.isascii() and port.isdecimal() else -1
    if not host or bracketed != (":" in host) or not 0 <= number <= 65_535:
        raise ValueError("expected HOST:PORT, as in 127.0.0.1:50061 or [::1]:50061")
    return host, number


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach `host:port`."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_auth(auth: str, known: Mapping[str, Any], prefix: str) -> str:
    """Refuse a way to ask callers that can't work, or that asks nobody where anybody may call.

    `known` are the settings so far, by field name; one that is wrong is missing.

    Raises:
        ValueError: says what was expected.

    """
    listen, admin_listen = known.get("listen", ""), known.get("admin_listen", "")
    if auth == "none":
        if admin_listen:
            raise ValueError(f"expected tokens, mtls or both beside {prefix}ADMIN_LISTEN")
        if listen and not is_loopback(listen) and not known.get("allow_anyone"):
            raise ValueError(
                f"expected tokens, mtls or both, since other machines can reach {prefix}LISTEN {listen}; "
                f"with {prefix}ALLOW_ANYONE=true whoever does may spend"
            )
    if auth in ("mtls", "both"):
        for name in ("tls_cert", "tls_client_ca", "callers_file"):
            if known.get(name, name) is None:
                raise ValueError(f"expected {prefix}{name.upper()} beside {auth}")
    return auth


def check_durability(mode: Durability, url: str, prefix: str) -> None:
    """Refuse a mode that the store at this URL can't have.

    Raises:
        ValueError: says what was expected.

    """
    if mode is Durability.REPLICATED and not url:
        raise ValueError(f"expected {prefix}STORE_URL beside replicated: the embedded store has no replicas")
    if mode is Durability.DURABLE and url and parse_store_url(url).seeds:
        raise ValueError(
            "expected replicated, or fast, with Sentinels or a cluster: "
            "a failover may lose what a replica did not have yet"
        )


def _address_or_empty(text: str) -> str:
    if text:
        split_address(text)
    return text


def _read_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    text = str(value).strip()
    if text.startswith("P"):
        return text  # ISO 8601, which pydantic reads
    parts = [(text, "s")] if _NUMBER.fullmatch(text) else _DURATION_PART.findall(text)
    if not parts or sum(len(number) + len(unit) for number, unit in parts) < len(text):
        raise ValueError("expected a duration, as in 30s, 10m, 1h30m, 24h, PT30S or a number of seconds")
    try:
        return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())
    except OverflowError:
        raise ValueError("expected a duration of less than a billion days") from None


def _read_paths(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _expanded(path: Path) -> Path:
    if path == Path():
        raise ValueError("expected a path")
    return path.expanduser().absolute()


def _fits_socket(path: Path) -> Path:
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise ValueError(
            f"expected a path of {_SOCKET_PATH_BYTES} bytes at most, the limit of Unix sockets, not {path}"
        )
    return path


def _is_file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("expected a file that exists")
    return path


def _tenant_or_empty(text: str) -> str:
    if text and not TENANT.fullmatch(text):
        raise ValueError("expected 1 to 64 of [a-z0-9_.-]")
    return text


def _checked_store_url(url: SecretStr) -> SecretStr:
    if url.get_secret_value():
        parse_store_url(url.get_secret_value())
    return url


_AbsolutePath = Annotated[Path, AfterValidator(_expanded)]

AbsolutePath = Annotated[_AbsolutePath, Kind("path")]
"""A path, made absolute; `~` is the home directory."""
SocketPath = Annotated[
    Annotated[_AbsolutePath, AfterValidator(_fits_socket)] | None,
    BeforeValidator(_none_if_empty),
    Kind("path of a Unix socket; empty for none"),
]
ExistingFile = Annotated[
    Annotated[_AbsolutePath, AfterValidator(_is_file)] | None, BeforeValidator(_none_if_empty), Kind("path")
]
Paths = Annotated[
    tuple[_AbsolutePath, ...], NoDecode, BeforeValidator(_read_paths), Kind("paths, separated by commas")
]
Listen = Annotated[str, AfterValidator(_address_or_empty), Kind("`HOST:PORT`; empty for none")]
Duration = Annotated[
    timedelta, BeforeValidator(_read_duration), Field(ge=timedelta()), Kind("duration: `30s`, `10m`, `24h`…")
]
StoreUrl = Annotated[SecretStr, AfterValidator(_checked_store_url), Kind("URL; empty for the embedded store")]
TenantName = Annotated[str, AfterValidator(_tenant_or_empty), Kind("name of a tenant; empty for none")]
