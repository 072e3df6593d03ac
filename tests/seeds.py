"""The seed of a run: told at its end, so that a failure can be seen again."""

import os
import secrets

SEED = "TALLYSTICK_TEST_SEED"
"""The environment variable that repeats a run."""


def seed_of_run() -> int:
    """That of the environment, or a new one for this process and those that it starts."""
    return int(os.environ.setdefault(SEED, str(secrets.randbits(48))))
