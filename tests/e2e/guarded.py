"""Sidecars that ask their callers who they are, and callers with tokens, in a line of code each."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tallystick.services.permissions import reach_of
from tallystick.v1 import token_pb2 as pb
from tests.e2e.caller import LONG_S
from tests.servers import SidecarProcess

ROLES = {"decide": pb.ROLE_DECIDE, "read": pb.ROLE_READ, "admin": pb.ROLE_ADMIN}
ALL = ("decide", "read", "admin")
STREAM_S = 1.0
"""How long a stream is given, which may never end by itself."""


def admin_port(sidecar: SidecarProcess) -> int:
    """The TCP port of the admin service."""
    return sidecar._said(r"admin port (\d+)")


def make(
    sidecar: SidecarProcess,
    tenant: str,
    roles: Sequence[str] = ALL,
    *,
    name: str = "gateway",
    subject: Mapping[str, str] | None = None,
    **fields: Any,
) -> str:
    """A token, made by the operator over the admin socket."""
    request = pb.CreateTokenRequest(
        tenant=tenant, name=name, roles=[ROLES[role] for role in roles], subject=subject, **fields
    )
    with sidecar.admin() as admin:
        secret: str = admin.CreateToken(request, timeout=LONG_S).secret
    return secret


def revoke(sidecar: SidecarProcess, tenant: str, name: str = "gateway") -> None:
    with sidecar.admin() as admin:
        admin.RevokeToken(pb.RevokeTokenRequest(tenant=tenant, name=name), timeout=LONG_S)


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with this token."""
    return (("authorization", f"Bearer {token}"),)


class Asker:
    """Calls any method of any service by its descriptor, with a token."""

    def __init__(self, channel: grpc.Channel, token: str = "") -> None:
        self.channel = channel
        self.token = token

    def ask(self, method: MethodDescriptor, request: Message) -> Any:
        """The answer; of a stream the first, or None where none comes soon."""
        service: ServiceDescriptor = method.containing_service
        open_call: Any = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = open_call(
            f"/{service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        metadata = bearing(self.token) if self.token else ()
        if method.server_streaming:
            return next(call(request, timeout=STREAM_S, metadata=metadata), None)
        return call(request, timeout=LONG_S, metadata=metadata)


@contextmanager
def channel_to(target: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target, (("grpc.use_local_subchannel_pool", 1),)) as channel:
        yield channel


def about(method: MethodDescriptor, tenant: str) -> Any:
    """A request of this method that says the tenant wherever one can be said, and nothing else."""
    request: Any = GetMessageClass(method.input_type)()
    fields = method.input_type.fields_by_name
    if "document" in fields:
        request.document = f"tenant: {tenant}\nunmatched: allow"
    elif "domain" in fields:
        request.domain = tenant
    for path in reach_of(method.input_type).tenants:
        holder: Any = request
        for name in path:
            part = getattr(holder, name)
            holder = part.add() if hasattr(part, "add") else part
        holder.tenant = tenant
    return request
