"""`envoy.service.auth.v3.Authorization`: Envoy asks before each call."""

from collections.abc import Mapping
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from envoy.service.auth.v3.external_auth_pb2_grpc import AuthorizationServicer
from google.protobuf.struct_pb2 import NULL_VALUE

from tallystick.observe.metrics import Metrics
from tallystick.proxied.calls import Allowed, Passed, Turned
from tallystick.proxied.gate import Gate
from tallystick.proxied.open_calls import OpenCalls
from tallystick.proxied.packing import CALL, pack, unpack
from tallystick.services.admission import Admission
from tallystick.services.boundary import answered
from tallystick.services.reading_checks import read_check, request_id_of

PERMISSION_DENIED = 7
OVERWRITE = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


class AuthorizationService(AuthorizationServicer):  # type: ignore[misc] # it has no types
    """Translates between Envoy and the gate."""

    def __init__(self, gate: Gate, admission: Admission, metrics: Metrics, open_calls: OpenCalls) -> None:
        self._gate = gate
        self._open_calls = open_calls
        self.admission = admission
        self.metrics = metrics

    def unheard(self, request: Any, response: Any) -> None:
        """See `boundary.Guarded`. Envoy has answered for us, and the call is not sent."""
        packed = response.dynamic_metadata.fields[CALL].string_value
        if call := unpack(packed):
            self._open_calls.end(request_id_of(request))
            self._gate.give_back(call.tenant, call.reservation_id)

    @answered
    async def Check(self, request: CheckRequest) -> CheckResponse:
        """OK with what is to be changed, or the refusal as the client is to see it."""
        asked = read_check(request)
        verdict = await self._gate.admit(asked)
        if isinstance(verdict, Allowed):
            self._open_calls.keep(asked.request_id, verdict.call)
        return write_verdict(verdict)


def write_verdict(verdict: Allowed | Passed | Turned) -> CheckResponse:
    """Translates."""
    response = CheckResponse()
    if isinstance(verdict, Turned):
        return _write_refusal(response, verdict)
    ok = response.ok_response
    ok.headers_to_remove.extend(verdict.remove_headers)
    if verdict.path:
        _add(ok.headers, ":path", verdict.path)
    if isinstance(verdict, Allowed):
        for name, value in verdict.headers:
            _add(ok.response_headers_to_add, name, value)
        fields = response.dynamic_metadata.fields
        fields[CALL].string_value = pack(verdict.call)
        if verdict.patch:
            fields["rewrite"].string_value = "yes"
            _put(fields["patch"], verdict.patch)
    return response


def _put(value: Any, plain: Any) -> None:
    """Writes a JSON value into a Struct's."""
    if isinstance(plain, Mapping):
        value.struct_value.SetInParent()  # also of an empty one
        within = value.struct_value.fields
        for name, each in plain.items():
            _put(within[name], each)
    elif isinstance(plain, bool):
        value.bool_value = plain
    elif isinstance(plain, str):
        value.string_value = plain
    elif isinstance(plain, int | float):
        value.number_value = plain
    elif plain is None:
        value.null_value = NULL_VALUE
    else:
        value.list_value.SetInParent()
        for each in plain:
            _put(value.list_value.values.add(), each)


def _write_refusal(response: CheckResponse, turned: Turned) -> CheckResponse:
    response.status.code = PERMISSION_DENIED
    denied = response.denied_response
    denied.status.code = turned.status
    denied.body = turned.body.decode()
    for name, value in turned.headers:
        _add(denied.headers, name, value)
    return response


def _add(headers: Any, name: str, value: str) -> None:
    option = headers.add(append_action=OVERWRITE)
    option.header.key, option.header.value = name, value
