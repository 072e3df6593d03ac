"""A prompt's fingerprint, by which a budget sees the same prompt come again.

It is of the model and of what the model is told: the system's words and the messages, in
order, with their roles; runs of white space count as one space. How the answer is made
(temperature, limits, tools, streaming), ids and cache marks do not count. What a body only
names (an image by URL, a file, an earlier response) counts by that name.
"""

import json
from hashlib import blake2b
from typing import Any

from tallystick.providers.body import Fields
from tallystick.providers.call import Api
from tallystick.providers.prompt import TEXT_PARTS

DIGEST_BYTES = 8

_TOLD: dict[Api, tuple[str, ...]] = {
    Api.OPENAI_CHAT: ("messages",),
    Api.OPENAI_RESPONSES: ("instructions", "previous_response_id", "conversation", "prompt", "input"),
    Api.OPENAI_EMBEDDINGS: ("input",),
    Api.ANTHROPIC_MESSAGES: ("system", "messages"),
    Api.GEMINI_GENERATE: ("cachedContent", "systemInstruction", "contents"),
    Api.BEDROCK_CONVERSE: ("promptVariables", "system", "messages"),
}
"""The fields of a body that the model is told."""
_SILENT = frozenset({
    "id", "call_id", "tool_call_id", "tool_use_id", "toolUseId", "status", "cache_control", "cachePoint",
    "signature", "thoughtSignature", "detail", "mediaResolution",
})  # fmt: skip
"""Keys of a message or part that change with every call, or only say how it is read."""
_CONTENT = frozenset({"content", "output", "system", "instructions"})
"""What may be a string or an array of parts: a string is an array of one."""
_DATA = frozenset({"input", "arguments", "action", "args", "response", "json"})
"""What a tool is called with, or answers: every key of it counts."""
_BY_NAME = frozenset({"conversation", "prompt", "promptVariables"})
"""What the provider keeps, named by its id."""
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def fingerprint(api: Api, body: Fields, model: str) -> str:
    """Make the fingerprint of a body that was parsed without error: 16 hex digits."""
    told: dict[str, Any] = {"model": model}
    for name in _TOLD[api]:
        told[name] = _told(name, body.values.get(name), api)
    return blake2b(_encode(told).encode(), digest_size=DIGEST_BYTES).hexdigest()


def _told(name: str, value: Any, api: Api) -> Any:
    if name in _BY_NAME:
        return _data(value)
    if name == "input" and api is Api.OPENAI_RESPONSES and isinstance(value, str):
        return [_item({"role": "user", "content": value})]
    return _content(value) if name in _CONTENT else _item(value)


def _item(value: Any) -> Any:
    """Keep of a message, a part or any other item what it tells."""
    if isinstance(value, list):
        return [told for each in value if (told := _item(each)) != {}]
    if not isinstance(value, dict):
        return _data(value)
    kind = value.get("type")
    if isinstance(kind, str) and kind in TEXT_PARTS and isinstance(value.get("text"), str):
        return _data(value["text"])
    dropped: set[str] = set() if kind == "item_reference" else set(_SILENT)
    if kind == "message":
        dropped.add("type")
    told = {key: _field(key, each) for key, each in value.items() if key not in dropped}
    return {key: each for key, each in told.items() if each not in (None, "", [], {})}


def _field(key: str, value: Any) -> Any:
    if key in _CONTENT:
        return _content(value)
    return _data(value) if key in _DATA else _item(value)


def _content(value: Any) -> Any:
    return _item([value] if isinstance(value, str) else value)


def _data(value: Any) -> Any:
    """Keep everything but runs of white space."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return [_data(each) for each in value]
    return {key: _data(each) for key, each in value.items()} if isinstance(value, dict) else value
