"""Each way to say what a call may take, and each way to say what it took."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from tallystick.providers import parse_request
from tallystick.providers.call import Api
from tallystick.tokens import TokenCounter
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.caller import Caller, fails
from tests.servers import SidecarProcess

VECTORS = Path(__file__).parents[1] / "vectors/providers"
RATES = {
    "input": 1_000,
    "cache_read": 100,
    "cache_write_5m": 2_000,
    "cache_write_1h": 3_000,
    "output": 10_000,
}
"""Nano-dollars a token of every model by this policy."""
RULES = """
wallets: {org: {}}
estimate: {max_output: 77}
prices:
  models: {"*": {input: 1, cached_input: 0.1, cache_write: 2, cache_write_1h: 3, output: 10}}
"""
CHAT = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "Wo ist Köln? " * 9},
    ],
    "max_completion_tokens": 300,
}
RESPONSES = {"model": "gpt-4.1-mini", "instructions": "Be kind.", "input": "Why is the sky blue?"}
EMBEDDINGS = {"model": "text-embedding-3-small", "input": ["one text", "another one"]}
MESSAGES = {
    "model": "claude-sonnet-4-5",
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [{"role": "user", "content": "Hello there"}],
    "max_tokens": 1_024,
}
BODIES = [
    (pb.ProviderRequest.API_OPENAI_CHAT, Api.OPENAI_CHAT, CHAT, "cache_write_5m", 300),
    (pb.ProviderRequest.API_OPENAI_RESPONSES, Api.OPENAI_RESPONSES, RESPONSES, "cache_write_5m", 77),
    (pb.ProviderRequest.API_OPENAI_EMBEDDINGS, Api.OPENAI_EMBEDDINGS, EMBEDDINGS, "input", 0),
    (pb.ProviderRequest.API_ANTHROPIC_MESSAGES, Api.ANTHROPIC_MESSAGES, MESSAGES, "cache_write_1h", 1_024),
]


@pytest.fixture
def funded(caller: Caller) -> Caller:
    caller.apply(RULES)
    caller.credit(10**15)
    return caller


@pytest.fixture(scope="session")
def counter() -> TokenCounter:
    return TokenCounter(preload=True)


@pytest.mark.parametrize(("api", "shape", "body", "kind", "output"), BODIES, ids=lambda x: str(x)[:24])
def test_a_provider_request_is_counted_and_priced(
    funded: Caller,
    counter: TokenCounter,
    api: "pb.ProviderRequest.Api",
    shape: Api,
    body: dict[str, Any],
    kind: str,
    output: int,
) -> None:
    raw = json.dumps(body).encode()
    read = parse_request(shape, raw)
    given = counter.count(read.model, read.provider, read.texts) + read.extra_tokens
    assert given > 3
    decision = funded.allowed(request=pb.ProviderRequest(api=api, body=raw))
    assert decision.model == body["model"]
    assert decision.cost.tokens == given + output
    assert decision.cost.nano_usd == given * RATES[kind] + output * RATES["output"]
    named = funded.allowed(request=pb.ProviderRequest(api=api, body=raw), model=str(body["model"]))
    assert named.cost == decision.cost
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "model"):
        funded.reserve(request=pb.ProviderRequest(api=api, body=raw), model="another")


GEMINI = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "Wo ist Köln? " * 9}]}],
    "generationConfig": {"maxOutputTokens": 100, "candidateCount": 2},
}
CONVERSE = {
    "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
    "messages": [{"role": "user", "content": [{"text": "Hello there"}]}],
    "inferenceConfig": {"maxTokens": 300},
}
IN_PATH = [
    (pb.ProviderRequest.API_GEMINI_GENERATE, Api.GEMINI_GENERATE, GEMINI, "input", 200),
    (pb.ProviderRequest.API_BEDROCK_CONVERSE, Api.BEDROCK_CONVERSE, CONVERSE, "cache_write_5m", 300),
]


@pytest.mark.parametrize(("api", "shape", "body", "kind", "output"), IN_PATH, ids=lambda x: str(x)[:24])
def test_a_request_whose_path_names_the_model_is_counted_and_priced(
    funded: Caller,
    counter: TokenCounter,
    api: "pb.ProviderRequest.Api",
    shape: Api,
    body: dict[str, Any],
    kind: str,
    output: int,
) -> None:
    raw = json.dumps(body).encode()
    read = parse_request(shape, raw, model="a-model")
    given = counter.count("a-model", read.provider, read.texts) + read.extra_tokens
    decision = funded.allowed(request=pb.ProviderRequest(api=api, body=raw), model="a-model")
    assert decision.model == "a-model"
    assert decision.cost.tokens == given + output
    assert decision.cost.nano_usd == given * RATES[kind] + output * RATES["output"]
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "model: the model that the path names"):
        funded.reserve(request=pb.ProviderRequest(api=api, body=raw))


def test_azure_goes_by_the_deployment_whatever_the_body_says(funded: Caller) -> None:
    request = pb.ProviderRequest(api=pb.ProviderRequest.API_OPENAI_CHAT, body=json.dumps(CHAT).encode())
    decision = funded.allowed(request=request, model="my-deployment", provider="azure")
    assert decision.model == "my-deployment"
    without = {name: value for name, value in CHAT.items() if name != "model"}
    request.body = json.dumps(without).encode()
    assert funded.allowed(request=request, model="gpt-4o").model == "gpt-4o"


def test_a_long_prompt_is_counted_beside_the_loop_and_alike(funded: Caller, counter: TokenCounter) -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 4_000
    raw = json.dumps(CHAT | {"messages": [{"role": "user", "content": text}]}).encode()
    read = parse_request(Api.OPENAI_CHAT, raw)
    given = counter.count(read.model, read.provider, read.texts) + read.extra_tokens
    request = pb.ProviderRequest(api=pb.ProviderRequest.API_OPENAI_CHAT, body=raw)
    assert funded.allowed(request=request).cost.tokens == given + 300
    assert 36_000 < given < 45_000


def test_an_estimate_in_tokens_is_priced(funded: Caller) -> None:
    limited = funded.allowed(model="m", estimate=pb.TokenEstimate(input=10, max_output=5))
    assert limited.cost == pb.Cost(nano_usd=10 * 1_000 + 5 * 10_000, tokens=15)
    unlimited = funded.allowed(model="m", estimate=pb.TokenEstimate(input=10))
    assert unlimited.cost == pb.Cost(nano_usd=10 * 1_000 + 77 * 10_000, tokens=87)


def test_a_hold_is_rounded_up_and_a_charge_half_to_even(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}\nprices: {models: {m: {input: 0.0005, output: 0}}}")
    caller.credit(1_000)
    held = [
        caller.allowed(model="m", estimate=pb.TokenEstimate(input=n, max_output=1), reservation_id=f"r{n}")
        for n in (1, 2, 3, 5)
    ]
    assert [each.cost.nano_usd for each in held] == [1, 1, 2, 3]
    charged = [caller.settle(f"r{n}", usage=pb.Usage(input=n)).charged.nano_usd for n in (1, 2, 3, 5)]
    assert charged == [0, 1, 2, 2]


def test_the_catalogue_prices_a_model_that_the_policy_does_not_name(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}")
    caller.credit(10**12)
    decision = caller.allowed(model="gpt-4o", provider="openai", estimate=pb.TokenEstimate(input=1_000_000))
    assert decision.cost.nano_usd > 10**9  # dollars, not cents
    assert decision.price_version.startswith("genai-prices ")


def cost_of(tokens: dict[str, int]) -> int:
    return sum(tokens.get(kind, 0) * rate for kind, rate in RATES.items())


REPORTS = [
    report
    for report in json.loads((VECTORS / "usage.json").read_text())
    if 0 < cost_of(report.get("expect") or {}) < 2**63
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: str(report["name"]))
def test_a_provider_usage_is_charged_by_its_classes(report: dict[str, Any], served: SidecarProcess) -> None:
    with Caller(served) as caller:
        caller.apply(RULES)
        caller.credit(10**15)
        caller.allowed(model="m", estimate=pb.TokenEstimate(input=1), reservation_id="one")
        settled = caller.settle("one", provider_usage=json.dumps(report["usage"]).encode())
        tokens = report["expect"]
        assert settled.charged.nano_usd == cost_of(tokens)
        assert settled.charged.tokens == sum(tokens.get(kind, 0) for kind in RATES)
        assert (settled.estimated, caller.wallet().spent) == (False, cost_of(tokens))


def test_a_usage_by_classes_is_charged(funded: Caller) -> None:
    funded.allowed(model="m", estimate=pb.TokenEstimate(input=1), reservation_id="one")
    usage = pb.Usage(input=1, cache_read=20, cache_write_5m=3, cache_write_1h=4, output=50, reasoning=6)
    charged = funded.settle("one", usage=usage).charged
    assert charged == pb.Cost(nano_usd=1_000 + 2_000 + 6_000 + 12_000 + 500_000, tokens=78)


def test_a_usage_of_a_call_by_cost_has_no_price(funded: Caller) -> None:
    funded.allowed(5, reservation_id="by-cost")
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "cost"):
        funded.settle("by-cost", usage=pb.Usage(input=1))
    assert funded.settle("by-cost", 4).charged.nano_usd == 4


def test_a_later_price_does_not_change_what_a_hold_was_made_at(funded: Caller) -> None:
    funded.allowed(model="m", estimate=pb.TokenEstimate(input=10, max_output=1), reservation_id="one")
    funded.apply(RULES.replace("input: 1,", "input: 9,"))
    assert funded.settle("one", usage=pb.Usage(input=10)).charged.nano_usd == 10_000
    dearer = funded.allowed(model="m", estimate=pb.TokenEstimate(input=10, max_output=1))
    assert dearer.cost.nano_usd == 90_000 + 10_000


def test_a_usage_that_costs_more_than_an_amount_can_be_is_refused(funded: Caller) -> None:
    funded.allowed(model="m", estimate=pb.TokenEstimate(input=1), reservation_id="one")
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "usage"):
        funded.settle("one", usage=pb.Usage(input=2**63 // 1_000 + 1))
    most = funded.settle("one", usage=pb.Usage(input=2**63 // 1_000)).charged
    assert most == pb.Cost(nano_usd=2**63 // 1_000 * 1_000, tokens=2**63 // 1_000)
