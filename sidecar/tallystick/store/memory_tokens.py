"""The part of the specification that keeps tokens, for all tenants."""

from tallystick.core.callers import MOST_TOKENS
from tallystick.core.errors import TokenExists, TokenNotFound
from tallystick.store.asks import Tokens


class TokensInMemory:
    """See `Store.tokens` and its neighbours."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._stamp = ""

    async def tokens(self, known: str) -> Tokens | None:
        """See `Store.tokens`."""
        return None if known == self._stamp else Tokens(self._stamp, dict(self._tokens))

    async def make_token(self, field: str, record: str, stamp: str) -> None:
        """See `Store.make_token`."""
        if field in self._tokens:
            raise TokenExists(f"there is a token {field} already")
        if len(self._tokens) >= MOST_TOKENS:
            raise TokenExists(f"there are {MOST_TOKENS} tokens already, as many as there may be")
        self._tokens[field], self._stamp = record, stamp

    async def revoke_token(self, field: str, stamp: str) -> None:
        """See `Store.revoke_token`."""
        if field not in self._tokens:
            raise TokenNotFound(f"there is no token {field}")
        del self._tokens[field]
        self._stamp = stamp
