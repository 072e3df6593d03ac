import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.usage import Usage
from tallystick.providers import parse_usage

VECTORS = Path(__file__).parents[2] / "vectors" / "providers"
USAGES: list[dict[str, Any]] = json.loads((VECTORS / "usage.json").read_text())


@pytest.mark.parametrize("vector", USAGES, ids=lambda vector: vector["name"])
def test_vector(vector: dict[str, Any]) -> None:
    body = json.dumps(vector["usage"]).encode()
    if "error" in vector:
        with pytest.raises(InvalidArgument) as caught:
            parse_usage(body)
        assert caught.value.field == vector["error"]
    else:
        expected = vector["expect"]
        assert parse_usage(body) == (None if expected is None else Usage(**expected))


@pytest.mark.parametrize("body", [b"", b"{", b'{"input_tokens": NaN}', b"\xff", b"[" * 100_000])
def test_malformed(body: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_usage(body)
    assert caught.value.field == "provider_usage"


COUNTS = st.none() | st.integers(-2, 50) | st.sampled_from([MAX_AMOUNT, MAX_AMOUNT + 1, True, 1.5, "1"])
REPORTS = st.dictionaries(
    st.sampled_from(
        [
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "cache_creation",
            "prompt_tokens_details",
            "iterations",
        ]
    ),
    COUNTS
    | st.dictionaries(st.sampled_from(["cached_tokens", "ephemeral_1h_input_tokens"]), COUNTS)
    | st.lists(st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), COUNTS), max_size=2),
)


@settings(deadline=None)
@given(REPORTS)
def test_any_report_gives_classes_or_invalid_argument(report: dict[str, Any]) -> None:
    try:
        usage = parse_usage(json.dumps(report).encode())
    except InvalidArgument as error:
        assert error.field.startswith("provider_usage")
        return
    if usage is not None:
        assert all(0 <= tokens <= MAX_AMOUNT for tokens in usage)
        assert usage.reasoning <= usage.output
        reported = [report.get(name) for name in ("prompt_tokens", "input_tokens", "completion_tokens")]
        assert usage.total >= max((tokens for tokens in reported if isinstance(tokens, int)), default=0)
