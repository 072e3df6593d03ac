"""From Envoy's CheckRequest to a proxied request."""

from collections.abc import Mapping
from typing import Any

from tallystick.proxied.calls import ProxiedRequest

READ, JWT = "envoy.filters.http.json_to_metadata", "envoy.filters.http.jwt_authn"


def read_check(check: Any) -> ProxiedRequest:
    """Translates; whatever is missing is empty."""
    attributes = check.attributes
    request, context = attributes.request.http, dict(attributes.context_extensions)
    prefix = context.get("prefix", "")
    metadata = attributes.metadata_context.filter_metadata
    headers, body = request.headers, request.raw_body  # a map of the message: three of them are looked at
    return ProxiedRequest(
        method=request.method,
        path=request.path.removeprefix(prefix),
        headers=headers,
        body=body,
        body_bytes=max(request.size, len(body)),
        read=values_of(metadata[READ]) if READ in metadata else {},
        provider=context.get("provider", ""),
        kind=context.get("kind", ""),
        prefix=prefix,
        claims=claims_of(metadata[JWT]) if JWT in metadata else {},
        principal=attributes.source.principal,
        context=context,
        request_id=request_id_of(check),
    )


def request_id_of(check: Any) -> str:
    """The id that Envoy gave the request; its log has it, too. Empty where it gives none."""
    found: str = check.attributes.request.http.headers.get("x-request-id", "")
    return found


def values_of(struct: Any) -> dict[str, Any]:
    """The plain values of a Struct: texts, numbers as doubles, true and false."""
    values = {}
    for name, value in struct.fields.items():
        kind = value.WhichOneof("kind")
        if kind in ("string_value", "number_value", "bool_value"):
            values[name] = getattr(value, kind)
    return values


def claims_of(struct: Any) -> Mapping[str, Any]:
    """The payload of the token that was verified, whatever name the listener keeps it under."""
    for value in struct.values():
        if hasattr(value, "fields"):
            claims: dict[str, Any] = _plain(value)
            return claims
    return {}


def _plain(value: Any) -> Any:
    """A Struct's value with all that is in it."""
    if hasattr(value, "fields"):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if hasattr(value, "values") else value
