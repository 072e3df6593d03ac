"""The reference of settings, docs/reference/settings.md, written from their declarations."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tallystick.setting_types import Kind


def write_reference(fields: Mapping[str, FieldInfo], prefix: str) -> str:
    """Write the reference of these settings, as Markdown."""
    rows = [
        f"| `{prefix}{name.upper()}` | {_kind(field)} | {_default(field)} | {field.description} |"
        for name, field in fields.items()
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            "<!-- Written by `python -m tallystick.config`; a test fails where it differs. -->",
            "",
            "The sidecar is set up by environment variables, and refuses to start with a wrong one.",
            "",
            "| variable | type | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _kind(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(field.annotation))
    for mark in field.metadata:
        if isinstance(mark, Kind):
            return mark.text
    if field.annotation is bool:
        return "`true` or `false`"
    bounds = {type(mark).__name__: getattr(mark, type(mark).__name__.lower()) for mark in field.metadata}
    return (
        f"number, {bounds['Ge']} to {bounds['Le']}" if "Le" in bounds else f"number, {bounds['Ge']} or more"
    )


def _default(field: FieldInfo) -> str:
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["shown"])
    value = field.default
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return f"`{seconds // 3600}h`" if seconds % 3600 == 0 else f"`{seconds}s`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value or "")
    return f"`{text}`" if text else ""
