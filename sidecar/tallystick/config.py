"""The sidecar's settings: the only reader of the environment.

`python -m tallystick.config` prints the reference, docs/reference/settings.md.
"""

import difflib
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from tallystick.core.errors import TallystickError
from tallystick.setting_reference import write_reference
from tallystick.setting_types import (
    AbsolutePath,
    Duration,
    ExistingFile,
    Listen,
    Paths,
    SocketPath,
    StoreUrl,
    TenantName,
    check_auth,
    check_durability,
)
from tallystick.store.address import StoreAddress, parse_store_url
from tallystick.store.durability import Durability, Promise

PREFIX = "TALLYSTICK_"


class ConfigError(TallystickError):
    """The settings are wrong. Each problem names its variable and what was expected."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def default_data_dir() -> Path:
    """Where everything lies if no setting says otherwise."""
    base = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification has relative paths ignored.
    return Path(base if Path(base).is_absolute() else "~/.local/share") / "tallystick"


def _in_data_dir(name: str, description: str) -> Any:
    """Declare a setting whose default is a file of the data directory."""
    return Field(
        default_factory=lambda known: known["data_dir"] / name,
        description=description,
        json_schema_extra={"shown": f"`DATA_DIR/{name}`"},
    )


class Settings(BaseSettings):
    """What the environment says, checked. Make it with `load_settings`, whose errors are readable."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    data_dir: AbsolutePath = Field(
        default_factory=default_data_dir,
        description="Where the embedded store, the sockets and the tally key live; created if missing.",
        json_schema_extra={"shown": "`$XDG_DATA_HOME/tallystick`, or `~/.local/share/tallystick`"},
    )
    listen: Listen = Field("127.0.0.1:50061", description="The TCP address of the gRPC service.")
    socket: SocketPath = _in_data_dir("tallystick.sock", "The Unix socket of the gRPC service.")
    admin_socket: SocketPath = _in_data_dir(
        "admin.sock", "The Unix socket of the admin service; who may open it may administer."
    )
    admin_listen: Listen = Field(
        "", description="A TCP address of the admin service as well; callers are asked who they are."
    )
    transport: Literal["native", "grpcio"] = Field(
        "native",
        description="Which gRPC server: `native` is faster; a listener with TLS is always `grpcio`'s.",
    )
    tls_cert: ExistingFile = Field(
        None, description="The certificate (PEM) of the TCP listeners; read again when it changes."
    )
    tls_key: ExistingFile = Field(None, description="The key (PEM) of that certificate.")
    tls_client_ca: ExistingFile = Field(
        None, description="Who signs client certificates (PEM): callers over TCP must then have one."
    )
    callers_file: ExistingFile = Field(
        None,
        description="Whom tokens, client certificates and the Unix socket stand for (YAML), beside the "
        "tokens in the store; read again when it changes.",
    )
    allow_anyone: bool = Field(
        False,
        description="Let `none` stand for a TCP address that others can reach: whoever does may spend.",
    )
    auth: Literal["none", "tokens", "mtls", "both"] = Field(
        "none",
        description="Who may call: anybody who reaches a listener, those with a token, those with a client "
        "certificate, those with either.",
    )
    http_listen: Listen = Field("127.0.0.1:9464", description="The address of /metrics, /livez and /readyz.")
    store_url: StoreUrl = Field(
        SecretStr(""),
        description="The store: `redis://`, `rediss://`, `valkey://`, `valkeys://` with "
        "`[USER:PASSWORD@]HOST[:PORT][?db=N]`, or `unix:///PATH`; `redis+sentinel://HOST:PORT,…/SERVICE` "
        "(`?sentinel_password=…` where Sentinels have one) or `redis+cluster://HOST:PORT,…`, with TLS "
        "`rediss+…`. Never logged.",
    )
    store_tls_ca: ExistingFile = Field(
        None, description="Certificates (PEM) to trust in place of the system's for a store over TLS."
    )
    store_tls_cert: ExistingFile = Field(None, description="The client certificate (PEM) to show the store.")
    store_tls_key: ExistingFile = Field(None, description="The key (PEM) of the client certificate.")
    store_timeout_ms: Annotated[int, Field(ge=1, le=600_000)] = Field(
        2000, description="How many milliseconds to wait for the store's answer."
    )
    durability: Literal["fast", "durable", "replicated"] = Field(
        "fast",
        description="What the store promises of what was answered: `fast` (on disk within a second), "
        "`durable` (on disk, no failover), `replicated` (on disk here, and with replicas).",
    )
    replicas: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="How many replicas confirm each answer, where durability is `replicated`."
    )
    partitions: Annotated[int, Field(ge=1, le=4096)] = Field(
        64, description="The partitions of a new store; one in use keeps its own number."
    )
    retention: Duration = Field(
        timedelta(hours=24), description="How long an ended hold gives the same answer again."
    )
    tally_key_file: AbsolutePath = _in_data_dir(
        "tally.key", "The key that seals tallies; all sidecars of one store need the same."
    )
    journal_file: AbsolutePath = _in_data_dir(
        "journal", "What was decided while the store was away, until the store knows of it."
    )
    journal_bytes: Annotated[int, Field(ge=0)] = Field(
        64 * 1024 * 1024,
        description="How long the journal may become; 0: nothing is let through while the store is away.",
    )
    policy_files: Paths = Field((), description="Policies to apply at start.")
    default_tenant: TenantName = Field(
        "",
        description="The tenant of calls over HTTP whose key was not made by `tallystick key create`, "
        "or that have none; empty: they are refused, unless the route names a tenant.",
    )
    max_in_flight: Annotated[int, Field(ge=1)] = Field(512, description="Calls worked on at the same time.")
    max_queued: Annotated[int, Field(ge=0)] = Field(4096, description="Calls that may wait beyond those.")
    drain_timeout: Duration = Field(
        timedelta(seconds=30), description="How long open calls may take to finish at shutdown."
    )
    envoy: bool = Field(
        False,
        description="Whether to serve Envoy's own services beside ours: ext_authz, access log, ext_proc, "
        "rate limits.",
    )
    rate_limit_tenant: TenantName = Field(
        "", description="The tenant of rate limit requests whose domain is not a tenant's name."
    )
    rate_limit_unit: Literal["requests", "tokens", "nano_usd"] = Field(
        "requests", description="What `hits_addend` counts where a descriptor has no entry `unit`."
    )
    reflection: bool = Field(False, description="Whether to serve gRPC reflection.")
    preload_tokenizers: bool = Field(
        True, description="Load vocabularies at start (about 85 MB), rather than within the first call."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least to log.")
    log_format: Literal["json", "text"] = Field("json", description="JSON lines, or text for people.")

    @field_validator("store_tls_ca", "store_tls_cert", "store_tls_key")
    @classmethod
    def _needs_tls(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        url = info.data.get("store_url", SecretStr("")).get_secret_value()
        if path is not None and "store_url" in info.data and not (url and parse_store_url(url).tls):
            raise ValueError(f"expected {PREFIX}STORE_URL to begin with rediss:// or another scheme with TLS")
        return path

    @field_validator("durability")
    @classmethod
    def _can_be_kept(cls, mode: str, info: ValidationInfo) -> str:
        if "store_url" in info.data:
            check_durability(Durability(mode), info.data["store_url"].get_secret_value(), PREFIX)
        return mode

    @field_validator("store_tls_key", "tls_key", "tls_client_ca")
    @classmethod
    def _needs_certificate(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        name = "store_tls_cert" if str(info.field_name).startswith("store") else "tls_cert"
        if path is not None and info.data.get(name, path) is None:
            raise ValueError(f"expected {PREFIX}{name.upper()} beside it")
        return path

    @field_validator("tls_key")
    @classmethod
    def _needs_key(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None and info.data.get("tls_cert") is not None:
            raise ValueError(f"expected the key of {PREFIX}TLS_CERT")
        return path

    @field_validator("auth")
    @classmethod
    def _asks_rightly(cls, auth: str, info: ValidationInfo) -> str:
        return check_auth(auth, info.data, PREFIX)

    def promise(self) -> Promise:
        """Return what the store has to promise."""
        mode = Durability(self.durability)
        return Promise(mode, self.replicas if mode is Durability.REPLICATED else 0)

    def store_address(self) -> StoreAddress | None:
        """Return the store's URL, taken apart; None for the embedded store."""
        url = self.store_url.get_secret_value()
        return parse_store_url(url) if url else None


def load_settings(**overrides: Any) -> Settings:
    """Read the environment. `overrides`, by field name, go before it.

    Raises:
        ConfigError: names each wrong variable and what was expected, and never a password.

    """
    misspelt = _misspelt(os.environ)
    if misspelt:
        raise ConfigError(*misspelt)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        # Its own text and its cause would quote what was given.
        raise ConfigError(*_problems(error.errors())) from None
    except RuntimeError as error:
        raise ConfigError(
            f"{PREFIX}DATA_DIR: expected a directory, since there is no home ({error})"
        ) from None


def environment_of_others() -> dict[str, str]:
    """The environment for a process of another kind: without our settings, one of which has a password."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}


def set_up_grpc() -> None:
    """Tell gRPC, before it is imported, that no fork of ours goes on with it: it would warn of each."""
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")


def token_of_environment() -> str:
    """Return the token that commands call with, where no file has it; empty for none."""
    return os.environ.get(f"{PREFIX}TOKEN", "").strip()


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """Find variables that resemble a setting; others may be anyone's, as Kubernetes' are."""
    names = {name.upper() for name in Settings.model_fields}
    given = {name.upper().removeprefix(PREFIX) for name in environ if name.upper().startswith(PREFIX)}
    found = []
    for name in sorted(given - names):
        meant = difflib.get_close_matches(name, names, n=1, cutoff=0.85)
        found += [f"{PREFIX}{name}: no such setting; expected {PREFIX}{close}" for close in meant]
    return found


def _problems(errors: Iterable[ErrorDetails]) -> list[str]:
    problems = []
    for error in errors:
        if error["type"] == "default_factory_not_called":
            continue  # the setting that it follows from is wrong and is reported
        name = str(error["loc"][0])
        text = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        given = (
            "" if name == "store_url" or not isinstance(error["input"], str) else f", not {error['input']!r}"
        )
        problems.append(f"{PREFIX}{name.upper()}: {text}{given}")
    return problems


def settings_reference() -> str:
    """Write the reference of all settings, as Markdown."""
    return write_reference(Settings.model_fields, PREFIX)


if __name__ == "__main__":
    sys.stdout.write(settings_reference())
