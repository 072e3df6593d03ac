"""Commands as RESP, the protocol of Redis."""

from collections.abc import Sequence


def encode(parts: Sequence[bytes | str | int]) -> bytes:
    """A command as RESP."""
    return b"*%d\r\n" % len(parts) + bulks(parts)


def bulks(parts: Sequence[object]) -> bytes:
    """Some arguments of a command as RESP."""
    raw = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in raw])
