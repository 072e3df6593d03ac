"""The contract, on every store: tokens, which every sidecar sees."""

import random

import pytest

from tallystick.core.callers import MOST_TOKENS, Role, Token, new_stamp, read_token
from tallystick.core.errors import TallystickError, TokenExists, TokenNotFound
from tallystick.store.asks import Tokens
from tallystick.store.base import Store
from tallystick.store.memory import MemoryStore
from tests.store.audit import check_all
from tests.store.backends import Backend, ServerBackend

GATEWAY = Token("acme", "gateway", b"\1" * 32, (Role.DECIDE,), (("team", "söße, =1"),), 17, 5)


async def test_every_sidecar_sees_every_token(backend: Backend) -> None:
    first, second = await backend.client(), await backend.client()
    assert await first.tokens("-") == Tokens("", {})
    assert await first.tokens("") is None
    await first.make_token(GATEWAY.field, GATEWAY.record(), "s1")
    found = await second.tokens("")
    assert found == Tokens("s1", {"acme:gateway": GATEWAY.record()})
    assert [read_token(*each) for each in found.records.items()] == [GATEWAY]
    assert await second.tokens("s1") is None
    await second.revoke_token(GATEWAY.field, "s2")
    assert await first.tokens("s1") == Tokens("s2", {})
    check_all(backend.state())


async def test_a_name_is_taken_once_and_what_is_refused_changes_nothing(backend: Backend) -> None:
    store = await backend.client()
    await store.make_token("acme:a", "[1]", "s1")
    before = backend.dump()
    with pytest.raises(TokenExists, match="acme:a"):
        await store.make_token("acme:a", "[2]", "s2")
    with pytest.raises(TokenNotFound, match="acme:b"):
        await store.revoke_token("acme:b", "s3")
    assert await store.tokens("s1") is None
    assert backend.dump() == before


async def test_there_is_an_end_to_tokens(backend: Backend) -> None:
    store = await backend.client()
    for number in range(MOST_TOKENS):
        await store.make_token(f"acme:{number}", "[]", f"s{number}")
    with pytest.raises(TokenExists, match=str(MOST_TOKENS)):
        await store.make_token("acme:more", "[]", "s")
    await store.revoke_token("acme:7", "s")
    await store.make_token("acme:more", "[]", "t")


async def test_random_changes_are_those_of_the_specification(
    server_backend: ServerBackend, dice: random.Random
) -> None:
    specification, server = MemoryStore(1), await server_backend.client()
    known = "-"
    for _ in range(400):
        field, record, stamp = f"t:{dice.randrange(8)}", f"[{dice.randrange(9)}]", new_stamp()
        making = dice.random() < 0.6
        expected_reply = await _changed(specification, making, field, record, stamp)
        assert await _changed(server, making, field, record, stamp) == expected_reply
        if dice.random() < 0.5:
            expected = await specification.tokens(known)
            assert await server.tokens(known) == expected
            known = expected.stamp if expected else known


async def _changed(store: Store, making: bool, field: str, record: str, stamp: str) -> str:
    """What a store says of a change: nothing, or an error."""
    try:
        if making:
            await store.make_token(field, record, stamp)
        else:
            await store.revoke_token(field, stamp)
    except TallystickError as error:
        return repr(error)
    return ""
