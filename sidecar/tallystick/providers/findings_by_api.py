"""How each API says what an answer took, and that it is done."""

from types import MappingProxyType
from typing import Any

from tallystick.providers.call import Api
from tallystick.providers.eventstream import ERROR_KIND
from tallystick.providers.findings import Findings, Object, child, children

_COUNTS = (
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation",
    "output_tokens", "output_tokens_details", "iterations",
)  # fmt: skip
"""What Anthropic's usage objects count."""


class Chat(Findings):
    """OpenAI's chat completions, and of those who serve the same.

    The usage is null until the last chunk, which has no choices; others repeat it in every chunk
    (Groq in `x_groq`, Moonshot in the choice), and the last one counts.
    """

    def event(self, _kind: str, value: Object) -> None:
        """Read a chunk."""
        self.name(value.get("model"), value.get("service_tier"))
        self.report(child(value, "x_groq").get("usage"))
        for choice in children(value, "choices"):
            self.report(choice.get("usage"))
            self.words(choice.get("delta") or choice.get("message"))
        self.report(value.get("usage"))

    def whole(self, value: Object) -> None:
        """Read a completion."""
        self.event("", value)
        self.complete = True


class Embeddings(Findings):
    """OpenAI's embeddings, which are never streamed."""

    def event(self, _kind: str, value: Object) -> None:
        """Read what stands beside the numbers."""
        self.name(value.get("model"))
        self.report(value.get("usage"))

    def whole(self, value: Object) -> None:
        """Read a list of embeddings."""
        self.event("", value)
        self.complete = True


class Responses(Findings):
    """OpenAI's responses: events with a type, the last of which has the response with its usage."""

    def event(self, kind: str, value: Object) -> None:
        """Read an event."""
        said = value.get("type", kind)
        if isinstance(said, str) and said.endswith(".delta"):
            self.words(value.get("delta"))
        self._response(child(value, "response"))
        self._ends(said)

    def whole(self, value: Object) -> None:
        """Read a response; one in the background is not done when it is first answered."""
        self._response(value)
        self.words(value.get("output"))
        self.complete = value.get("status") not in ("queued", "in_progress")
        self.failed = self.failed or value.get("status") == "failed"

    def tail(self, kind: str, tail: bytes, *, whole: bool) -> None:
        """Read the end of a response with pictures."""
        super().tail(kind, tail, whole=whole)
        self._ends(kind)

    def _response(self, response: Object) -> None:
        self.name(response.get("model"), response.get("service_tier"))
        self.report(response.get("usage"))

    def _ends(self, kind: Any) -> None:
        self.complete = self.complete or kind in ("response.completed", "response.incomplete")
        self.failed = self.failed or kind in ("response.failed", "error")


class Messages(Findings):
    """Anthropic's messages: the start has the input, deltas have what came to in all so far."""

    def __init__(self) -> None:
        super().__init__()
        self._reported: Object = {}

    def event(self, kind: str, value: Object) -> None:
        """Read an event."""
        said = value.get("type", kind)
        if said == "message_start":
            message = child(value, "message")
            self.name(message.get("model"))
            self._count(message)
        elif said == "content_block_start":
            self.words(value.get("content_block"))
        elif said == "content_block_delta":
            self.words(value.get("delta"))
        elif said == "message_delta":
            self._count(value)
        self.complete = self.complete or said == "message_stop"
        self.failed = self.failed or said == "error"

    def whole(self, value: Object) -> None:
        """Read a message."""
        self.name(value.get("model"))
        self._count(value)
        self.words(value.get("content"))
        self.complete = True

    def _count(self, value: Object) -> None:
        """Overwrite what is said anew. No count shrinks, so a zero only leaves something out."""
        usage = child(value, "usage")
        if usage:
            self._reported |= {
                name: each for name, each in usage.items() if each or name not in self._reported
            }
            self.report(self._reported)
            self.name(None, "fast" if usage.get("speed") == "fast" else usage.get("service_tier"))


class Generated(Findings):
    """Gemini's answers: each document of a stream has the form of a whole one, and the counts so far."""

    def event(self, _kind: str, value: Object) -> None:
        """Read a part of an answer."""
        usage = child(value, "usageMetadata")
        self.name(value.get("modelVersion"), usage.get("serviceTier") or usage.get("trafficType"))
        self.report(usage)
        for candidate in children(value, "candidates"):
            self.words(child(candidate, "content").get("parts"))
            self.complete = self.complete or bool(candidate.get("finishReason"))
        # A prompt that is refused has no candidates.
        self.complete = self.complete or bool(child(value, "promptFeedback").get("blockReason"))

    def whole(self, value: Object) -> None:
        """Read an answer."""
        self.event("", value)
        self.complete = True


class Conversed(Findings):
    """Bedrock's Converse: the stop of the message, then its metadata with the usage."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped = False

    def event(self, kind: str, value: Object) -> None:
        """Read a message of the event stream."""
        if kind == ERROR_KIND:
            self.failed = True
        elif kind == "contentBlockStart":
            self.words(value.get("start"))
        elif kind == "contentBlockDelta":
            self.words(value.get("delta"))
        elif kind == "messageStop":
            self._stopped = True
        elif kind == "metadata":
            self._metadata(value)
            self.complete = self._stopped

    def whole(self, value: Object) -> None:
        """Read an answer. What went wrong says a message and nothing else."""
        self._metadata(value)
        self.words(child(value, "output", "message").get("content"))
        self.complete = True

    def _metadata(self, value: Object) -> None:
        router = child(value, "trace", "promptRouter")
        self.name(router.get("invokedModelId"), child(value, "serviceTier").get("type"))
        self.report(value.get("usage"))


FINDINGS: MappingProxyType[Api, type[Findings]] = MappingProxyType(
    {
        Api.OPENAI_CHAT: Chat,
        Api.OPENAI_RESPONSES: Responses,
        Api.OPENAI_EMBEDDINGS: Embeddings,
        Api.ANTHROPIC_MESSAGES: Messages,
        Api.GEMINI_GENERATE: Generated,
        Api.BEDROCK_CONVERSE: Conversed,
    }
)
