"""`tallystick serve`: the sidecar itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.files import read_text
from tallystick.cli.policies import problem_lines
from tallystick.cli.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tallystick.config import Settings

PolicyFiles = Annotated[
    list[Path] | None,
    typer.Option("--policy", metavar="FILE", help="A policy to apply at start; may be repeated."),
]
Listen = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The TCP address of the gRPC service; '' for none.")
]
HttpListen = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="The address of /metrics, /livez and /readyz; '' for none."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The store, in place of the embedded one. Put a password into TALLYSTICK_STORE_URL instead: "
        "the list of processes shows options.",
    ),
]
DataDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Where the embedded store, the sockets and the key live.")
]
Transport = Annotated[str | None, typer.Option(metavar="native|grpcio", help="Which gRPC server.")]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]
LogFormat = Annotated[str | None, typer.Option(metavar="json|text", help="How to log, on stderr.")]


def serve(
    *,
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

    Options go before the environment (TALLYSTICK_LISTEN for --listen, and so on), where there are more
    settings. With none it starts a store of its own and listens on a Unix socket and 127.0.0.1:50061.
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
    settings = read_settings(**{field: value for field, value in given.items() if value is not None})
    check_policies(settings)
    run(settings)


def check_policies(settings: "Settings") -> None:
    """Look at the policies before anything starts.

    Raises:
        CommandError: one is refused; each problem has its line.

    """
    for file in settings.policy_files:
        if lines := problem_lines(str(file), read_text(str(file))):
            raise CommandError(ExitCode.REFUSED, f"{file} is refused", *lines)


def run(settings: "Settings", serving: "Callable[[], Coroutine[None, None, None]] | None" = None) -> None:
    """Serve, by default the sidecar alone, and turn what ends a start into one clear line.

    Raises:
        CommandError: it did not start.

    """
    import logging

    import uvloop

    from tallystick.config import set_up_grpc

    set_up_grpc()
    from tallystick import running
    from tallystick.core.errors import InvalidPolicy, TallystickError
    from tallystick.observe import logs

    logs.configure(settings.log_level, settings.log_format)
    try:
        uvloop.run(serving() if serving else running.serve(settings))
    except InvalidPolicy as error:
        raise CommandError(ExitCode.REFUSED, f"a policy is refused: {error}") from None
    except TallystickError as error:  # also an address that can't be had, though it is well-formed
        raise CommandError(ExitCode.UNREACHABLE, str(error)) from None
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise CommandError(ExitCode.UNREACHABLE, f"{place}{error.strerror or error}") from None
    except Exception as error:
        logging.getLogger("tallystick").critical("the sidecar failed", exc_info=error)
        raise
