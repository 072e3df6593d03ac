"""How Envoy's extensions are written: a name and a typed configuration."""

from typing import Any

_TYPES = "type.googleapis.com/"


def typed(message: str, **fields: Any) -> dict[str, Any]:
    """Write a message by its full name; `fields` that are None are left out."""
    return {"@type": _TYPES + message, **{k: v for k, v in fields.items() if v is not None}}


def extension(name: str, message: str, **fields: Any) -> dict[str, Any]:
    """Write an extension with its configuration."""
    return {"name": name, "typed_config": typed(message, **fields)}


def seconds(value: float) -> str:
    """Write a length of time in seconds, as protobuf's JSON has it."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
