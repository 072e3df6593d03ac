"""Fixed estimates of what a body does not show, with their sources.

All are input tokens, and rather too high: a hold that was too large is given back at the settle.
"""

from dataclasses import dataclass

OPENAI_MESSAGE_TOKENS = 3
"""Around each chat message (OpenAI's cookbook, "How to count tokens with tiktoken")."""
OPENAI_NAME_TOKENS = 1
OPENAI_PRIMING_TOKENS = 3
"""Each answer is primed with the assistant's role (the same source)."""
OPENAI_TOOLS_TOKENS = 12
"""Around the list of tools (the same source)."""

ANTHROPIC_MESSAGE_TOKENS = 4
ANTHROPIC_BASE_TOKENS = 8
"""Around a prompt. No source: the framing of a chat, with room to spare, as for the messages."""
ANTHROPIC_TOOLS_TOKENS = 800
"""The system prompt that tools bring along: 159 to 530 in the tool-use guide, more in newer models."""
BUILT_IN_TOOL_TOKENS = 800
"""A tool that the provider defines itself: 245 to 735 in the guides of bash, text editor, computer use."""

SERVER_CONTEXT_TOKENS = 16_000
"""A conversation or prompt that the provider keeps and the body only names."""
SEALED_CHARACTERS_PER_TOKEN = 4
"""Encrypted reasoning and the like: base64 is a third longer than its text, so this is rather high."""

FILE_BYTES_PER_TOKEN = 4
FILE_TOKENS_MIN = 3_000
"""One page, by Anthropic's PDF guide: 1,500 to 3,000 tokens of text."""
FILE_TOKENS_MAX = 1_000_000
"""No larger context is sold."""
FILE_BY_REFERENCE_TOKENS = 30_000
"""Ten pages."""
AUDIO_BYTES_PER_TOKEN = 200
"""Ten tokens a second, in the leanest usual coding of 16 kbit/s."""
AUDIO_TOKENS_MIN = 10

GEMINI_AUDIO_BYTES_PER_TOKEN = 62
"""32 tokens a second (the token guide), in the leanest usual coding of 16 kbit/s."""
VIDEO_BYTES_PER_TOKEN = 40
"""263 tokens a second and 32 of sound (Gemini's token guide), in a lean coding of 100 kbit/s."""
VIDEO_BY_REFERENCE_TOKENS = 180_000
"""Ten minutes of it."""
GEMINI_CONTENT_TOKENS = 4
GEMINI_BASE_TOKENS = 8
"""Around a prompt. No source: the framing of a chat, with room to spare."""
GEMINI_TOOLS_TOKENS = 200
"""The instructions that tools bring along. No source: Google counts the declarations, and little more."""
CACHED_CONTENT_TOKENS = 32_768
"""A cache that the body only names. A guess: they are made for what is long."""


@dataclass(frozen=True, slots=True)
class ImageTokens:
    """The largest count an image can have, by the detail that the request asks for."""

    low: int
    high: int
    original: int

    def of(self, detail: object) -> int:
        """Input tokens of one image; an unknown detail counts as `high`, which is the default."""
        return self.low if detail == "low" else self.original if detail == "original" else self.high


OPENAI_IMAGE = ImageTokens(low=640, high=3_800, original=12_000)
"""The dearest of the image guide: 1,536 patches × 2.46; 256 × 2.46 in low; 10,000 × 1.2 in original."""
GPT_4O_MINI_IMAGE = ImageTokens(low=2_833, high=48_169, original=48_169)
"""2,833 + 8 tiles × 5,667: this model counts images far above all others."""
ANTHROPIC_IMAGE = ImageTokens(low=4_800, high=4_800, original=4_800)
"""28-pixel patches of the largest native size (2,576 pixels); models before Opus 4.7 stop at 1,600."""
GEMINI_IMAGE = ImageTokens(low=2_580, high=2_580, original=2_580)
"""Ten tiles of 258 tokens (the token guide). No source for the number of tiles: 3,840 × 1,536 pixels."""
