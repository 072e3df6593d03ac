"""What Envoy reads and writes in the data directory.

DATA/envoy.yaml     its configuration, without a key
DATA/envoy.log      what it says
DATA/envoy.lock     held by the sidecar and by Envoy, so that it may outlive the former
DATA/envoy.sock     its own interface
DATA/access.log     a line of JSON for each call that has ended
"""

import os
from pathlib import Path


class EnvoyFiles:
    """The files of an Envoy in the directory at `path`."""

    def __init__(self, path: Path) -> None:
        self.configuration = path / "envoy.yaml"
        self.log = path / "envoy.log"
        self.lock = path / "envoy.lock"
        self.socket = path / "envoy.sock"
        self.access_log = path / "access.log"

    def write_configuration(self, text: str) -> None:
        """Write what only this user may read: it tells where keys are.

        Raises:
            OSError: it can't be written.

        """
        file = os.open(self.configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w") as opened:
            os.fchmod(file, 0o600)  # it may have been there
            opened.write(text)
