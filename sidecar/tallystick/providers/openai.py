"""OpenAI's requests: chat completions, responses, embeddings."""

from tallystick.providers import estimates
from tallystick.providers.body import Fields, model_of, object_at
from tallystick.providers.call import CacheWrite, ProviderCall
from tallystick.providers.prompt import Prompt

MAX_OUTPUT_TOKENS = 2**31 - 1
MAX_CHOICES = 1_024
_TIERS = frozenset({"flex", "priority", "fast"})


def parse_chat(body: Fields, named: str = "") -> ProviderCall:
    """Read a chat completion request. Raises InvalidArgument for a body that is malformed."""
    model = model_of(body, named)
    prompt = _prompt(model)
    prompt.extra_tokens += estimates.OPENAI_PRIMING_TOKENS
    for index, value in enumerate(_required_items(body, "messages")):
        if not _add_plain(prompt, value):
            _chat_message(prompt, object_at(value, f"{body.path}.messages[{index}]"))
    _tools(prompt, body, "tools")
    _tools(prompt, body, "functions")
    if (schema := body.child("response_format")) is not None:
        prompt.data(schema.values, schema.path)
    limits = [body.integer(name, MAX_OUTPUT_TOKENS) for name in ("max_completion_tokens", "max_tokens")]
    choices = max(body.integer(name, MAX_CHOICES, least=1) or 1 for name in ("n", "best_of"))
    return _call(
        body, model, prompt, max((limit for limit in limits if limit is not None), default=None), choices
    )


def parse_responses(body: Fields, named: str = "") -> ProviderCall:
    """Read a response request. Raises InvalidArgument for a body that is malformed."""
    model = model_of(body, named)
    prompt = _prompt(model)
    prompt.extra_tokens += estimates.OPENAI_PRIMING_TOKENS
    for name in ("instructions", "input"):
        _input(prompt, body, name)
    _tools(prompt, body, "tools")
    for name in ("text", "prompt"):
        if (child := body.child(name)) is not None:
            prompt.item(child)
    for name in ("previous_response_id", "conversation", "prompt"):
        if body.values.get(name) is not None:
            prompt.refers_elsewhere = True
            prompt.extra_tokens += estimates.SERVER_CONTEXT_TOKENS
    return _call(body, model, prompt, body.integer("max_output_tokens", MAX_OUTPUT_TOKENS), 1)


def parse_embeddings(body: Fields, named: str = "") -> ProviderCall:
    """Read a request for embeddings. Raises InvalidArgument for a body that is malformed."""
    model = model_of(body, named)
    value = body.values.get("input")
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list):
        raise body.wrong("input", "a string or an array")
    if _are_token_ids(entries):
        entries = [entries]
    prompt = _prompt(model)
    ids = 0
    for index, entry in enumerate(entries):
        if isinstance(entry, list):
            if not _are_token_ids(entry):
                raise body.wrong(f"input[{index}]", "token ids")
            ids += len(entry)
        else:
            prompt.text(entry, body.at(f"input[{index}]"))
    return ProviderCall(model, "openai", tuple(prompt.texts), input_token_ids_count=ids, max_output=0)


def _prompt(model: str) -> Prompt:
    return Prompt(estimates.GPT_4O_MINI_IMAGE if "gpt-4o-mini" in model else estimates.OPENAI_IMAGE)


def _call(body: Fields, model: str, prompt: Prompt, limit: int | None, choices: int) -> ProviderCall:
    tier = body.text("service_tier") or ""
    return ProviderCall(
        model=model,
        provider="openai",
        texts=tuple(prompt.texts),
        extra_tokens=prompt.extra_tokens,
        max_output=None if limit is None else limit * choices,
        choices=choices,
        stream=body.flag("stream"),
        # Its cache is implicit; models that charge writes (from GPT-5.6 on) need no word in the request.
        cache_write=CacheWrite.SHORT,
        tier=tier if tier in _TIERS else "",
        media=prompt.media,
        refers_elsewhere=prompt.refers_elsewhere,
    )


def _required_items(body: Fields, name: str) -> list[object]:
    if body.values.get(name) is None:
        raise body.wrong(name, "an array")
    return body.items(name)


def _add_plain(prompt: Prompt, message: object) -> bool:
    """Add a message that has a role and a text, both ASCII, as most have: nothing in it can be wrong."""
    if type(message) is not dict or len(message) != 2 or "role" not in message or "content" not in message:
        return False
    texts = list(message.values())
    if not all(type(text) is str and text.isascii() for text in texts):
        return False
    prompt.extra_tokens += estimates.OPENAI_MESSAGE_TOKENS
    prompt.texts += filter(None, texts)
    return True


def _chat_message(prompt: Prompt, message: Fields) -> None:
    if message.text("role") is None:
        raise message.wrong("role", "a string")
    if not isinstance(message.values.get("content"), str | list | None):
        raise message.wrong("content", "a string or an array of parts")
    prompt.extra_tokens += estimates.OPENAI_MESSAGE_TOKENS
    if message.text("name"):
        prompt.extra_tokens += estimates.OPENAI_NAME_TOKENS
    prompt.item(message)


def _input(prompt: Prompt, body: Fields, name: str) -> None:
    value = body.values.get(name)
    if not isinstance(value, str | list | None):
        raise body.wrong(name, "a string or an array of items")
    if isinstance(value, str):
        prompt.extra_tokens += estimates.OPENAI_MESSAGE_TOKENS
        prompt.text(value, body.at(name))
        return
    for index, entry in enumerate(value or []):
        item = object_at(entry, f"{body.path}.{name}[{index}]")
        prompt.extra_tokens += estimates.OPENAI_MESSAGE_TOKENS
        if item.values.get("type") == "item_reference":
            prompt.refers_elsewhere = True
            prompt.extra_tokens += estimates.SERVER_CONTEXT_TOKENS
        elif "role" in item.values:
            prompt.item(item)  # a message, whatever type it claims
        else:
            prompt.part(item)


def _tools(prompt: Prompt, body: Fields, name: str) -> None:
    tools = body.items(name)
    if not tools:
        return
    prompt.extra_tokens += estimates.OPENAI_TOOLS_TOKENS
    prompt.data(tools, body.at(name))
    for index, tool in enumerate(tools):
        kind = object_at(tool, f"{body.path}.{name}[{index}]").values.get("type", "function")
        if kind not in ("function", "custom"):
            prompt.extra_tokens += estimates.BUILT_IN_TOOL_TOKENS


def _are_token_ids(entries: list[object]) -> bool:
    return bool(entries) and all(type(entry) is int and entry >= 0 for entry in entries)
