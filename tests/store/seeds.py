"""The seed of a run: printed, so that a failure can be seen again."""

import os
import secrets

SEED = "TALLYSTICK_TEST_SEED"


def seed_of_run() -> int:
    """That of the environment, or a new one."""
    seed = int(os.environ.get(SEED, "0")) or secrets.randbits(48)
    print(f"{SEED}={seed}")
    return seed
