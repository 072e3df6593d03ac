"""The use-cases: reserve, settle, release, extend, balance; credit and policy."""

from tallystick.engine.engine import Engine

__all__ = ["Engine"]
