"""The gRPC servers: which transport, which listeners, health and reflection."""

import asyncio
import os
import socket as sockets
from pathlib import Path
from typing import cast

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tallystick.core.errors import TallystickError
from tallystick.services import guard as guards
from tallystick.services.native_server import NativeServer
from tallystick.services.tls import Certificates
from tallystick.v1 import admin_pb2, budget_pb2

MAX_MESSAGE_BYTES = 33 * 1024 * 1024
"""A provider's request may be 16 MiB, and a batch has several; Envoy sends bodies of up to 32 MiB, framed."""

MOST_STREAMS = 65_536
"""Open calls of one connection."""

OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Calls that wait for tickets keep their streams, and the others come by the same connection.
    ("grpc.max_concurrent_streams", MOST_STREAMS),
    # Of a burst grpcio cancels some at random; too many are turned away by `admission`, which says why.
    ("grpc.server.max_pending_requests", MOST_STREAMS),
    ("grpc.server.max_pending_requests_hard_limit", MOST_STREAMS),
)

STREAMS_S = 5.0
"""How long the admin service's streams have to end: one that nobody reads never does."""

BUDGET = budget_pb2.DESCRIPTOR.services_by_name["BudgetService"].full_name
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name


Register = guards.Register


class ListenError(TallystickError):
    """An address can't be listened on."""


class Servers:
    """Every listener of one sidecar, with one health state.

    `transport`: `native` or `grpcio`, for the data plane; the admin service and
    TLS are always grpcio's. A listener without a guard asks nobody who they are.
    """

    def __init__(self, transport: str, reflect: bool) -> None:
        self._transport = transport
        self._reflect = reflect
        self._servers: list[grpc.aio.Server] = []
        self._admin_servers: list[grpc.aio.Server] = []
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self.ports: list[int] = []
        """The TCP ports that were bound."""

    async def listen_tcp(
        self,
        address: str,
        register: Register,
        *,
        admin: bool = False,
        guard: guards.Guard | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        """Serves on `host:port`; port 0 for a free one. Raises ListenError."""
        host, _, port = address.rpartition(":")
        _check_free(host.strip("[]"), int(port), address)
        server = self._server(register, guard, admin=admin, tls=certificates is not None)
        credentials = certificates.credentials() if certificates else None
        self.ports.append(await _bind(server, address, credentials))

    async def listen_unix(
        self, path: Path, register: Register, *, admin: bool = False, guard: guards.Guard | None = None
    ) -> None:
        """Serves on a Unix socket that only its owner can open. Raises ListenError."""
        _check_socket(path)
        # The socket is made with these rights, not given them a moment later.
        mask = os.umask(0o177)
        try:
            await _bind(self._server(register, guard, admin=admin), f"unix:{path}")
        finally:
            os.umask(mask)

    def _server(
        self, register: Register, guard: guards.Guard | None, *, admin: bool, tls: bool = False
    ) -> grpc.aio.Server:
        native_one = self._transport == "native" and not (admin or tls)
        server = native_server() if native_one else grpc.aio.server(options=OPTIONS)

        def register_all(place: grpc.aio.Server) -> None:
            register(place)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, place)
            if self._reflect:
                names = (ADMIN if admin else BUDGET, health.SERVICE_NAME, reflection.SERVICE_NAME)
                reflection.enable_server_reflection(names, place)

        (guard.around(register_all) if guard else register_all)(server)
        (self._admin_servers if admin else self._servers).append(server)
        return server

    async def set_serving(self, serving: bool) -> None:
        """Tells health checks whether calls are answered."""
        status = health_pb2.HealthCheckResponse
        state = status.SERVING if serving else status.NOT_SERVING
        for name in ("", BUDGET, ADMIN):
            await self._health.set(name, state)

    async def tell_draining(self) -> None:
        """NOT_SERVING from now on."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """Ends the listeners; calls at work finish, for `grace_s` at most."""
        of_streams_s = min(grace_s, STREAMS_S)
        await asyncio.gather(
            *(server.stop(grace_s) for server in self._servers),
            *(server.stop(of_streams_s) for server in self._admin_servers),
        )


def native_server() -> grpc.aio.Server:
    """One listener of the native transport."""
    server = NativeServer(OPTIONS, most_bytes=MAX_MESSAGE_BYTES, most_streams=MOST_STREAMS)
    return cast(grpc.aio.Server, server)


async def _bind(
    server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None
) -> int:
    try:
        port = (
            server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        )
        await server.start()
    except (RuntimeError, OSError) as error:
        raise ListenError(f"can't listen on {address}: {error}") from error
    return port


def _check_free(host: str, port: int, address: str) -> None:
    """Gives a clear error where the servers' own are long, and not alike."""
    try:
        family, kind, _, _, place = sockets.getaddrinfo(host or None, port, type=sockets.SOCK_STREAM)[0]
        with sockets.socket(family, kind) as probe:
            probe.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise ListenError(f"can't listen on {address}: {error.strerror}") from error


def _check_socket(path: Path) -> None:
    """Removes a socket that nobody listens on any more; refuses one that is in use."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        return
    if not path.is_socket():
        raise ListenError(f"can't listen on {path}: it is there, and not a socket")
    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ListenError(f"can't listen on {path}: another process does")
