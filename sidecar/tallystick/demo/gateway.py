"""A small gateway: reserve, call the provider, settle. This is the code to copy.

Reserve ── DENY ────────▶ BudgetRefused; the provider is never asked
   │ ALLOW, with the model to use
provider ── answered ───▶ Settle, with its usage as it came
         ── left early ─▶ Settle as aborted: the hold is charged, until `reconcile`
         ── refused ────▶ Settle as unbilled: all goes back
         ── not reached ▶ Release: all goes back
         ── unknown ────▶ Settle as unknown: the hold is charged
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion

from tallystick.v1 import budget_pb2 as pb
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub

NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
"""Causes that prove that the provider saw nothing of the request."""
WAIT_S = 60
"""How long a call waits for the answer to a ticket."""


class BudgetRefused(Exception):
    """The sidecar did not say ALLOW. Its `refusal` says why, and when to come back."""

    def __init__(self, refusal: pb.Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.reason = pb.Reason.Name(refusal.reason).removeprefix("REASON_")


class Gateway:
    """Stands between the agents of one tenant and one provider.

    Give `provider` no retries of its own: every attempt is a call, with its own reservation.
    A Settle that fails raises here. In production, retry it beside the answer: it has one effect,
    and the hold that it misses is charged when it expires.
    """

    def __init__(self, budget: BudgetServiceStub, provider: openai.AsyncOpenAI, tenant: str) -> None:
        self._budget = budget
        self._provider = provider
        self._tenant = tenant
        self._unreported: list[tuple[pb.ReserveResponse, str]] = []

    async def complete(
        self, subject: pb.Subject, body: dict[str, Any], justification: str = ""
    ) -> ChatCompletion:
        """Ask, and wait for the whole answer. Raises BudgetRefused, and what the SDK raises.

        `justification` is for the ticket, where a budget opens one; its answer is waited for.
        """
        held = await self._reserve(subject, body, justification)
        body = body | {"model": held.model}  # not always the one that was asked for
        try:
            answer: ChatCompletion = await self._provider.chat.completions.create(**body)
        except BaseException as error:
            await self._failed(held, error)
            raise
        await self._settle(held, pb.OUTCOME_COMPLETED, answer.usage)
        return answer

    async def stream(self, subject: pb.Subject, body: dict[str, Any]) -> AsyncIterator[str]:
        """Ask, and pass the answer on as it comes. The reader may leave: close the iterator."""
        body = body | {"stream": True, "stream_options": {"include_usage": True}}
        held = await self._reserve(subject, body)
        body = body | {"model": held.model}
        usage, completion_id = None, ""
        try:
            async with await self._provider.chat.completions.create(**body) as chunks:
                async for chunk in chunks:
                    usage, completion_id = chunk.usage or usage, chunk.id
                    for choice in chunk.choices:
                        yield choice.delta.content or ""
        except BaseException as error:  # among them GeneratorExit: the reader has left
            await self._failed(held, error, usage, completion_id)
            raise
        await self._settle(held, pb.OUTCOME_COMPLETED, usage)

    async def reconcile(self) -> None:
        """Correct what was charged as an estimate, now that the provider can say what it used."""
        while self._unreported:
            held, completion_id = self._unreported[0]
            stored = await self._provider.chat.completions.retrieve(completion_id)
            await self._settle(held, pb.OUTCOME_CLIENT_ABORTED, stored.usage)
            self._unreported.pop(0)

    async def _reserve(
        self, subject: pb.Subject, body: dict[str, Any], justification: str = ""
    ) -> pb.ReserveResponse:
        request = pb.ReserveRequest(
            tenant=self._tenant,
            subject=subject,
            request=pb.ProviderRequest(
                api=pb.ProviderRequest.API_OPENAI_CHAT, body=json.dumps(body).encode()
            ),
        )
        request.subject.prompt = fingerprint(body["messages"])
        if justification:
            request.justification = justification
            request.wait.seconds = WAIT_S
        answer: pb.ReserveResponse = await self._budget.Reserve(request, timeout=5 + request.wait.seconds)
        if answer.result != pb.RESULT_ALLOW:  # DENY; or HOLD, where a ticket is open
            raise BudgetRefused(answer.refusal)
        return answer

    async def _settle(
        self, held: pb.ReserveResponse, outcome: pb.Outcome, usage: CompletionUsage | None = None
    ) -> None:
        request = pb.SettleRequest(
            tenant=self._tenant, reservation_id=held.reservation_id, tally=held.tally, outcome=outcome
        )
        if usage:
            request.provider_usage = usage.model_dump_json(exclude_unset=True).encode()
        await self._budget.Settle(request, timeout=5)

    async def _failed(
        self,
        held: pb.ReserveResponse,
        error: BaseException,
        usage: CompletionUsage | None = None,
        completion_id: str = "",
    ) -> None:
        if isinstance(error.__cause__, NEVER_SENT):
            request = pb.ReleaseRequest(tenant=self._tenant, reservation_id=held.reservation_id)
            await self._budget.Release(request, timeout=5)
        elif isinstance(error, openai.APIStatusError):
            await self._settle(held, pb.OUTCOME_PROVIDER_ERROR_UNBILLED)
        elif isinstance(error, GeneratorExit | asyncio.CancelledError):
            await self._settle(held, pb.OUTCOME_CLIENT_ABORTED, usage)
            if completion_id and not usage:
                self._unreported.append((held, completion_id))
        else:
            await self._settle(held, pb.OUTCOME_UNKNOWN)


def fingerprint(messages: object) -> str:
    """Tell one prompt from another, without telling what it says."""
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:12]
