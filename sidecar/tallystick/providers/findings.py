"""What the documents of one answer say: the base of the readers of each API, and what they share."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.core.usage import Usage
from tallystick.providers.body import MAX_MODEL_CHARACTERS
from tallystick.providers.framing import Document
from tallystick.providers.usage import read_usage

Object = dict[str, Any]

_FRACTION = 0.5
"""Stands for every number with a point: no count has one, and embeddings have millions."""
_USAGE = re.compile(r'(?<!\\)"usage(?:Metadata)?"\s*:\s*(?=\{)')
_TRIES = 16
_NO_TEXT = frozenset({
    "id", "type", "role", "object", "status", "index", "call_id", "toolUseId", "tool_use_id", "signature",
    "thoughtSignature", "data", "inlineData", "bytes", "image", "audio", "b64_json", "encrypted_content",
    "redactedContent", "mimeType", "finish_reason",
})  # fmt: skip
"""Keys of a message whose values are not words of the answer."""
_decoder = json.JSONDecoder()
_without_fractions = json.JSONDecoder(parse_float=lambda _digits: _FRACTION)


class Findings:
    """What was found so far. `events` are the documents of a stream, a `whole` one is a body."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model = ""
        self.tier = ""
        self.complete = False
        self.failed = False
        self.output_bytes = 0

    def read(self, document: Document, *, whole: bool) -> None:
        """Read a document, whatever it is."""
        data = document.kept.whole
        if data is None:
            self.tail(document.kind, document.kept.tail, whole=whole)
        elif not whole and data.strip() == b"[DONE]":
            self.complete = True
        elif isinstance(value := decoded(data), dict):
            if value.get("error") or document.kind == "error":
                self.failed = True
            if whole:
                self.whole(value)
            else:
                self.event(document.kind, value)

    def event(self, kind: str, value: Object) -> None:
        """Read a document of a stream."""
        raise NotImplementedError

    def whole(self, value: Object) -> None:
        """Read a body."""
        raise NotImplementedError

    def tail(self, _kind: str, tail: bytes, *, whole: bool) -> None:
        """Read the end of a document that was too long to be kept."""
        self.report(usage_in(tail))
        self.complete = self.complete or (whole and tail.rstrip().endswith(b"}"))

    def report(self, value: object) -> None:
        """Take a usage object for the present truth. One that can't be read makes it unknown."""
        if isinstance(value, dict):
            try:
                self.usage = read_usage(value) or self.usage
            except InvalidArgument:
                self.usage = None

    def name(self, model: object, tier: object = None) -> None:
        """Take the model and the tier, where they are names."""
        self.model = _name(model) or self.model
        self.tier = _name(tier) or self.tier

    def words(self, value: object) -> None:
        """Count the text in a part of a message."""
        self.output_bytes += text_bytes(value)


def decoded(data: bytes) -> object:
    """Read JSON, forgivingly; `None` if it is none."""
    try:
        return _without_fractions.decode(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None


def child(value: object, *names: str) -> Object:
    """Get an object within objects; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def children(value: object, name: str) -> Iterator[Object]:
    """Get the objects of an array."""
    items = value.get(name) if isinstance(value, dict) else None
    return (each for each in items if isinstance(each, dict)) if isinstance(items, list) else iter(())


def text_bytes(value: object) -> int:
    """Count the bytes of all texts in a part of a message, as UTF-8."""
    total = 0
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            total += len(each) if each.isascii() else len(each.encode("utf-8", "surrogatepass"))
        elif isinstance(each, list):
            rest.extend(each)
        elif isinstance(each, dict):
            rest.extend(inner for key, inner in each.items() if key not in _NO_TEXT)
    return total


def usage_in(tail: bytes) -> Object | None:
    """Find the last usage object in the end of a document.

    Within a text its quotes would be escaped, so a model that writes about usage is not taken for one.
    """
    text = tail.decode("utf-8", "replace")
    for found in list(_USAGE.finditer(text))[: -_TRIES - 1 : -1]:
        try:
            value, _ = _decoder.raw_decode(text, found.end())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def _name(value: object) -> str:
    fits = isinstance(value, str) and len(value) <= MAX_MODEL_CHARACTERS and value.isprintable()
    return str(value) if fits else ""
