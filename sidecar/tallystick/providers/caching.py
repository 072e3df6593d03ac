"""What a request asks to be written to a cache."""

from tallystick.providers.call import CacheWrite

_MARKS = ("cache_control", "cachePoint")
"""Anthropic's word for it, and Bedrock's."""


def cache_write_asked(body: object) -> CacheWrite:
    """Find the longest lifetime asked for anywhere; with a mark at the end, all before it is written."""
    found = CacheWrite.NONE
    rest: list[object] = [body]
    while rest:
        value = rest.pop()
        if isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
            for mark in map(value.get, _MARKS):
                if isinstance(mark, dict) and mark.get("ttl") == "1h":
                    return CacheWrite.LONG
                if mark is not None:
                    found = CacheWrite.SHORT
    return found
