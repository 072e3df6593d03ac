"""YAML text as a tree that knows the line and column of each value.

Built from the parser's events, one by one and without recursion, so that no
document can use up the stack or the memory. What YAML allows and a policy does
not need is refused: anchors, aliases, tags, several documents, keys that are not
text. Scalars follow the core schema of YAML 1.2 (`no` is text, not False), and
numbers never pass through a float.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn

import yaml

from tallystick.core.consumer_keys import hide_keys
from tallystick.core.errors import InvalidPolicy

MAX_BYTES = 1 << 20
MAX_DEPTH = 10
MAX_NODES = 100_000

DOCUMENT = "document"
"""The field that an error names when it is about the text as a whole."""

# The parser in C where PyYAML has it: several times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_DECIMAL = re.compile(r"[-+]?[0-9]{0,40}\.?[0-9]{1,40}|[-+]?[0-9]{1,40}\.")
_NOT_TEXT = re.compile("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_LOOKED_AT = 400
"""Of a text that is quoted, so many characters are looked at."""

Scalar = str | int | Decimal | bool | None


@dataclass(slots=True)
class Node:
    """A value of the document and where it begins; lines and columns start at 1."""

    line: int
    column: int
    value: "Scalar | list[Node] | dict[str, Node]" = None
    keys: dict[str, "Node"] = field(default_factory=dict)
    """Of a mapping: where each key begins."""

    def plain(self) -> Any:
        """Give the value without its places. The depth is bounded by `MAX_DEPTH`."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read_tree(text: str) -> Node:
    """Parse the one document of the text; its root is a mapping.

    Raises:
        InvalidPolicy: at most `MAX_BYTES`, `MAX_DEPTH`, `MAX_NODES`; not YAML, or not what
            a policy needs of it.

    """
    _check_text(text)
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise InvalidPolicy(DOCUMENT, f"expected YAML: {error.problem or error.context}", *place) from None
    except yaml.YAMLError as error:
        raise InvalidPolicy(DOCUMENT, f"expected YAML: {error}", 1, 1) from None
    if builder.root is None or builder.root.value is None:
        raise InvalidPolicy(DOCUMENT, "expected a mapping that begins with `tenant:`, got nothing", 1, 1)
    if not isinstance(builder.root.value, dict):
        raise InvalidPolicy(
            DOCUMENT, "expected a mapping of keys to values", builder.root.line, builder.root.column
        )
    return builder.root


def _check_text(text: str) -> None:
    """Refuse what is too large, and characters that YAML does not know."""
    if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise InvalidPolicy(DOCUMENT, f"expected at most {MAX_BYTES} bytes", 1, 1)
    found = _NOT_TEXT.search(text.removeprefix("\ufeff"))
    if found:
        before = text.removeprefix("\ufeff")[: found.start()]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        code = f"U+{ord(found.group()):04X}"
        raise InvalidPolicy(DOCUMENT, f"expected text without the character {code}", line, column)


class _Builder:
    """Takes the parser's events, and has the tree when they end."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._pending: list[str | None] = []
        """Of each open node: the key whose value comes next."""
        self._nodes = 0

    def take(self, event: Any) -> None:
        """Add what the event says to the tree."""
        mark = event.start_mark
        node = Node(mark.line + 1, mark.column + 1)
        match event:
            case yaml.DocumentStartEvent():
                if self.root is not None:
                    _refuse(node, "expected one document, found the start of another")
            case yaml.AliasEvent():
                _refuse(node, "expected values written out: aliases (*name) are not supported")
            case yaml.ScalarEvent():
                self._check(event, node)
                if _NOT_TEXT.search(event.value):  # written as an escape
                    _refuse(node, "expected text without control characters")
                self._add(node, event.value, _scalar(event))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._check(event, node)
                self._add(node, None, [] if isinstance(event, yaml.SequenceStartEvent) else {})
                self._open.append(node)
                self._pending.append(None)
                if len(self._open) > MAX_DEPTH:
                    _refuse(node, f"expected at most {MAX_DEPTH} levels")
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                self._open.pop()
                self._pending.pop()

    def _check(self, event: Any, node: Node) -> None:
        """Refuse anchors, tags, and more nodes than a policy may have."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            _refuse(node, f"expected at most {MAX_NODES} values")
        if event.anchor is not None:
            _refuse(node, "expected values written out: anchors (&name) are not supported")
        if event.tag is not None:
            _refuse(node, "expected values without tags (!name)")

    def _add(self, node: Node, text: str | None, value: Any) -> None:
        """Add a node to what is open: as an item, a key or the value of a key."""
        node.value = value
        if not self._open:
            self.root = node
            return
        parent = self._open[-1].value
        if isinstance(parent, list):
            parent.append(node)
        elif self._pending[-1] is None:
            self._add_key(node, text)
        elif isinstance(parent, dict):
            parent[self._pending[-1]] = node
            self._pending[-1] = None

    def _add_key(self, node: Node, text: str | None) -> None:
        """Add a key to the innermost open mapping; its value comes next."""
        keys = self._open[-1].keys
        if not text:
            _refuse(node, "expected a key that is text")
        if text in keys:
            expected = f"expected each key once: {short(text)} is on line {keys[text].line} already"
            raise InvalidPolicy(path_text([*self._path(), text]), expected, node.line, node.column)
        keys[text] = node
        self._pending[-1] = text

    def _path(self) -> list[str | int]:
        """Say where in the document the innermost open node is."""
        return [
            len(node.value) - 1 if isinstance(node.value, list) else next(reversed(node.keys))
            for node in self._open[:-1]
        ]


def _refuse(node: Node, expected: str) -> NoReturn:
    raise InvalidPolicy(DOCUMENT, expected, node.line, node.column)


def _scalar(event: Any) -> Scalar:
    """Read a scalar: what is quoted is text, the rest by the core schema of YAML 1.2."""
    text: str = event.value
    if event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text):
        return Decimal(text)
    return text


def path_text(path: Sequence[str | int]) -> str:
    """Write the path of a value: `budgets.daily.alerts[2]`, `prices.models["local/*"].free`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]{1,64}", part) and hide_keys(part) == part:
            text += f".{part}" if text else part
        else:
            shown = hide_keys(part[:_LOOKED_AT])
            text += f'["{shown}"]' if len(shown) <= 64 else f'["{shown[:64]}…"]'
    return text or DOCUMENT


def short(text: str, length: int = 40) -> str:
    """Quote text for a message, cut to a length and without a consumer's key."""
    shown = hide_keys(text[:_LOOKED_AT])
    return f"`{shown}`" if len(shown) <= length else f"`{shown[:length]}…`"
