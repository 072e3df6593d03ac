"""Counts the tokens of a prompt."""

import threading
from collections.abc import Sequence
from hashlib import blake2b

import tiktoken

from tallystick.tokens.families import family_of
from tallystick.tokens.pieces import pieces
from tallystick.tokens.vocabulary import ENCODINGS, load_encoding

LONG_CHARACTERS = 20_000
"""About a millisecond's work: more does not belong on the event loop."""
_CHARACTERS_PER_TEXT = 16
"""What a call of tiktoken costs besides, as characters."""
_UNCOUNTED_PERCENT = 110
"""What was not counted is taken to be a tenth denser than what was."""
_REMEMBERED_FROM = 64
"""Characters: counts of longer texts are remembered, as conversations come again with every turn."""
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "model"})
"""Every message has one of these short texts."""
_MOST_REMEMBERED = 100_000
"""Counts, some 15 MB. Texts are known by a digest; none is kept."""


class TokenCounter:
    """Counts offline. Safe to use from several threads.

    With `preload` the vocabularies are loaded at once (0.35 s, 85 MB), else at the first count.
    Of more than `max_counted_bytes` of UTF-8 that many are counted, evenly spread, and the
    rest is taken to be as dense, plus a tenth: an estimate, not a bound.

    Raises:
        VocabularyError: the vocabularies are not installed (with `preload`; else `count` raises it).

    """

    def __init__(self, preload: bool, max_counted_bytes: int = 1_000_000) -> None:
        self._max_counted_bytes = max(1, max_counted_bytes)
        self._encodings: dict[str, tiktoken.Encoding] = {}
        self._loading = threading.Lock()
        self._remembered: dict[bytes, int] = {}
        self._roles: dict[tuple[str, str], int] = {}
        if preload:
            self._load()

    def is_long(self, texts: Sequence[str]) -> bool:
        """Tell whether to count off the event loop: over 20,000 characters, or vocabularies not loaded."""
        work = sum(map(len, texts)) + _CHARACTERS_PER_TEXT * len(texts)
        return not self._encodings or work > LONG_CHARACTERS

    def count(self, model: str, provider: str, texts: Sequence[str]) -> int:
        """Count the tokens that the model makes of these texts, each on its own.

        Text that looks like a special token is counted as text.

        Raises:
            VocabularyError: the vocabularies are not installed.

        """
        family = family_of(model, provider)
        encoding = (self._encodings or self._load())[family.encoding]
        # A character is at most four bytes, so most prompts need no measuring.
        if sum(map(len, texts)) * 4 <= self._max_counted_bytes:
            tokens = sum([self._count_text(encoding, text) for text in texts])
        else:
            tokens = self._count_part(encoding, texts)
        return -(-tokens * family.percent // 100)

    def _count_text(self, encoding: tiktoken.Encoding, text: str) -> int:
        if len(text) < _REMEMBERED_FROM:
            return self._count_role(encoding, text) if text in _ROLES else _tokens(encoding, text)
        # A lone surrogate is counted as the replacement character, which is another text.
        key = blake2b(text.encode(errors="surrogatepass"), digest_size=16, person=encoding.name.encode()[:16])
        digest = key.digest()
        tokens = self._remembered.get(digest)
        if tokens is None:
            tokens = sum(_tokens(encoding, piece) for piece in pieces(text))
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = tokens
        return tokens

    def _count_role(self, encoding: tiktoken.Encoding, text: str) -> int:
        key = (encoding.name, text)
        tokens = self._roles.get(key)
        if tokens is None:
            tokens = self._roles[key] = _tokens(encoding, text)
        return tokens

    def _count_part(self, encoding: tiktoken.Encoding, texts: Sequence[str]) -> int:
        total = sum(map(_bytes, texts))
        counted = seen = tokens = 0
        for text in texts:
            for piece in pieces(text):
                size = _bytes(piece)
                # The next piece is counted whenever the counted share has fallen behind.
                if counted * total <= seen * self._max_counted_bytes:
                    counted += size
                    tokens += _tokens(encoding, piece)
                seen += size
        rest = total - counted
        return tokens + -(-rest * tokens * _UNCOUNTED_PERCENT // (counted * 100))

    def _load(self) -> dict[str, tiktoken.Encoding]:
        with self._loading:
            if not self._encodings:
                self._encodings = {name: load_encoding(name) for name in ENCODINGS}
        return self._encodings


def _tokens(encoding: tiktoken.Encoding, text: str) -> int:
    return len(encoding.encode_ordinary(text))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
