"""Whether the providers' keys are where they were said to be, before anything starts.

Envoy would start without them, and every call would be refused by the provider.
"""

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from tallystick.envoy import BadOption, Key, Provider
from tallystick.envoy.providers import KeySource


def check_keys(providers: Iterable[Provider], environment: Mapping[str, str]) -> None:
    """Look for every key.

    Raises:
        BadOption: one is missing, or others may read its file. It is never quoted.

    """
    for provider in providers:
        match provider.key:
            case Key(source=KeySource.ENVIRONMENT, where=variable):
                if not environment.get(variable, "").strip():
                    raise BadOption(
                        "--key", f"{provider.name}=env:{variable}: expected a key there, it is not set"
                    )
            case Key(source=KeySource.FILE, where=path):
                _check_file(provider.name, Path(path))
            case _:
                continue


def _check_file(name: str, path: Path) -> None:
    what = f"{name}=file:{path}"
    try:
        if path.stat().st_mode & stat.S_IROTH:
            raise BadOption("--key", f"{what}: expected a file that others can't read: chmod 600 {path}")
        if not path.read_bytes().strip():
            raise BadOption("--key", f"{what}: expected a key there, it is empty")
    except OSError as error:
        raise BadOption("--key", f"{what}: {error.strerror}") from None
