"""Refusals in the words of each provider, so that its own SDK raises its own typed error.

The OpenAI and Anthropic SDKs choose the error by the status. Whether they try again they take from
`x-should-retry`, else from the status (429 and 5xx are tried again). Google's SDK tries again only
where its user asks for it. Amazon's tries again at any 429, so what is not to be tried is a 400
there, which is what Amazon itself answers when a quota is used up.
"""

import json
from types import MappingProxyType
from typing import Any, NamedTuple

from tallystick.core.reasons import Reason
from tallystick.providers.call import Api

MAX_PATIENCE_S = 60
"""An SDK that is told to wait does so in the middle of its call: longer waits are for its user to decide."""
DOMAIN = "tallystick"
"""Who refuses, in Google's error details."""


class Problem(NamedTuple):
    """Why a call is not let through, as HTTP has it."""

    status: int
    """What `refusal_status` makes of it is what is sent."""
    code: str
    """What programs go by; in lower case."""
    message: str
    """A sentence for people."""
    retry_after_s: int | None
    """When it may be let through; `None` where time alone does not help."""
    retryable: bool
    """Whether an SDK should try again by itself."""


_STATUSES: MappingProxyType[Reason, tuple[int, str]] = MappingProxyType(
    {
        Reason.TENANT_SUSPENDED: (403, "tenant_suspended"),
        Reason.MODEL_NOT_ALLOWED: (403, "model_not_allowed"),
        Reason.PRICE_UNKNOWN: (403, "price_unknown"),
        Reason.NO_BUDGET_MATCHED: (403, "no_budget_matched"),
        Reason.CAN_NEVER_FIT: (413, "can_never_fit"),
        Reason.RUNAWAY_LOOP: (429, "runaway_loop"),
        Reason.RATE_LIMITED: (429, "rate_limited"),
        Reason.CONCURRENCY_LIMITED: (429, "concurrency_limited"),
        Reason.BUDGET_EXHAUSTED: (429, "budget_exhausted"),
        Reason.INSUFFICIENT_FUNDS: (402, "insufficient_tokens"),
        Reason.STORE_UNAVAILABLE: (503, "store_unavailable"),
    }
)
_PASSING = frozenset({Reason.RATE_LIMITED, Reason.CONCURRENCY_LIMITED, Reason.STORE_UNAVAILABLE})
"""What may have passed by the time an SDK tries again."""
_WITHOUT_TIME = frozenset({Reason.RUNAWAY_LOOP})
"""What a program must not be told when to try again: it would, for ever."""


def problem_of(reason: Reason, message: str, retry_after_ms: int | None) -> Problem:
    """Make the problem of a refusal; `retry_after_ms` where time alone mends it.

    `CAN_NEVER_FIT` is 413: this request is too large, and a smaller one, or one with a smaller limit for
    its answer, would pass. Agents know that answer and shorten their prompt; 403 would send people
    to look for permissions, 400 for a mistake in the request, and 429 would be tried again.
    """
    status, code = _STATUSES[reason]
    after_s = None if retry_after_ms is None else max(1, -(-retry_after_ms // 1000))
    if reason is Reason.STORE_UNAVAILABLE and after_s is None:
        after_s = 1
    if reason in _WITHOUT_TIME:
        after_s = None
    retryable = reason in _PASSING and after_s is not None and after_s <= MAX_PATIENCE_S
    return Problem(status, code, message, after_s, retryable)


def refusal_status(provider_or_api: str | Api, problem: Problem) -> int:
    """Give the status to send: the problem's, but for Amazon's SDK, which heeds no `x-should-retry`."""
    quota = problem.status == 429 and not problem.retryable
    return 400 if quota and _shape(provider_or_api) == "aws" else problem.status


def refusal_body(provider_or_api: str | Api, problem: Problem) -> bytes:
    """Write the error as the provider does, in JSON. An unknown provider's is OpenAI's."""
    return json.dumps(_BODIES[_shape(provider_or_api)](problem)).encode()


def refusal_headers(provider_or_api: str | Api, problem: Problem) -> tuple[tuple[str, str], ...]:
    """Make the headers that go with it, in lower case."""
    headers = [("content-type", "application/json")]
    if problem.retry_after_s is not None:
        headers.append(("retry-after", str(problem.retry_after_s)))
    if not problem.retryable:
        headers.append(("x-should-retry", "false"))
    if _shape(provider_or_api) == "aws":
        headers.append(("x-amzn-errortype", _amazon_type(problem)))
    return tuple(headers)


_SHAPES: MappingProxyType[str | Api, str] = MappingProxyType(
    {
        Api.ANTHROPIC_MESSAGES: "anthropic",
        Api.GEMINI_GENERATE: "google",
        Api.BEDROCK_CONVERSE: "aws",
        "anthropic": "anthropic",
        "google": "google",
        "aws": "aws",
    }
)


def _shape(provider_or_api: str | Api) -> str:
    return _SHAPES.get(provider_or_api, "openai")


def _openai(problem: Problem) -> dict[str, Any]:
    kind = _by_status(problem, _OPENAI_TYPES, "invalid_request_error", "server_error")
    error = {"message": problem.message, "type": kind, "param": None, "code": problem.code}
    return {"error": error}


def _anthropic(problem: Problem) -> dict[str, Any]:
    kind = _by_status(problem, _ANTHROPIC_TYPES, "invalid_request_error", "api_error")
    details = {"error_code": problem.code}
    return {"type": "error", "error": {"type": kind, "message": problem.message, "details": details}}


def _google(problem: Problem) -> dict[str, Any]:
    name = _by_status(problem, _GOOGLE_STATUSES, "INVALID_ARGUMENT", "INTERNAL")
    details: list[dict[str, str]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": problem.code.upper(),
            "domain": DOMAIN,
        }
    ]
    if problem.retryable:
        delay = {
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": f"{problem.retry_after_s}s",
        }
        details.append(delay)
    error = {"code": problem.status, "message": problem.message, "status": name, "details": details}
    return {"error": error}


def _amazon(problem: Problem) -> dict[str, Any]:
    return {"message": problem.message}


def _amazon_type(problem: Problem) -> str:
    """Name the exception. A throttling is tried again, a quota is not."""
    if problem.status == 429 and problem.retryable:
        return "ThrottlingException"
    return _by_status(problem, _AMAZON_TYPES, "ValidationException", "InternalServerException")


def _by_status(problem: Problem, names: dict[int, str], below_500: str, others: str) -> str:
    return names.get(problem.status, below_500 if problem.status < 500 else others)


_BODIES = MappingProxyType({"openai": _openai, "anthropic": _anthropic, "google": _google, "aws": _amazon})
_OPENAI_TYPES = {402: "insufficient_quota", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_GOOGLE_RPC = "type.googleapis.com/google.rpc"
_GOOGLE_STATUSES = {
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
_AMAZON_TYPES = {
    401: "UnrecognizedClientException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ServiceQuotaExceededException",
    503: "ServiceUnavailableException",
}
