"""What a client meets behind a gateway, whichever way Envoy asks: each case is one story, told once."""

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest

from tallystick.core.usage import Usage
from tallystick.envoy import Way
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.envoy import answers
from tests.e2e.envoy.answers import CHAT, MESSAGE, MESSAGE_EVENTS, chat_chunks
from tests.e2e.envoy.desks import Desk, body_of, usage_in
from tests.e2e.envoy.provider import SSE, Script

Story = Callable[[Desk], None]
CASES: list[Story] = []
CHAT_PATH = "/openai/v1/chat/completions"
ASK: dict[str, Any] = {
    "model": "big",
    "messages": [{"role": "user", "content": "hello"}],
    "max_completion_tokens": 1_000,
}
SAY: dict[str, Any] = {
    "model": "claude-big",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 1_000,
}
CHAT_USED = Usage(input=36, cache_read=64, output=20, reasoning=8)
MESSAGE_USED = Usage(input=40, cache_read=30, cache_write_5m=15, cache_write_1h=5, output=25)
WRITTEN_5M = MESSAGE_USED._replace(cache_write_5m=20, cache_write_1h=0)
"""Of a stream, of which way authz is not told for how long it was written."""
CHAT_JSON, MESSAGE_JSON = Script((json.dumps(CHAT).encode(),)), Script((json.dumps(MESSAGE).encode(),))
CHAT_STREAM = Script(chat_chunks(5), content_type=SSE)
MESSAGE_STREAM = Script(MESSAGE_EVENTS, content_type=SSE)
TOO_LARGE = 'tallystick_proxied_calls_total{reason="CAN_NEVER_FIT",verdict="turned"}'
CHAT_COST = 36 * 10_000 + 64 * 1_000 + 20 * 100_000
"""In nano-dollars."""


def case(story: Story) -> Story:
    CASES.append(story)
    return story


def streamed(desk: Desk) -> Usage:
    """What `MESSAGE_STREAM` is charged."""
    return MESSAGE_USED if desk.gateway.envoy.options.way is Way.PROC else WRITTEN_5M


def charged(desk: Desk, used: Usage) -> None:
    """The one call ended as completed, with this usage, and not as an estimate."""
    end = desk.settled()
    assert (usage_in(end), end["outcome"], end["estimated"]) == (used, "COMPLETED", "0")


@case
def openai_json(desk: Desk) -> None:
    script = desk.script(CHAT_JSON)
    answer = desk.of_openai(script).chat.completions.with_raw_response.create(**ASK)
    assert answer.parse().choices[0].message.content == "yes"
    charged(desk, CHAT_USED)
    assert int(desk.settled()["nano"]) == CHAT_COST
    assert answer.headers["x-tallystick-reservation"] == desk.settled()["id"]
    (seen,) = desk.sent(script)
    assert body_of(seen) == ASK
    assert seen.headers["authorization"] == "Bearer key-of-openai"


@case
def openai_stream_is_asked_for_its_usage(desk: Desk) -> None:
    script = desk.script(CHAT_STREAM)
    texts = [
        chunk.choices[0].delta.content
        for chunk in desk.of_openai(script).chat.completions.create(**ASK, stream=True)
        if chunk.choices
    ]
    assert texts == ["0 ", "1 ", "2 ", "3 ", "4 "]
    charged(desk, CHAT_USED)
    (seen,) = desk.sent(script)
    assert body_of(seen) == ASK | {"stream": True, "stream_options": {"include_usage": True}}


@case
def a_client_that_leaves_when_a_stream_says_it_is_done(desk: Desk) -> None:
    """As the SDK does; the provider's own end may come later, or never."""
    script = desk.script(replace(CHAT_STREAM, endless=True))
    assert list(desk.of_openai(script).chat.completions.create(**ASK, stream=True))
    charged(desk, CHAT_USED)


@case
def options_of_a_stream_are_kept(desk: Desk) -> None:
    script = desk.script(CHAT_STREAM)
    options = {"include_obfuscation": False}
    desk.call(script, CHAT_PATH, ASK | {"stream": True, "stream_options": options})
    charged(desk, CHAT_USED)
    assert body_of(desk.sent(script)[0])["stream_options"] == options | {"include_usage": True}


@case
def openai_async_json_and_stream(desk: Desk) -> None:
    async def both() -> None:
        async with desk.of_openai_async(desk.script(CHAT_JSON)) as client:
            assert (await client.chat.completions.create(**ASK)).usage
        async with desk.of_openai_async(desk.script(CHAT_STREAM)) as client:
            assert [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]

    asyncio.run(both())
    assert [usage_in(end) for end in desk.ended(2)] == [CHAT_USED] * 2


@case
def anthropic_json(desk: Desk) -> None:
    script = desk.script(MESSAGE_JSON)
    message = desk.of_anthropic(script).messages.create(**SAY)
    assert message.content[0].text == "yes"
    charged(desk, MESSAGE_USED)
    assert desk.sent(script)[0].headers["x-api-key"] == "key-of-anthropic"


@case
def anthropic_stream(desk: Desk) -> None:
    events = list(desk.of_anthropic(desk.script(MESSAGE_STREAM)).messages.create(**SAY, stream=True))
    assert [event.delta.text for event in events if event.type == "content_block_delta"] == ["yes"]
    charged(desk, streamed(desk))


@case
def anthropic_async_json_and_stream(desk: Desk) -> None:
    async def both() -> None:
        async with desk.of_anthropic_async(desk.script(MESSAGE_JSON)) as client:
            assert (await client.messages.create(**SAY)).usage.output_tokens == 25
        async with desk.of_anthropic_async(desk.script(MESSAGE_STREAM)) as client:
            assert [event async for event in await client.messages.create(**SAY, stream=True)]

    asyncio.run(both())
    assert [usage_in(end) for end in desk.ended(2)] == [MESSAGE_USED, streamed(desk)]


@case
def gemini_with_its_key_in_the_query(desk: Desk) -> None:
    script = desk.script(Script((json.dumps(answers.GENERATED).encode(),)))
    body = {"contents": [{"parts": [{"text": "hello"}]}], "generationConfig": {"maxOutputTokens": 100}}
    path = f"/gemini/v1beta/models/gemini-big:generateContent?key={desk.key}&alt=json"
    assert desk.gateway.call(script, path, body).status == 200
    charged(desk, Usage(input=58, cache_read=16, output=21, reasoning=9))
    (seen,) = desk.sent(script)
    assert seen.path == "/v1beta/models/gemini-big:generateContent?alt=json"
    assert desk.key not in f"{seen.path} {seen.headers}"


@case
def bedrock(desk: Desk) -> None:
    script = desk.script(Script((json.dumps(answers.CONVERSE).encode(),)))
    body = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
    assert desk.call(script, "/aws/model/claude-big/converse", body).status == 200
    end = desk.settled()
    assert (usage_in(end)[:2], end["outcome"]) == ((5, 1), "COMPLETED")


@case
def a_cheaper_model_in_the_body(desk: Desk) -> None:
    desk.apply(
        "budgets: {daily: {per: [user], limit: 0.02 USD, window: day}}\n",
        "downgrade: [{model: big, to: [small]}]\n",
    )
    script = desk.script(CHAT_JSON)
    answer = desk.of_openai(script).chat.completions.with_raw_response.create(**ASK)
    assert answer.headers["x-tallystick-model"] == "small"
    charged(desk, CHAT_USED)
    assert int(desk.settled()["nano"]) == CHAT_COST // 10
    assert body_of(desk.sent(script)[0]) == ASK | {"model": "small"}


@case
def a_cheaper_model_in_the_path(desk: Desk) -> None:
    desk.apply(
        "budgets: {daily: {per: [user], limit: 0.02 USD, window: day}}\n",
        "downgrade: [{model: gemini-big, to: [gemini-small]}]\n",
    )
    script = desk.script(Script((json.dumps(answers.GENERATED).encode(),)))
    body = {"contents": [{"parts": [{"text": "hello"}]}], "generationConfig": {"maxOutputTokens": 1000}}
    assert desk.call(script, "/gemini/v1beta/models/gemini-big:generateContent", body).status == 200
    desk.settled()
    assert desk.sent(script)[0].path == "/v1beta/models/gemini-small:generateContent"


@case
def a_cheaper_model_where_it_cannot_be_put_in_is_no_way_around(desk: Desk) -> None:
    desk.apply(
        "budgets: {daily: {per: [user], limit: 0.02 USD, window: day}}\n",
        "downgrade: [{model: big, to: [small]}]\n",
    )
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    for odd in ({"seed": 10**400}, {"user": "\ud800"}, {"top_p": float("inf")}, {"metadata": deep}):
        script = desk.script(CHAT_JSON)
        body = json.dumps(ASK | odd).replace("Infinity", "1e999").encode()
        answer = desk.call(script, CHAT_PATH, body)
        assert answer.status == 413
        assert "can't be replaced" in answer.json["error"]["message"]
        assert not desk.sent(script)
    assert not desk.entries("settle")


@case
def openai_refusal_is_its_own_error_after_one_attempt(desk: Desk) -> None:
    desk.apply("budgets: {daily: {per: [user], limit: 0.01 USD, window: day, on_exhausted: deny}}\n")
    script = desk.script(CHAT_JSON)
    before = desk.metric(TOO_LARGE)
    with pytest.raises(openai.APIStatusError) as refused:
        desk.of_openai(script).chat.completions.create(**ASK)
    assert (refused.value.status_code, refused.value.code) == (413, "can_never_fit")
    assert not desk.sent(script)
    assert desk.metric(TOO_LARGE) == before + 1
    desk.nothing_held()


@case
def exhausted_budgets_are_rate_limit_errors(desk: Desk) -> None:
    desk.apply("budgets: {daily: {per: [user], limit: 0.12 USD, window: day}}\n")
    desk.caller.allowed(100_000_000, subject=pb.Subject(user="bot"))
    script = desk.script(CHAT_JSON)
    with pytest.raises(openai.RateLimitError) as refused:
        desk.of_openai(script).chat.completions.create(**ASK)
    assert refused.value.code == "budget_exhausted"
    with pytest.raises(anthropic.RateLimitError):
        desk.of_anthropic(script).messages.create(**SAY)
    assert not desk.sent(script)
    assert len(desk.entries("reserve")) == 1


@case
def a_route_that_nobody_meters(desk: Desk) -> None:
    script = desk.script()
    with pytest.raises(openai.PermissionDeniedError) as refused:
        desk.of_openai(script).files.list()
    assert refused.value.code == "unmetered_route"
    assert not desk.sent(script)
    desk.apply(DAILY_AND_FILES)
    assert desk.call(script, "/openai/v1/files").status == 200
    assert len(desk.sent(script)) == 1
    assert desk.call(script, "/openai/v1/models").status == 200  # free
    desk.nothing_held()


DAILY_AND_FILES = (
    'budgets: {daily: {per: [user], limit: 1 USD, window: day}}\nroutes: {unmetered: ["/v1/files*"]}\n'
)


@case
def an_unknown_key(desk: Desk) -> None:
    script = desk.script(CHAT_JSON)
    with pytest.raises(openai.AuthenticationError):
        desk.of_openai(script, key="sk-of-nobody").chat.completions.create(**ASK)
    with pytest.raises(anthropic.AuthenticationError):
        desk.of_anthropic(script, key=f"tally-{desk.tenant}-guessed").messages.create(**SAY)
    assert desk.gateway.call(script, CHAT_PATH, ASK).status == 401
    assert desk.gateway.call(script, "/openai/v1/models").status == 401  # free, and not for everybody
    assert not desk.sent(script)
    desk.nothing_held()


@case
def spoofed_headers(desk: Desk) -> None:
    script = desk.script(CHAT_JSON)
    spoofed = {
        "x_tallystick_provider": "local", "x_tallystick_kind": "compatible", "x_user": "root",
        "x_request_id": "chosen", "x_envoy_auth_partial_body": "true", "x_envoy_retry_on": "5xx",
        "x_tallystick_user": "root", "x_forwarded_client_cert": "URI=spiffe://root",
    }  # fmt: skip
    assert desk.call(script, CHAT_PATH, ASK, **spoofed).status == 200
    charged(desk, CHAT_USED)
    (reserved,) = desk.entries("reserve")
    assert '"user=bot"' in reserved["body"]
    assert "root" not in str(reserved)
    assert "chosen" not in reserved["id"]
    (seen,) = desk.sent(script)
    assert not [name for name in seen.headers if name.startswith("x-tallystick-")]


def _teach_tokens(desk: Desk) -> None:
    """What a token is in bytes is known from a call before, whichever cases ran here."""
    asked = ASK | {"stream": True, "stream_options": {"include_usage": True}}
    desk.call(desk.script(CHAT_STREAM), CHAT_PATH, asked)
    desk.ended()


@case
def a_client_that_leaves_in_mid_stream(desk: Desk) -> None:
    _teach_tokens(desk)
    script = desk.script(Script(chat_chunks(200), content_type=SSE, delay_s=0.02))
    stream = desk.of_openai(script).chat.completions.create(**ASK, stream=True)
    for _ in range(5):
        next(stream)
    stream.close()
    end = desk.ended(2)[-1]
    assert end["kind"] == "settle"
    assert (end["outcome"], end["estimated"]) == ("CLIENT_ABORTED", "1")
    used = usage_in(end)
    assert 0 < used.total_input < 50
    assert 5 <= used.output <= 1_000
    assert 0 < int(end["nano"]) < 1_000 * 100_000 + 50 * 10_000


@case
def errors_of_the_provider_cost_nothing(desk: Desk) -> None:
    for status in (500, 429, 400):
        script = desk.script(Script((b'{"error": {"message": "no"}}',), status=status))
        with pytest.raises(openai.APIStatusError) as failed:
            desk.of_openai(script, max_retries=0).chat.completions.create(**ASK)
        assert failed.value.status_code == status
    ends = desk.ended(3)
    assert [(end["outcome"], end["nano"]) for end in ends] == [("PROVIDER_ERROR_UNBILLED", "0")] * 3


@case
def a_provider_that_breaks_off(desk: Desk) -> None:
    _teach_tokens(desk)
    script = desk.script(Script(chat_chunks(5)[:3], content_type=SSE, reset=True))
    with pytest.raises(openai.APIConnectionError):
        list(desk.of_openai(script, max_retries=0).chat.completions.create(**ASK, stream=True))
    end = desk.ended(2)[-1]
    assert end["kind"] == "settle"
    told = desk.gateway.envoy.options.way is not Way.PROC  # it is not told who broke off
    outcome = "PROVIDER_ERROR_BILLED" if told else "CLIENT_ABORTED"
    assert (end["outcome"], end["estimated"]) == (outcome, "1")
    assert 3 <= usage_in(end).output <= 1_000


@case
def a_stream_without_usage_is_estimated_from_its_bytes(desk: Desk) -> None:
    desk.apply(more="routes: {without_usage: [openai]}\n")
    silent = Script(chat_chunks(20, usage=False), content_type=SSE)
    told = Script(chat_chunks(20), content_type=SSE)
    script = desk.script(silent)
    desk.call(script, CHAT_PATH, ASK | {"model": "small", "stream": True})
    first = desk.settled()  # the gateway's first of this model and kind, or else it has learned already
    assert first["estimated"] == "1"
    assert "stream_options" not in body_of(desk.sent(script)[0])
    asked = ASK | {"model": "small", "stream": True, "stream_options": {"include_usage": True}}
    for _ in range(3):
        desk.call(desk.script(told), CHAT_PATH, asked)
    desk.ended(4)
    desk.call(desk.script(silent), CHAT_PATH, ASK | {"model": "small", "stream": True})
    last = desk.ended(5)[-1]
    assert (last["outcome"], last["estimated"]) == ("COMPLETED", "1")
    assert 10 <= usage_in(last).output <= 30  # 20 were told of


@case
def a_large_body_with_its_limit_at_the_end(desk: Desk) -> None:
    script = desk.script(CHAT_JSON)
    words = "the quick brown fox jumps over the lazy dog " * 120_000
    body = {"messages": [{"role": "user", "content": words}], "model": "big", "max_completion_tokens": 7}
    desk.apply("budgets: {daily: {per: [user], limit: 100 USD, window: day}}\n")
    assert desk.call(script, CHAT_PATH, body).status == 200
    charged(desk, CHAT_USED)
    (reserved,) = desk.entries("reserve")
    counted = int(reserved["tokens"])
    assert 1_000_000 < counted < 1_400_000
    assert int(reserved["nano"]) == (counted - 7) * 10_000 + 7 * 100_000
    assert len(desk.sent(script)[0].body) > 5 << 20


@case
def bodies_that_cannot_be_counted(desk: Desk) -> None:
    script = desk.script(CHAT_JSON)
    whole = json.dumps(ASK).encode()
    for body, headers in (
        (b"not json", {}),
        (b'{"model": "small", ' + whole[1:], {}),  # a key twice
        (gzip.compress(whole), {"content_encoding": "gzip"}),
        (whole, {"content_type": "text/plain"}),
    ):
        answer = desk.gateway.call(script, CHAT_PATH, body, authorization=f"Bearer {desk.key}", **headers)
        assert (answer.status, answer.json["error"]["code"]) == (400, "bad_request")
    assert not desk.sent(script)
    desk.nothing_held()


@case
def a_loop_is_cut_at_ninety_cents(desk: Desk) -> None:
    """Each call takes 18 cents, and there is a dollar."""
    usage = {"prompt_tokens": 0, "completion_tokens": 1_800, "total_tokens": 1_800}
    script = desk.script(Script((json.dumps(CHAT | {"usage": usage}).encode(),)))
    client = desk.of_openai(script)
    ask = ASK | {"max_completion_tokens": 1_800}
    made = 0
    while made < 100:
        try:
            client.chat.completions.create(**ask)
        except openai.RateLimitError:
            break
        made += 1
        desk.ended(made)
    assert made == 5
    assert len(desk.sent(script)) == 5
    assert sum(int(end["nano"]) for end in desk.entries("settle")) == 900_000_000


@case
def a_hundred_streams_at_once(desk: Desk) -> None:
    desk.apply("budgets: {daily: {per: [user], limit: 100 USD, window: day}}\n")
    count = 100
    parts = [
        [*chat_chunks(3, usage=False)[:3], *answers.events(_used(n), "[DONE]")] for n in range(1, count + 1)
    ]
    scripts = [desk.script(Script(each, content_type=SSE, delay_s=0.05)) for each in parts]

    async def one(client: openai.AsyncOpenAI, script: str) -> int:
        stream = await client.chat.completions.create(**ASK, stream=True, extra_headers={"x-script": script})
        (told,) = [chunk.usage.completion_tokens async for chunk in stream if chunk.usage]
        return int(told)

    async def every() -> list[int]:
        async with desk.of_openai_async("") as client:
            return await asyncio.gather(*(one(client, script) for script in scripts))

    assert asyncio.run(every()) == list(range(1, count + 1))
    ends = desk.ended(count)
    assert sorted(usage_in(end).output for end in ends) == list(range(1, count + 1))
    assert {usage_in(end).total_input for end in ends} == {100}


def _used(output: int) -> dict[str, Any]:
    usage = {"prompt_tokens": 100, "completion_tokens": output, "total_tokens": 100 + output}
    head = {"id": "c", "object": "chat.completion.chunk", "model": "big", "created": 1}
    return head | {"choices": [], "usage": usage}
