"""Google's requests: generateContent of Gemini and Vertex AI.

Google reads JSON as protocol buffers do: a field may be spelled in either case, a number may be
a string, and a list of one may stand without its brackets. So does this module, or what it did
not count would be a way around the budget.
"""

import re
from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.providers import estimates
from tallystick.providers.body import Fields, object_at, path_model
from tallystick.providers.call import ProviderCall
from tallystick.providers.prompt import Prompt

MAX_OUTPUT_TOKENS = 2**31 - 1
MAX_CHOICES = 1_024
_TIERS = frozenset({"flex", "priority"})
_FREE_FORM = frozenset({
    "args", "response", "parameters", "parametersJsonSchema", "responseSchema", "responseJsonSchema",
    "labels", "partMetadata",
})  # fmt: skip
"""What is below these is the caller's own: the names there are no fields."""
_SILENT = frozenset({"thought", "videoMetadata", "mediaResolution", "partMetadata"})
_READING_TOOLS = frozenset({"urlContext", "fileSearch", "retrieval"})
"""Tools that fetch what nobody sees, and count it as input."""
_SNAKE = re.compile(r"_+([a-z0-9])")


def canonical(body: Fields) -> Fields:
    """Spell all fields in camelCase. Raises InvalidArgument where one stands there in both spellings."""
    return Fields(_canonical(body.values, body), body.path)


def _canonical(value: Any, body: Fields) -> Any:
    if isinstance(value, list):
        return [_canonical(each, body) for each in value]
    if not isinstance(value, dict):
        return value
    fields: dict[str, Any] = {}
    for name, each in value.items():
        key = _SNAKE.sub(lambda found: found[1].upper(), name)
        if key in fields:
            raise InvalidArgument(body.path, "each field in one spelling, not in camelCase and snake_case")
        fields[key] = each if key in _FREE_FORM else _canonical(each, body)
    return fields


def parse_generate(body: Fields, named: str = "") -> ProviderCall:
    """Read a request in `canonical` spelling. Raises InvalidArgument for a body that is malformed."""
    model = path_model(named or (body.text("model") or "").removeprefix("models/"))
    prompt = Prompt(estimates.GEMINI_IMAGE)
    prompt.extra_tokens += estimates.GEMINI_BASE_TOKENS
    if body.values.get("contents") is None:
        raise body.wrong("contents", "an array")
    for content in [*_all(body, "systemInstruction"), *_all(body, "contents")]:
        _content(prompt, content)
    _tools(prompt, body)
    if body.text("cachedContent"):
        prompt.elsewhere(estimates.CACHED_CONTENT_TOKENS)
    config = body.child("generationConfig") or Fields({}, body.at("generationConfig"))
    for name in ("responseSchema", "responseJsonSchema"):
        if config.values.get(name) is not None:
            prompt.data(config.values[name], config.at(name))
    limit = _integer(config, "maxOutputTokens", MAX_OUTPUT_TOKENS)
    choices = _integer(config, "candidateCount", MAX_CHOICES) or 1
    tier = (body.text("serviceTier") or "").lower().removeprefix("service_tier_")
    return ProviderCall(
        model=model,
        provider="google",
        texts=tuple(prompt.texts),
        extra_tokens=prompt.extra_tokens,
        max_output=limit * choices if limit else None,  # in protocol buffers 0 is "not given"
        choices=choices,
        tier=tier if tier in _TIERS else "",
        media=prompt.media,
        refers_elsewhere=prompt.refers_elsewhere,
    )


def _all(fields: Fields, name: str) -> list[Fields]:
    """Get an array of objects; one object is an array of one. Raises InvalidArgument for others."""
    value = fields.values.get(name)
    if value is None:
        return []
    if isinstance(value, list):
        return [object_at(each, f"{fields.path}.{name}[{index}]") for index, each in enumerate(value)]
    return [object_at(value, fields.at(name))]


def _integer(fields: Fields, name: str, most: int) -> int | None:
    """Get an integer from 0 to `most`, also as text or as 1e3. Raises InvalidArgument for others."""
    value = fields.values.get(name)
    if isinstance(value, str | float) and re.fullmatch(r"-?[0-9]{1,20}(\.0)?", str(value), re.ASCII):
        value = int(float(value))
    return Fields({name: value}, fields.path).integer(name, most)


def _content(prompt: Prompt, content: Fields) -> None:
    prompt.extra_tokens += estimates.GEMINI_CONTENT_TOKENS
    if isinstance(content.values.get("parts"), str):  # a system instruction may be bare text
        prompt.text(content.values["parts"], content.at("parts"))
        return
    for part in _all(content, "parts"):
        _part(prompt, part)


def _part(prompt: Prompt, part: Fields) -> None:
    for key, value in part.values.items():
        if value is None or key in _SILENT:
            continue
        if key == "text":
            prompt.text(value, part.at("text"))
        elif key in ("inlineData", "fileData"):
            _media(prompt, object_at(value, part.path))
        elif key == "functionResponse":
            answer = object_at(value, part.path)
            prompt.data({name: each for name, each in answer.values.items() if name != "parts"}, part.path)
            _content(prompt, answer)
        elif key == "thoughtSignature" and isinstance(value, str):
            prompt.sealed(value)
        else:
            prompt.data(value, part.path)


def _media(prompt: Prompt, blob: Fields) -> None:
    """Add the estimate of bytes in the body, or of a file that it names."""
    kind = (blob.text("mimeType") or "").partition("/")[0].lower()
    data, uri = blob.text("data"), blob.text("fileUri") or ""
    if kind == "image":
        prompt.image()
    elif data is None:
        prompt.media = True
        film = kind == "video" or "youtu" in uri
        prompt.elsewhere(estimates.VIDEO_BY_REFERENCE_TOKENS if film else estimates.FILE_BY_REFERENCE_TOKENS)
    elif kind == "audio":
        prompt.audio(data, estimates.GEMINI_AUDIO_BYTES_PER_TOKEN)
    elif kind == "video":
        prompt.video(data)
    else:
        prompt.file(data)


def _tools(prompt: Prompt, body: Fields) -> None:
    tools = _all(body, "tools")
    if not tools:
        return
    prompt.extra_tokens += estimates.GEMINI_TOOLS_TOKENS
    for tool in tools:
        prompt.data(tool.values, tool.path)
        for key, value in tool.values.items():
            if value is None or key == "functionDeclarations":
                continue
            prompt.extra_tokens += estimates.BUILT_IN_TOOL_TOKENS
            if key in _READING_TOOLS:
                prompt.elsewhere(estimates.SERVER_CONTEXT_TOKENS)
