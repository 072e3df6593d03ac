import asyncio
import functools
import gzip
import os
import random
import socket
import time
import warnings
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.tokens import Family, TokenCounter, family_of, vocabulary
from tallystick.tokens.counter import LONG_CHARACTERS
from tallystick.tokens.pieces import pieces
from tallystick.tokens.vocabulary import ENCODINGS, VocabularyError, load_encoding

SAMPLES = [
    "",
    "Hello, world!",
    "A split tally was a notched stick cut in two.",
    "def f(x):\n\treturn {'a': x ** 2}  # why\n\n",
    "Größe, naïve, 東京都, Привет, 😀👩‍👩‍👧, e\u0301",
    "1234567890 3.14159 0xdeadbeef",
    "<|endoftext|> <|im_start|>system<|fim_prefix|>",
    "   leading\n\n\n   and trailing   \r\n",
]


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it opens its data in an old way
    import bpe_openai  # type: ignore[import-untyped]


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    return TokenCounter(preload=True)


@pytest.fixture(scope="module")
def encodings() -> dict[str, tiktoken.Encoding]:
    return {name: load_encoding(name) for name in ENCODINGS}


@pytest.mark.parametrize("text", SAMPLES)
@pytest.mark.parametrize("name", ENCODINGS)
def test_same_ids_as_another_implementation(
    encodings: dict[str, tiktoken.Encoding], name: str, text: str
) -> None:
    assert encodings[name].encode_ordinary(text) == bpe_openai.get_encoding(name).encode_ordinary(text)


def test_known_ids(encodings: dict[str, tiktoken.Encoding]) -> None:
    assert encodings["cl100k_base"].encode_ordinary("hello world") == [15339, 1917]
    assert encodings["o200k_base"].encode_ordinary("hello world") == [24912, 2375]


@pytest.mark.parametrize("text", SAMPLES)
def test_count_is_exact_for_openai(counter: TokenCounter, text: str) -> None:
    for model, name in (("gpt-5", "o200k_base"), ("gpt-4", "cl100k_base")):
        expected = len(bpe_openai.get_encoding(name).encode_ordinary(text))
        assert counter.count(model, "openai", [text]) == expected
        assert counter.count(model, "openai", [text, text]) == 2 * expected


def test_others_are_raised(counter: TokenCounter) -> None:
    text = ["A split tally was a notched stick cut in two. " * 20]
    cl100k = counter.count("gpt-4", "", text)
    assert counter.count("claude-opus-4-5", "anthropic", text) == -(-cl100k * 125 // 100)
    assert counter.count("claude-opus-5", "anthropic", text) == -(-cl100k * 155 // 100)
    assert counter.count("house-llm", "openai", text) == counter.count("gpt-5", "", text)
    assert counter.count("house-llm", "", text) == -(-counter.count("gpt-5", "", text) * 125 // 100)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-5", Family("o200k_base", exact=True)),
        ("openai/gpt-4.1-mini", Family("o200k_base", exact=True)),
        ("ft:gpt-4o-mini:org::id", Family("o200k_base", exact=True)),
        ("chatgpt-4o-latest", Family("o200k_base", exact=True)),
        ("o4-mini", Family("o200k_base", exact=True)),
        ("gpt-6-sol", Family("o200k_base")),
        ("gpt-4", Family("cl100k_base", exact=True)),
        ("gpt-4-turbo-2024-04-09", Family("cl100k_base", exact=True)),
        ("gpt-35-turbo", Family("cl100k_base", exact=True)),
        ("text-embedding-3-large", Family("cl100k_base", exact=True)),
        ("text-davinci-002", Family("cl100k_base", 125)),
        ("claude-3-5-haiku-latest", Family("cl100k_base", 125)),
        ("claude-opus-4-20250514", Family("cl100k_base", 125)),
        ("us.anthropic.claude-opus-4-6-v1:0", Family("cl100k_base", 125)),
        ("claude-opus-4-7", Family("cl100k_base", 155)),
        ("anthropic/claude-sonnet-5.5", Family("cl100k_base", 155)),
        ("gemini-2.5-pro", Family("o200k_base", 115)),
        ("meta-llama/Llama-3.3-70B", Family("cl100k_base", 105)),
        ("grok-4", Family("o200k_base", 125)),
        ("foo1", Family("o200k_base", 125)),
    ],
)
def test_families(model: str, family: Family) -> None:
    assert family_of(model) == family


def test_exact_families_agree_with_tiktoken() -> None:
    for model in ("gpt-4o", "gpt-4.1", "gpt-4", "gpt-4-32k", "gpt-3.5-turbo", "o1", "o3-mini", "gpt-5-nano"):
        assert family_of(model) == Family(tiktoken.encoding_name_for_model(model), exact=True)


def test_loading_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it ask the network, or use the disk."""
    from tiktoken_ext import openai_public  # type: ignore[import-untyped]

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before, download = dict(os.environ), openai_public.load_tiktoken_bpe
    load_encoding("cl100k_base")
    assert dict(os.environ) == before
    assert openai_public.load_tiktoken_bpe is download
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [None, b"not gzip", gzip.compress(b"aGk= 0\n", mtime=0)])
def test_damaged_rank_files_are_refused(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "cl100k_base.tiktoken.gz").write_bytes(content)
    monkeypatch.setattr(vocabulary, "_data_folder", lambda: tmp_path)
    with pytest.raises(VocabularyError):
        TokenCounter(preload=True)


def test_lazy_until_the_first_count() -> None:
    lazy = TokenCounter(preload=False)
    assert lazy.is_long([])
    assert lazy.count("gpt-5", "openai", ["hello world"]) == 2
    assert not lazy.is_long(["hello world"])


def test_is_long(counter: TokenCounter) -> None:
    assert not counter.is_long(["a" * 10_000])
    assert counter.is_long(["a" * (LONG_CHARACTERS + 1)])
    assert counter.is_long(["a"] * 5_000)


async def test_counts_in_threads(counter: TokenCounter) -> None:
    text = ["word " * 20_000]
    counts = await asyncio.gather(*[asyncio.to_thread(counter.count, "gpt-5", "", text) for _ in range(4)])
    assert len(set(counts)) == 1


cached_encoding = functools.cache(load_encoding)

WORDS = st.lists(st.sampled_from(["tally", "a", "Ünder", "x1", "{}", "...", "\n", "  ", "東京", "'s", "-"]))


@given(WORDS, st.integers(20, 60))
def test_pieces_join_to_the_text_and_are_short(words: list[str], longest: int) -> None:
    text = " ".join(words)
    cut = list(pieces(text, longest))
    assert "".join(cut) == text
    assert all(0 < len(piece) <= longest for piece in cut)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["tally", "Stick's", "x1,", "{}.", "über-", "(a)", "don't", "3.14"]), min_size=1)
)
def test_pieces_of_prose_have_the_same_tokens(words: list[str]) -> None:
    text = " word ".join(words)
    for encoding in map(cached_encoding, ENCODINGS):
        apart = [token for piece in pieces(text, 40) for token in encoding.encode_ordinary(piece)]
        assert apart == encoding.encode_ordinary(text)


def test_long_prose_is_exact(counter: TokenCounter, encodings: dict[str, tiktoken.Encoding]) -> None:
    rng = random.Random(7)
    text = " ".join(rng.choice(SAMPLES[2].split()) + rng.choice(["", ",", ".\n"]) for _ in range(20_000))
    assert counter.count("gpt-5", "openai", [text]) == len(encodings["o200k_base"].encode_ordinary(text))


@pytest.mark.parametrize(
    "text",
    [
        "A" * 1_000_000,
        " " * 1_000_000,
        "\t" * 1_000_000 + "x",
        "\n" * 1_000_000,
        "東" * 300_000,
        "!?" * 500_000,
    ],
    ids=["letters", "spaces", "tabs", "lines", "han", "marks"],
)
@pytest.mark.parametrize("model", ["gpt-5", "gpt-4"])
def test_pathological_text_is_counted_in_time(counter: TokenCounter, model: str, text: str) -> None:
    start = time.perf_counter()
    assert counter.count(model, "openai", [text]) > 0
    assert time.perf_counter() - start < 10


def test_beyond_the_limit_the_rest_is_scaled(counter: TokenCounter) -> None:
    limited = TokenCounter(preload=False, max_counted_bytes=50_000)
    rng = random.Random(3)
    prose = " ".join(rng.choice(SAMPLES[2].split()) for _ in range(60_000))
    exact = counter.count("gpt-5", "openai", [prose])
    assert exact <= limited.count("gpt-5", "openai", [prose]) <= exact * 12 // 10
    # Short texts between long ones must not be all that is counted.
    texts = ["user", prose[:6_000]] * 40
    exact = counter.count("gpt-5", "openai", texts)
    assert exact <= limited.count("gpt-5", "openai", texts) <= exact * 12 // 10
    mixed = [" " * 100_000, "".join(rng.choice("bcdfghjklm!?%&") for _ in range(100_000))]
    exact = counter.count("gpt-5", "openai", mixed)
    assert exact <= limited.count("gpt-5", "openai", mixed) <= exact * 13 // 10


def test_lone_surrogates_do_no_harm(counter: TokenCounter) -> None:
    limited = TokenCounter(preload=False, max_counted_bytes=10)
    assert counter.count("gpt-5", "openai", ["a\ud800b"]) > 0
    assert limited.count("gpt-5", "openai", ["a\ud800b" * 10]) > 0
