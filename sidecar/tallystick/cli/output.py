"""Where answers go: JSON for programs, or a console for people.

On a terminal there are colours and frames; elsewhere the same text without
them, and without line breaks that a width would bring.
"""

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp
    from rich.console import Console, RenderableType

PIPED_WIDTH = 10_000
_PARTS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def console() -> "Console":
    """Make the console of standard output."""
    from rich.console import Console

    made = Console(highlight=False, markup=False, emoji=False)
    if made.is_terminal:
        return made
    return Console(highlight=False, markup=False, emoji=False, width=PIPED_WIDTH)


def show(*parts: "RenderableType") -> None:
    """Print for people, each part on lines of its own."""
    out = console()
    with out.capture() as capture:
        for part in parts:
            # A line that is too long all the same is for the terminal to break: amounts are never cut.
            out.print(part, crop=False)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    sys.stdout.write("\n".join(lines) + "\n")


def show_command(words: str) -> None:
    """Print a command on one line, however long, so that it can be copied."""
    console().print("  " + words, style="bold", soft_wrap=True)


def print_message(message: "Message") -> None:
    """Print an answer in protobuf's JSON mapping, by the names of the API, unset fields included."""
    print_json(message_document(message))


def message_document(message: "Message") -> Any:
    """Make the document of `print_message`."""
    from google.protobuf.json_format import MessageToDict

    document = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return _in_order(document, message.DESCRIPTOR)


def _in_order(document: Any, kind: Any) -> Any:
    """Put the fields in the order of the API, which protobuf has set ones first."""
    if not isinstance(document, dict):
        return document  # a time or a length of time, which JSON writes as text
    ordered = {}
    for field in kind.fields:
        value = document.get(field.name)
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            ordered[field.name] = value
        elif isinstance(value, list):
            ordered[field.name] = [_in_order(each, field.message_type) for each in value]
        else:
            ordered[field.name] = _in_order(value, field.message_type)
    return {name: value for name, value in ordered.items() if value is not None}


def print_json(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def print_line(message: "Message") -> None:
    """Print an answer as `print_message` does, on one line, at once."""
    sys.stdout.write(json.dumps(message_document(message), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def time_text(time: "Timestamp", precision: str = "seconds") -> str:
    """Write a time in the local time zone: `2026-11-23T00:00:00+01:00`."""
    return datetime.fromtimestamp(time.seconds, UTC).astimezone().isoformat(timespec=precision)


def length_text(length: "Duration") -> str:
    """Write a length of time, rounded up to a second, by its two largest parts: `3h 20m`."""
    seconds = length.seconds + (length.nanos > 0)
    found = []
    for name, size in _PARTS:
        count, seconds = divmod(seconds, size)
        if count:
            found.append(f"{count}{name}")
    return " ".join(found[:2]) or "0s"
