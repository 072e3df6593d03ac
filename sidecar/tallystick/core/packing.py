"""Values as compact JSON, the form in which records are kept."""

import json
from functools import lru_cache


def compact(value: object) -> str:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=8192)
def quoted(text: str) -> str:
    """A text as JSON; the same few subjects come again and again."""
    return compact(text)
