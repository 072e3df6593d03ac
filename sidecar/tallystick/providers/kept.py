"""Bytes kept in bounded memory: all of them up to a limit, beyond it their tail alone."""

KEPT_BYTES = 32 * 2**20
"""The longest document that is read as a whole."""
TAIL_BYTES = 65_536
"""Enough for a usage object and what follows it."""


class Kept:
    """One document as its pieces come in."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.size = 0
        """Bytes that were added, kept or not."""

    def add(self, piece: bytes) -> None:
        """Append a piece."""
        self._bytes += piece
        self.size += len(piece)
        if self.size > KEPT_BYTES and len(self._bytes) > 2 * TAIL_BYTES:
            del self._bytes[:-TAIL_BYTES]

    def clear(self) -> None:
        """Begin anew."""
        self._bytes = bytearray()
        self.size = 0

    @property
    def held(self) -> int:
        """Bytes that are in memory."""
        return len(self._bytes)

    @property
    def whole(self) -> bytes | None:
        """All that was added; `None` if that was too much to be kept."""
        return bytes(self._bytes) if self.size == len(self._bytes) else None

    @property
    def tail(self) -> bytes:
        """The last of it, at most 128 KiB."""
        return bytes(self._bytes[-2 * TAIL_BYTES :])
