"""The part of the store on Valkey or Redis that keeps tokens: in partition 0, for all tenants."""

from typing import Any

from tallystick.core.callers import MOST_TOKENS, Token
from tallystick.core.errors import TokenExists, TokenNotFound
from tallystick.store.asks import Tokens
from tallystick.store.keys import OF_TOKENS
from tallystick.store.script_runner import ScriptRunner

KEPT, DENY, _, REPLAY, MISMATCH, _, UNKNOWN = range(7)


class TokensOnValkey:
    """See `Store.tokens` and its neighbours."""

    _runner: ScriptRunner

    async def tokens(self, known: str) -> Tokens | None:
        """See `Store.tokens`."""
        reply = await self._token_script("list_tokens", known)
        if reply[0] == REPLAY:
            return None
        cells = [cell.decode() for cell in reply[2]]
        return Tokens(reply[1].decode(), dict(zip(cells[::2], cells[1::2], strict=True)))

    async def make_token(self, token: Token, stamp: str, by: str) -> None:
        """See `Store.make_token`."""
        told = (part for pair in token.told.items() for part in pair)
        args = (token.tenant, token.name, token.record(), stamp, MOST_TOKENS, by, *told)
        code = (await self._token_script("make_token", *args))[0]
        if code == MISMATCH:
            raise TokenExists(f"there is a token {token.field} already")
        if code == DENY:
            raise TokenExists(f"there are {MOST_TOKENS} tokens already, as many as there may be")

    async def revoke_token(self, tenant: str, name: str, stamp: str, by: str) -> None:
        """See `Store.revoke_token`."""
        if (await self._token_script("revoke_token", tenant, name, stamp, by))[0] == UNKNOWN:
            raise TokenNotFound(f"there is no token {tenant}:{name}")

    async def _token_script(self, name: str, *args: object) -> list[Any]:
        return await self._runner.evaluate(name, OF_TOKENS, self._runner.message(name, OF_TOKENS, args))
