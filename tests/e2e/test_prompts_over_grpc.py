"""A loop is seen by its prompts alone, read from the bodies that are sent."""

import json
from typing import Any

import grpc
import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.e2e.caller import Caller, fails, subject_of

RULES = """
unmatched: allow
prices: {models: {"*": {free: true}}}
budgets:
  loops: {per: [session, prompt], limit: 5 requests, window: 10m}
"""
SAY = {"role": "user", "content": "Fix the failing test."}
CHAT = {"model": "gpt-4o", "messages": [SAY]}
BODIES = [
    (pb.ProviderRequest.API_OPENAI_CHAT, CHAT),
    (pb.ProviderRequest.API_OPENAI_RESPONSES, {"model": "gpt-4o", "input": "Fix the failing test."}),
    (pb.ProviderRequest.API_OPENAI_EMBEDDINGS, {"model": "m", "input": "Fix the failing test."}),
    (pb.ProviderRequest.API_ANTHROPIC_MESSAGES, {"model": "c", "max_tokens": 5, "messages": [SAY]}),
]


def ask(caller: Caller, body: dict[str, Any], api: Any = BODIES[0][0], **subject: str) -> Any:
    request = pb.ProviderRequest(api=api, body=json.dumps(body).encode())
    return {"request": request, "subject": subject_of({"session": "s1"} | subject)}


@pytest.mark.parametrize(("api", "body"), BODIES)
def test_the_sixth_equal_prompt_is_a_loop(caller: Caller, api: Any, body: dict[str, Any]) -> None:
    caller.apply(RULES)
    for number in range(5):
        caller.allowed(**ask(caller, body | {"user": str(number)}, api))
    refusal = caller.refused(**ask(caller, body, api))
    assert (refusal.reason, refusal.budget) == (pb.REASON_RUNAWAY_LOOP, "loops")
    spaced = json.loads(json.dumps(body).replace("Fix the", "  Fix \\n the"))
    assert caller.refused(**ask(caller, spaced, api)).reason == pb.REASON_RUNAWAY_LOOP
    caller.allowed(**ask(caller, json.loads(json.dumps(body).replace("Fix", "Run")), api))
    other = ask(caller, body, api)
    other["subject"].session = "s2"
    caller.allowed(**other)


def test_a_callers_own_fingerprint_is_taken(caller: Caller) -> None:
    caller.apply(RULES)
    for number in range(6):
        caller.allowed(**ask(caller, CHAT, prompt=f"p{number}"))
    for _ in range(5):
        caller.allowed(**ask(caller, CHAT, prompt="p"))
    assert caller.refused(**ask(caller, CHAT, prompt="p")).reason == pb.REASON_RUNAWAY_LOOP


def test_a_body_that_cannot_be_read_is_refused_as_ever(caller: Caller) -> None:
    caller.apply(RULES)
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "messages"):
        caller.reserve(**ask(caller, {"model": "gpt-4o"}))


def test_a_long_body_is_read_beside_the_loop_and_alike(caller: Caller) -> None:
    caller.apply(RULES)
    long = {"model": "gpt-4o", "messages": [SAY | {"content": "word " * 20_000}]}
    for _ in range(5):
        caller.allowed(**ask(caller, long))
    assert caller.refused(**ask(caller, long)).reason == pb.REASON_RUNAWAY_LOOP
