"""What is wrong in a document, as pydantic or our own rules found it, with its place in the text."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tallystick.core.errors import InvalidPolicy
from tallystick.policyfile.document import SECTIONS, TAGS, Free
from tallystick.policyfile.section import Sections
from tallystick.policyfile.tree import Node, path_text, short
from tallystick.policyfile.values import described, suggestion

KEY = "[key]"
"""What pydantic appends to the path of a wrong key."""

_TYPES = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
}


def schema_problems(error: ValidationError, root: Node, sections: Sections = SECTIONS) -> list[InvalidPolicy]:
    """Turn pydantic's findings into errors with line and column, in the order of the text.

    `sections`: what stands where, if the document is no policy.
    """
    details = error.errors(include_url=False)
    return in_order([problem(root, detail["loc"], _expected(detail, sections)) for detail in details])


def problem(root: Node, loc: Sequence[str | int], expected: str) -> InvalidPolicy:
    """Place an error: at the value, else at the key that is wrong or lacks something."""
    node = place = root
    path: list[str | int] = []
    for part in loc:
        value = node.value
        if isinstance(value, dict) and part in value and isinstance(part, str):
            place, node = node.keys[part], value[part]
        elif isinstance(value, list) and isinstance(part, int):
            place = node = value[part]
        elif part == KEY or part in TAGS:
            continue
        elif isinstance(value, dict):  # a key that is missing
            return InvalidPolicy(path_text([*path, part]), expected, place.line, place.column)
        else:  # one value that stands for a list of one
            break
        path.append(part)
    if not loc or (loc[-1] != KEY and not expected.startswith(UNKNOWN_KEY)):
        place = node
    return InvalidPolicy(path_text(path), expected, place.line, place.column)


def in_order(problems: list[InvalidPolicy]) -> list[InvalidPolicy]:
    """Sort errors by their place in the text."""
    return sorted(problems, key=lambda found: (found.line, found.column))


UNKNOWN_KEY = "expected one of the keys "


def _expected(detail: ErrorDetails, sections: Sections) -> str:
    """Say what was expected."""
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return f"expected `{detail['loc'][-1]}`, which is required"
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"], sections)
    if kind == "literal_error":
        words = detail["ctx"]["expected"].replace("'", "")
        return f"expected {words}, got {described(value)}"
    if kind in _TYPES:
        empty = "; write {} for none" if value is None and _TYPES[kind] == "a mapping" else ""
        return f"expected {_TYPES[kind]}, got {described(value)}{empty}"
    return detail["msg"]


def _unknown_key(loc: tuple[Any, ...], sections: Sections) -> str:
    """Say which keys are known where this one stands, and which is the nearest."""
    if "<free>" in loc:
        return f"{UNKNOWN_KEY}{', '.join(Free.model_fields)} of a free model, got {short(str(loc[-1]))}"
    section = tuple(part for part in loc[:-1] if part not in TAGS)
    known = next(tuple(model.model_fields) for where, model in sections if _stands(section, where))
    return f"{UNKNOWN_KEY}{', '.join(known)}, got {short(str(loc[-1]))}{suggestion(str(loc[-1]), known)}"


def _stands(section: tuple[Any, ...], where: tuple[str, ...]) -> bool:
    """Whether a path is the one of a section."""
    pairs = zip(section, where, strict=False)
    return len(section) == len(where) and all(name in ("*", part) for part, name in pairs)
