"""Which Envoy each way needs."""

from types import MappingProxyType

from tallystick.envoy.binary import Version
from tallystick.envoy.options import Way

NEEDED = MappingProxyType(
    {Way.AUTHZ: Version(1, 40), Way.PROC: Version(1, 37), Way.RATELIMIT: Version(1, 40)}
)
TRIED = Version(1, 40)
"""The newest that the tests run. Later ones may have changed what is still alpha."""


def problem_with(version: Version, way: Way) -> str:
    """Say why an Envoy can't be used for a way; empty if it can."""
    needed = NEEDED[way]
    if version >= needed:
        return ""
    return f"way {way} needs Envoy {needed} or later, and this is {version}"
