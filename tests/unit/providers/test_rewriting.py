import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.providers.call import Api
from tallystick.providers.rewriting import model_in_body, rewrite

CHAT = Api.OPENAI_CHAT


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"model":"a","n":1}', '{"model":"b","n":1}'),
        (' \n{ "n" : 1.0 , "model" : "a" }\t', ' \n{ "n" : 1.0 , "model" : "b" }\t'),
        (r'{"mod\u0065l":"\u0061\ud800","x":"\u00fc\/"}', r'{"mod\u0065l":"b","x":"\u00fc\/"}'),
        ('{"model":"ä😀","x":["ä😀"]}', '{"model":"b","x":["ä😀"]}'),
        (
            '{"seed":123456789012345678901234567890,"t":1e5,"p":0.1000,"z":-0.0,"model":"a","e":1E-400}',
            '{"seed":123456789012345678901234567890,"t":1e5,"p":0.1000,"z":-0.0,"model":"b","e":1E-400}',
        ),
        ('{"x":{"model":"a"},"model":"a","y":["model"]}', '{"x":{"model":"a"},"model":"b","y":["model"]}'),
    ],
)
def test_a_model_is_exchanged_and_nothing_else(body: str, expected: str) -> None:
    assert rewrite(CHAT, body.encode(), model="b") == expected.encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"stream":true}', '{"stream":true, "stream_options": {"include_usage": true}}'),
        (
            '{"stream":true,"messages":[]}',
            '{"stream":true, "stream_options": {"include_usage": true},"messages":[]}',
        ),
        ('{"stream_options":null,"stream":true}', '{"stream_options":{"include_usage": true},"stream":true}'),
        ('{"stream":true,"stream_options":{ }}', '{"stream":true,"stream_options":{"include_usage": true}}'),
        (
            '{"stream":true,"stream_options":{"include_obfuscation":false}}',
            '{"stream":true,"stream_options":{"include_obfuscation":false, "include_usage": true}}',
        ),
        (
            '{"stream":true,"stream_options":{"include_usage":false,"x":1}}',
            '{"stream":true,"stream_options":{"include_usage":true,"x":1}}',
        ),
        (
            '{"stream":true,"stream_options":{"include_usage":null}}',
            '{"stream":true,"stream_options":{"include_usage":true}}',
        ),
    ],
)
def test_a_stream_is_asked_for_its_usage(body: str, expected: str) -> None:
    assert rewrite(CHAT, body.encode(), include_usage=True) == expected.encode()
    both = body.replace("{", '{"model":"a",', 1)
    assert (
        rewrite(CHAT, both.encode(), model="b", include_usage=True)
        == expected.replace("{", '{"model":"b",', 1).encode()
    )


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (CHAT, '{"stream":true,"stream_options":{"include_usage":true}}'),
        (CHAT, '{"stream":false}'),
        (CHAT, '{"stream":1}'),
        (CHAT, '{"stream":null}'),
        (CHAT, "{}"),
        (CHAT, '{"stream":true,"stream_options":7}'),
        (Api.OPENAI_RESPONSES, '{"stream":true}'),
        (Api.ANTHROPIC_MESSAGES, '{"stream":true}'),
    ],
)
def test_others_are_not_asked(api: Api, body: str) -> None:
    assert rewrite(api, body.encode(), include_usage=True) == body.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b'"model"',
        b'[{"model":"a"}]',
        b'{"model":"a"',
        b'{"model":"a"}}',
        b'{"model":"a"} x',
        b'{"model":"a",}',
        b'{"model":"a","model":"a"}',
        b'{"model":"a","x":{"y":1,"y":2}}',
        b'{"model":"a","x":NaN}',
        b'{"model":"a" "x":1}',
        b'{model:"a"}',
        b'{"model":7}',
        b'{"model":null}',
        b'{"n":1}',
        b'\xef\xbb\xbf{"model":"a"}',
        b'{"model":"\xff"}',
        b'{"model":"a","x":' + b"[" * 100_000,
        b'{"model":"a","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"model":"a","x":' + b"1" * 5_000 + b"}",
        b'{"model":"a","x":"' + b"x" * 2**24 + b'"}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_malformed_or_names_no_model_stays_as_it_is(body: bytes) -> None:
    assert rewrite(CHAT, body, model="b") == body


@pytest.mark.parametrize("api", Api)
def test_only_apis_with_a_model_in_the_body_are_rewritten(api: Api) -> None:
    changed = rewrite(api, b'{"model":"a"}', model="b") == b'{"model":"b"}'
    assert changed == model_in_body(api)
    assert model_in_body(api) == (api not in (Api.GEMINI_GENERATE, Api.BEDROCK_CONVERSE))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.sampled_from(["model", "stream", "stream_options", "a", "b", 'c"\\'])


@settings(deadline=None)
@given(
    st.dictionaries(FIELDS, VALUES | st.just(True), max_size=6),
    st.text(max_size=9),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
def test_the_values_are_those_that_were_meant(
    fields: dict[str, Any], model: str, include_usage: bool, ascii_only: bool, indent: int | str | None
) -> None:
    body = json.dumps(fields, ensure_ascii=ascii_only, indent=indent).encode()
    expected = dict(fields)
    if model and isinstance(fields.get("model"), str):
        expected["model"] = model
    options = fields.get("stream_options")
    if include_usage and fields.get("stream") is True and (options is None or isinstance(options, dict)):
        expected["stream_options"] = (options or {}) | {"include_usage": True}
    changed = json.loads(rewrite(CHAT, body, model=model, include_usage=include_usage))
    assert changed == expected
    assert [key for key in changed if key in fields] == list(fields)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_raise(body: bytes) -> None:
    assert isinstance(rewrite(CHAT, body, model="b", include_usage=True), bytes)
