"""What makes two prompts the same, and what doesn't."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.providers import parse_request
from tallystick.providers.call import Api

IMAGE = {"type": "image_url", "image_url": {"url": "https://x/a.png", "detail": "low"}}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"id": 1, "status": "open"}'},
}
CHAT: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is\n this?"}, IMAGE]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "42"},
    ],
}
RESPONSES: dict[str, Any] = {"model": "gpt-4.1", "instructions": "Be brief.", "input": "Why?"}
EMBEDDINGS: dict[str, Any] = {"model": "text-embedding-3-small", "input": ["one", "two"]}
USE = {"type": "tool_use", "id": "t1", "name": "look", "input": {"id": 7, "detail": "a"}}
MESSAGES: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 9,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": [USE]}],
}
GEMINI: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "What is\n this?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "f1", "name": "look", "args": {"id": 7}}}]},
    ],
}
CALLED = {"toolUseId": "t1", "name": "look", "input": {"id": 7}}
CONVERSE: dict[str, Any] = {
    "system": [{"text": "Be brief."}],
    "messages": [
        {"role": "user", "content": [{"text": "Hello"}]},
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "t1", "name": "look", "input": {"id": 7}}}],
        },
    ],
}
BODIES = {
    Api.OPENAI_CHAT: CHAT,
    Api.OPENAI_RESPONSES: RESPONSES,
    Api.OPENAI_EMBEDDINGS: EMBEDDINGS,
    Api.ANTHROPIC_MESSAGES: MESSAGES,
    Api.GEMINI_GENERATE: GEMINI,
    Api.BEDROCK_CONVERSE: CONVERSE,
}


def print_of(api: Api, body: dict[str, Any], model: str = "m") -> str:
    return parse_request(api, json.dumps(body).encode(), model=model, by_prompt=True).fingerprint


def changed(body: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    text = json.dumps(body)
    assert old in text
    found: dict[str, Any] = json.loads(text.replace(old, new))
    return found


@pytest.mark.parametrize("api", Api)
def test_it_is_made_where_it_is_asked_for(api: Api) -> None:
    assert len(bytes.fromhex(print_of(api, BODIES[api]))) == 8
    assert parse_request(api, json.dumps(BODIES[api]).encode(), model="m").fingerprint == ""


@pytest.mark.parametrize("api", [Api.GEMINI_GENERATE, Api.BEDROCK_CONVERSE])
def test_the_model_of_the_path_counts(api: Api) -> None:
    assert (
        print_of(api, BODIES[api], "a") == print_of(api, BODIES[api], "a") != print_of(api, BODIES[api], "b")
    )


ALIKE = [
    (Api.OPENAI_CHAT, CHAT | {"temperature": 0.3, "max_tokens": 5, "stream": True, "user": "u", "seed": 1}),
    (Api.OPENAI_CHAT, changed(CHAT, "call_1", "call_2")),
    (Api.OPENAI_CHAT, changed(CHAT, "What is\\n this?", "  What is this?\\t")),
    (Api.OPENAI_CHAT, changed(CHAT, '"detail": "low"', '"detail": "high"')),
    (
        Api.OPENAI_CHAT,
        changed(CHAT, '"content": "Be brief."', '"content": [{"type": "text", "text": "Be  brief."}]'),
    ),
    (Api.OPENAI_RESPONSES, RESPONSES | {"max_output_tokens": 7, "store": False, "metadata": {"a": "b"}}),
    (Api.OPENAI_RESPONSES, RESPONSES | {"input": [{"role": "user", "content": "Why?"}]}),
    (
        Api.OPENAI_RESPONSES,
        RESPONSES
        | {
            "input": [
                {
                    "type": "message",
                    "id": "m1",
                    "status": "done",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Why?"}],
                }
            ]
        },
    ),
    (Api.OPENAI_EMBEDDINGS, EMBEDDINGS | {"dimensions": 5, "encoding_format": "float"}),
    (Api.ANTHROPIC_MESSAGES, MESSAGES | {"max_tokens": 10, "temperature": 1, "metadata": {"user_id": "u"}}),
    (Api.ANTHROPIC_MESSAGES, changed(MESSAGES, '"t1"', '"t2"')),
    (
        Api.ANTHROPIC_MESSAGES,
        MESSAGES
        | {"system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
    ),
    (Api.GEMINI_GENERATE, GEMINI | {"generationConfig": {"maxOutputTokens": 9}, "safetySettings": []}),
    (Api.GEMINI_GENERATE, changed(GEMINI, '"systemInstruction"', '"system_instruction"')),
    (Api.GEMINI_GENERATE, changed(GEMINI, '"id": "f1"', '"id": "f2"')),
    (Api.BEDROCK_CONVERSE, CONVERSE | {"inferenceConfig": {"maxTokens": 9}, "requestMetadata": {"a": "b"}}),
    (Api.BEDROCK_CONVERSE, changed(CONVERSE, '"t1"', '"t2"')),
    (
        Api.BEDROCK_CONVERSE,
        CONVERSE | {"system": [{"text": "Be  brief."}, {"cachePoint": {"type": "default"}}]},
    ),
]


@pytest.mark.parametrize(("api", "body"), ALIKE)
def test_parameters_ids_and_white_space_do_not_count(api: Api, body: dict[str, Any]) -> None:
    assert print_of(api, body) == print_of(api, BODIES[api])


OTHER = [
    (Api.OPENAI_CHAT, CHAT | {"model": "gpt-4o-mini"}),
    (Api.OPENAI_CHAT, CHAT | {"messages": CHAT["messages"][::-1]}),
    (Api.OPENAI_CHAT, CHAT | {"messages": CHAT["messages"][:3]}),
    (Api.OPENAI_CHAT, changed(CHAT, '"system"', '"user"')),
    (Api.OPENAI_CHAT, changed(CHAT, "Be brief.", "Be  brief !")),
    (Api.OPENAI_CHAT, changed(CHAT, "a.png", "b.png")),
    (Api.OPENAI_CHAT, changed(CHAT, '\\"id\\": 1', '\\"id\\": 2')),
    (Api.OPENAI_CHAT, changed(CHAT, '"42"', '"43"')),
    (Api.OPENAI_RESPONSES, RESPONSES | {"instructions": "Be long."}),
    (Api.OPENAI_RESPONSES, RESPONSES | {"input": "Why not?"}),
    (Api.OPENAI_RESPONSES, RESPONSES | {"input": [{"role": "assistant", "content": "Why?"}]}),
    (Api.OPENAI_RESPONSES, RESPONSES | {"previous_response_id": "r1"}),
    (Api.OPENAI_RESPONSES, RESPONSES | {"prompt": {"id": "p1", "variables": {"city": "Köln"}}}),
    (Api.OPENAI_EMBEDDINGS, EMBEDDINGS | {"input": ["one two"]}),
    (Api.OPENAI_EMBEDDINGS, EMBEDDINGS | {"input": [1, 2]}),
    (Api.ANTHROPIC_MESSAGES, MESSAGES | {"system": "Be long."}),
    (Api.ANTHROPIC_MESSAGES, changed(MESSAGES, '"id": 7', '"id": 8')),
    (Api.ANTHROPIC_MESSAGES, changed(MESSAGES, '"detail": "a"', '"detail": "b"')),
    (Api.GEMINI_GENERATE, GEMINI | {"cachedContent": "cachedContents/c1"}),
    (Api.GEMINI_GENERATE, changed(GEMINI, '"id": 7', '"id": 8')),
    (Api.GEMINI_GENERATE, changed(GEMINI, "Be brief.", "Be long.")),
    (Api.BEDROCK_CONVERSE, changed(CONVERSE, '"id": 7', '"id": 8')),
    (Api.BEDROCK_CONVERSE, changed(CONVERSE, "Hello", "Hallo")),
    (Api.BEDROCK_CONVERSE, CONVERSE | {"promptVariables": {"city": {"text": "Ulm"}}}),
]


@pytest.mark.parametrize(("api", "body"), OTHER)
def test_the_model_and_all_that_it_is_told_count(api: Api, body: dict[str, Any]) -> None:
    assert print_of(api, body) != print_of(api, BODIES[api])


def test_what_the_provider_keeps_counts_by_its_name() -> None:
    def naming(**item: str) -> str:
        return print_of(Api.OPENAI_RESPONSES, RESPONSES | {"input": [{"type": "item_reference", **item}]})

    assert naming(id="i1") == naming(id="i1") != naming(id="i2")
    files = [[{"role": "user", "content": [{"type": "input_file", "file_id": f}]}] for f in "ab"]
    first, second = (print_of(Api.OPENAI_RESPONSES, RESPONSES | {"input": each}) for each in files)
    assert first != second


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.text(" \n\t ", min_size=1), min_size=3, max_size=3), JSON)
def test_no_white_space_fools_it_and_no_body_breaks_it(spaces: list[str], odd: Any) -> None:
    def body(first: str, second: str, third: str) -> dict[str, Any]:
        message = {"role": "user", "content": f"{first}say{second}it{third}", "odd": odd}
        return {"model": "m", "messages": [message]}

    assert print_of(Api.OPENAI_CHAT, body(*spaces)) == print_of(Api.OPENAI_CHAT, body("", " ", ""))
