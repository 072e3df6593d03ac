"""Counting tokens before a call, offline: exactly for OpenAI's models, nearly for others."""

from tallystick.tokens.counter import TokenCounter
from tallystick.tokens.families import Family, family_of

__all__ = ["Family", "TokenCounter", "family_of"]
