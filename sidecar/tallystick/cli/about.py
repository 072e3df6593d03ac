"""`tallystick version` and `tallystick demo`."""

from typing import Annotated

import typer

from tallystick.cli.options import Json
from tallystick.cli.output import print_json


def demo(
    envoy: Annotated[
        bool,
        typer.Option("--envoy", help="With Envoy and the official SDKs; needs tallystick[demo,gateway]."),
    ] = False,
) -> None:
    """See it work: a sidecar, a policy, and calls until the money is gone, all on this machine."""
    from tallystick.demo import run_demo

    raise typer.Exit(run_demo(envoy))


def version(as_json: Json = False) -> None:
    """Print the version."""
    from importlib.metadata import version as version_of

    number = version_of("tallystick")
    if as_json:
        print_json({"version": number})
    else:
        typer.echo(f"tallystick {number}")
