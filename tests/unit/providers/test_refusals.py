"""Refusals over HTTP, as the official SDKs understand them."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args

import anthropic
import openai
import pytest
from anthropic.types.shared import ErrorType

from tallystick.core.reasons import Reason
from tallystick.providers.call import Api
from tallystick.providers.refusals import Problem, problem_of, refusal_body, refusal_headers, refusal_status

REASONS = [reason for reason in Reason if reason is not Reason.NONE]
MESSAGES: Any = [{"role": "user", "content": "hi"}]


class Refusing:
    """A real server that answers every request with one refusal, and counts them."""

    def __init__(self, provider_or_api: str | Api, problem: Problem) -> None:
        self.attempts = 0
        body, headers = refusal_body(provider_or_api, problem), refusal_headers(provider_or_api, problem)
        counting = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                counting.attempts += 1
                self.send_response(refusal_status(provider_or_api, problem))
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def serving(self) -> Iterator["Refusing"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def openai_error(api: Api, problem: Problem, **options: Any) -> tuple[openai.APIStatusError, int]:
    """What OpenAI's SDK raises, and after how many attempts."""
    with Refusing(api, problem).serving() as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", **options)
        calls: dict[Api, Callable[[], object]] = {
            Api.OPENAI_CHAT: lambda: client.chat.completions.create(
                model="m", messages=MESSAGES, stream=True
            ),
            Api.OPENAI_RESPONSES: lambda: client.responses.create(model="m", input="hi"),
            Api.OPENAI_EMBEDDINGS: lambda: client.embeddings.create(model="m", input="hi"),
        }
        with client, pytest.raises(openai.APIStatusError) as caught:
            calls[api]()
        return caught.value, server.attempts


def anthropic_error(problem: Problem, **options: Any) -> tuple[anthropic.APIStatusError, int]:
    """What Anthropic's SDK raises, and after how many attempts."""
    with Refusing(Api.ANTHROPIC_MESSAGES, problem).serving() as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="k", **options)
        with client, pytest.raises(anthropic.APIStatusError) as caught:
            client.messages.create(model="m", max_tokens=5, messages=MESSAGES)
        return caught.value, server.attempts


OPENAI_ERRORS = {
    403: openai.PermissionDeniedError,
    429: openai.RateLimitError,
    503: openai.InternalServerError,
}
"""The errors of those statuses that have one of their own; the others are an APIStatusError."""
ANTHROPIC_ERRORS = {
    402: anthropic.PaymentRequiredError,
    403: anthropic.PermissionDeniedError,
    413: anthropic.ContentTooLargeError,
    429: anthropic.RateLimitError,
    503: anthropic.ServiceUnavailableError,
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("api", [Api.OPENAI_CHAT, Api.OPENAI_RESPONSES, Api.OPENAI_EMBEDDINGS])
def test_openai_raises_its_own_error_after_one_attempt(api: Api, reason: Reason) -> None:
    problem = problem_of(reason, "alice has 0.03 USD left", 90_000)  # longer than an SDK is to wait
    error, attempts = openai_error(api, problem)
    assert attempts == 1
    assert type(error) is OPENAI_ERRORS.get(problem.status, openai.APIStatusError)
    assert (error.status_code, error.code, error.param) == (problem.status, problem.code, None)
    assert isinstance(error.body, dict)
    assert error.body["message"] == "alice has 0.03 USD left"


@pytest.mark.parametrize("reason", REASONS)
def test_anthropic_raises_its_own_error_after_one_attempt(reason: Reason) -> None:
    problem = problem_of(reason, "alice has 0.03 USD left", 90_000)
    error, attempts = anthropic_error(problem)
    assert attempts == 1
    assert type(error) is ANTHROPIC_ERRORS[problem.status]
    assert (error.status_code, error.error_code) == (problem.status, problem.code)
    assert error.api_message == "alice has 0.03 USD left"
    assert error.type in {*get_args(ErrorType), "request_too_large"}


async def test_the_asynchronous_sdks_raise_after_one_attempt_too() -> None:
    problem = problem_of(Reason.INSUFFICIENT_FUNDS, "nothing left", None)
    with Refusing(Api.OPENAI_CHAT, problem).serving() as server:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k") as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(model="m", messages=MESSAGES)
        assert (caught.value.code, server.attempts) == ("insufficient_tokens", 1)
    with Refusing("anthropic", problem).serving() as server:
        async with anthropic.AsyncAnthropic(base_url=server.url, api_key="k") as other:
            with pytest.raises(anthropic.PaymentRequiredError) as raised:
                await other.messages.create(model="m", max_tokens=5, messages=MESSAGES)
        assert (raised.value.type, server.attempts) == ("billing_error", 1)


@pytest.mark.parametrize(
    "reason", [Reason.RATE_LIMITED, Reason.CONCURRENCY_LIMITED, Reason.STORE_UNAVAILABLE]
)
def test_what_passes_soon_is_tried_again(reason: Reason) -> None:
    problem = problem_of(reason, "busy", 300)
    assert openai_error(Api.OPENAI_CHAT, problem, max_retries=1)[1] == 2
    assert anthropic_error(problem, max_retries=1)[1] == 2


@pytest.mark.parametrize(
    ("reason", "after_ms", "status", "code", "after_s", "retryable"),
    [
        (Reason.TENANT_SUSPENDED, None, 403, "tenant_suspended", None, False),
        (Reason.MODEL_NOT_ALLOWED, None, 403, "model_not_allowed", None, False),
        (Reason.PRICE_UNKNOWN, None, 403, "price_unknown", None, False),
        (Reason.NO_BUDGET_MATCHED, None, 403, "no_budget_matched", None, False),
        (Reason.CAN_NEVER_FIT, None, 413, "can_never_fit", None, False),
        (Reason.RUNAWAY_LOOP, 5_000, 429, "runaway_loop", None, False),
        (Reason.RATE_LIMITED, 1, 429, "rate_limited", 1, True),
        (Reason.RATE_LIMITED, 60_000, 429, "rate_limited", 60, True),
        (Reason.RATE_LIMITED, 60_001, 429, "rate_limited", 61, False),
        (Reason.RATE_LIMITED, None, 429, "rate_limited", None, False),
        (Reason.CONCURRENCY_LIMITED, 1_000, 429, "concurrency_limited", 1, True),
        (Reason.BUDGET_EXHAUSTED, 3_000, 429, "budget_exhausted", 3, False),
        (Reason.BUDGET_EXHAUSTED, None, 429, "budget_exhausted", None, False),
        (Reason.INSUFFICIENT_FUNDS, 86_400_000, 402, "insufficient_tokens", 86_400, False),
        (Reason.INSUFFICIENT_FUNDS, None, 402, "insufficient_tokens", None, False),
        (Reason.STORE_UNAVAILABLE, None, 503, "store_unavailable", 1, True),
        (Reason.STORE_UNAVAILABLE, 0, 503, "store_unavailable", 1, True),
    ],
)
def test_the_mapping(
    reason: Reason, after_ms: int | None, status: int, code: str, after_s: int | None, retryable: bool
) -> None:
    assert problem_of(reason, "m", after_ms) == Problem(status, code, "m", after_s, retryable)


def test_every_reason_is_mapped() -> None:
    codes = {problem_of(reason, "", None).code for reason in REASONS}
    assert len(codes) == len(REASONS)


LIMITED = Problem(429, "rate_limited", "ü", 7, True)
EXHAUSTED = Problem(429, "budget_exhausted", "ü", None, False)


@pytest.mark.parametrize("api", [*Api, "openai", "anthropic", "google", "azure", "aws", "", "another"])
def test_headers(api: str | Api) -> None:
    limited, exhausted = dict(refusal_headers(api, LIMITED)), dict(refusal_headers(api, EXHAUSTED))
    assert limited["retry-after"] == "7"
    assert "x-should-retry" not in limited
    assert "retry-after" not in exhausted
    assert exhausted["x-should-retry"] == "false"
    is_amazon = api in (Api.BEDROCK_CONVERSE, "aws")
    assert (limited.get("x-amzn-errortype") == "ThrottlingException") == is_amazon
    assert (exhausted.get("x-amzn-errortype") == "ServiceQuotaExceededException") == is_amazon
    assert limited["content-type"] == "application/json"


def test_amazons_sdk_tries_again_at_any_429_so_only_what_may_pass_is_one() -> None:
    for name in (Api.BEDROCK_CONVERSE, "aws"):
        assert refusal_status(name, LIMITED) == 429
        assert refusal_status(name, EXHAUSTED) == 400
        assert refusal_status(name, Problem(402, "c", "m", None, False)) == 402
    for other in (Api.OPENAI_CHAT, Api.ANTHROPIC_MESSAGES, Api.GEMINI_GENERATE, "azure", ""):
        assert refusal_status(other, EXHAUSTED) == 429


def test_bodies_have_the_shape_of_their_provider() -> None:
    def body(api: str | Api, problem: Problem = LIMITED) -> Any:
        return json.loads(refusal_body(api, problem))

    error = {"message": "ü", "type": "rate_limit_error", "param": None, "code": "rate_limited"}
    for name in (Api.OPENAI_CHAT, Api.OPENAI_RESPONSES, Api.OPENAI_EMBEDDINGS, "openai", "azure", "", "x"):
        assert body(name) == {"error": error}
    for name in (Api.ANTHROPIC_MESSAGES, "anthropic"):
        details = {"error_code": "rate_limited"}
        inner = {"type": "rate_limit_error", "message": "ü", "details": details}
        assert body(name) == {"type": "error", "error": inner}
    for name in (Api.BEDROCK_CONVERSE, "aws"):
        assert body(name) == {"message": "ü"}
    why = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMITED",
        "domain": "tallystick",
    }
    wait = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    for name in (Api.GEMINI_GENERATE, "google"):
        told = {"code": 429, "message": "ü", "status": "RESOURCE_EXHAUSTED", "details": [why, wait]}
        assert body(name) == {"error": told}
        assert len(body(name, EXHAUSTED)["error"]["details"]) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 503])
@pytest.mark.parametrize("api", Api)
def test_any_status_has_a_body(api: Api, status: int) -> None:
    assert b"m" in refusal_body(api, Problem(status, "c", "m", None, False))
    assert refusal_headers(api, Problem(status, "c", "m", None, False))
