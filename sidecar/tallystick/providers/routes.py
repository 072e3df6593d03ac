"""From a method and a path to what kind of call it is: metered, free, or nobody's business yet.

A path is compared exactly, segment by segment, after nothing but a prefix of plain segments. Whatever
a proxy or provider might read in another way (empty and dot segments, encoded slashes,
`;parameters`, other cases, a slash at the end) is no known route, and so unmetered; it never
passes for free.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from tallystick.providers.body import MAX_MODEL_CHARACTERS
from tallystick.providers.call import Api


class RouteKind(StrEnum):
    """What a route means for the money."""

    METERED = "metered"
    """Costs money, and we can count it."""
    FREE = "free"
    """Costs nothing: models listed, tokens counted, health, OPTIONS and HEAD."""
    UNMETERED = "unmetered"
    """May cost money that nobody counts: files, batches, realtime, images, audio, unknown paths."""


class Route(NamedTuple):
    """What a method and a path say of a call."""

    api: Api | None
    """Only of a metered route."""
    provider: str
    """`openai`, `anthropic`, `google`, `azure` or `aws`; empty where the path does not say."""
    model: str
    """The model that the path names, decoded: this one answers, whatever the body says. Else empty."""
    stream: bool
    """Whether the path asks for a stream. Where it doesn't, the body may."""
    kind: RouteKind


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    kind: RouteKind
    api: Api | None = None
    provider: str = ""


_USUAL_PATH = 128
"""Characters."""
_PREFIX = r"(?P<prefix>(?:/[A-Za-z0-9_~.-]+)*?)"
_VERSION = r"/v[0-9]+(?:alpha|beta)?[0-9]*"
_MODEL = r"(?P<model>[A-Za-z0-9_~.@:%+-]+)"
_NAME = r"[A-Za-z0-9_~.-]+"
_VERTEX = rf"{_PREFIX}{_VERSION}(?:/projects/{_NAME}/locations/{_NAME})?/publishers"
_DEPLOYMENT = rf"{_PREFIX}/openai/deployments/{_MODEL}"


def _rule(pattern: str, kind: RouteKind, api: Api | None = None, provider: str = "") -> _Rule:
    return _Rule(re.compile(pattern), kind, api, provider)


_METERED, _FREE = RouteKind.METERED, RouteKind.FREE
_POST = (
    _rule(rf"{_DEPLOYMENT}/chat/completions", _METERED, Api.OPENAI_CHAT, "azure"),
    _rule(rf"{_DEPLOYMENT}/embeddings", _METERED, Api.OPENAI_EMBEDDINGS, "azure"),
    # Some servers have no version in their paths; the other names alone would say too little.
    _rule(rf"{_PREFIX}/chat/completions", _METERED, Api.OPENAI_CHAT),
    _rule(rf"(?:{_PREFIX}(?:{_VERSION}|/openai))?/responses", _METERED, Api.OPENAI_RESPONSES),
    _rule(rf"(?:{_PREFIX}(?:{_VERSION}|/openai))?/embeddings", _METERED, Api.OPENAI_EMBEDDINGS),
    _rule(rf"{_PREFIX}{_VERSION}/messages", _METERED, Api.ANTHROPIC_MESSAGES, "anthropic"),
    _rule(
        rf"{_PREFIX}{_VERSION}/models/{_MODEL}:(?P<verb>generateContent|streamGenerateContent)",
        _METERED,
        Api.GEMINI_GENERATE,
        "google",
    ),
    _rule(
        rf"{_VERTEX}/google/models/{_MODEL}:(?P<verb>generateContent|streamGenerateContent)",
        _METERED,
        Api.GEMINI_GENERATE,
        "google",
    ),
    _rule(rf"{_VERTEX}/anthropic/models/count-tokens:rawPredict", _FREE, None, "google"),
    _rule(
        rf"{_VERTEX}/anthropic/models/{_MODEL}:(?P<verb>rawPredict|streamRawPredict)",
        _METERED,
        Api.ANTHROPIC_MESSAGES,
        "google",
    ),
    _rule(
        rf"{_PREFIX}/model/{_MODEL}/(?P<verb>converse|converse-stream)", _METERED, Api.BEDROCK_CONVERSE, "aws"
    ),
    _rule(rf"{_PREFIX}{_VERSION}/messages/count_tokens", _FREE, None, "anthropic"),
    _rule(rf"{_PREFIX}{_VERSION}/responses/input_tokens", _FREE),
    _rule(rf"{_PREFIX}{_VERSION}/models/{_NAME}:countTokens", _FREE, None, "google"),
    _rule(rf"{_VERTEX}/google/models/{_NAME}:(?:countTokens|computeTokens)", _FREE, None, "google"),
    _rule(rf"{_PREFIX}/model/{_MODEL}/count-tokens", _FREE, None, "aws"),
)
_GET = (
    _rule(rf"{_PREFIX}{_VERSION}/models(?:/{_NAME})?", _FREE),
    _rule(rf"{_PREFIX}/openai/(?:models|deployments)(?:/{_NAME})?", _FREE, None, "azure"),
    _rule(r"/(?:health|healthz|livez|readyz|ping)", _FREE),
)
_ANY = (_rule(r"/|(?:/[A-Za-z0-9_~.@:+-]+)+", _FREE),)
"""OPTIONS and HEAD ask about a path, and run nothing."""
_RULES = {"POST": _POST, "GET": _GET, "OPTIONS": _ANY, "HEAD": _ANY}

_STREAMS = frozenset({"streamGenerateContent", "streamRawPredict", "converse-stream"})
_PROVIDERS = ("openai", "anthropic", "google", "azure", "aws")
_WORDS = frozenset({"chat", "completions", "responses", "messages", "embeddings", "models", "model"})
"""Of routes that cost money: a server that goes by the beginning of a path might run them."""
_GOOGLE = re.compile(r"/v1(?:alpha|beta1?)/|/projects/[^/]+/locations/|/models/[^/]+:[a-z]+[A-Z][A-Za-z]+$")
_DOTS = re.compile(r"(?:^|/)\.{1,2}(?:/|$)")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:[a-z0-9-]*:[0-9]*:[a-z-]+/[A-Za-z0-9_.:-]+(?:/[A-Za-z0-9_.:-]+)*")


def route_of(method: str, path: str) -> Route:
    """Tell what a request is, by its method and its path with or without a query.

    Never raises: what is not exactly a known route is `UNMETERED`.
    """
    # The same few paths come again and again; a query may have a key in it, which is not to be kept.
    usual = len(path) <= _USUAL_PATH and "?" not in path
    return _known_route(method, path) if usual else _find_route(method, path)


def _find_route(method: str, path: str) -> Route:
    plain, _, query = path.partition("?")
    if not _DOTS.search(plain):
        for rule in _RULES.get(method, ()):
            if (found := rule.pattern.fullmatch(plain)) is not None:
                return _route(rule, found, query)
    return Route(None, _provider(plain, query), "", False, RouteKind.UNMETERED)


_known_route = lru_cache(maxsize=4_096)(_find_route)


def _route(rule: _Rule, found: re.Match[str], query: str) -> Route:
    named = found.groupdict()
    provider = rule.provider or _provider(found[0], query)
    model = _decoded(named.get("model") or "")
    doubtful = "/" in (model or "") or not _WORDS.isdisjoint((named.get("prefix") or "").split("/"))
    if model is None or (rule.kind is RouteKind.FREE and doubtful):
        return Route(None, provider, "", False, RouteKind.UNMETERED)
    stream = named.get("verb") in _STREAMS
    return Route(rule.api, provider, model if rule.api else "", stream, rule.kind)


def _provider(path: str, query: str) -> str:
    """Find the provider that a path names, or whose way of naming it is. Many serve OpenAI's."""
    segments = path.split("/")
    if _GOOGLE.search(path) is not None:
        return "google"
    if "openai" in segments and "api-version=" in query:
        return "azure"
    found = next((name for name in _PROVIDERS if name in segments), "")
    if found or path.startswith("/v1/messages"):
        return found or "anthropic"
    return "aws" if segments[1:2] == ["model"] else ""


def _decoded(raw: str) -> str | None:
    """Decode a model's name; `None` where it could be read in two ways. Only an ARN may have slashes."""
    if "%" not in raw:
        return raw if len(raw) <= MAX_MODEL_CHARACTERS else None
    try:
        model = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return None
    if len(model) > MAX_MODEL_CHARACTERS or not model.isprintable() or model.strip(". ") == "":
        return None
    if _ARN.fullmatch(model) and ".." not in model:
        return model
    return None if re.search(r"[%/\\;?#\s]", model) else model
