"""One entry for every provider's request."""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

from tallystick.core.errors import InvalidArgument
from tallystick.providers.anthropic import parse_messages
from tallystick.providers.body import Fields, decode, object_at
from tallystick.providers.call import Api, ProviderCall
from tallystick.providers.fingerprint import fingerprint
from tallystick.providers.openai import parse_chat, parse_embeddings, parse_responses

FIELD = "request.body"
"""The root of the paths in errors."""

_PARSERS: MappingProxyType[Api, Callable[[Fields], ProviderCall]] = MappingProxyType(
    {
        Api.OPENAI_CHAT: parse_chat,
        Api.OPENAI_RESPONSES: parse_responses,
        Api.OPENAI_EMBEDDINGS: parse_embeddings,
        Api.ANTHROPIC_MESSAGES: parse_messages,
    }
)


def parse_request(api: Api, body: bytes, *, by_prompt: bool = False) -> ProviderCall:
    """Read what the request may cost; with `by_prompt`, its fingerprint too.

    Raises:
        InvalidArgument: and nothing else, whatever the bytes; it names the field and never quotes the body.

    """
    try:
        fields = object_at(decode(body, FIELD), FIELD)
        call = _PARSERS[api](fields)
        return replace(call, fingerprint=fingerprint(api, fields)) if by_prompt else call
    except RecursionError:
        raise InvalidArgument(FIELD, "JSON that is nested less deeply") from None
