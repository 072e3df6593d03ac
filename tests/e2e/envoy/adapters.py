"""The gRPC services that Envoy asks, doing nothing but what a test says, and keeping what they were told."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from envoy.service.auth.v3 import external_auth_pb2 as auth
from envoy.service.auth.v3 import external_auth_pb2_grpc as auth_grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as proc_grpc
from envoy.service.ratelimit.v3 import rls_pb2 as limits
from envoy.service.ratelimit.v3 import rls_pb2_grpc as limits_grpc
from grpc_health.v1 import health, health_pb2_grpc

WAIT_S = 20.0
Check = Callable[[auth.CheckRequest], auth.CheckResponse]
Process = Callable[[proc.ProcessingRequest, dict[str, str]], proc.ProcessingResponse]
Limit = Callable[[limits.RateLimitRequest], limits.RateLimitResponse]


def script_of(headers: Any) -> str:
    """Which test a request belongs to."""
    return str(headers.get("x-script", ""))


class Adapters:
    """All services at one address; what to answer is set by a request's `x-script`."""

    def __init__(self) -> None:
        self.checks: list[auth.CheckRequest] = []
        self.entries: list[HTTPAccessLogEntry] = []
        self.messages: dict[str, list[tuple[float, proc.ProcessingRequest]]] = {}
        self.limited: list[limits.RateLimitRequest] = []
        self.on_check: dict[str, Check] = {}
        self.slow: dict[str, float] = {}
        """Seconds before a call is decided."""
        self.on_process: dict[str, Process] = {}
        self.last: dict[str, str] = {}
        """The kind of message after which a call's stream is ended."""
        self.on_limit: Limit = lambda _: limits.RateLimitResponse(overall_code=1)
        self.health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self.port = 0
        self._server: grpc.aio.Server | None = None

    async def start(self, address: str) -> None:
        options = [("grpc.max_receive_message_length", 1 << 27)]
        self._server = grpc.aio.server(options=options)
        auth_grpc.add_AuthorizationServicer_to_server(_Authorization(self), self._server)
        als_pb2_grpc.add_AccessLogServiceServicer_to_server(_AccessLog(self), self._server)
        proc_grpc.add_ExternalProcessorServicer_to_server(_Processor(self), self._server)
        limits_grpc.add_RateLimitServiceServicer_to_server(_Limits(self), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self.port = self._server.add_insecure_port(address)
        await self._server.start()

    async def say_not_serving(self) -> None:
        await self.health.enter_graceful_shutdown()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)

    def checks_of(self, script: str) -> list[auth.CheckRequest]:
        return [each for each in self.checks if script_of(each.attributes.request.http.headers) == script]

    def entries_of(self, script: str, *, ends: bool = True) -> list[HTTPAccessLogEntry]:
        """Entries of a script whose Check was answered with `allow` or `deny`."""
        found = []
        for entry in list(self.entries):
            told = entry.common_properties.metadata.filter_metadata["envoy.filters.http.ext_authz"]
            if (
                "script" in told
                and told["script"] == script
                and (entry.common_properties.access_log_type == 6) == ends
            ):
                found.append(entry)
        return found

    def end_of(self, script: str) -> HTTPAccessLogEntry:
        """The one entry that ends a script's only call."""
        wait(lambda: self.entries_of(script))
        (entry,) = self.entries_of(script)
        return entry


def wait(condition: Callable[[], Any], seconds: float = WAIT_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


class _Authorization(auth_grpc.AuthorizationServicer):
    def __init__(self, owner: Adapters) -> None:
        self._owner = owner

    async def Check(self, request: auth.CheckRequest, context: Any) -> auth.CheckResponse:
        self._owner.checks.append(request)
        script = script_of(request.attributes.request.http.headers)
        await asyncio.sleep(self._owner.slow.get(script, 0))
        answer = self._owner.on_check.get(script, lambda _: auth.CheckResponse())(request)
        answer.dynamic_metadata["script"] = script
        return answer


class _AccessLog(als_pb2_grpc.AccessLogServiceServicer):
    def __init__(self, owner: Adapters) -> None:
        self._owner = owner

    async def StreamAccessLogs(
        self, requests: AsyncIterator[als_pb2.StreamAccessLogsMessage], context: Any
    ) -> als_pb2.StreamAccessLogsResponse:
        async for message in requests:
            self._owner.entries += message.http_logs.log_entry
        return als_pb2.StreamAccessLogsResponse()


class _Processor(proc_grpc.ExternalProcessorServicer):
    def __init__(self, owner: Adapters) -> None:
        self._owner = owner

    async def Process(
        self, requests: AsyncIterator[proc.ProcessingRequest], context: Any
    ) -> AsyncIterator[proc.ProcessingResponse]:
        told = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        script = ""
        try:
            async for request in requests:
                if request.HasField("request_headers"):
                    headers = request.request_headers.headers.headers
                    script = script_of({each.key: each.raw_value.decode() for each in headers})
                    await asyncio.sleep(self._owner.slow.get(script, 0))
                self._owner.messages.setdefault(script, []).append((time.monotonic(), request))
                yield self._owner.on_process.get(script, pass_on)(request, told)
                if self._owner.last.get(script) == request.WhichOneof("request"):
                    return
        except asyncio.CancelledError:
            self._owner.messages.setdefault(script, []).append((time.monotonic(), proc.ProcessingRequest()))
            raise


class _Limits(limits_grpc.RateLimitServiceServicer):
    def __init__(self, owner: Adapters) -> None:
        self._owner = owner

    async def ShouldRateLimit(
        self, request: limits.RateLimitRequest, context: Any
    ) -> limits.RateLimitResponse:
        self._owner.limited.append(request)
        return self._owner.on_limit(request)


def pass_on(request: proc.ProcessingRequest, told: dict[str, str]) -> proc.ProcessingResponse:
    """Changes nothing."""
    kind = request.WhichOneof("request")
    answer = proc.ProcessingResponse()
    getattr(answer, str(kind)).SetInParent()
    return answer
