"""What an entry of Envoy's access log says of an end, and numbers of providers that are none."""

from typing import Any

import pytest

from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.proxied.calls import Ending
from tallystick.proxied.entries import Entry, ending_of

SSE = "text/event-stream; charset=utf-8"


def entry(details: str = "via_upstream", code: int = 200, attempts: int = 1, **fields: Any) -> Entry:
    given: dict[str, Any] = {
        "body_bytes": 300, "content_type": "application/json", "content_encoding": "", "counts": {},
        "complete": False, "answer": {},
    }  # fmt: skip
    return Entry(details=details, code=code, attempts=attempts, **given | fields)


BEFORE, AFTER = "upstream_reset_before_response_started", "upstream_reset_after_response_started"
ENDS: dict[str, tuple[Entry, dict[str, Any]]] = {
    "answered": (entry(), {"sent": True, "status": 200}),
    "error": (entry(code=500), {"sent": True, "status": 500}),
    "client left, a stream": (
        entry("downstream_remote_disconnect", content_type=SSE),
        {"sent": True, "status": 200, "client_left": True, "streamed": True},
    ),
    "client left, no answer": (
        entry("downstream_remote_disconnect", code=0), {"sent": True, "status": 0, "client_left": True}
    ),
    "client left over HTTP/2": (
        entry("http2.remote_reset", code=200), {"sent": True, "status": 200, "client_left": True}
    ),
    "client left, not sent": (
        entry("downstream_remote_disconnect", code=0, attempts=0), {"sent": False, "client_left": True}
    ),
    "broke off": (
        entry(f"{AFTER}{{remote_reset}}"), {"sent": True, "status": 200, "provider_broke_off": True}
    ),
    "fell silent": (
        entry("stream_idle_timeout"), {"sent": True, "status": 200, "provider_broke_off": True}
    ),
    "said nothing": (entry("stream_idle_timeout", code=504), {"sent": True, "status": 0}),
    "reset at once": (entry(f"{BEFORE}{{connection_termination}}", code=503), {"sent": True, "status": 0}),
    "no answer in time": (entry("upstream_response_timeout", code=504), {"sent": True, "status": 0}),
    "too long an answer": (entry("response_payload_too_large", code=500), {"sent": True, "status": 0}),
    "not reached": (
        entry(f"{BEFORE}{{remote_connection_failure|delayed_connect_error:_111}}", code=503), {"sent": False}
    ),
    "not reached in time": (entry(f"{BEFORE}{{connection_timeout}}", code=503), {"sent": False}),
    "refused stream": (entry(f"{BEFORE}{{remote_refused_stream_reset}}", code=503), {"sent": False}),
    "nobody there": (entry("no_healthy_upstream", code=503), {"sent": False}),
    "too long a patch": (entry("request_payload_too_large", code=413, attempts=0), {"sent": False}),
    "compressed": (entry(content_encoding="gzip"), {"sent": True, "status": 200, "output_bytes": None}),
}  # fmt: skip


@pytest.mark.parametrize(("found", "said"), ENDS.values(), ids=ENDS.keys())
def test_an_entry_tells_how_a_call_ended(found: Entry, said: dict[str, Any]) -> None:
    assert ending_of(found, Api.OPENAI_CHAT) == Ending(**{"output_bytes": 300, "status": 0} | said)


COUNTS: dict[str, tuple[dict[str, Any], dict[str, Any], Usage | None]] = {
    "chat": (
        {"input_tokens": 100, "output_tokens": 20, "cached_tokens": 64, "reasoning_tokens": 8},
        {}, Usage(input=36, cache_read=64, output=20, reasoning=8),
    ),
    "texts, as files have them": (
        {"input_tokens": "100", "output_tokens": "20", "cached_tokens": "64"},
        {}, Usage(input=36, cache_read=64, output=20),
    ),
    "writes in two kinds": (
        {"input_tokens": 90, "output_tokens": 25, "cached_tokens": 30, "cache_creation_tokens": 20},
        {"cache_write_5m": 15.0, "cache_write_1h": 5.0}, Usage(40, 30, 15, 5, 25),
    ),
    "writes in kinds that nobody told": (
        {"input_tokens": 90, "output_tokens": 25, "cache_creation_tokens": 20},
        {}, Usage(70, 0, 20, 0, 25),
    ),
    "more of a kind than of all": (
        {"input_tokens": 90, "cache_creation_tokens": 20}, {"cache_write_1h": 500.0}, Usage(70, 0, 0, 20, 0)
    ),
    "embeddings": ({"input_tokens": 8, "provider_total_tokens": 8}, {}, Usage(input=8)),
    "reasoning counted apart": (
        {"input_tokens": 8, "output_tokens": 2, "provider_total_tokens": 20}, {}, Usage(input=8, output=12)
    ),
    "more cached than there is": ({"input_tokens": 8, "cached_tokens": 9}, {}, Usage(cache_read=9)),
    "nothing": ({"input_tokens": 0, "output_tokens": 0}, {}, None),
    "nonsense": ({"input_tokens": "x", "output_tokens": -1, "cached_tokens": 1e300}, {}, None),
    "more nonsense": ({"input_tokens": None, "output_tokens": float("nan"), "cached_tokens": True}, {}, None),
    "no record": ({}, {"input": 5.0, "output": 7.0}, None),
}  # fmt: skip


@pytest.mark.parametrize(("counts", "answer", "usage"), COUNTS.values(), ids=COUNTS.keys())
def test_counts_become_disjoint_classes(
    counts: dict[str, Any], answer: dict[str, Any], usage: Usage | None
) -> None:
    ending = ending_of(entry(counts=counts, answer=answer, complete=True), Api.OPENAI_CHAT)
    assert (ending.usage, ending.complete) == (usage, usage is not None)


def test_writes_of_untold_length_are_of_an_hour_where_that_was_asked_for() -> None:
    counts = {"input_tokens": 90, "output_tokens": 5, "cache_creation_tokens": 20}
    for held, answer, writes in (
        (Usage(), {}, (20, 0)),
        (Usage(cache_write_5m=90), {}, (20, 0)),
        (Usage(cache_write_1h=90), {}, (0, 20)),
        (Usage(cache_write_1h=90), {"cache_write_5m": 15.0, "cache_write_1h": 5.0}, (15, 5)),
        (Usage(cache_write_1h=90), {"cache_write_5m": 20.0}, (20, 0)),
    ):
        found = entry(counts=counts, answer=answer, complete=True)
        usage = ending_of(found, Api.ANTHROPIC_MESSAGES, held).usage
        assert usage is not None
        assert (usage.cache_write_5m, usage.cache_write_1h) == writes


def test_bedrock_has_its_usage_beside_the_record() -> None:
    answer = {"input": 5.0, "output": 7.0, "cache_read": 1.0, "cache_write": 2.0, "service_tier": "flex"}
    ending = ending_of(entry(answer=answer), Api.BEDROCK_CONVERSE)
    assert (ending.usage, ending.complete, ending.tier) == (Usage(5, 1, 2, 0, 7), True, "flex")
    assert ending_of(entry(answer={"service_tier": 7.0}), Api.BEDROCK_CONVERSE).usage is None


SAID = '{"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 64}}'


def test_usage_that_a_chat_said_is_of_the_whole_answer_though_the_client_left() -> None:
    left = entry("downstream_remote_disconnect", content_type=SSE, answer={"usage": SAID})
    ending = ending_of(left, Api.OPENAI_CHAT)
    assert (ending.usage, ending.complete) == (Usage(input=36, cache_read=64, output=20), True)


def test_envoys_own_record_goes_before_what_a_chat_said() -> None:
    counted = entry(counts={"input_tokens": 5, "output_tokens": 6}, complete=True, answer={"usage": SAID})
    assert ending_of(counted, Api.OPENAI_CHAT).usage == Usage(input=5, output=6)


@pytest.mark.parametrize(
    "said", ["", "null", "{}", "{" * 5_000, '{"prompt_tokens": -1}', '{"prompt_tokens": "\ud800"}', 7.0, True]
)
def test_what_is_no_usage_is_none(said: Any) -> None:
    ending = ending_of(entry(answer={"usage": said}), Api.OPENAI_CHAT)
    assert (ending.usage, ending.complete) == (None, False)
