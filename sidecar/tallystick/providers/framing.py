"""How an answer's bytes are cut into documents: one whole, an array's items, or server-sent events."""

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from tallystick.providers.kept import Kept

_LINE_END = re.compile(rb"\r\n|\n|\r")
_OUTSIDE, _INSIDE = re.compile(rb'["\[\]{}]'), re.compile(rb'["\\]')


class Document(NamedTuple):
    """One JSON document of an answer."""

    kind: str
    """What it was announced as, where the framing has names; else empty."""
    kept: Kept
    """Read it before the next one is asked for."""


class Framing(Protocol):
    """Cuts bytes into documents, however they are split."""

    def feed(self, piece: bytes) -> Iterator[Document]:
        """Take the next bytes, and give the documents that they complete."""
        ...

    def finish(self) -> Iterator[Document]:
        """Give what is left at the end."""
        ...


class Whole:
    """One document, which ends with the body."""

    def __init__(self) -> None:
        self._kept = Kept()

    def feed(self, piece: bytes) -> Iterator[Document]:
        """Keep it."""
        self._kept.add(piece)
        return iter(())

    def finish(self) -> Iterator[Document]:
        """Give the body."""
        yield Document("", self._kept)


class ArrayItems:
    """The items of one JSON array, each given as soon as it is complete; objects and arrays only."""

    def __init__(self) -> None:
        self._item = Kept()
        self._depth = 0
        self._in_text = False
        self._escaped = False

    def feed(self, piece: bytes) -> Iterator[Document]:
        """Take the next bytes, and give the items that end in them."""
        start = 0
        at = 1 if self._escaped and piece else 0
        self._escaped = self._escaped and not piece
        while (found := (_INSIDE if self._in_text else _OUTSIDE).search(piece, at)) is not None:
            mark, at = found[0], found.end()
            if mark == b"\\":
                self._escaped = at == len(piece)
                at += 1
            elif mark == b'"':
                self._in_text = not self._in_text
            elif mark in b"[{":
                self._depth += 1
                if self._depth == 2:
                    start = found.start()
            else:
                self._depth -= 1
                if self._depth == 1:
                    self._item.add(piece[start:at])
                    yield Document("", self._item)
                    self._item.clear()
        if self._depth > 1:
            self._item.add(piece[start:])

    def finish(self) -> Iterator[Document]:
        """Drop an item that is not complete."""
        return iter(())


class Events:
    """Server-sent events, as the HTML standard has them; the data of each is one document.

    The last event is given also if the stream ends before its blank line.
    """

    def __init__(self) -> None:
        self._line = Kept()
        self._data = Kept()
        self._has_data = False
        self._kind = ""
        self._after_return = False

    def feed(self, piece: bytes) -> Iterator[Document]:
        """Take the next bytes, and give the events that end in them."""
        if self._after_return and piece:
            self._after_return = False
            piece = piece.removeprefix(b"\n")
        *lines, rest = _LINE_END.split(piece)
        self._after_return = self._after_return or piece.endswith(b"\r")
        for line in lines:
            self._line.add(line)
            yield from self._end_line()
        self._line.add(rest)

    def finish(self) -> Iterator[Document]:
        """Give the event that is under way."""
        yield from self._end_line()
        yield from self._end_event()

    def _end_line(self) -> Iterator[Document]:
        if not self._line.size:
            yield from self._end_event()
            return
        line = self._line.whole
        if line is None:  # only data is ever so long
            self._put(self._line.tail, self._line.size)
        else:
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                self._put(value, len(value))
            elif name == b"event":
                self._kind = value[:64].decode("ascii", "replace")
        self._line.clear()

    def _put(self, value: bytes, size: int) -> None:
        if self._has_data:
            self._data.add(b"\n")
        self._has_data = True
        self._data.add(value)
        self._data.size += size - len(value)

    def _end_event(self) -> Iterator[Document]:
        if self._has_data:
            yield Document(self._kind, self._data)
            self._data.clear()
        self._has_data, self._kind = False, ""
