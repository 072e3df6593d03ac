"""`tallystick envoy`: the configuration of an Envoy in front of the providers."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.settings import read_settings

if TYPE_CHECKING:
    from tallystick.envoy import EnvoyOptions, Provider, Way

_CLIENTS, _TIMES = "Clients", "Sizes and times"
Envoy = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="The Envoy that will run it.", show_default=False),
]


def _seconds(text: str) -> Any:
    return typer.Option(metavar="SECONDS", min=0.001, help=text, rich_help_panel=_TIMES)


def _file(text: str) -> Any:
    return typer.Option(metavar="FILE", help=text, rich_help_panel=_CLIENTS, show_default=False)


@dataclass(frozen=True, slots=True)
class ConfigOptions:
    """The options of `envoy config`."""

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
    way: Annotated[str, typer.Option(metavar="authz|proc|ratelimit", help="How Envoy asks the sidecar.")] = (
        "authz"
    )
    tenant: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Whose all calls are; way ratelimit sends it as the domain. Default: as the keys say.",
            show_default=False,
        ),
    ] = ""
    sidecar: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="unix:/PATH or HOST:PORT. Default: its Unix socket, by the settings.",
            show_default=False,
        ),
    ] = ""
    admin: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Envoy's own interface: the loopback, unix:/PATH, '' for none."),
    ] = "127.0.0.1:9901"
    fail_open: Annotated[
        bool, typer.Option("--fail-open", help="Let calls through when the sidecar can't be asked.")
    ] = False
    access_log: Annotated[
        str, typer.Option(metavar="FILE", help="A line of JSON for each call, to replay.", show_default=False)
    ] = ""
    ca_bundle: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="Certificates to trust. Default: the system's.", show_default=False
        ),
    ] = ""
    listen: Annotated[
        str, typer.Option(metavar="ADDRESS", help="HOST:PORT or unix:/PATH.", rich_help_panel=_CLIENTS)
    ] = "127.0.0.1:8080"
    tls_cert: Annotated[str, _file("The certificate to show clients (PEM).")] = ""
    tls_key: Annotated[str, _file("Its key.")] = ""
    tls_client_ca: Annotated[str, _file("Clients must have a certificate of these.")] = ""
    max_body: Annotated[
        int, typer.Option(metavar="MIB", min=1, max=1024, help="The longest request.", rich_help_panel=_TIMES)
    ] = 32
    shown_body: Annotated[
        int,
        typer.Option(
            metavar="KIB", min=1, help="How much of it way authz shows the sidecar.", rich_help_panel=_TIMES
        ),
    ] = 1024
    decision_timeout: Annotated[float, _seconds("How long the sidecar may take.")] = 3.0
    idle_timeout: Annotated[float, _seconds("How long a stream may be silent.")] = 600.0
    progress_interval: Annotated[float, _seconds("How often a stream is reported (way authz).")] = 30.0


def config(options: ConfigOptions, envoy: Envoy = None) -> None:
    """Print a complete Envoy bootstrap for the chosen providers, as YAML.

    No key is in it, only where each is. With --envoy it is refused if that Envoy is too old for it.
    """
    from tallystick.envoy import BadOption, bootstrap, dump

    try:
        made = _read(options)
        if envoy is not None:
            check_version(envoy, made.way)
        sys.stdout.write(dump(bootstrap(made)))
    except BadOption as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bootstrap.", show_default=False)],
    envoy: Envoy = None,
) -> None:
    """Have Envoy say whether a bootstrap is valid; nothing is started.

    Variables and files that it names must be there. Without --envoy the one of tallystick[gateway] is asked.
    """
    from tallystick.envoy import EnvoyMissing, find_envoy, version_of

    try:
        binary = envoy or find_envoy()
        version = version_of(binary)
    except EnvoyMissing as error:
        raise CommandError(ExitCode.USAGE, str(error)) from None
    command = [
        str(binary),
        "--mode",
        "validate",
        "-c",
        str(file),
        "--log-level",
        "error",
        "--log-format",
        "%v",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if found.returncode:
        raise CommandError(ExitCode.REFUSED, f"{file} is refused by Envoy {version}", found.stderr.strip())
    sys.stdout.write(f"{file} is valid for Envoy {version}\n")


def _read(options: ConfigOptions) -> "EnvoyOptions":
    from tallystick.envoy import BadOption, EnvoyOptions, Way
    from tallystick.envoy.options import MIB, read_place
    from tallystick.envoy.trust import find_ca_bundle

    try:
        way = Way(options.way)
    except ValueError:
        raise BadOption("--way", f"expected {', '.join(Way)}, not {options.way!r}") from None
    return EnvoyOptions(
        providers=read_providers(options.provider, options.key or []),
        way=way,
        tenant=options.tenant,
        listen=read_place("--listen", options.listen),
        sidecar=read_place("--sidecar", options.sidecar or f"unix:{read_settings().socket}"),
        admin=read_place("--admin", options.admin) if options.admin else None,
        fail_open=options.fail_open,
        access_log=options.access_log,
        ca_bundle=options.ca_bundle or find_ca_bundle(),
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        tls_client_ca=options.tls_client_ca,
        max_body_bytes=options.max_body * MIB,
        shown_body_bytes=options.shown_body * 1024,
        decision_timeout_s=options.decision_timeout,
        idle_timeout_s=options.idle_timeout,
        progress_interval_s=options.progress_interval,
    )


def read_providers(texts: list[str], keys: list[str]) -> "tuple[Provider, ...]":
    """Read the providers, each with its key.

    Raises:
        BadOption: one is wrong, or they don't fit together.

    """
    from tallystick.envoy import BadOption, read_key, read_provider

    providers = [read_provider(text) for text in texts]
    found = dict(map(read_key, keys))
    if len(found) < len(keys):
        raise BadOption("--key", "expected one for each provider")
    if unknown := found.keys() - {provider.name for provider in providers}:
        raise BadOption("--key", f"expected the name of a --provider, not {min(unknown)!r}")
    return tuple(dataclasses.replace(each, key=found.get(each.name)) for each in providers)


def check_version(envoy: Path, way: "Way") -> None:
    """Refuse an Envoy that is too old; tell of one that is newer than those tried.

    Raises:
        CommandError: it is too old, or no Envoy.

    """
    from tallystick.envoy import EnvoyMissing, problem_with, version_of
    from tallystick.envoy.versions import TRIED

    try:
        version = version_of(envoy)
    except EnvoyMissing as error:
        raise CommandError(ExitCode.USAGE, f"--envoy: {error}") from None
    if problem := problem_with(version, way):
        raise CommandError(ExitCode.REFUSED, f"{envoy}: {problem}")
    if version[:2] > TRIED[:2]:
        sys.stderr.write(f"{envoy}: Envoy {version} is newer than {TRIED}, with which this was tested\n")
