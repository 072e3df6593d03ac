"""The contract, on every store: tokens, which every sidecar sees."""

import random
from dataclasses import replace

import pytest

from tallystick.core.callers import MOST_TOKENS, Role, Token, new_stamp, read_token
from tallystick.core.errors import TallystickError, TokenExists, TokenNotFound
from tallystick.store.asks import Tokens
from tallystick.store.base import Store
from tallystick.store.keys import OF_TOKENS
from tallystick.store.memory import MemoryStore
from tests.store.audit import check_all
from tests.store.backends import Backend, ServerBackend

GATEWAY = Token("acme", "gateway", b"\1" * 32, (Role.DECIDE,), (("team", "söße, =1"),), 17, 5)


async def test_every_sidecar_sees_every_token(backend: Backend) -> None:
    first, second = await backend.client(), await backend.client()
    assert await first.tokens("-") == Tokens("", {})
    assert await first.tokens("") is None
    await first.make_token(GATEWAY, "s1", "ann")
    found = await second.tokens("")
    assert found == Tokens("s1", {"acme:gateway": GATEWAY.record()})
    assert [read_token(*each) for each in found.records.items()] == [GATEWAY]
    assert await second.tokens("s1") is None
    await second.revoke_token("acme", "gateway", "s2", "bob")
    assert await first.tokens("s1") == Tokens("s2", {})
    check_all(backend.state())


async def test_a_name_is_taken_once_and_what_is_refused_changes_nothing(backend: Backend) -> None:
    store = await backend.client()
    await store.make_token(_token("a"), "s1", "ann")
    before = backend.dump()
    with pytest.raises(TokenExists, match="acme:a"):
        await store.make_token(_token("a", created_ms=2), "s2", "ann")
    with pytest.raises(TokenNotFound, match="acme:b"):
        await store.revoke_token("acme", "b", "s3", "ann")
    assert await store.tokens("s1") is None
    assert backend.dump() == before


async def test_there_is_an_end_to_tokens(backend: Backend) -> None:
    store = await backend.client()
    for number in range(MOST_TOKENS):
        await store.make_token(_token(str(number)), f"s{number}", "")
    with pytest.raises(TokenExists, match=str(MOST_TOKENS)):
        await store.make_token(_token("more"), "s", "")
    await store.revoke_token("acme", "7", "s", "")
    await store.make_token(_token("more"), "t", "")


async def test_the_ledger_tells_who_made_and_revoked_a_token_and_not_its_digest(backend: Backend) -> None:
    store = await backend.client()
    await store.make_token(GATEWAY, "s1", "ann (token */ops)")
    await store.revoke_token("acme", "gateway", "s2", "bob")
    made, revoked = [entry.fields for entry in await store.ledger(OF_TOKENS, "0", 10)]
    common = {"tenant": "acme", "id": "gateway", "at": made["at"]}
    rights = {"roles": "decide", "subject": "team=söße, =1", "expires": "17"}
    assert made == common | rights | {"kind": "token", "by": "ann (token */ops)"}
    assert revoked == common | {"kind": "revoke", "by": "bob", "at": revoked["at"]}
    check_all(backend.state())


async def test_random_changes_are_those_of_the_specification(
    server_backend: ServerBackend, dice: random.Random
) -> None:
    specification, server = MemoryStore(1), await server_backend.client()
    known = "-"
    for _ in range(400):
        token, stamp = _token(str(dice.randrange(8)), created_ms=dice.randrange(9)), new_stamp()
        making = dice.random() < 0.6
        expected_reply = await _changed(specification, making, token, stamp)
        assert await _changed(server, making, token, stamp) == expected_reply
        if dice.random() < 0.5:
            expected = await specification.tokens(known)
            assert await server.tokens(known) == expected
            known = expected.stamp if expected else known


def _token(name: str, created_ms: int = 0) -> Token:
    return replace(GATEWAY, name=name, created_ms=created_ms)


async def _changed(store: Store, making: bool, token: Token, stamp: str) -> str:
    """What a store says of a change: nothing, or an error."""
    try:
        if making:
            await store.make_token(token, stamp, "ann")
        else:
            await store.revoke_token(token.tenant, token.name, stamp, "bob")
    except TallystickError as error:
        return repr(error)
    return ""
