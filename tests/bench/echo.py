"""A server that does nothing: `python -m tests.bench.echo PORT TRANSPORT RESPONSE_FILE`.

It parses each Reserve and answers with a constant message: what a transport
costs before anything is decided. Event loop and options are the sidecar's.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import uvloop

from tallystick.services.servers import OPTIONS, native_server
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1 import budget_pb2_grpc

Register = Callable[[object, grpc.aio.Server], object]


class Echo(budget_pb2_grpc.BudgetServiceServicer):
    """Answers every Reserve alike."""

    def __init__(self, response: pb.ReserveResponse) -> None:
        self._response = response

    async def Reserve(
        self, request: pb.ReserveRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ReserveResponse:
        return self._response


async def serve(port: int, transport: str, response: pb.ReserveResponse) -> None:
    """Serves until it is killed."""
    server = native_server() if transport == "native" else grpc.aio.server(options=OPTIONS)
    register: Register = budget_pb2_grpc.add_BudgetServiceServicer_to_server
    register(Echo(response), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(
        serve(int(sys.argv[1]), sys.argv[2], pb.ReserveResponse.FromString(Path(sys.argv[3]).read_bytes()))
    )
