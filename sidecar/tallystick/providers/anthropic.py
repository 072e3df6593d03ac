"""Anthropic's requests: messages."""

from tallystick.providers import estimates
from tallystick.providers.body import Fields, model_of, object_at
from tallystick.providers.caching import cache_write_asked
from tallystick.providers.call import ProviderCall
from tallystick.providers.prompt import Prompt

MAX_OUTPUT_TOKENS = 2**31 - 1


def parse_messages(body: Fields, named: str = "") -> ProviderCall:
    """Read a message request. Raises InvalidArgument for a body that is malformed."""
    model = model_of(body, named)
    prompt = Prompt(estimates.ANTHROPIC_IMAGE)
    prompt.extra_tokens += estimates.ANTHROPIC_BASE_TOKENS
    if not isinstance(body.values.get("system"), str | list | None):
        raise body.wrong("system", "a string or an array of parts")
    prompt.content(body.values.get("system"), body.at("system"))
    if body.values.get("messages") is None:
        raise body.wrong("messages", "an array")
    for index, value in enumerate(body.items("messages")):
        _message(prompt, object_at(value, f"{body.path}.messages[{index}]"))
    _tools(prompt, body)
    for name in ("output_format", "output_config"):
        if (schema := body.child(name)) is not None:
            prompt.data(schema.values, schema.path)
    return ProviderCall(
        model=model,
        provider="anthropic",
        texts=tuple(prompt.texts),
        extra_tokens=prompt.extra_tokens,
        max_output=body.integer("max_tokens", MAX_OUTPUT_TOKENS),
        stream=body.flag("stream"),
        cache_write=cache_write_asked(body.values),
        tier="fast" if body.text("speed") == "fast" else "",
        media=prompt.media,
        refers_elsewhere=prompt.refers_elsewhere,
    )


def _message(prompt: Prompt, message: Fields) -> None:
    if message.text("role") is None:
        raise message.wrong("role", "a string")
    if not isinstance(message.values.get("content"), str | list):
        raise message.wrong("content", "a string or an array of parts")
    prompt.extra_tokens += estimates.ANTHROPIC_MESSAGE_TOKENS
    prompt.item(message)


def _tools(prompt: Prompt, body: Fields) -> None:
    tools = body.items("tools") + body.items("mcp_servers")
    if not tools:
        return
    prompt.extra_tokens += estimates.ANTHROPIC_TOOLS_TOKENS
    prompt.data(tools, body.at("tools"))
    for tool in tools:
        if "input_schema" not in object_at(tool, body.at("tools")).values:
            prompt.extra_tokens += estimates.BUILT_IN_TOOL_TOKENS
