"""The messages of ext_proc: what they say as plain values, and the answers to them."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.extensions.filters.http.ext_proc.v3.processing_mode_pb2 import ProcessingMode
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    BodyResponse,
    CommonResponse,
    HeadersResponse,
    HttpHeaders,
    ProcessingRequest,
    ProcessingResponse,
    TrailersResponse,
)

from tallystick.core.errors import InvalidArgument
from tallystick.proxied.calls import ProxiedRequest, Turned
from tallystick.proxied.entries import ANSWERED
from tallystick.services.reading_checks import JWT, claims_of, values_of

ROUTE = "x-tallystick-"
"""Initial metadata with `provider`, `kind` and `prefix`."""
CONTEXT = "tallystick."
"""Initial metadata that says who calls on this route."""
ATTRIBUTES = "envoy.filters.http.ext_proc"
PRINCIPALS = (
    "connection.uri_san_peer_certificate",
    "connection.dns_san_peer_certificate",
    "connection.subject_peer_certificate",
)
"""Names in a client's certificate; the first that is there counts, as ext_authz has it."""
IDENTITY = (("accept-encoding", "identity"),)
"""Compressed answers of an encoding that can't be undone would have no usage."""

_REQUEST_BODIES = frozenset({ProcessingMode.BUFFERED})
_ANSWER_BODIES = frozenset({ProcessingMode.STREAMED, ProcessingMode.BUFFERED})
_COMMON = CommonResponse()
PASSED_ON: Mapping[str, ProcessingResponse] = MappingProxyType({
    "request_headers": ProcessingResponse(request_headers=HeadersResponse(response=_COMMON)),
    "request_body": ProcessingResponse(request_body=BodyResponse(response=_COMMON)),
    "request_trailers": ProcessingResponse(request_trailers=TrailersResponse()),
    "response_headers": ProcessingResponse(response_headers=HeadersResponse(response=_COMMON)),
    "response_body": ProcessingResponse(response_body=BodyResponse(response=_COMMON)),
    "response_trailers": ProcessingResponse(response_trailers=TrailersResponse()),
})  # fmt: skip
"""The answer to each kind of message that changes nothing."""


class AnswerHead(NamedTuple):
    """The status line and headers of an answer, as far as they matter."""

    status: int
    content_type: str
    content_encoding: str
    details: str
    """Where it comes from, in Envoy's words; empty where Envoy was not told to say."""
    attempts: int
    """To reach the provider; 1 where Envoy was not told to say."""

    @property
    def is_local(self) -> bool:
        """Whether Envoy is known to have made it up."""
        return self.details not in ("", ANSWERED)


def check_modes(message: ProcessingRequest) -> None:
    """Refuses an Envoy that would leave out what must be seen, by the first message of a stream.

    Raises:
        InvalidArgument: names the mode that is wrong.
    """
    if not message.HasField("protocol_config"):
        return
    modes = message.protocol_config
    head = message.request_headers
    bodiless = not message.HasField("request_headers") or head.end_of_stream
    if not bodiless and modes.request_body_mode not in _REQUEST_BODIES:
        raise InvalidArgument("processing_mode.request_body_mode", "expected BUFFERED")
    if modes.response_body_mode not in _ANSWER_BODIES:
        raise InvalidArgument("processing_mode.response_body_mode", "expected STREAMED")


def read_request(message: ProcessingRequest, told: Mapping[str, str]) -> ProxiedRequest:
    """Reads the request's head; `told` is the stream's metadata. Its body is not there yet.

    Raises:
        InvalidArgument: there is no method or no path.
    """
    fields = _headers(message.request_headers)
    method, path = fields.get(":method", ""), fields.get(":path", "")
    if not method or not path:
        raise InvalidArgument("request_headers", "expected :method and :path")
    prefix = told.get(f"{ROUTE}prefix", "")
    if not prefix or not path.startswith(f"{prefix}/"):
        prefix = ""
    attributes, metadata = _attributes(message), message.metadata_context.filter_metadata
    return ProxiedRequest(
        method=method,
        path=path.removeprefix(prefix),
        headers={name: value for name, value in fields.items() if not name.startswith(":")},
        provider=told.get(f"{ROUTE}provider", ""),
        kind=told.get(f"{ROUTE}kind", ""),
        prefix=prefix,
        claims=claims_of(metadata[JWT]) if JWT in metadata else {},
        principal=next(filter(None, map(attributes.get, PRINCIPALS)), ""),
        context={name: value for name, value in told.items() if name.startswith(CONTEXT)},
        request_id=attributes.get("request.id", ""),
    )


def read_answer(message: ProcessingRequest) -> AnswerHead:
    """Reads the answer's head.

    Raises:
        InvalidArgument: there is no status.
    """
    fields = _headers(message.response_headers)
    status = fields.get(":status", "")
    if not (status.isascii() and status.isdigit() and len(status) == 3):
        raise InvalidArgument("response_headers", "expected :status, three digits")
    attributes = _attributes(message)
    return AnswerHead(
        status=int(status),
        content_type=fields.get("content-type", ""),
        content_encoding=fields.get("content-encoding", ""),
        details=attributes.get("response.code_details", ""),
        attempts=int(attributes.get("upstream.request_attempt_count", 1)),
    )


def let_through(
    kind: str,
    *,
    path: str = "",
    removed: Iterable[str] = (),
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
) -> ProcessingResponse:
    """Lets a part of the call pass, changed: another path (empty: the same), fewer and other headers.

    A new body takes its length along, without which Envoy refuses it.
    """
    answer = ProcessingResponse()
    common: CommonResponse = getattr(answer, kind).response
    common.SetInParent()
    set_headers = list(headers)
    if path:
        set_headers.append((":path", path))
    if body is not None:
        common.body_mutation.body = body
        set_headers.append(("content-length", str(len(body))))
    common.header_mutation.set_headers.extend(_options(set_headers))
    common.header_mutation.remove_headers.extend(removed)
    return answer


def refuse(turned: Turned) -> ProcessingResponse:
    """Answers the client in the provider's place."""
    answer = ProcessingResponse()
    immediate = answer.immediate_response
    immediate.status.code = turned.status
    immediate.body = turned.body
    immediate.details = f"tallystick_{turned.reason.lower()}"
    immediate.headers.set_headers.extend(_options(turned.headers))
    return answer


def cut_off() -> ProcessingResponse:
    """Ends an answer that has begun: Envoy breaks the client's stream off, and the provider's."""
    answer = ProcessingResponse()
    answer.immediate_response.status.code = 500  # nobody sees it
    answer.immediate_response.details = "tallystick_outgrown"
    return answer


def _options(headers: Iterable[tuple[str, str]]) -> list[HeaderValueOption]:
    overwrite = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    return [
        HeaderValueOption(header=HeaderValue(key=name, raw_value=value.encode()), append_action=overwrite)
        for name, value in headers
    ]


def _headers(message: HttpHeaders) -> dict[str, str]:
    """By lower-case name; of one that comes twice, the values with a comma between them."""
    found: dict[str, str] = {}
    for each in message.headers.headers:
        value = each.raw_value.decode("utf-8", "replace") if each.raw_value else each.value
        found[each.key] = f"{found[each.key]},{value}" if each.key in found else value
    return found


def _attributes(message: ProcessingRequest) -> dict[str, Any]:
    """What Envoy was told to say beside the message: texts and numbers."""
    return values_of(message.attributes[ATTRIBUTES]) if ATTRIBUTES in message.attributes else {}
