"""The use-cases: reserve, settle, release, extend, balance; and the administration."""

from tallystick.engine.administration import Administration
from tallystick.engine.engine import Engine
from tallystick.engine.planner import Planner

__all__ = ["Administration", "Engine", "Planner"]
