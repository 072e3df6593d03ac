"""What a request to a provider says about its own cost."""

from enum import Enum, StrEnum
from typing import NamedTuple


class Api(Enum):
    """The shape of a request's body."""

    OPENAI_CHAT = "openai.chat"
    OPENAI_RESPONSES = "openai.responses"
    OPENAI_EMBEDDINGS = "openai.embeddings"
    ANTHROPIC_MESSAGES = "anthropic.messages"
    GEMINI_GENERATE = "gemini.generate"
    BEDROCK_CONVERSE = "bedrock.converse"


class CacheWrite(StrEnum):
    """The dearest cache write that the input may turn into; the value is its lifetime."""

    NONE = ""
    SHORT = "5m"
    """Charged as `cache_write_5m`: Anthropic's five minutes, OpenAI's implicit cache."""
    LONG = "1h"


class ProviderCall(NamedTuple):
    """What a request asks for, as far as its cost depends on it. Holds the prompt: never log it."""

    model: str
    provider: str
    """Whose format it is: `openai`, `anthropic`, `google` or `aws`. Others serve these formats too."""
    texts: tuple[str, ...]
    """Every text that the provider will count as input."""
    extra_tokens: int = 0
    """Input tokens besides the texts: framing of messages, images, audio, files; see `estimates`."""
    input_token_ids_count: int = 0
    """Input that came as token ids: that many tokens, exactly."""
    max_output: int | None = None
    """Output tokens at most, over all choices; `None` where the request sets no limit."""
    choices: int = 1
    """Answers asked for. Multiply a default limit by it; `max_output` already is."""
    stream: bool = False
    cache_write: CacheWrite = CacheWrite.NONE
    tier: str = ""
    """A processing tier with a price of its own: `flex`, `priority` or `fast`; else empty."""
    media: bool = False
    """It carries images, audio or files, which some models price apart from text."""
    refers_elsewhere: bool = False
    """Part of the input is kept by the provider (an earlier response, a file), so its size is a guess."""
    fingerprint: str = ""
    """Of the prompt (`fingerprint.py`), where it was asked for; else empty."""

    @property
    def writes_cache(self) -> bool:
        """Whether the whole input must be held at the rate of a cache write."""
        return self.cache_write is not CacheWrite.NONE
