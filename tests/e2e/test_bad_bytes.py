"""Any bytes on any method: an answer or a clear status, never an exception of ours."""

import json
from collections.abc import Iterator

import grpc
import pytest
from envoy.service.ratelimit.v3 import rls_pb2
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.services.boundary import CODES, INTERNAL_MESSAGE
from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import STREAMS, Caller, fails, seconds
from tests.e2e.limits import descriptor
from tests.servers import SidecarProcess

EXAMPLES = {
    f"/{service.full_name}/{method.name}": method.input_type.name
    for module in (pb, apb, rls_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ANSWERS = {grpc.StatusCode.OK, *(code for _, code in CODES)}
MALFORMED = {"native": grpc.StatusCode.INTERNAL, "grpcio": grpc.StatusCode.UNKNOWN}
"""What the transports themselves say of bytes that are no message."""


def messages() -> list[Message]:
    """A sound request of each kind, for the fuzzer to break."""
    cost, subject = pb.Cost(nano_usd=5, tokens=2), pb.Subject(user="alice", labels={"a": "b"})
    reserve = pb.ReserveRequest(
        tenant="fuzz", reservation_id="r", subject=subject, model="m", cost=cost, ttl=seconds(5)
    )
    settle = pb.SettleRequest(
        tenant="fuzz", reservation_id="r", tally=b"\x01" + bytes(40), outcome=pb.OUTCOME_COMPLETED, cost=cost
    )
    estimate = pb.ProviderRequest(
        api=pb.ProviderRequest.API_OPENAI_CHAT, body=json.dumps({"model": "m"}).encode()
    )
    return [
        reserve,
        pb.ReserveRequest(tenant="fuzz", request=estimate),
        pb.ReserveRequest(tenant="fuzz", model="m", tokens=pb.TokenEstimate(input=5)),
        settle,
        pb.SettleRequest(
            tenant="fuzz", reservation_id="r", outcome=pb.OUTCOME_COMPLETED, usage=pb.Usage(input=1)
        ),
        pb.ReleaseRequest(tenant="fuzz", reservation_id="r"),
        pb.ExtendRequest(tenant="fuzz", reservation_id="r", extension_id="e", ttl=seconds(5), more=cost),
        pb.ChargeRequest(tenant="fuzz", charge_id="c", subject=subject, model="m", usage=pb.Usage(input=1)),
        rls_pb2.RateLimitRequest(domain="fuzz", descriptors=[descriptor(3, user="alice", unit="tokens")]),
        pb.BalanceRequest(tenant="fuzz", subject=subject, model="m"),
        pb.ReserveBatchRequest(requests=[reserve, reserve]),
        pb.SettleBatchRequest(requests=[settle, settle]),
        apb.ApplyPolicyRequest(document="tenant: fuzz\nwallets: {org: {}}\n"),
        apb.GetPolicyRequest(tenant="fuzz"),
        apb.CreditWalletRequest(tenant="fuzz", wallet="org", amount=1, unit=pb.UNIT_NANO_USD),
        apb.SuspendTenantRequest(tenant="fuzz", by="ann", reason="why"),
        apb.ListTenantsRequest(page_size=3, page_token="eA=="),
        apb.ListHoldsRequest(
            tenant="fuzz", states=[apb.HOLD_STATE_OPEN], subject={"user": "alice"}, older_than=seconds(5)
        ),
        apb.ResolveHoldRequest(tenant="fuzz", reservation_id="r", settle=cost, by="ann"),
        apb.ResolveHoldRequest(tenant="fuzz", reservation_id="r", extend=seconds(5)),
        apb.TailLedgerRequest(tenant="fuzz", kinds=["settle"], since=Timestamp(seconds=5), follow=True),
        apb.TailLedgerRequest(tenant="fuzz", position="eA=="),
    ]


SOUND = [message.SerializeToString(deterministic=True) for message in messages()]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A sound message with some bytes changed, put in or cut off."""
    content = bytearray(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        match draw(st.integers(0, 2)):
            case 0:
                content[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                content[at:at] = draw(st.binary(max_size=6))
            case _:
                del content[at : at + draw(st.integers(1, 8))]
    return bytes(content)


@pytest.fixture
def fuzzed(served: SidecarProcess) -> Iterator[Caller]:
    with Caller(served, tenant="fuzz") as caller:
        caller.apply("wallets: {org: {}}\nprices: {models: {m: {input: 1, output: 1}}}")
        yield caller


@pytest.mark.parametrize("method", EXAMPLES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(content=st.one_of(broken(), st.binary(max_size=64)))
def test_any_bytes_get_an_answer_or_a_clear_status(fuzzed: Caller, method: str, content: bytes) -> None:
    try:
        fuzzed.send_bytes(method, content)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        code, details = error.code(), error.details() or ""
        transport = "grpcio" if "Admin" in method else fuzzed.sidecar.transport
        if method in STREAMS and code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return  # it follows
        if code not in ANSWERS:
            assert code is MALFORMED[transport], details
            assert "deserializ" in details or "pars" in details.lower(), details
        assert details != INTERNAL_MESSAGE
        for word in ("Traceback", "object at 0x", 'File "', "NoneType"):
            assert word not in details


def test_text_that_is_not_utf_8_is_malformed(fuzzed: Caller, books: Books) -> None:
    before = books.of_tenant("fuzz")
    sound = pb.ReserveRequest(tenant="fuzz", reservation_id="~~", cost=pb.Cost(nano_usd=1))
    method = "/tallystick.v1.BudgetService/Reserve"
    for bad in (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0"):
        with fails(MALFORMED[fuzzed.sidecar.transport]):
            fuzzed.send_bytes(method, sound.SerializeToString().replace(b"~~", bad))
    assert books.of_tenant("fuzz") == before


def test_a_message_above_the_limit_is_refused_by_the_transport(fuzzed: Caller) -> None:
    request = pb.ProviderRequest(api=pb.ProviderRequest.API_OPENAI_CHAT, body=bytes(33 * 2**20))
    with fails(grpc.StatusCode.RESOURCE_EXHAUSTED):
        fuzzed.reserve(request=request)
    assert fuzzed.balance().policy_version


def test_the_sidecar_is_none_the_worse(fuzzed: Caller) -> None:
    with Caller(fuzzed.sidecar) as caller:  # the charges of the fuzzed one left a debt
        caller.apply("wallets: {org: {}}")
        caller.credit(10)
        caller.allowed(1)
    assert "unexpected error" not in fuzzed.sidecar.log
