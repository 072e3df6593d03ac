"""Envoy's services together, on the listeners of ours."""

import asyncio

import grpc.aio
from envoy.service.accesslog.v3.als_pb2_grpc import add_AccessLogServiceServicer_to_server
from envoy.service.auth.v3.external_auth_pb2_grpc import add_AuthorizationServicer_to_server
from envoy.service.ext_proc.v3.external_processor_pb2_grpc import add_ExternalProcessorServicer_to_server
from envoy.service.ratelimit.v3.rls_pb2_grpc import add_RateLimitServiceServicer_to_server

from tallystick.engine import Engine, Planner
from tallystick.observe.metrics import Metrics
from tallystick.proxied.gate import Gate
from tallystick.proxied.identity import Identity
from tallystick.proxied.open_calls import OpenCalls
from tallystick.services.access_log import AccessLogService
from tallystick.services.admission import Admission
from tallystick.services.ext_authz import AuthorizationService
from tallystick.services.ext_proc import ExtProcService
from tallystick.services.rate_limit import RateLimitService
from tallystick.services.servers import Register


class EnvoyServices:
    """What Envoy asks and tells. `default_tenant`: see `Identity`; `limits`: see `RateLimitService`."""

    def __init__(
        self,
        engine: Engine,
        planner: Planner,
        admission: Admission,
        metrics: Metrics,
        *,
        default_tenant: str,
        limits: dict[str, str],
    ) -> None:
        gate = Gate(engine, planner, Identity(planner, default_tenant), metrics)
        open_calls = OpenCalls()
        self._authorization = AuthorizationService(gate, admission, metrics, open_calls)
        self._access_log = AccessLogService(gate, metrics, open_calls)
        self._processor = ExtProcService(gate, admission, metrics)
        self._rate_limit = RateLimitService(engine.limiter, admission, metrics, **limits)

    def beside(self, add: Register) -> Register:
        """Registers them on a listener beside what `add` does."""

        def add_all(server: grpc.aio.Server) -> None:
            add(server)
            add_AuthorizationServicer_to_server(self._authorization, server)
            add_AccessLogServiceServicer_to_server(self._access_log, server)
            add_ExternalProcessorServicer_to_server(self._processor, server)
            add_RateLimitServiceServicer_to_server(self._rate_limit, server)

        return add_all

    async def drain(self, grace_s: float) -> None:
        """Ends the streams of entries, waits for those of calls, and for what ends; `grace_s` at most."""
        await asyncio.gather(self._access_log.drain(grace_s), self._processor.drain(grace_s))
