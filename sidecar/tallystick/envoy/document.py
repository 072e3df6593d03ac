"""A configuration as YAML."""

from typing import Any

import yaml

_TRUTHS = frozenset("yYnN")
"""Envoy's reader takes these for true and false; PyYAML does not, and would not quote them."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True  # anchors make a file hard to read

    def represent_text(self, data: str) -> yaml.ScalarNode:
        style = '"' if data in _TRUTHS else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_text)


def dump(configuration: dict[str, Any]) -> str:
    """Write a configuration as YAML, in the order in which it was built."""
    return yaml.dump(configuration, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
