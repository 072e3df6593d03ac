"""The part of the store on Valkey or Redis that keeps tokens: in partition 0, for all tenants."""

from typing import Any

from tallystick.core.callers import MOST_TOKENS
from tallystick.core.errors import TokenExists, TokenNotFound
from tallystick.store.asks import Tokens
from tallystick.store.script_runner import ScriptRunner

KEPT, DENY, _, REPLAY, MISMATCH, _, UNKNOWN = range(7)
PARTITION = 0


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

    async def make_token(self, field: str, record: str, stamp: str) -> None:
        """See `Store.make_token`."""
        code = (await self._token_script("make_token", field, record, stamp, MOST_TOKENS))[0]
        if code == MISMATCH:
            raise TokenExists(f"there is a token {field} already")
        if code == DENY:
            raise TokenExists(f"there are {MOST_TOKENS} tokens already, as many as there may be")

    async def revoke_token(self, field: str, stamp: str) -> None:
        """See `Store.revoke_token`."""
        if (await self._token_script("revoke_token", field, stamp))[0] == UNKNOWN:
            raise TokenNotFound(f"there is no token {field}")

    async def _token_script(self, name: str, *args: object) -> list[Any]:
        return await self._runner.evaluate(name, PARTITION, self._runner.message(name, PARTITION, args))
