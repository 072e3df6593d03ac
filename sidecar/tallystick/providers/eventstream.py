"""Amazon's binary event stream (`application/vnd.amazon.eventstream`), read as it passes.

A message is: its length and that of its headers (4 bytes each, big-endian), the CRC-32 of these
eight, the headers, the payload, and the CRC-32 of all before. Source: the Smithy specification,
"Amazon Event Stream".
"""

import struct
import zlib
from collections.abc import Iterator

from tallystick.providers.framing import Document
from tallystick.providers.kept import Kept

CONTENT_TYPE = "application/vnd.amazon.eventstream"
MAX_MESSAGE_BYTES = 16 * 2**20 + 128 * 2**10 + 16
"""The largest payload and headers that the specification allows, and their frame."""
ERROR_KIND = "error"
"""The kind of a message that is an exception or an error, whatever it calls itself."""
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by its type; 6 and 7 (bytes, text) have a length of two bytes before them."""
_TEXT = 7


class Messages:
    """Cuts the stream into the payloads of its messages, each of the kind of its `:event-type`.

    What breaks the format ends the reading: nothing after it can be trusted.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._broken = False

    def feed(self, piece: bytes) -> Iterator[Document]:
        """Take the next bytes, and give the messages that they complete."""
        if self._broken:
            return
        self._bytes += piece
        start = 0
        while (size := self._size(start)) and len(self._bytes) - start >= size:
            message = bytes(self._bytes[start : start + size])
            start += size
            if zlib.crc32(message[:-4]) != _CRC.unpack(message[-4:])[0]:
                self._broken = True
                break
            yield _document(message)
        del self._bytes[:start]
        if self._broken:
            self._bytes.clear()

    def finish(self) -> Iterator[Document]:
        """Drop a message that is not complete."""
        return iter(())

    def _size(self, start: int) -> int:
        """Read the length of the message that begins there; 0 where none can be read."""
        if self._broken or len(self._bytes) - start < _PRELUDE.size:
            return 0
        size, headers, crc = _PRELUDE.unpack_from(self._bytes, start)
        sound = 16 + headers <= size <= MAX_MESSAGE_BYTES
        self._broken = not sound or zlib.crc32(self._bytes[start : start + 8]) != crc
        return 0 if self._broken else size


def _document(message: bytes) -> Document:
    headers_end = 12 + _PRELUDE.unpack_from(message)[1]
    headers = _headers(message[12:headers_end])
    kept = Kept()
    kept.add(message[headers_end:-4])
    kind = headers.get(":event-type", "")
    return Document(kind if headers.get(":message-type", "event") == "event" else ERROR_KIND, kept)


def _headers(raw: bytes) -> dict[str, str]:
    """Read the headers that are text; what is malformed ends the reading."""
    found: dict[str, str] = {}
    at = 0
    while at < len(raw):
        name = raw[at + 1 : at + 1 + raw[at]].decode("utf-8", "replace")
        at += 1 + raw[at]
        kind, at = raw[at : at + 1], at + 1
        if not kind:
            break
        size = _SIZES.get(kind[0])
        if size is None:
            if kind[0] not in (6, _TEXT) or at + 2 > len(raw):
                break
            size, at = int.from_bytes(raw[at : at + 2], "big"), at + 2
        if kind[0] == _TEXT:
            found[name] = raw[at : at + size].decode("utf-8", "replace")
        at += size
    return found
