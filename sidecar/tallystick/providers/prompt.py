"""Collects what a provider will count as input, from messages and items of any kind.

What is known is read as the provider reads it; what is not is counted as text, so
that a new kind of item is rather counted too high than not at all. Only a part that
must be an image or a file is taken for one: a text that looks like one is text.
"""

import json
from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.providers import estimates
from tallystick.providers.body import Fields, checked_text, object_at
from tallystick.providers.estimates import ImageTokens

TEXT_PARTS = frozenset({"text", "input_text", "output_text", "summary_text", "reasoning_text"})
_IMAGE_PARTS = frozenset(
    {"image", "image_url", "input_image", "computer_screenshot", "image_generation_call"}
)
_FILE_PARTS = frozenset({"file", "input_file", "document"})
_SILENT = frozenset(
    {
        "type",
        "id",
        "call_id",
        "tool_call_id",
        "tool_use_id",
        "status",
        "cache_control",
        "signature",
        "is_error",
    }
)
"""Keys of an item whose values are not part of the prompt."""
_CONTENT = frozenset({"content", "output", "summary"})
_CALLS = frozenset({"function", "custom", "function_call", "tool_calls"})
_SEALED = frozenset({"encrypted_content", "data"})


class Prompt:
    """The texts and the estimated tokens of one request."""

    def __init__(self, image: ImageTokens) -> None:
        self.texts: list[str] = []
        self.extra_tokens = 0
        self.media = False
        self.refers_elsewhere = False
        self._image = image

    def text(self, value: object, path: str) -> None:
        """Add a text. Raises InvalidArgument if it is not one."""
        if text := checked_text(value, path):
            self.texts.append(text)

    def data(self, value: object, path: str) -> None:
        """Add any value as compact JSON. Raises InvalidArgument for lone surrogates."""
        self.text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), path)

    def content(self, value: object, path: str) -> None:
        """Add a string, a part or an array of parts. Raises InvalidArgument for anything else."""
        if value is None:
            return
        if isinstance(value, str):
            self.text(value, path)
        elif isinstance(value, list):
            for index, part in enumerate(value):
                self.part(object_at(part, f"{path}[{index}]"))
        elif isinstance(value, dict):
            self.part(Fields(value, path))
        else:
            raise InvalidArgument(path, "a string or an array of parts")

    def part(self, part: Fields) -> None:
        """Add one part of a content, by its type. Raises InvalidArgument for a part that is malformed."""
        kind = part.values.get("type")
        if not isinstance(kind, str):
            self.item(part)
        elif kind in TEXT_PARTS:
            self.text(part.values.get("text"), part.at("text"))
        elif not self._add_media(kind, part.values):
            self.item(part)

    def item(self, item: Fields) -> None:
        """Add a message or any other item, field by field. Raises InvalidArgument if it is malformed."""
        for key, value in item.values.items():
            if value is None or key in _SILENT:
                continue
            if key in _CONTENT:
                # To name the place of a text that is fine costs as much as to read it.
                if type(value) is str and value.isascii():
                    self.text(value, item.path)
                else:
                    self.content(value, item.at(key))
            elif key in _CALLS:
                self._calls(value, item.at(key))
            elif key in _SEALED and isinstance(value, str):
                self.sealed(value)
            elif isinstance(value, str):
                self.text(value, item.path)
            else:
                self.data(value, item.path)

    def sealed(self, value: str) -> None:
        """Add what only the provider can read."""
        self.extra_tokens += -(-len(value) // estimates.SEALED_CHARACTERS_PER_TOKEN)

    def image(self, detail: object = None) -> None:
        """Add an image, of the detail that the request asks for."""
        self.media = True
        self.extra_tokens += self._image.of(detail)

    def audio(self, base64: object, bytes_per_token: int = estimates.AUDIO_BYTES_PER_TOKEN) -> None:
        """Add sound that stands in the body."""
        self.media = True
        self.extra_tokens += max(estimates.AUDIO_TOKENS_MIN, _decoded_bytes(base64) // bytes_per_token)

    def video(self, base64: str) -> None:
        """Add a film that stands in the body."""
        self.media = True
        tokens = _decoded_bytes(base64) // estimates.VIDEO_BYTES_PER_TOKEN
        self.extra_tokens += min(max(estimates.FILE_TOKENS_MIN, tokens), estimates.FILE_TOKENS_MAX)

    def file(self, base64: str) -> None:
        """Add a file that stands in the body."""
        self.media = True
        tokens = _decoded_bytes(base64) // estimates.FILE_BYTES_PER_TOKEN
        self.extra_tokens += min(max(estimates.FILE_TOKENS_MIN, tokens), estimates.FILE_TOKENS_MAX)

    def elsewhere(self, tokens: int) -> None:
        """Add what the body only names, and the provider will read as about so many tokens."""
        self.refers_elsewhere = True
        self.extra_tokens += tokens

    def _calls(self, value: object, path: str) -> None:
        for call in value if isinstance(value, list) else [value]:
            self.item(object_at(call, path))

    def _add_media(self, kind: str, part: dict[str, Any]) -> bool:
        """Add the estimate if it is a part of this kind; tell whether it was."""
        if kind in _IMAGE_PARTS:
            source = part.get("image_url")
            nested = source.get("detail") if isinstance(source, dict) else None
            self.image(nested if nested is not None else part.get("detail"))
        elif kind in _FILE_PARTS:
            self._add_file(part)
        elif kind == "input_audio":
            sound = part.get("input_audio")
            self.audio(sound.get("data") if isinstance(sound, dict) else None)
        else:
            return False
        self.media = True
        return True

    def _add_file(self, part: dict[str, Any]) -> None:
        """Anthropic puts a file in `source`, OpenAI in `file` or into the part itself."""
        inner = part.get("source", part.get("file"))
        file = inner if isinstance(inner, dict) else part
        if file.get("type") == "text":
            self.text(file.get("data"), "request.body")
        elif isinstance(file.get("content"), str | list):
            self.content(file["content"], "request.body")
        elif isinstance(data := file.get("data", file.get("file_data")), str):
            self.file(data)
        else:
            self.elsewhere(estimates.FILE_BY_REFERENCE_TOKENS)
        for name in ("title", "context", "filename"):
            if isinstance(label := file.get(name, part.get(name)), str):
                self.text(label, "request.body")


def _decoded_bytes(base64: object) -> int:
    return len(base64) * 3 // 4 if isinstance(base64, str) else 0
