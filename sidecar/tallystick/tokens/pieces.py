"""Cuts long text where its tokens do not change, before tiktoken sees it.

tiktoken panics (with a BaseException) on some hundred thousand spaces in a row, and its
speed per character falls with the length of a run. So nothing longer than
`MAX_CHARACTERS` is passed on.
"""

from collections.abc import Iterator

MAX_CHARACTERS = 8_192
_TRIES = 64


def pieces(text: str, longest: int = MAX_CHARACTERS) -> Iterator[str]:
    """Cut a text into pieces of at most `longest` characters.

    A cut is made before a space between a visible character and a letter, where both
    vocabularies always start a new token. Text that has no such place nearby (a run of
    one character, Chinese) is cut anywhere, which changes the count by a token or two.
    """
    start = 0
    while len(text) - start > longest:
        end = _boundary(text, start, start + longest)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _boundary(text: str, start: int, end: int) -> int:
    at = end
    for _ in range(_TRIES):
        at = text.rfind(" ", start + 1, at)
        if at < 0:
            break
        following = text[at + 1]
        if not text[at - 1].isspace() and following.isascii() and following.isalpha():
            return at
    return end
