"""The calls that every chain gets: a chat answered in JSON, and one that is streamed."""

import json
from typing import Any

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest

from tallystick.core.consumer_keys import hash_key
from tallystick.v1 import admin_pb2
from tallystick.v1 import budget_pb2 as pb
from tests.bench import workload
from tests.e2e.envoy.answers import events
from tests.e2e.envoy.provider import SSE, Script

PATH = "/v1/chat/completions"
KEY = f"tally-{workload.TENANT}-{'4f9x' * 10}4f9"
"""Of the right form, and nobody's."""
HEADERS = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}

_SUBJECT = {field.name: value for field, value in workload.SUBJECT.ListFields()}
POLICY = f"""{workload.POLICY}\
  described-requests: {{per: [label.authorization], limit: 900M requests, window: 1h}}
  described-tokens: {{per: [label.authorization], limit: 900000M tokens, window: day}}
consumers:
  bench: {{key: "{hash_key(KEY)}", subject: {json.dumps(_SUBJECT)}}}
"""
"""The same as without Envoy; descriptors of the rate limit filter meet the last two budgets only."""

CREDITS = (
    workload.credit_request(),
    admin_pb2.CreditWalletRequest(
        tenant=workload.TENANT, wallet="org", amount=90_000 * workload.NANO_USD, unit=pb.UNIT_NANO_USD
    ),
)
"""Descriptors have no user; the wallet that they meet must not be empty."""

PROMPT = "Summarise the change in three sentences, and name what a reviewer should look at first. " * 4
REQUEST = {
    "model": "house",
    "messages": [
        {"role": "system", "content": "You review code for a team that sells shoes."},
        {"role": "user", "content": PROMPT},
    ],
    "max_completion_tokens": 400,
}
BODY = json.dumps(REQUEST).encode()
STREAMED_BODY = json.dumps(REQUEST | {"stream": True, "stream_options": {"include_usage": True}}).encode()

USAGE = {
    "prompt_tokens": 1000, "completion_tokens": 300, "total_tokens": 1300,
    "prompt_tokens_details": {"cached_tokens": 200},
}  # fmt: skip
TOKENS = 1300
COST_NANO_USD = 800 * 400 + 200 * 40 + 300 * 1600
"""By the policy's prices: $0.40 for a million tokens are 400 nano-dollars for one."""

_TEXT = "The change moves the check before the write. Look at the order of the locks first. "
ANSWER = json.dumps({
    "id": "c", "object": "chat.completion", "model": "house", "usage": USAGE,
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": _TEXT * 4}, "finish_reason": "stop"}
    ],
}).encode()  # fmt: skip


def stream(chunks: int, spaced_s: float) -> Script:
    """An answer of so many chunks: deltas, the usage, and the end."""
    head = {"id": "c", "object": "chat.completion.chunk", "model": "house"}
    delta: dict[str, Any] = head | {"choices": [{"index": 0, "delta": {"content": " word"}}], "usage": None}
    last = head | {"choices": [], "usage": USAGE}
    return Script(
        events(*[delta] * (chunks - 2), last, "[DONE]"), content_type=SSE, delay_s=spaced_s
    )  # fmt: skip


HUNDRED, SHORT, FIRST = "hundred", "short", "first"
SCRIPTS = {HUNDRED: stream(100, 0.02), SHORT: stream(10, 0.01), FIRST: stream(3, 0.005)}
"""What the stand-in provider of streams answers, by the header `x-script`."""


def check_request() -> CheckRequest:
    """What Envoy asks in way authz. Without a request id each is a new call."""
    check = CheckRequest()
    attributes = check.attributes
    attributes.context_extensions.update(provider="fast", kind="openai", prefix="/fast")
    http = attributes.request.http
    http.method, http.path, http.size, http.raw_body = "POST", f"/fast{PATH}", len(BODY), BODY
    http.headers.update(HEADERS)
    return check


def rate_limit_request() -> RateLimitRequest:
    """What Envoy asks in way ratelimit before a call."""
    request = RateLimitRequest(domain=workload.TENANT)
    for unit in ("requests", "tokens"):
        descriptor = request.descriptors.add()
        entries = {"provider": "fast", "model": "house", "authorization": HEADERS["authorization"]}
        for key, value in (entries | {"unit": unit}).items():
            descriptor.entries.add(key=key, value=value)
    request.descriptors[1].hits_addend.value = 0
    return request
