"""One entry for every provider's request."""

from collections.abc import Callable
from types import MappingProxyType

from tallystick.core.errors import InvalidArgument
from tallystick.providers.anthropic import parse_messages
from tallystick.providers.bedrock import parse_converse
from tallystick.providers.body import Fields, decode, object_at
from tallystick.providers.call import Api, ProviderCall
from tallystick.providers.fingerprint import fingerprint
from tallystick.providers.gemini import canonical, parse_generate
from tallystick.providers.openai import parse_chat, parse_embeddings, parse_responses

FIELD = "request.body"
"""The root of the paths in errors."""

_PARSERS: MappingProxyType[Api, Callable[[Fields, str], ProviderCall]] = MappingProxyType(
    {
        Api.OPENAI_CHAT: parse_chat,
        Api.OPENAI_RESPONSES: parse_responses,
        Api.OPENAI_EMBEDDINGS: parse_embeddings,
        Api.ANTHROPIC_MESSAGES: parse_messages,
        Api.GEMINI_GENERATE: parse_generate,
        Api.BEDROCK_CONVERSE: parse_converse,
    }
)


def parse_request(api: Api, body: bytes, *, model: str = "", by_prompt: bool = False) -> ProviderCall:
    """Read what the request may cost; with `by_prompt`, its fingerprint too.

    `model` is the one that the path names: it is used where the body names none, and always for Gemini
    and Bedrock, which go by the path.

    Raises:
        InvalidArgument: and nothing else, whatever the bytes; it names the field and never quotes the
            body. Of `model`, where the path has to name it and does not.

    """
    try:
        fields = object_at(decode(body, FIELD), FIELD)
        if api is Api.GEMINI_GENERATE:
            fields = canonical(fields)
        call = _PARSERS[api](fields, model)
        return call._replace(fingerprint=fingerprint(api, fields, call.model)) if by_prompt else call
    except RecursionError:
        raise InvalidArgument(FIELD, "JSON that is nested less deeply") from None
