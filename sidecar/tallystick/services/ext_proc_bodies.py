"""Request bodies in ext_proc: what the gate is shown of them, and what is exchanged in them."""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.envoy.metering import READ
from tallystick.providers.body import MAX_BODY_BYTES, strict_decoder
from tallystick.providers.call import Api
from tallystick.providers.rewriting import model_in_body, rewrite
from tallystick.proxied.calls import ProxiedRequest

LARGE_BYTES = 256 * 1024
"""From here on a body is read in a thread: the loop has other calls."""
SHOWN_BYTES = 1024 * 1024
"""Of a body that is too long to be counted as a whole; the rest is taken to be as dense."""


async def with_body(request: ProxiedRequest, body: bytes) -> ProxiedRequest:
    """The request with its body; of a very long one the beginning, and the fields that decide its cost."""
    if len(body) <= MAX_BODY_BYTES:
        return dataclasses.replace(request, body=body, body_bytes=len(body))
    read = await asyncio.to_thread(_read, body)
    return dataclasses.replace(request, body=body[:SHOWN_BYTES], body_bytes=len(body), read=read)


async def patched(api: Api, body: bytes, patch: Mapping[str, Any]) -> bytes | None:
    """The body that is to be sent; None: as it is.

    Raises:
        InvalidArgument: another model is to be named, and can't be.
    """
    if not patch:
        return None
    model = str(patch.get("model", ""))

    def change() -> bytes:
        return rewrite(api, body, model=model, include_usage="stream_options" in patch)

    changed = await asyncio.to_thread(change) if len(body) > LARGE_BYTES else change()
    if changed != body:
        return changed
    if model and model_in_body(api):
        raise InvalidArgument("request_body", "expected JSON of at most 16 MiB that names a model")
    return None


def _read(body: bytes) -> dict[str, Any]:
    """What Envoy's own filter would read; nothing of a body that could be read in two ways."""
    try:
        fields = strict_decoder.decode(body.decode())
    except (ValueError, RecursionError):
        return {}
    found = {".".join(path): _at(fields, path) for path in READ}
    return {name: value for name, value in found.items() if isinstance(value, str | int | float)}


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
