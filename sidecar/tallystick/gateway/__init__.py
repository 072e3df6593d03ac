"""`tallystick gateway`: a sidecar and the Envoy that it owns, as one.

serving ─┬─ running, runtime    holds and settles, on a Unix socket of the data directory
└─ envoy_process ─┬─ envoy_files    what Envoy reads and writes there
└─ envoy_admin    what it is asked: is it ready, is anything open
held_keys    whether the providers' keys are where they were said to be
"""

from tallystick.gateway.envoy_process import EnvoyFailed
from tallystick.gateway.held_keys import check_keys
from tallystick.gateway.serving import Gateway, serve

__all__ = ["EnvoyFailed", "Gateway", "check_keys", "serve"]
