"""A request's body with another model, or with the wish for usage in its stream; all else as it came.

Only the values that change are exchanged, in the text itself: numbers, the order of keys, escapes and
white space stay what they were to the byte.
"""

import json
import re
from typing import Any, NamedTuple

from tallystick.providers.body import MAX_BODY_BYTES, strict_decoder
from tallystick.providers.call import Api

_BLANK = re.compile(r"[ \t\n\r]*")
_IN_PATH = frozenset({Api.GEMINI_GENERATE, Api.BEDROCK_CONVERSE})


def model_in_body(api: Api) -> bool:
    """Tell whether this API names the model in the body. Where the path names one, the path decides."""
    return api not in _IN_PATH


def rewrite(api: Api, body: bytes, *, model: str = "", include_usage: bool = False) -> bytes:
    """Exchange the model that the body names, and ask a chat's stream for its usage.

    A model is exchanged only where the body names one. `include_usage` concerns OpenAI's chat with
    `stream: true`; other APIs report usage unasked. A body that `parse_request` would not take for JSON
    is returned as it came, and so is one that needs no change.
    """
    if len(body) > MAX_BODY_BYTES:
        return body
    try:
        text = body.decode()
        members, end = _members(text, _skip(text, 0))
    except (ValueError, RecursionError):
        return body
    if end != len(text):
        return body
    changes = []
    if model and model_in_body(api) and isinstance((named := members.get("model")) and named.value, str):
        changes.append(_replace(members["model"], model))
    if include_usage and api is Api.OPENAI_CHAT and (asked := members.get("stream")) and asked.value is True:
        changes += _asking_for_usage(text, members)
    for change in sorted(changes, reverse=True):
        text = text[: change.start] + change.text + text[change.end :]
    return text.encode() if changes else body


class _Member(NamedTuple):
    """A field of an object, and where its value stands in the text."""

    name: str
    value: Any
    start: int
    end: int


class _Change(NamedTuple):
    start: int
    end: int
    text: str


def _asking_for_usage(text: str, members: dict[str, _Member]) -> list[_Change]:
    options = members.get("stream_options")
    if options is None:
        return [_insert(members["stream"].end, "stream_options", {"include_usage": True})]
    if options.value is None or options.value == {}:
        return [_replace(options, {"include_usage": True})]
    if not isinstance(options.value, dict):
        return []
    within, _ = _members(text, options.start)
    if (asked := within.get("include_usage")) is None:
        return [_insert(max(member.end for member in within.values()), "include_usage", True)]
    return [] if asked.value is True else [_replace(asked, True)]


def _replace(member: _Member, value: object) -> _Change:
    return _Change(member.start, member.end, json.dumps(value))


def _insert(at: int, name: str, value: object) -> _Change:
    return _Change(at, at, f", {json.dumps(name)}: {json.dumps(value)}")


def _members(text: str, at: int) -> tuple[dict[str, _Member], int]:
    """Read the object that begins there, and where the text goes on. Raises ValueError if it is none."""
    found: dict[str, _Member] = {}
    at = _expect(text, at, "{")
    more = text[at : at + 1] != "}"
    while more:
        name, end = strict_decoder.raw_decode(text, at)
        if not isinstance(name, str) or name in found:
            raise ValueError("a name that is no text, or comes twice")
        start = _expect(text, _skip(text, end), ":")
        value, end = strict_decoder.raw_decode(text, start)
        found[name] = _Member(name, value, start, end)
        at = _skip(text, end)
        more = text[at : at + 1] == ","
        at = _skip(text, at + 1) if more else at
    return found, _expect(text, at, "}")


def _expect(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise ValueError(f"{mark} is missing")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None
    return found.end()
