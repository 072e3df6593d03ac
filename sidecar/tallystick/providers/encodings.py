"""Content encodings, undone as the bytes pass, in pieces of bounded size.

gzip and deflate (with or without its zlib frame) are read, also one within the other. The standard
library has neither br nor zstd.
"""

import zlib
from collections.abc import Generator, Iterable, Iterator

PIECE_BYTES = 65_536
"""What is handed on at once, however much a few bytes swell to."""
_MAX_CODINGS = 3
_ZLIB, _RAW, _GZIP = zlib.MAX_WBITS, -zlib.MAX_WBITS, zlib.MAX_WBITS | 16


class Decoding:
    """Undoes what a `content-encoding` header names. `readable` turns false where that fails."""

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",")]
        codings = [name for name in names if name not in ("", "identity")]
        self.readable = len(codings) <= _MAX_CODINGS and all(name in _CODINGS for name in codings)
        self._stages = [_CODINGS[name]() for name in reversed(codings)] if self.readable else []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes, and give what they become, in pieces of at most 64 KiB."""
        if not self.readable:
            return
        pieces: Iterable[bytes] = _pieces(chunk)
        for stage in self._stages:
            pieces = stage.undo(pieces)
        try:
            yield from pieces
        except zlib.error:
            self.readable = False


class _Inflating:
    """A stream of deflate, bare or in a zlib frame; what follows its end is nothing of ours."""

    def __init__(self) -> None:
        self._inflating: zlib._Decompress | None = None
        self._head = b""
        self._over = False
        self._ended = 0

    def undo(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Inflate. Raises zlib.error where it is no such stream."""
        for piece in pieces:
            data, self._head = self._head + piece, b""
            while data and not self._over:
                if self._inflating is None:
                    if len(data) < 2:
                        self._head = data
                        break
                    self._over = self._ends_before(data)
                    if self._over:
                        break
                    self._inflating = zlib.decompressobj(self._frame(data))
                data = yield from self._inflate(self._inflating, data)

    def _frame(self, head: bytes) -> int:
        """Tell by the first two bytes which frame it is in."""
        is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        return _ZLIB if is_zlib else _RAW

    def _ends_before(self, _rest: bytes) -> bool:
        return self._ended > 0

    def _inflate(self, inflating: "zlib._Decompress", data: bytes) -> Generator[bytes, None, bytes]:
        """Inflate, and return what stands behind the end."""
        while True:
            piece = inflating.decompress(data, PIECE_BYTES)
            data = inflating.unconsumed_tail
            if piece:
                yield piece
            if inflating.eof:
                self._inflating = None
                self._ended += 1
                return inflating.unused_data
            if not data and len(piece) < PIECE_BYTES:
                return b""


class _Gunzipping(_Inflating):
    """gzip: members, one after the other, and perhaps a padding that is none."""

    def _frame(self, _head: bytes) -> int:
        return _GZIP

    def _ends_before(self, rest: bytes) -> bool:
        return self._ended > 0 and rest[:2] != b"\x1f\x8b"


_CODINGS: dict[str, type[_Inflating]] = {"gzip": _Gunzipping, "x-gzip": _Gunzipping, "deflate": _Inflating}


def _pieces(chunk: bytes) -> Iterator[bytes]:
    if len(chunk) <= PIECE_BYTES:
        yield chunk
        return
    for start in range(0, len(chunk), PIECE_BYTES):
        yield chunk[start : start + PIECE_BYTES]
