"""Where a store is: its URL, taken apart once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_TLS_BY_SCHEME = MappingProxyType({"redis": False, "valkey": False, "rediss": True, "valkeys": True})
_SENTINEL, _CLUSTER = "sentinel", "cluster"
_PORTS = MappingProxyType({"": 6379, _SENTINEL: 26379, _CLUSTER: 6379})
_EXPECTED = (
    "expected redis://, rediss://, valkey:// or valkeys:// with HOST[:PORT][?db=N], or unix:///PATH[?db=N], "
    "or one of these schemes with +sentinel, HOST[:PORT],…/SERVICE, or with +cluster, HOST[:PORT],…; "
    "special characters of a password as %XX"
)


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A store's URL, taken apart; or where one of its nodes is.

    Either `host` and `port`, `path` (a Unix socket) or `seeds` are set: the Sentinels that know where
    the `service` is by now, or, where there is no service, some nodes of a cluster.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    database: int = 0
    seeds: tuple["StoreAddress", ...] = ()
    service: str = ""

    def __str__(self) -> str:
        """Say where it is, without the credentials."""
        tls = " over TLS" if self.tls else ""
        if self.seeds:
            places = ",".join(each.place for each in self.seeds)
            kind = f"service {self.service} of the Sentinels" if self.service else "the cluster"
            return f"{kind} {places}{f' database {self.database}' if self.service else ''}{tls}"
        return f"{self.place} database {self.database}{tls}"

    @property
    def place(self) -> str:
        """The node's path or host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"

    def node(self, host: str, port: int) -> "StoreAddress":
        """A node of it, reached as this URL says."""
        return replace(self, host=host, port=port, seeds=(), service="")


def parse_store_url(url: str) -> StoreAddress:
    """Take a store's URL apart. The port is 6379 where it names none, that of Sentinels 26379.

    Raises:
        ValueError: it is wrong. The message never quotes it, for it may hold a password.

    """
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        scheme, _, kind = parts.scheme.partition("+")
        if kind:
            return _many(parts, scheme, kind, options)
        host, port = parts.hostname or "", 6379 if parts.port is None else parts.port
    except ValueError:
        raise ValueError(_EXPECTED) from None
    path = unquote(parts.path)
    unix = scheme == "unix"
    placed = path.strip("/") and not host if unix else host and port and scheme in _TLS_BY_SCHEME
    if not placed or parts.fragment or set(options) - {"db"}:
        raise ValueError(_EXPECTED)
    return StoreAddress(
        host=host,
        port=0 if unix else port,
        path=path if unix else "",
        tls=_TLS_BY_SCHEME.get(scheme, False),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=_database(options.get("db"), "" if unix else path.strip("/")),
    )


def _many(parts: SplitResult, scheme: str, kind: str, options: Mapping[str, str]) -> StoreAddress:
    """An address by way of seeds. Raises ValueError."""
    service, sentinel = unquote(parts.path).strip("/"), kind == _SENTINEL
    known = {"db", "sentinel_username", "sentinel_password"} if sentinel else set[str]()
    right = kind in _PORTS and scheme in _TLS_BY_SCHEME and not parts.fragment
    if not right or set(options) - known or bool(service) != sentinel or "/" in service:
        raise ValueError
    tls = _TLS_BY_SCHEME[scheme]
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    who = (username, password)
    if sentinel:
        who = (options.get("sentinel_username", ""), options.get("sentinel_password", ""))
    seeds = []
    for place in parts.netloc.rpartition("@")[2].split(","):
        seed = urlsplit(f"//{place}")
        port = _PORTS[kind] if seed.port is None else seed.port
        if not seed.hostname or not port:
            raise ValueError
        seeds.append(StoreAddress(seed.hostname, port, "", tls, *who))
    return StoreAddress(
        tls=tls,
        username=username,
        password=password,
        database=_database(options.get("db"), ""),
        seeds=tuple(seeds),
        service=service,
    )


def _database(option: str | None, in_path: str) -> int:
    """Read the database's number from `?db=` or, as redis-py also has it, from the path."""
    text = option if option is not None else in_path or "0"
    if not (text.isascii() and text.isdecimal()) or in_path not in {"", text}:
        raise ValueError("expected a database number, as in ?db=0")
    return int(text)
