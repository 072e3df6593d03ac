"""`envoy.service.ratelimit.v3.RateLimitService`: Envoy's rate limits on our budgets."""

from typing import Any

from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceServicer

from tallystick.engine.limiting import Limiter
from tallystick.observe.metrics import Metrics
from tallystick.services.admission import Admission
from tallystick.services.boundary import answered
from tallystick.services.reading_descriptors import DescriptorReader
from tallystick.services.writing_limits import write_limits


class RateLimitService(RateLimitServiceServicer):  # type: ignore[misc] # it has no types
    """Translates between Envoy and the engine. `tenant`, `unit`: see `DescriptorReader`."""

    def __init__(
        self,
        limiter: Limiter,
        admission: Admission,
        metrics: Metrics,
        *,
        tenant: str,
        unit: str,
    ) -> None:
        self._limiter = limiter
        self._reader = DescriptorReader(tenant, unit)
        self.admission = admission
        self.metrics = metrics

    def unheard(self, request: Any, response: Any) -> None:
        """See `boundary.Guarded`. What was taken stays taken: Envoy may have let the call through."""

    @answered
    async def ShouldRateLimit(self, request: RateLimitRequest) -> RateLimitResponse:
        """Checks, peeks and reports; an answer of OVER_LIMIT has taken nothing."""
        tenant, hits = self._reader.read(request)
        return write_limits(await self._limiter.limit(tenant, hits))
