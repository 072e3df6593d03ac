import asyncio
from typing import Any

import pytest

from tallystick.services.admission import Admission
from tallystick.services.budget import BudgetService
from tallystick.services.native_call import NativeCall
from tallystick.v1 import budget_pb2 as pb
from tests.unit.engine.office import Office


class Context:
    """A call's context."""

    def time_remaining(self) -> None:
        return None


async def ask(service: BudgetService, reservation_id: str) -> Any:
    cost = pb.Cost(nano_usd=5)
    request = pb.ReserveRequest(tenant="acme", reservation_id=reservation_id, cost=cost)
    return await service.Reserve(request, Context())  # type: ignore[arg-type]


@pytest.mark.contract(3)
@pytest.mark.parametrize(("reservation_id", "held"), [("", 0), ("mine", 5)])
async def test_a_caller_who_leaves_as_the_answer_departs(reservation_id: str, held: int) -> None:
    office = Office()
    await office.apply("wallets: {org: {}}")
    await office.credit(100)
    admission = Admission(9, 9, office.metrics)
    service = BudgetService(office.engine, admission, office.metrics, log_decisions=False)
    admission.enter()  # another call is at work, so that answers wait for the end of the tick
    task = asyncio.create_task(ask(service, reservation_id))
    await asyncio.sleep(0)
    assert office.held() == 5
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(5):
        await asyncio.sleep(0)
    assert office.held() == held
    assert admission.at_work == 1


@pytest.mark.contract(3)
@pytest.mark.parametrize(("reservation_id", "held"), [("", 0), ("mine", 5)])
async def test_a_caller_who_has_left_when_the_native_answer_is_sent(reservation_id: str, held: int) -> None:
    office = Office()
    await office.apply("wallets: {org: {}}")
    await office.credit(100)
    admission = Admission(9, 9, office.metrics)
    service = BudgetService(office.engine, admission, office.metrics, log_decisions=False)
    cost, call = pb.Cost(nano_usd=5), NativeCall(1, ((), "", None))
    request = pb.ReserveRequest(tenant="acme", reservation_id=reservation_id, cost=cost)
    assert (await service.Reserve(request, call)).result == pb.RESULT_ALLOW
    assert office.held() == 5
    assert call.unheard is not None
    call.unheard()
    for _ in range(5):
        await asyncio.sleep(0)
    assert office.held() == held
