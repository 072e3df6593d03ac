"""Tokens as they are made and kept."""

import dataclasses
import random
import re

import pytest

from tallystick.core.callers import EVERY_TENANT, Role, Token, check_token, make_token, read_token
from tallystick.core.consumer_keys import is_ours
from tallystick.core.errors import InvalidArgument
from tests.seeds import seed_of_run

GATEWAY = Token("acme", "gateway", b"\0" * 32, (Role.DECIDE,))


def test_a_token_is_random_and_no_consumers_key() -> None:
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"tallytoken-[0-9A-Za-z]{43}", token) for token in tokens)
    assert not any(is_ours(token) for token in tokens)


def test_a_record_is_read_as_it_was_written() -> None:
    dice = random.Random(seed_of_run())
    for _ in range(200):
        names = dice.sample(["team", "user", "label.a", "label.b"], dice.randrange(4))
        token = Token(
            dice.choice(["acme", "a.b-c_1", EVERY_TENANT]),
            dice.choice(["x", "a:b".replace(":", "."), "0"]),
            dice.randbytes(32),
            tuple(dice.sample(list(Role), dice.randrange(1, 4))),
            tuple((name, dice.choice(["a", 'ü"\\', "=,"])) for name in names),
            dice.randrange(2**43),
            dice.randrange(2**43),
        )
        assert read_token(token.field, token.record()) == token


def test_whose_state_a_caller_may_touch() -> None:
    caller = GATEWAY.caller()
    assert (caller.name, caller.may_touch("acme"), caller.may_touch("other")) == (
        "token acme/gateway",
        True,
        False,
    )
    assert not caller.may_touch(EVERY_TENANT)
    every = dataclasses.replace(GATEWAY, tenant=EVERY_TENANT).caller()
    assert every.may_touch("acme")
    assert every.may_touch(EVERY_TENANT)


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": ""},
        {"tenant": "**"},
        {"name": ""},
        {"name": "-a"},
        {"name": "a" * 65},
        {"roles": ()},
        {"roles": (Role.READ, Role.READ)},
        {"bound": (("model", "x"),)},
        {"bound": (("label.A", "x"),)},
        {"bound": (("team", "x"),), "roles": (Role.ADMIN,)},
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    check_token(GATEWAY)
    with pytest.raises(InvalidArgument):
        check_token(dataclasses.replace(GATEWAY, **changes))  # type: ignore[arg-type]
