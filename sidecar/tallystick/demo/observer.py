"""Shows on the screen what passes between the gateway and the sidecar."""

from collections.abc import Callable
from typing import Any

import grpc

from tallystick.demo.screen import Screen
from tallystick.v1 import budget_pb2 as pb

REMARKS = {
    pb.OUTCOME_CLIENT_ABORTED: "left early",
    pb.OUTCOME_PROVIDER_ERROR_UNBILLED: "provider error: all back",
    pb.OUTCOME_UNKNOWN: "outcome unknown",
}


class Observer(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    """An interceptor of the gateway's channel, so that the gateway need not know of any screen."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._estimated: set[str] = set()

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Let the call through, and show its answer."""
        call = await continuation(client_call_details, request)
        self._show(request, await call)
        return call

    def _show(self, request: Any, answer: Any) -> None:
        if isinstance(answer, pb.ReserveResponse):
            self._screen.decided(request, answer)
        elif isinstance(answer, pb.SettleResponse):
            self._settled(request, answer)
        elif isinstance(answer, pb.ReleaseResponse):
            self._screen.ended(answer.reservation_id, 0, "not sent: released")

    def _settled(self, request: pb.SettleRequest, answer: pb.SettleResponse) -> None:
        identity, remark = answer.reservation_id, REMARKS.get(request.outcome, "")
        if answer.estimated:
            self._estimated.add(identity)
            remark += ": hold charged"
        elif identity in self._estimated:
            remark += ": corrected"
        self._screen.ended(identity, answer.charged.nano_usd, remark)
