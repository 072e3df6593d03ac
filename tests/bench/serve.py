"""Temporary."""

import uvloop

from tallystick.config import load_settings
from tallystick.observe.logs import configure
from tallystick.runtime import serve

configure("info", "text")
uvloop.run(serve(load_settings()))
