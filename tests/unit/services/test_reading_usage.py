"""Envoy's record of usage, declared here: the same as its own message, and never an error."""

import random

import pytest

from tallystick.services.reading_usage import read_record
from tests.e2e.envoy.usage import TokenUsage
from tests.seeds import seed_of_run

BOUNDS = (0, 1, 127, 128, 300, 2**32, 2**63, 2**64 - 1)


def message(**counts: int) -> bytes:
    found = TokenUsage(protocol=3, model="m", status=counts.pop("status", 1))
    for name, value in counts.items():
        outer, _, inner = name.rpartition("__")
        getattr(getattr(found, outer) if outer else found, inner).value = value
    return bytes(found.SerializeToString())


@pytest.mark.parametrize("count", BOUNDS)
def test_every_count_is_read(count: int) -> None:
    raw = message(
        input=count, output=2, total=3, provider_total=4, of_input__cached=count, of_input__cache_written=6,
        of_input__tool_use=7, of_output__reasoning=8,
    )  # fmt: skip
    counts, complete = read_record(raw)
    found = {name: value for name, value in counts.items() if value}
    expected = {
        "input_tokens": count, "output_tokens": 2, "provider_total_tokens": 4,
        "cached_tokens": count, "cache_creation_tokens": 6, "reasoning_tokens": 8,
    }  # fmt: skip
    assert found == {name: value for name, value in expected.items() if value}
    assert complete


@pytest.mark.parametrize(("status", "told"), [(0, False), (1, True), (2, True), (3, False), (9, False)])
def test_only_what_was_read_counts(status: int, told: bool) -> None:
    counts, complete = read_record(message(input=5, status=status))
    assert counts.get("input_tokens") == (5 if told else None)
    assert complete == (status == 1)


def test_no_bytes_are_an_error() -> None:
    rng = random.Random(seed_of_run())
    whole = message(input=300, output=2, of_input__cached=4)
    for _ in range(2_000):
        raw = bytearray(whole[: rng.randrange(len(whole) + 1)] + rng.randbytes(rng.randrange(4)))
        if raw:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        read_record(bytes(raw))
