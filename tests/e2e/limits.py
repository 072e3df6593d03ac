"""Rate limit requests as Envoy sends them, in a line of code each."""

from typing import Any

from envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub
from google.protobuf.wrappers_pb2 import UInt64Value

from tests.e2e.caller import LONG_S, Caller

OK, OVER = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT


def descriptor(hits: int | None = None, /, **entries: str) -> Any:
    """`hits`: the descriptor's own; None where it gives none."""
    cells = [RateLimitDescriptor.Entry(key=key, value=value) for key, value in entries.items()]
    own = None if hits is None else UInt64Value(value=hits)
    return RateLimitDescriptor(entries=cells, hits_addend=own)


def ask(caller: Caller, *descriptors: Any, domain: str = "", hits: int = 0) -> Any:
    """One request; of alice, if no descriptor is given."""
    request = RateLimitRequest(
        domain=domain or caller.tenant,
        descriptors=descriptors or [descriptor(user="alice")],
        hits_addend=hits,
    )
    return RateLimitServiceStub(caller.channel).ShouldRateLimit(request, timeout=LONG_S)


def headers(response: Any) -> dict[str, str]:
    return {each.key: each.value for each in response.response_headers_to_add}
