"""A provider's answer, read as it passes: what it took, and whether it is done.

In bounded memory, whatever the size of the body and the chunks that it comes in: documents are kept
up to `kept.KEPT_BYTES`, of longer ones only the end.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tallystick.core.usage import Usage
from tallystick.providers import eventstream
from tallystick.providers.call import Api
from tallystick.providers.encodings import Decoding
from tallystick.providers.findings_by_api import FINDINGS
from tallystick.providers.framing import ArrayItems, Document, Events, Framing, Whole

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


class Answer(NamedTuple):
    """What an answer said of itself."""

    usage: Usage | None
    """The last that was reported. Of an answer that is not complete it is what came so far: then
    the output may be more, and `output_bytes` is the better witness (Anthropic's streams report
    all input at the start, and hardly any output before the end)."""
    model: str
    """The model that the provider says it used, or empty."""
    tier: str
    """The processing tier in the provider's own word, or empty."""
    complete: bool
    """The provider said that it is done."""
    failed: bool
    """The provider said that something went wrong: an error's status, an error event, a failed response."""
    output_bytes: int
    """Bytes of text of the answer that were seen, tool calls included, as UTF-8."""
    body_bytes: int
    """Bytes of the body, decoded; as they came, where they can't be."""
    unreadable: bool = False
    """Its content encoding could not be undone, at least not to the end."""


class AnswerReader:
    """Reads one response: `feed` its chunks, then `finish`. Never raises, whatever the bytes."""

    def __init__(self, api: Api, status: int, content_type: str, content_encoding: str) -> None:
        self._decoding = Decoding(content_encoding)
        self._findings = FINDINGS[api]()
        self._findings.failed = status >= 400
        self._body_bytes = 0
        self._head = b""
        self._answer: Answer | None = None
        is_binary = content_type.partition(";")[0].strip().lower() == eventstream.CONTENT_TYPE
        self._framing: Framing | None = eventstream.Messages() if is_binary else None

    @property
    def body_bytes(self) -> int:
        """Bytes of the body so far, decoded; as they came, where they can't be."""
        return self._body_bytes

    @property
    def output_bytes(self) -> int | None:
        """Bytes of text so far, as `Answer` has them; None where the encoding can't be undone."""
        return self._findings.output_bytes if self._decoding.readable else None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body, as they came; none after `finish`."""
        if self._answer is not None:
            return
        if not self._decoding.readable:
            self._body_bytes += len(chunk)
        for piece in self._decoding.feed(chunk):
            self._body_bytes += len(piece)
            self._read(piece)

    def finish(self) -> Answer:
        """Give what was found, at the end or wherever the body broke off. The first answer stays."""
        if self._answer is not None:
            return self._answer
        if self._framing is not None:
            self._take(self._framing.finish())
        found = self._findings
        self._answer = Answer(
            usage=found.usage,
            model=found.model,
            tier=found.tier,
            complete=found.complete,
            failed=found.failed,
            output_bytes=found.output_bytes,
            body_bytes=self._body_bytes,
            unreadable=not self._decoding.readable,
        )
        return self._answer

    def _read(self, piece: bytes) -> None:
        if self._framing is None:
            piece = (self._head + piece).lstrip(_BLANK)
            if len(piece) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(piece):
                self._head = piece
                return
            piece = piece.removeprefix(_BYTE_ORDER_MARK).lstrip(_BLANK)
            if not piece:
                self._head = _BYTE_ORDER_MARK
                return
            self._framing = _framing_of(piece[:1])
        self._take(self._framing.feed(piece))

    def _take(self, documents: Iterator[Document]) -> None:
        whole = isinstance(self._framing, Whole)
        for document in documents:
            self._findings.read(document, whole=whole)


def _framing_of(first: bytes) -> Framing:
    """Tell the framing by the byte that the body begins with, blanks left out: they keep connections alive.

    Types lie: errors come as JSON in a stream, streams come as plain text, and Gemini streams an
    array where nobody asks for events.
    """
    return Whole() if first == b"{" else ArrayItems() if first == b"[" else Events()
