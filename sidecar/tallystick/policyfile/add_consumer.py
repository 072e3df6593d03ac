"""Adds a consumer to the text of a policy, whose other lines stay as they are."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from tallystick.core.consumer_keys import parse_hash
from tallystick.core.errors import InvalidPolicy
from tallystick.core.identity import Consumer, subject_from
from tallystick.policyfile.load import load_policy
from tallystick.policyfile.tree import Node, read_tree, short

_EMPTY = re.compile(r"\{[ \t]*\}")


def consumer_line(name: str, key_hash: str, values: Mapping[str, str]) -> str:
    """Write a consumer as a line of `consumers`; `values` are its subject's, by dimension."""
    said = ", ".join(f"{dimension}: {json.dumps(v, ensure_ascii=False)}" for dimension, v in values.items())
    subject = f", subject: {{{said}}}" if said else ""
    return f'{name}: {{key: "{key_hash}"{subject}}}'


def add_consumer(document: str, name: str, key_hash: str, values: Mapping[str, str]) -> str:
    """Add a consumer to a good policy.

    Raises:
        InvalidPolicy: it has one of this name, or no place for a line.

    """
    root = read_tree(document)
    consumers = root.value.get("consumers") if isinstance(root.value, dict) else None
    if consumers and name in consumers.keys:
        place = consumers.keys[name]
        expected = f"expected a new consumer, got {short(name)}, which is there; add the hash to its `keys`"
        raise InvalidPolicy(f"consumers.{name}", expected, place.line, place.column)
    added = _with_line(document, root, consumer_line(name, key_hash, values))
    digest = parse_hash(key_hash)
    assert digest is not None
    if not _differs_by(document, added, Consumer(name, (digest,), subject_from(values))):
        at = root.keys.get("consumers", root)
        expected = "expected one consumer a line, to add another one; write it down by hand"
        raise InvalidPolicy("consumers", expected, at.line, at.column)
    return added


def _with_line(document: str, root: Node, line: str) -> str:
    """The text with a line more, if it is written in the usual way."""
    lines = document.splitlines(keepends=True)
    if "consumers" not in root.keys:
        end = "" if document.endswith("\n") else "\n"
        return f"{document}{end}consumers:\n  {line}\n"
    assert isinstance(root.value, dict)
    at, consumers = root.keys["consumers"], root.value["consumers"]
    if consumers.value:
        lines.insert(at.line, " " * (next(iter(consumers.keys.values())).column - 1) + line + "\n")
    else:
        before = lines[at.line - 1].rstrip("\r\n")
        lines[at.line - 1] = f"{_EMPTY.sub('', before, count=1).rstrip()}\n  {line}\n"
    return "".join(lines)


def _differs_by(before: str, after: str, consumer: Consumer) -> bool:
    """Whether a policy says what it said, and has this consumer besides."""
    try:
        new = load_policy(after)
    except InvalidPolicy:
        return False
    old = load_policy(before)
    rest = tuple(each for each in new.consumers if each.name != consumer.name)
    return replace(new, consumers=rest) == old and consumer in new.consumers
