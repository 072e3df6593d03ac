"""The services that Envoy asks, deciding nothing: `python -m tests.bench.envoy.noop PORT TRANSPORT FOLDER`.

Checks and rate limits get a constant answer, the one that a sidecar gave, from the
files `check` and `limit`. Event loop and options are the sidecar's.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from envoy.service.auth.v3 import external_auth_pb2 as auth
from envoy.service.auth.v3 import external_auth_pb2_grpc as auth_grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as proc_grpc
from envoy.service.ratelimit.v3 import rls_pb2 as limits
from envoy.service.ratelimit.v3 import rls_pb2_grpc as limits_grpc
from grpc_health.v1 import health, health_pb2_grpc

from tallystick.services.servers import OPTIONS, native_server


class Authorization(auth_grpc.AuthorizationServicer):
    """Answers every Check alike."""

    def __init__(self, answer: auth.CheckResponse) -> None:
        self._answer = answer

    async def Check(self, request: auth.CheckRequest, context: Any) -> auth.CheckResponse:
        return self._answer


class AccessLog(als_pb2_grpc.AccessLogServiceServicer):
    """Takes entries, and reads none."""

    async def StreamAccessLogs(
        self, requests: AsyncIterator[als_pb2.StreamAccessLogsMessage], context: Any
    ) -> als_pb2.StreamAccessLogsResponse:
        async for _ in requests:
            pass
        return als_pb2.StreamAccessLogsResponse()


class Processor(proc_grpc.ExternalProcessorServicer):
    """Passes every part on."""

    def __init__(self) -> None:
        self._answers = {}
        for kind in proc.ProcessingRequest.DESCRIPTOR.oneofs_by_name["request"].fields:
            answer = proc.ProcessingResponse()
            getattr(answer, kind.name).SetInParent()
            self._answers[kind.name] = answer

    async def Process(self, _: object, context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await context.write(self._answers[request.WhichOneof("request")])


class Limits(limits_grpc.RateLimitServiceServicer):
    """Answers every rate limit request alike."""

    def __init__(self, answer: limits.RateLimitResponse) -> None:
        self._answer = answer

    async def ShouldRateLimit(
        self, request: limits.RateLimitRequest, context: Any
    ) -> limits.RateLimitResponse:
        return self._answer


async def serve(port: int, transport: str, folder: Path) -> None:
    """Serves on the port and on the socket `noop.sock` in the folder, until it is killed."""
    server = native_server() if transport == "native" else grpc.aio.server(options=OPTIONS)
    check = auth.CheckResponse.FromString((folder / "check").read_bytes())
    limit = limits.RateLimitResponse.FromString((folder / "limit").read_bytes())
    auth_grpc.add_AuthorizationServicer_to_server(Authorization(check), server)
    als_pb2_grpc.add_AccessLogServiceServicer_to_server(AccessLog(), server)
    proc_grpc.add_ExternalProcessorServicer_to_server(Processor(), server)
    limits_grpc.add_RateLimitServiceServicer_to_server(Limits(limit), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)  # type: ignore[attr-defined]
    server.add_insecure_port(f"unix:{folder}/noop.sock")
    await server.start()
    # Who waits for the port may then ask at the socket, too.
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
