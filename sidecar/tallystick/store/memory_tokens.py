"""The part of the specification that keeps tokens, for all tenants."""

from tallystick.core.callers import MOST_TOKENS, Token
from tallystick.core.errors import TokenExists, TokenNotFound
from tallystick.store.asks import Tokens
from tallystick.store.keys import OF_TOKENS
from tallystick.store.memory_partition import Partition


class TokensInMemory:
    """See `Store.tokens` and its neighbours."""

    _partitions: list[Partition]

    def _tick(self, p: Partition) -> None:
        raise NotImplementedError

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._stamp = ""

    async def tokens(self, known: str) -> Tokens | None:
        """See `Store.tokens`."""
        return None if known == self._stamp else Tokens(self._stamp, dict(self._tokens))

    async def make_token(self, token: Token, stamp: str, by: str) -> None:
        """See `Store.make_token`."""
        field = token.field
        if field in self._tokens:
            raise TokenExists(f"there is a token {field} already")
        if len(self._tokens) >= MOST_TOKENS:
            raise TokenExists(f"there are {MOST_TOKENS} tokens already, as many as there may be")
        self._tell("token", token.tenant, token.name, by=by, **token.told)
        self._tokens[field], self._stamp = token.record(), stamp

    async def revoke_token(self, tenant: str, name: str, stamp: str, by: str) -> None:
        """See `Store.revoke_token`."""
        field = f"{tenant}:{name}"
        if field not in self._tokens:
            raise TokenNotFound(f"there is no token {field}")
        self._tell("revoke", tenant, name, by=by)
        del self._tokens[field]
        self._stamp = stamp

    def _tell(self, kind: str, tenant: str, name: str, **fields: str) -> None:
        p = self._partitions[OF_TOKENS]
        self._tick(p)
        p.append(kind, tenant, name, **fields)
