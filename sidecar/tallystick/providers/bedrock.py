"""Amazon Bedrock's requests: Converse, of whatever model."""

from typing import Any

from tallystick.providers import estimates
from tallystick.providers.body import Fields, object_at, path_model
from tallystick.providers.caching import cache_write_asked
from tallystick.providers.call import ProviderCall
from tallystick.providers.prompt import Prompt

MAX_OUTPUT_TOKENS = 2**31 - 1
_LIMITS = frozenset(
    {
        "max_tokens",
        "max_completion_tokens",
        "max_tokens_to_sample",
        "max_new_tokens",
        "max_gen_len",
        "maxTokens",
    }
)
"""What models call their limit, in the fields that Bedrock hands through to them."""
_TIERS = frozenset({"flex", "priority"})
_SILENT = frozenset({"cachePoint", "toolUseId", "status", "type", "signature", "format", "qualifiers"})
"""Keys of a block whose values are not part of the prompt."""
_WITHIN = frozenset({
    "toolResult", "searchResult", "citationsContent", "guardContent", "reasoningContent", "reasoningText",
    "content", "citations", "sourceContent",
})  # fmt: skip
"""Keys of a block that have blocks in them."""
_MEDIA = frozenset({"image", "document", "video", "audio"})


def parse_converse(body: Fields, named: str = "") -> ProviderCall:
    """Read a request to Converse. Raises InvalidArgument for a body that is malformed."""
    model = path_model(named)
    prompt = Prompt(estimates.ANTHROPIC_IMAGE)
    prompt.extra_tokens += estimates.ANTHROPIC_BASE_TOKENS
    _blocks(prompt, body, "system")
    for index, value in enumerate(body.items("messages")):
        message = object_at(value, f"{body.path}.messages[{index}]")
        if message.text("role") is None:
            raise message.wrong("role", "a string")
        prompt.extra_tokens += estimates.ANTHROPIC_MESSAGE_TOKENS
        _blocks(prompt, message, "content")
    _tools(prompt, body)
    extra = body.child("additionalModelRequestFields")
    for child in (extra, body.child("outputConfig"), variables := body.child("promptVariables")):
        if child is not None and child.values:
            prompt.data(child.values, child.path)
    if variables is not None:
        prompt.elsewhere(estimates.SERVER_CONTEXT_TOKENS)
    tier = (body.child("serviceTier") or Fields({}, body.path)).text("type") or ""
    return ProviderCall(
        model=model,
        provider="aws",
        texts=tuple(prompt.texts),
        extra_tokens=prompt.extra_tokens,
        max_output=_max_output(body, extra),
        cache_write=cache_write_asked(body.values),
        tier=tier if tier in _TIERS else "",
        media=prompt.media,
        refers_elsewhere=prompt.refers_elsewhere,
    )


def _max_output(body: Fields, extra: Fields | None) -> int | None:
    """The larger limit, of Bedrock's own and of those handed through to the model."""
    config = body.child("inferenceConfig")
    own = None if config is None else config.integer("maxTokens", MAX_OUTPUT_TOKENS)
    limits = [] if own is None else [own]
    rest: list[Any] = [extra.values] if extra is not None else []
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            limits += [each for name, each in value.items() if name in _LIMITS and type(each) is int]
            rest.extend(value.values())
    return max((min(each, MAX_OUTPUT_TOKENS) for each in limits if each >= 0), default=None)


def _blocks(prompt: Prompt, fields: Fields, name: str) -> None:
    for index, value in enumerate(fields.items(name)):
        _block(prompt, object_at(value, f"{fields.path}.{name}[{index}]"))


def _block(prompt: Prompt, block: Fields) -> None:
    """Add a block, by its only key or by several: what is not known counts as text."""
    for key, value in block.values.items():
        if value is None or key in _SILENT:
            continue
        if key in _MEDIA:
            _media(prompt, key, object_at(value, block.path))
        elif key in _WITHIN or (key == "text" and isinstance(value, dict)):
            for each in value if isinstance(value, list) else [value]:
                _block(prompt, object_at(each, block.path))
        elif key == "redactedContent" and isinstance(value, str):
            prompt.sealed(value)
        elif key == "toolUse":
            use = object_at(value, block.path)
            prompt.data([use.values.get("name"), use.values.get("input")], block.path)
        elif key == "text" or isinstance(value, str):
            prompt.text(value, block.path)
        else:
            prompt.data(value, block.path)


def _media(prompt: Prompt, kind: str, media: Fields) -> None:
    """Add the estimate of bytes in the body, or of a file that it names."""
    source = media.child("source") or Fields({}, media.path)
    for name in ("name", "context"):
        if (label := media.text(name)) is not None:
            prompt.text(label, media.path)
    data = source.text("bytes")
    if kind == "image":
        prompt.image()
    elif source.values.get("text") is not None or source.values.get("content") is not None:
        _block(prompt, Fields({name: source.values.get(name) for name in ("text", "content")}, source.path))
    elif data is None:
        prompt.media = True
        film = kind == "video"
        prompt.elsewhere(estimates.VIDEO_BY_REFERENCE_TOKENS if film else estimates.FILE_BY_REFERENCE_TOKENS)
    elif kind == "audio":
        prompt.audio(data)
    elif kind == "video":
        prompt.video(data)
    else:
        prompt.file(data)


def _tools(prompt: Prompt, body: Fields) -> None:
    config = body.child("toolConfig")
    tools = config.items("tools") if config is not None else []
    if not tools:
        return
    prompt.extra_tokens += estimates.ANTHROPIC_TOOLS_TOKENS
    prompt.data(tools, body.at("toolConfig"))
    for tool in tools:
        if "systemTool" in object_at(tool, body.at("toolConfig")).values:
            prompt.extra_tokens += estimates.BUILT_IN_TOOL_TOKENS
