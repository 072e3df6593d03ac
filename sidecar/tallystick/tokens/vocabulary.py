"""tiktoken's vocabularies without the network: the rank files come with the package bpe-openai.

tiktoken would download them. Its own definitions (pattern, special tokens, expected
sha256) are used, and only their reader of ranks is replaced while one is built: nothing
is written to disk, and the environment stays as it is.
"""

import base64
import gzip
import hashlib
import importlib
import importlib.util
import threading
from pathlib import Path
from typing import Any

import tiktoken

ENCODINGS = ("cl100k_base", "o200k_base")

_loading = threading.Lock()


class VocabularyError(RuntimeError):
    """The rank files of bpe-openai are absent, or are not those that tiktoken expects."""


def load_encoding(name: str) -> tiktoken.Encoding:
    """Build one of `ENCODINGS`: about 0.2 s and 40 MB.

    Raises:
        VocabularyError: the rank file is not installed, or has another sha256 than tiktoken expects.

    """
    definitions: Any = importlib.import_module("tiktoken_ext.openai_public")
    with _loading:
        download = definitions.load_tiktoken_bpe
        definitions.load_tiktoken_bpe = _installed_ranks
        try:
            return tiktoken.Encoding(**definitions.ENCODING_CONSTRUCTORS[name]())
        finally:
            definitions.load_tiktoken_bpe = download


def _installed_ranks(source: str, expected_hash: str) -> dict[bytes, int]:
    """Read the ranks that tiktoken would fetch from `source`."""
    path = _data_folder() / (source.rpartition("/")[2] + ".gz")
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise VocabularyError(f"{path.name} of bpe-openai can't be read") from error
    if hashlib.sha256(content).hexdigest() != expected_hash:
        raise VocabularyError(f"{path.name} of bpe-openai is not the file that tiktoken expects")
    pairs = (line.split() for line in content.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _data_folder() -> Path:
    # Found, not imported: importing bpe_openai loads three vocabularies into Python dictionaries.
    spec = importlib.util.find_spec("bpe_openai")
    if spec is None or not spec.submodule_search_locations:
        raise VocabularyError("the package bpe-openai is not installed")
    return Path(spec.submodule_search_locations[0]) / "data"
