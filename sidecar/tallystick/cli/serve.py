"""`tallystick serve`: the sidecar itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from tallystick.config import Settings

PolicyFiles = Annotated[
    list[Path] | None,
    typer.Option("--policy", metavar="FILE", help="A policy to apply at start; may be repeated."),
]
Listen = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The TCP address of the gRPC service; '' for none.")
]
HttpListen = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The address of /metrics, /livez and /readyz.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The store in place of the embedded one. Others see it in the list of processes: with a "
        "password, set TALLYSTICK_STORE_URL instead.",
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the embedded store, the sockets and the key live.")
]
Transport = Annotated[str | None, typer.Option(metavar="native|grpcio", help="Which gRPC server.")]
LogLevel = Annotated[
    str | None, typer.Option(metavar="debug|info|warning|error", help="The least to log.")
]
LogFormat = Annotated[str | None, typer.Option(metavar="json|text", help="How to log, on stderr.")]


def serve(
    policy: PolicyFiles = None,
    listen: Listen = None,
    http_listen: HttpListen = None,
    store_url: StoreUrl = None,
    data_dir: DataDir = None,
    transport: Transport = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run the sidecar until it is told to stop.

    Every option goes before its variable, TALLYSTICK_LISTEN for --listen and so on; without either
    there is an embedded store, a Unix socket and 127.0.0.1:50061.
    """
    given = {
        "policy_files": policy or None,
        "listen": listen,
        "http_listen": http_listen,
        "store_url": store_url,
        "data_dir": data_dir,
        "transport": transport,
        "log_level": log_level,
        "log_format": log_format,
    }
    settings = read_settings(**{name: value for name, value in given.items() if value is not None})
    check_policies(settings.policy_files)
    run(settings)


def read_settings(**overrides: Any) -> "Settings":
    """Read the settings; what is wrong is reported as the option or variable it came from."""
    from tallystick.config import PREFIX, ConfigError, load_settings

    options = {"policy_files": "--policy"} | {
        name: "--" + name.replace("_", "-") for name in overrides if name != "policy_files"
    }
    try:
        return load_settings(**overrides)
    except ConfigError as error:
        lines = list(error.problems)
        for name in overrides:
            variable = f"{PREFIX}{name.upper()}:"
            lines = [line.replace(variable, f"{options[name]}:", 1) for line in lines]
        raise CommandError(ExitCode.USAGE, "the settings are wrong", *lines) from None


def check_policies(files: tuple[Path, ...]) -> None:
    """Refuse to start with a policy that can't be read or is wrong, with all that is wrong in it."""
    from tallystick.policyfile import find_problems

    for file in files:
        try:
            problems = find_problems(file.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(ExitCode.USAGE, f"{file}: {error}") from None
        if problems:
            raise CommandError(ExitCode.REFUSED, f"{file} is refused", *map(str, problems))


def run(settings: "Settings") -> None:
    """Serve, and turn what ends a start into one clear line."""
    import logging

    import uvloop

    from tallystick import runtime
    from tallystick.config import ConfigError
    from tallystick.core.errors import InvalidPolicy, TallystickError
    from tallystick.observe import logs

    logs.configure(settings.log_level, settings.log_format)
    try:
        uvloop.run(runtime.serve(settings))
    except ConfigError as error:
        raise CommandError(ExitCode.USAGE, *error.problems) from None
    except InvalidPolicy as error:
        raise CommandError(ExitCode.REFUSED, f"a policy is refused: {error}") from None
    except (TallystickError, OSError) as error:
        raise CommandError(ExitCode.UNREACHABLE, str(error)) from None
    except Exception as error:
        logging.getLogger("tallystick").critical("the sidecar failed", exc_info=error)
        raise
