"""ext_proc without Envoy: what is no message of Envoy's, and how large one may be. Both transports."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from envoy.service.ext_proc.v3.external_processor_pb2 import ProcessingRequest, ProcessingResponse

from tests.servers import SidecarProcess
from tests.unit.services.ext_proc_calls import answer_head, part, request_body, request_head

METHOD = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
MIB = 1 << 20


@pytest.fixture(params=["tcp", "unix"])
def channel(request: pytest.FixtureRequest, served: SidecarProcess) -> Iterator[grpc.Channel]:
    place = f"127.0.0.1:{served.port}" if request.param == "tcp" else served.socket
    with grpc.insecure_channel(place, [("grpc.max_send_message_length", 64 * MIB)]) as channel:
        yield channel


def process(channel: grpc.Channel, *messages: ProcessingRequest | bytes) -> list[ProcessingResponse]:
    """The answers to messages that are sent at once."""

    def data(message: Any) -> bytes:
        return message if isinstance(message, bytes) else bytes(message.SerializeToString())

    method = channel.stream_stream(
        METHOD, request_serializer=data, response_deserializer=ProcessingResponse.FromString
    )
    return list(method(iter(messages), timeout=30))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([ProcessingRequest()], "request: expected headers, a body or trailers"),
        ([request_body()], "request_body: expected after request_headers, whole and once"),
        ([request_head(), answer_head()], "response_headers: expected after the request and its whole body"),
        ([part(b"x")], "response_body: expected after response_headers, and a request before"),
    ],
)
def test_an_order_that_envoy_never_has_is_refused(
    channel: grpc.Channel, messages: list[ProcessingRequest], expected: str
) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        process(channel, *messages)
    assert (failed.value.code(), failed.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, expected)


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff", b"\x12\x05abc", b"\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"]
)
def test_what_is_no_message_is_refused_without_a_word_of_ours(channel: grpc.Channel, data: bytes) -> None:
    with pytest.raises(grpc.RpcError) as failed:
        process(channel, data)
    assert failed.value.code() in {
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INVALID_ARGUMENT,
    }
    details = str(failed.value.details())
    assert not any(word in details for word in ("Traceback", "protobuf", ".py", "DecodeError"))


def test_the_longest_body_that_envoy_sends_fits_into_a_message(channel: grpc.Channel) -> None:
    body = json.dumps({"model": "m", "messages": []}).encode().ljust(32 * MIB)
    *_, answer = process(channel, request_head(), request_body(body))
    assert answer.immediate_response.status.code == 401
    assert json.loads(answer.immediate_response.body)["error"]["code"] == "invalid_api_key"
    with pytest.raises(grpc.RpcError) as failed:
        process(channel, request_head(), request_body(body.ljust(34 * MIB)))
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
