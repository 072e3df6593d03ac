"""What is changed in a request before it is sent: its model, and the wish for usage in its stream."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from tallystick.core.errors import InvalidArgument
from tallystick.providers import Api
from tallystick.providers.body import strict_decoder
from tallystick.proxied.calls import ProxiedRequest

JSON_TYPE = "application/json"
MOST_INTEGER = 10**300
"""Of a larger number no double is near."""
MOST_DEPTH = 64
"""Envoy's parser gives up at 100."""


def check_readable(request: ProxiedRequest) -> None:
    """Refuse what can't be counted, or what a proxy would silently not change. Raises InvalidArgument."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise InvalidArgument(
            "content-encoding", "expected a body that is not compressed, and no such header"
        )
    if JSON_TYPE not in request.headers.get("content-type", ""):
        raise InvalidArgument("content-type", f"expected {JSON_TYPE}")


def usage_wish(request: ProxiedRequest) -> Mapping[str, Any] | None:
    """Make the `stream_options` of a chat that ask for its usage; None where nothing is to be asked.

    Of a body that is longer than what is at hand, options that stand behind it are not kept.
    """
    read, body = request.read, request.body
    if not read and b'"stream"' in body:
        read = _read(body)
    if read.get("stream") is not True or read.get("stream_options.include_usage") is True:
        return None
    given = _fields(body).get("stream_options") if b'"stream_options"' in body else None
    return {**(given if isinstance(given, dict) else {}), "include_usage": True}


def check_replaceable(request: ProxiedRequest) -> str:
    """Say why a proxy can't be trusted to replace the model in this body; empty if it can."""
    if request.body_bytes > len(request.body):
        return f"a body of {request.body_bytes} bytes is too long to have its model replaced"
    try:
        body = strict_decoder.decode(request.body.decode())
        json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        plain = _is_plain(body, MOST_DEPTH)
    except (ValueError, RecursionError):
        plain = False
    return "" if plain else "this body has numbers, texts or depths with which its model can't be replaced"


def with_model(path: str, named: str, model: str) -> str:
    """Put another model into a path that names one; empty where it is not found."""
    before, mark, query = path.partition("?")
    segments = before.split("/")
    for at in range(len(segments) - 1, -1, -1):
        raw, colon, verb = segments[at].rpartition(":")
        if unquote(segments[at]) == named:
            segments[at] = quote(model, safe=":@")
        elif colon and unquote(raw) == named:
            segments[at] = f"{quote(model, safe=':@')}:{verb}"
        else:
            continue
        return "/".join(segments) + mark + query
    return ""


def asks_for_usage(api: Api) -> bool:
    """Whether streams of this API only tell of usage when asked."""
    return api is Api.OPENAI_CHAT


def _read(body: bytes) -> dict[str, Any]:
    """What a proxy would have read of it."""
    fields = _fields(body)
    options = fields.get("stream_options")
    asked = options.get("include_usage") if isinstance(options, dict) else None
    return {"stream": fields.get("stream"), "stream_options.include_usage": asked}


def _fields(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_plain(value: Any, depth: int) -> bool:
    if depth == 0:
        return False
    if isinstance(value, dict):
        return all(_is_plain(each, depth - 1) for each in value.values())
    if isinstance(value, list):
        return all(_is_plain(each, depth - 1) for each in value)
    return not isinstance(value, int) or abs(value) < MOST_INTEGER
