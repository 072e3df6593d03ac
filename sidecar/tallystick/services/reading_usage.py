"""Envoy's record of usage, `envoy.data.ai.v3.TokenUsage`, which no package of messages has yet."""

from collections.abc import Iterator, Mapping

_COUNTS = {
    (3, 1): "input_tokens",
    (4, 1): "output_tokens",
    (5, 1): "total_tokens",
    (6, 1, 1): "cached_tokens",
    (6, 2, 1): "cache_creation_tokens",
    (7, 1, 1): "reasoning_tokens",
    (8, 1): "provider_total_tokens",
}
"""Counts by the numbers of their fields: each is wrapped in a message of its own."""
_STATUS = 9
_COMPLETE, _PARTIAL = 1, 2
_WITHIN = frozenset(place[:depth] for place in _COUNTS for depth in range(1, len(place)))
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5


def read_record(raw: bytes) -> tuple[Mapping[str, int], bool]:
    """The counts that are there, and whether they are of the whole answer. Broken bytes tell nothing."""
    counts: dict[str, int] = {}
    status = 0
    try:
        for place, value in _numbers(raw, ()):
            if place in _COUNTS:
                counts[_COUNTS[place]] = value
            elif place == (_STATUS,):
                status = value
    except (IndexError, ValueError):
        return {}, False
    return (counts, status == _COMPLETE) if status in (_COMPLETE, _PARTIAL) else ({}, False)


def _numbers(raw: bytes, within: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int]]:
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        place, kind = (*within, key >> 3), key & 7
        if kind == _VARINT:
            value, at = _varint(raw, at)
            yield place, value
        elif kind == _BYTES:
            size, at = _varint(raw, at)
            if place in _WITHIN:
                yield from _numbers(raw[at : at + size], place)
            at += size
        elif kind in (_FIXED_64, _FIXED_32):
            at += 8 if kind == _FIXED_64 else 4
        else:
            raise ValueError(kind)


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
