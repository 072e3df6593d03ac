"""Where a store is: its URL, taken apart once."""

from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

_TLS_BY_SCHEME = MappingProxyType({"redis": False, "valkey": False, "rediss": True, "valkeys": True})
_EXPECTED = (
    "expected redis://, rediss://, valkey:// or valkeys:// with HOST[:PORT][?db=N], or unix:///PATH[?db=N], "
    "special characters of a password as %XX"
)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A store's URL, taken apart. Either `host` and `port` or `path` (a Unix socket) are set."""

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0

    def __str__(self) -> str:
        """Say where it is, without the credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = self.path or f"{host}:{self.port}"
        return f"{place} database {self.database}{' over TLS' if self.tls else ''}"


def parse_store_url(url: str) -> StoreAddress:
    """Take a store's URL apart. The port is 6379 where it names none.

    Raises:
        ValueError: it is wrong. The message never quotes it, for it may hold a password.

    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", 6379 if parts.port is None else parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(_EXPECTED) from None
    path = unquote(parts.path)
    unix = parts.scheme == "unix"
    placed = path.strip("/") and not host if unix else host and port and parts.scheme in _TLS_BY_SCHEME
    if not placed or parts.fragment or set(options) - {"db"}:
        raise ValueError(_EXPECTED)
    return StoreAddress(
        host=host,
        port=0 if unix else port,
        path=path if unix else "",
        tls=_TLS_BY_SCHEME.get(parts.scheme, False),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=_database(options.get("db"), "" if unix else path.strip("/")),
    )


def _database(option: str | None, in_path: str) -> int:
    """Read the database's number from `?db=` or, as redis-py also has it, from the path."""
    text = option if option is not None else in_path or "0"
    if not (text.isascii() and text.isdecimal()) or in_path not in {"", text}:
        raise ValueError("expected a database number, as in ?db=0")
    return int(text)
