"""`tallystick.v1.BudgetService`: the data plane."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog

from tallystick.core.decision import Decision
from tallystick.engine import Engine
from tallystick.observe.metrics import Metrics
from tallystick.services.admission import Admission
from tallystick.services.boundary import answered, status_of
from tallystick.services.patience import MOST_WOKEN, patient
from tallystick.services.permissions import current_caller, judge_item
from tallystick.services.reading import (
    check_batch,
    read_balance,
    read_charge,
    read_extend,
    read_release,
    read_reserve,
    read_settle,
)
from tallystick.services.writing import (
    write_balance,
    write_charged,
    write_decision,
    write_extension,
    write_released,
    write_settled,
)
from tallystick.services.writing_why import write_explanation
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1 import budget_pb2_grpc

log = structlog.get_logger("tallystick.decisions")

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class BudgetService(budget_pb2_grpc.BudgetServiceServicer):
    """Translates between the API and the engine."""

    def __init__(self, engine: Engine, admission: Admission, metrics: Metrics, log_decisions: bool) -> None:
        self._engine = engine
        self.admission = admission
        self.metrics = metrics
        self._log_decisions = log_decisions
        self.watch, self.woken = engine.tickets.watch, asyncio.Semaphore(MOST_WOKEN)

    def waits_for(self, request: pb.ReserveRequest, response: pb.ReserveResponse) -> tuple[str, str] | None:
        """See `patience.Patient`."""
        return (request.tenant, response.ticket.id) if response.result == pb.RESULT_HOLD else None

    def unheard(self, request: Any, response: Any) -> None:
        """See `boundary.Guarded`. Nobody knows the id that we made: its hold goes back."""
        if isinstance(response, pb.ReserveResponse) and response.tally and not request.reservation_id:
            self._engine.give_back(request.tenant, response.reservation_id)

    @patient
    @answered
    async def Reserve(self, request: pb.ReserveRequest) -> pb.ReserveResponse:
        """See the proto."""
        return await self._reserve(request)

    @answered
    async def Settle(self, request: pb.SettleRequest) -> pb.SettleResponse:
        """See the proto."""
        return await self._settle(request)

    @answered
    async def Release(self, request: pb.ReleaseRequest) -> pb.ReleaseResponse:
        """See the proto."""
        tenant, reservation_id = read_release(request)
        return write_released(reservation_id, await self._engine.release(tenant, reservation_id))

    @answered
    async def Extend(self, request: pb.ExtendRequest) -> pb.ExtendResponse:
        """See the proto."""
        answer = await self._engine.extend(read_extend(request))
        return write_extension(request.reservation_id, answer)

    @answered
    async def Charge(self, request: pb.ChargeRequest) -> pb.ChargeResponse:
        """See the proto."""
        return write_charged(request.charge_id, await self._engine.charge(read_charge(request)))

    @answered
    async def Balance(self, request: pb.BalanceRequest) -> pb.BalanceResponse:
        """See the proto."""
        return write_balance(await self._engine.balance(read_balance(request)))

    @answered
    async def Explain(self, request: pb.ExplainRequest) -> pb.ExplainResponse:
        """See the proto."""
        return write_explanation(await self._engine.explain(read_reserve(request.call)))

    @answered
    async def ReserveBatch(self, request: pb.ReserveBatchRequest) -> pb.ReserveBatchResponse:
        """See the proto."""
        item = pb.ReserveBatchResponse.Item
        return pb.ReserveBatchResponse(items=await _each(request.requests, self._reserve, item))

    @answered
    async def SettleBatch(self, request: pb.SettleBatchRequest) -> pb.SettleBatchResponse:
        """See the proto."""
        item = pb.SettleBatchResponse.Item
        return pb.SettleBatchResponse(items=await _each(request.requests, self._settle, item))

    async def _reserve(self, request: pb.ReserveRequest) -> pb.ReserveResponse:
        call = read_reserve(request)
        decision = await self._engine.tickets.reserve(call)
        refusal = decision.refusal
        self.metrics.decision(decision.result, "" if refusal is None else refusal.reason.name).inc()
        if self._log_decisions:
            _log_decision(call.tenant, decision)
        return write_decision(decision)

    async def _settle(self, request: pb.SettleRequest) -> pb.SettleResponse:
        call = read_settle(request)
        settled = await self._engine.settle(call)
        if settled.changed:
            self.metrics.settle(call.outcome.name, estimated=settled.estimated).inc()
        return write_settled(request.reservation_id, settled)


def _log_decision(tenant: str, decision: Decision) -> None:
    refusal = decision.refusal
    log.debug(
        "decision",
        tenant=tenant,
        reservation_id=decision.reservation_id,
        result=decision.result,
        reason="" if refusal is None else refusal.reason.name,
        model=decision.model,
        cost_nano_usd=decision.nano_usd,
        tokens=decision.tokens,
    )


async def _each(
    requests: Sequence[Item], answer: Callable[[Item], Awaitable[Answer]], item: Callable[..., Any]
) -> list[Any]:
    """Answers every request of a batch at once, each by itself; one's error is its own."""
    check_batch(len(requests))
    if current_caller() is not None:
        answer = _judged(answer)
    found = await asyncio.gather(*(answer(request) for request in requests), return_exceptions=True)
    items = []
    for one in found:
        if isinstance(one, asyncio.CancelledError):
            raise one
        if isinstance(one, BaseException):
            status, text = status_of(one)
            items.append(item(error=pb.ItemError(code=status.value[0], message=text)))
        else:
            items.append(item(response=one))
    return items


def _judged(answer: Callable[[Item], Awaitable[Answer]]) -> Callable[[Item], Awaitable[Answer]]:
    """The same, of requests that the caller may make."""

    async def judged(request: Item) -> Answer:
        judge_item(request)
        return await answer(request)

    return judged
