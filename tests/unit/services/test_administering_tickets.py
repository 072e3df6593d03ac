"""Who answers a ticket, as the ledger is told."""

import asyncio

import pytest

from tallystick.core.callers import Caller, Role
from tallystick.services.administering_tickets import read_reject
from tallystick.services.permissions import OPERATOR, set_caller
from tallystick.v1 import ticket_pb2 as pb

ANN = Caller("ann", "acme", frozenset({Role.ADMIN}))


@pytest.mark.parametrize(
    ("caller", "said", "told"),
    [
        (None, "", ""),
        (None, "bob", "bob"),
        (OPERATOR, "", "the operator"),
        (OPERATOR, "bob", "bob"),
        (ANN, "", "ann"),
        (ANN, "ann", "ann"),
        (ANN, "bob", "bob (ann)"),
    ],
)
async def test_nobody_answers_in_the_name_of_another_alone(
    caller: Caller | None, said: str, told: str
) -> None:
    async def read() -> str:
        if caller is not None:
            set_caller(caller)
        return read_reject(pb.RejectTicketRequest(tenant="acme", ticket_id="t-1", by=said)).by

    assert await asyncio.create_task(read()) == told
