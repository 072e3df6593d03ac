"""The guard on real servers of both transports: streams, Envoy's services, and methods without a rule."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.service.ext_proc.v3 import external_processor_pb2, external_processor_pb2_grpc
from envoy.service.ratelimit.v3 import rls_pb2
from google.protobuf.descriptor_pool import Default
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tallystick.core.callers import Role, Token
from tallystick.core.errors import PermissionDenied
from tallystick.engine.callers import Callers
from tallystick.observe.metrics import Metrics
from tallystick.services import permissions
from tallystick.services.guard import STREAM_CHECKED_S, Guard
from tallystick.services.permissions import OPEN, RULES, Reach, Rule, Scope, current_caller, reach_of
from tallystick.services.servers import native_server
from tallystick.store.memory import MemoryStore
from tallystick.v1 import budget_pb2

ENVOY = (als_pb2, external_auth_pb2, external_processor_pb2, rls_pb2)
DENIED, NOBODY = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED


class Servicer(
    als_pb2_grpc.AccessLogServiceServicer,  # type: ignore[misc] # they have no types
    external_auth_pb2_grpc.AuthorizationServicer,  # type: ignore[misc]
    external_processor_pb2_grpc.ExternalProcessorServicer,  # type: ignore[misc]
):
    """Envoy's services, which tell of who called. One stream is read by hand, one by iteration."""

    def __init__(self) -> None:
        self.callers: list[str] = []

    def _note(self) -> None:
        caller = current_caller()
        self.callers.append(caller.name if caller else "")

    async def Check(self, request: Any, context: Any) -> Any:
        self._note()
        return external_auth_pb2.CheckResponse()

    async def StreamAccessLogs(self, messages: AsyncIterator[Any], context: Any) -> Any:
        self._note()
        async for _ in messages:
            pass
        return als_pb2.StreamAccessLogsResponse()

    async def Process(self, messages: Any, context: Any) -> None:
        self._note()
        while await context.read() is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await context.write(external_processor_pb2.ProcessingResponse())


class Generator(Servicer):
    """The same, with a stream that is answered by an asynchronous generator."""

    async def Process(self, messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # type: ignore[override]
        self._note()
        async for _ in messages:
            yield external_processor_pb2.ProcessingResponse()


class Served:
    """The servicer behind a guard, on one transport, and a channel to it."""

    def __init__(self, transport: str, servicer: Servicer) -> None:
        self.callers = Callers(MemoryStore(1))
        self.servicer = servicer
        self.metrics = Metrics("0")
        self.server = native_server() if transport == "native" else grpc.aio.server()

    async def start(self) -> None:
        guard = Guard(self.callers, self.metrics, tokens=True)
        for add in (
            als_pb2_grpc.add_AccessLogServiceServicer_to_server,
            external_auth_pb2_grpc.add_AuthorizationServicer_to_server,
            external_processor_pb2_grpc.add_ExternalProcessorServicer_to_server,
        ):
            guard.around(lambda server, add=add: add(self.servicer, server))(self.server)  # type: ignore[misc]
        port = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        await self.callers.refresh()

    async def token(self, tenant: str = "*", role: Role = Role.DECIDE, name: str = "envoy") -> Any:
        _, secret = await self.callers.create(Token(tenant, name, b"", (role,)), "")
        return (("authorization", f"bearer  {secret}"),)

    async def close(self) -> None:
        await self.channel.close(None)
        await self.server.stop(0)


@pytest.fixture(params=[(t, s) for t in ("native", "grpcio") for s in (Servicer, Generator)])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    transport, servicer = request.param
    made = Served(transport, servicer())
    await made.start()
    yield made
    await made.close()


async def code_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    code: grpc.StatusCode = caught.value.code()
    return code


def test_envoys_services_have_rules_for_all_of_their_methods() -> None:
    known = {
        service.full_name: service
        for module in ENVOY
        for service in module.DESCRIPTOR.services_by_name.values()
    }
    assert {name for name in RULES if name.startswith("envoy.")} == set(known)
    known[health_pb2.DESCRIPTOR.services_by_name["Health"].full_name] = (
        health_pb2.DESCRIPTOR.services_by_name["Health"]
    )
    reflection = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
    known[reflection.full_name] = reflection
    for name, service in known.items():
        assert {method.name for method in service.methods} == set(RULES[name]), name


def test_only_probes_and_the_schema_are_open() -> None:
    open_ones = {service for service, rules in RULES.items() if OPEN in rules.values()}
    assert open_ones == {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_no_stream_of_requests_is_open_to_a_caller_of_one_tenant() -> None:
    for service, rules in RULES.items():
        for method, rule in rules.items():
            found = Default().FindMethodByName(f"{service}.{method}")
            assert not found.client_streaming or rule is OPEN or rule.scope is Scope.EVERY


def test_a_field_that_is_called_like_a_tenant_is_one() -> None:
    """Or a request could name a tenant where nobody looks."""
    for service, rules in RULES.items():
        for method in rules if service.startswith("tallystick.") else ():
            _only_tenants(Default().FindMethodByName(f"{service}.{method}").input_type)


def _only_tenants(message: Any) -> None:
    for field in message.fields:
        assert "tenant" not in field.name or (field.name == "tenant" and not field.is_repeated), (
            field.full_name
        )
        if field.message_type is not None:
            _only_tenants(field.message_type)


def test_tenants_and_subjects_are_found_at_any_depth() -> None:
    assert reach_of(budget_pb2.ReserveRequest.DESCRIPTOR) == Reach(((),), (("subject",),))
    assert reach_of(budget_pb2.ExplainRequest.DESCRIPTOR) == Reach((("call",),), (("call", "subject"),))
    batch = reach_of(budget_pb2.ReserveBatchRequest.DESCRIPTOR)
    assert batch == Reach((("requests",),), (("requests", "subject"),))
    request = budget_pb2.ReserveBatchRequest(requests=[budget_pb2.ReserveRequest() for _ in range(3)])
    caller = Token("acme", "t", b"", (Role.DECIDE,), (("team", "search"), ("label.x", "y"))).caller()
    permissions.confine(caller, request, batch)
    for each in request.requests:
        assert (each.tenant, each.subject.team, dict(each.subject.labels)) == ("acme", "search", {"x": "y"})
    with pytest.raises(PermissionDenied, match=r"requests\.tenant: expected acme"):
        permissions.confine(caller, budget_pb2.ReserveBatchRequest(requests=[{"tenant": "b"}]), batch)


async def test_a_method_without_a_rule_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "envoy.service.auth.v3.Authorization", {"Other": Rule(frozenset())})
    guard = Guard(Callers(MemoryStore(1)), Metrics("0"), tokens=True)
    with pytest.raises(KeyError, match="Check"):
        guard.around(
            lambda server: external_auth_pb2_grpc.add_AuthorizationServicer_to_server(Servicer(), server)
        )(grpc.aio.server())


async def test_envoy_needs_a_caller_of_every_tenant(served: Served) -> None:
    stub = external_auth_pb2_grpc.AuthorizationStub(served.channel)
    request = external_auth_pb2.CheckRequest()
    assert await code_of(stub.Check(request)) is NOBODY
    assert await code_of(stub.Check(request, metadata=await served.token("acme"))) is DENIED
    reader = await served.token(role=Role.READ, name="reader")
    assert await code_of(stub.Check(request, metadata=reader)) is DENIED
    await stub.Check(request, metadata=await served.token())
    assert served.servicer.callers == ["token */envoy"]
    assert served.metrics.rpc("Check", "PERMISSION_DENIED").total == 0.0
    assert sum(served.metrics.rpc("Check", "PERMISSION_DENIED").counts) == 2


async def test_streams_are_asked_before_their_first_message(served: Served) -> None:
    logs = als_pb2_grpc.AccessLogServiceStub(served.channel)
    process = external_processor_pb2_grpc.ExternalProcessorStub(served.channel)
    message, one = als_pb2.StreamAccessLogsMessage(), external_processor_pb2.ProcessingRequest()
    other = await served.token("acme")
    assert await code_of(logs.StreamAccessLogs(iter([message]))) is NOBODY
    assert await code_of(logs.StreamAccessLogs(iter([message]), metadata=other)) is DENIED
    assert await code_of(process.Process(iter([one])).read()) is NOBODY
    token = await served.token()
    await logs.StreamAccessLogs(iter([message, message]), metadata=token)
    answers = [each async for each in process.Process(iter([one, one]), metadata=token)]
    assert len(answers) == 2
    assert served.servicer.callers == ["token */envoy"] * 2


async def test_an_open_stream_ends_when_its_token_is_revoked(served: Served) -> None:
    token = await served.token()
    process = external_processor_pb2_grpc.ExternalProcessorStub(served.channel).Process(metadata=token)
    logs = als_pb2_grpc.AccessLogServiceStub(served.channel).StreamAccessLogs(metadata=token)
    await process.write(external_processor_pb2.ProcessingRequest())
    await logs.write(als_pb2.StreamAccessLogsMessage())
    await process.read()
    await asyncio.sleep(2 * STREAM_CHECKED_S)
    assert not process.done()
    assert not logs.done()
    await served.callers.revoke("*", "envoy", "")
    began = asyncio.get_running_loop().time()
    assert await process.code() is NOBODY
    assert await logs.code() is NOBODY
    assert "not known" in await process.details()
    assert asyncio.get_running_loop().time() - began < 1.0
