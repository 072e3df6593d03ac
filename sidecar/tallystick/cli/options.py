"""Options that several commands have, and how commands are registered.

A command takes groups of options as one parameter each, a dataclass; `register`
spreads them out into one option for each field, as typer wants them.
"""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from tallystick.cli.exits import CommandError, ExitCode

TIMEOUT_S = 5.0
MAX_TIMEOUT_S = 3_600.0
SIDECAR_PANEL = "The sidecar"


def _read_timeout(text: str) -> float:
    """Read a number of seconds. typer's own bounds would fill half the help."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise typer.BadParameter(f"expected seconds, above 0 and at most {MAX_TIMEOUT_S:g}, not {text!r}")
    return seconds


Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.", show_default=False)]
ReservationId = Annotated[str, typer.Argument(metavar="ID", help="The reservation's id.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        parser=_read_timeout,
        metavar="SECONDS",
        help="How long to wait for the answer.",
        rich_help_panel=SIDECAR_PANEL,
    ),
]


def _dimension(text: str) -> Any:
    return typer.Option(metavar="TEXT", help=text, show_default=False, rich_help_panel="Who is spending")


def _identifying(variable: str, text: str) -> Any:
    return typer.Option(
        envvar=f"TALLYSTICK_{variable}",
        metavar="FILE",
        help=text,
        show_default=False,
        show_envvar=False,
        rich_help_panel=SIDECAR_PANEL,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """Who the command is, to a sidecar that asks."""

    token_file: Annotated[
        Path | None, _identifying("TOKEN_FILE", "A file with the token; else TALLYSTICK_TOKEN has it.")
    ] = None
    tls_ca: Annotated[
        Path | None, _identifying("CLI_TLS_CA", "Speak TLS, and trust these certificates (PEM).")
    ] = None
    tls_cert: Annotated[Path | None, _identifying("CLI_TLS_CERT", "The client certificate (PEM).")] = None
    tls_key: Annotated[Path | None, _identifying("CLI_TLS_KEY", "Its key (PEM).")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection(Identification):
    """Where the data plane is, how long to wait for it, and how to print its answer."""

    address: Annotated[
        str,
        typer.Option(
            envvar="TALLYSTICK_ADDRESS",
            metavar="ADDRESS",
            help="The sidecar: HOST:PORT or unix:PATH. Default: its Unix socket, by the settings.",
            show_default=False,
            rich_help_panel=SIDECAR_PANEL,
        ),
    ] = ""
    timeout_s: Timeout = TIMEOUT_S
    as_json: Json = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConnection(Identification):
    """Where the control plane is, how long to wait for it, and how to print its answer."""

    admin_address: Annotated[
        str,
        typer.Option(
            envvar="TALLYSTICK_ADMIN_ADDRESS",
            metavar="ADDRESS",
            help="The sidecar's admin service: unix:PATH or HOST:PORT. Default: its socket, by the settings.",
            show_default=False,
            rich_help_panel=SIDECAR_PANEL,
        ),
    ] = ""
    timeout_s: Timeout = TIMEOUT_S
    as_json: Json = False


@dataclass(frozen=True, slots=True)
class SubjectOptions:
    """Who is spending: a field for each dimension of the API's `Subject`."""

    org: Annotated[str, _dimension("The organisation.")] = ""
    team: Annotated[str, _dimension("The team.")] = ""
    user: Annotated[str, _dimension("The user.")] = ""
    service: Annotated[str, _dimension("The service.")] = ""
    repository: Annotated[str, _dimension("The repository.")] = ""
    environment: Annotated[str, _dimension("The environment.")] = ""
    role: Annotated[str, _dimension("The role.")] = ""
    workflow: Annotated[str, _dimension("The workflow.")] = ""
    session: Annotated[str, _dimension("The session.")] = ""
    priority: Annotated[str, _dimension("low, normal, high or a name of your own.")] = ""
    prompt: Annotated[str, _dimension("A fingerprint of the prompt.")] = ""
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="A free label; may be repeated.", rich_help_panel="Who is spending"
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it and why, for the ledger."""

    by: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="For the ledger: who does it. Default: your login.", show_default=False
        ),
    ] = ""
    reason: Annotated[str, typer.Option(metavar="TEXT", help="For the ledger: why.", show_default=False)] = ""

    @property
    def name(self) -> str:
        """Who it is, by the login where nothing was said; empty for a user without a name."""
        return self.by or _login()


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes a policy and why, for the ledger and the history."""

    by: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="For the history: who does it. Default: your login.", show_default=False
        ),
    ] = ""
    comment: Annotated[
        str, typer.Option(metavar="TEXT", help="For the history: why.", show_default=False)
    ] = ""

    @property
    def name(self) -> str:
        """Who it is, by the login where nothing was said; empty for a user without a name."""
        return self.by or _login()


def _login() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def read_pairs(option: str, pairs: list[str] | None) -> dict[str, str]:
    """Take `name=value` texts apart.

    Raises:
        CommandError: one is not of that form, or a name comes twice.

    """
    found: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise CommandError(ExitCode.USAGE, f"{option}: expected NAME=VALUE, not {pair!r}")
        if name in found:
            raise CommandError(ExitCode.USAGE, f"{option}: {name} is given twice")
        found[name] = value
    return found


def register(group: typer.Typer, function: Callable[..., None], *examples: str, name: str = "") -> None:
    """Make `function` a command of `group`: its docstring is the help, below which `examples` stand."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    shown = [example.replace("[", r"\[") for example in examples]
    group.command(
        name or function.__name__,
        help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
        epilog="\n".join(["[bold]Example[/bold]" if len(shown) == 1 else "[bold]Examples[/bold]", *shown]),
    )(_spread(function))


def _spread(function: Callable[..., None]) -> Callable[..., None]:
    """Give each field of a dataclass among the parameters a parameter of its own."""
    hints = get_type_hints(function, include_extras=True)
    parameters: list[Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if is_dataclass(kind):
            groups[parameter.name] = kind
            parameters += _parameters(kind)
        else:
            parameters.append(
                parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            )

    @functools.wraps(function)
    def spread(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        function(**given)

    # typer asks for these two, and `__wrapped__` would lead it to the original ones.
    vars(spread)["__signature__"] = inspect.Signature(parameters)
    spread.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del vars(spread)["__wrapped__"]
    return spread


def _parameters(kind: Any) -> list[Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
