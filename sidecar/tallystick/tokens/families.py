"""Which vocabulary counts for which model, and by how much its count is raised.

A family that is not exact has no public vocabulary, or one that is not shipped here.
Its percentage is the upper end of what has been measured on prose and code, so
that a hold is rather too large; docs/reference/estimates.md names the sources.
"""

import re
from functools import lru_cache
from typing import NamedTuple


class Family(NamedTuple):
    """How the texts of a model are counted."""

    encoding: str
    """A name in `vocabulary.ENCODINGS`."""
    percent: int = 100
    """What the count is multiplied by, rounded up."""
    exact: bool = False


_O200K = Family("o200k_base", exact=True)
_CL100K = Family("cl100k_base", exact=True)

_FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        # Claude until Opus 4.6: 5 % (prose) to 25 % (code) above cl100k.
        (
            r"claude-(instant|v?[123](?!\d)|4(?![.-][7-9])|(opus|sonnet|haiku)-4(?![.-][7-9](?!\d)))",
            Family("cl100k_base", 125),
        ),
        # A new vocabulary came with Opus 4.7: up to 1.47 times the old one on prose, 1.2 on code.
        (r"claude", Family("cl100k_base", 155)),
        (r"gpt-oss", _O200K),
        (r"gpt-(3\.5|35)|gpt-4(?![.o\d])|text-embedding-|(^|:)(davinci|babbage)-002", _CL100K),
        # Retired; their smaller vocabulary is not shipped.
        (r"text-(davinci|curie|babbage|ada)-|^(davinci|curie|babbage|ada)$", Family("cl100k_base", 125)),
        # Newer than the tiktoken we have, which keeps to o200k since GPT-4o.
        (r"(^|[/:.])gpt-[6-9]", Family("o200k_base")),
        (r"(^|[/:.])(gpt-|chatgpt|o[1-9](-|$)|codex|computer-use)", _O200K),
        # 256 k pieces, "about four characters a token" as GPT-4o.
        (r"gemini|gemma", Family("o200k_base", 115)),
        # 128 k pieces, of which 100 k are cl100k's.
        (r"llama-?[3-9]", Family("cl100k_base", 105)),
        # Built on cl100k; splits every digit.
        (r"qwen|qwq", Family("cl100k_base", 115)),
        # "0.3 tokens an English character": a fifth above the usual quarter.
        (r"deepseek", Family("o200k_base", 125)),
        # 32 k pieces in the older ones.
        (r"mistral|mixtral|codestral|ministral|llama|phi-", Family("cl100k_base", 130)),
    )
)
_UNKNOWN = Family("o200k_base", 125)
_UNKNOWN_OF_OPENAI = Family("o200k_base")


@lru_cache(maxsize=4_096)
def family_of(model: str, provider: str = "") -> Family:
    """Tell how a model's texts are counted; the model's name says more than the provider's."""
    name = model.lower()
    for pattern, family in _FAMILIES:
        if pattern.search(name):
            return family
    return _UNKNOWN_OF_OPENAI if provider in ("openai", "azure") else _UNKNOWN
