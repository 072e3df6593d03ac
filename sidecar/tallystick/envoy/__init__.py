"""The configuration of an Envoy in front of the providers, and the Envoy to run it.

    options ─▶ bootstrap ─┬─ listener ── routes ── ways
                          └─ clusters ── keys

Pure functions from `EnvoyOptions` to a dict; `dump` writes it as YAML.
"""

from tallystick.envoy.binary import EnvoyMissing, Version, find_envoy, version_of
from tallystick.envoy.bootstrap import bootstrap
from tallystick.envoy.document import dump
from tallystick.envoy.options import BadOption, EnvoyOptions, Way
from tallystick.envoy.providers import Key, Kind, Provider, read_key, read_provider
from tallystick.envoy.versions import problem_with

__all__ = [
    "BadOption",
    "EnvoyMissing",
    "EnvoyOptions",
    "Key",
    "Kind",
    "Provider",
    "Version",
    "Way",
    "bootstrap",
    "dump",
    "find_envoy",
    "problem_with",
    "read_key",
    "read_provider",
    "version_of",
]
