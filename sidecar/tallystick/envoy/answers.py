"""What is read of answers, without touching or delaying them.

Envoy's own record of usage has the tokens and nothing else, and no Bedrock. The
rest (service tier, the two kinds of cache writes, Bedrock's usage) is read beside
it of answers in JSON, which are collected for that: only at the endpoints whose
answers have it and are short. Of streams it is Bedrock's usage: Envoy 1.40 dies of an event whose JSON is
no object when it reads events by rules of ours, so only where Amazon writes them
is that dared. Of chats it is also what they said before `[DONE]`, kept by a
script of ours (`chat_end.lua`), since clients leave there (ADR 27).
"""

from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from tallystick.envoy.extension import extension, typed
from tallystick.envoy.metering import BODIES, bodies_read
from tallystick.envoy.providers import Kind

USAGE_FILTER = "envoy.filters.http.ai_protocol_manager"
USAGE = "envoy.ai.token_usage"
"""The namespace of the usage that Envoy read; typed metadata, `envoy.data.ai.v3.TokenUsage`."""
ANSWER = "tallystick.answer"
"""The namespace of what is read beside it."""
MAX_READ_BYTES = 10 * (1 << 20)
"""The most that Envoy lets its extraction look at."""

_MANAGER = "envoy.extensions.filters.http.ai_protocol_manager.v3.AiProtocolManager"
_USAGE_ROUTE = "envoy.extensions.filters.http.ai_protocol_manager.v3.AiProtocolManagerPerRoute"
_FRAMES_FILTER = "envoy.filters.http.aws_eventstream_parser"
_FRAMES = "envoy.extensions.filters.http.aws_eventstream_parser.v3.AwsEventstreamParser"
_CHAT_END_FILTER = "envoy.filters.http.lua"
_CHAT_END = "envoy.extensions.filters.http.lua.v3.Lua"
_ENABLED = "envoy.config.route.v3.FilterConfig"
_PARSER = "envoy.extensions.content_parsers.json.v3.JsonContentParser"

_Path = tuple[str, ...]
_TIER, _WRITES = "service_tier", ("usage", "cache_creation")
_OPENAI: dict[_Path, str] = {("service_tier",): _TIER}
_MESSAGES: dict[_Path, str] = {
    ("usage", "service_tier"): _TIER,
    (*_WRITES, "ephemeral_5m_input_tokens"): "cache_write_5m",
    (*_WRITES, "ephemeral_1h_input_tokens"): "cache_write_1h",
}
_CONVERSE: dict[_Path, str] = {
    ("usage", "inputTokens"): "input",
    ("usage", "outputTokens"): "output",
    ("usage", "cacheReadInputTokens"): "cache_read",
    ("usage", "cacheWriteInputTokens"): "cache_write",
    ("serviceTier", "type"): _TIER,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Paths that end so, and what must be known to read what they answer."""

    ending: str
    protocol: str = ""
    """Whose usage it is, where the answer does not say."""
    read: MappingProxyType[_Path, str] | None = None
    frames: bool = False
    """Whether it answers with Bedrock's event stream."""
    done: bool = False
    """Whether its streams say that they are done before they end."""

    @property
    def match(self) -> dict[str, Any]:
        """Write a matcher of the path, whatever its query."""
        return {"name": ":path", "string_match": {"safe_regex": {"regex": rf"[^?]*/({self.ending})(\?.*)?"}}}

    @property
    def settings(self) -> dict[str, Any]:
        """Write what a route of it tells the filters."""
        found = {}
        if self.protocol:
            found[USAGE_FILTER] = typed(_USAGE_ROUTE, response={"llm_protocol": self.protocol})
        if self.read:
            found[BODIES] = bodies_read(_rules(self.read))
        if self.frames:
            found[_FRAMES_FILTER] = typed(_ENABLED, config={})
        if self.done:
            found[_CHAT_END_FILTER] = typed(_ENABLED, config={})
        return found


def endpoints_of(kind: Kind) -> tuple[Endpoint, ...]:
    """List the endpoints of a kind of provider that need settings of their own."""
    return _ENDPOINTS.get(kind, ())


def reading_answers() -> list[dict[str, Any]]:
    """Write the filters that read answers: usage, and what is not in it."""
    limits = {"max_sse_event_size": MAX_READ_BYTES, "max_json_body_size": MAX_READ_BYTES}
    usage = {"include_unconfigured_routes": True, "limits": limits}
    frames = {"content_parser": _parser(_CONVERSE)}
    return [
        {**extension(_FRAMES_FILTER, _FRAMES, response_rules=frames), "disabled": True},
        extension(USAGE_FILTER, _MANAGER, response_handling={"token_usage": usage}),
    ]


def hearing_chats_out() -> dict[str, Any]:
    """Write the filter that keeps the usage of streams whose clients leave as soon as they are done."""
    script = resources.files(__package__).joinpath("chat_end.lua").read_text()
    keeping = extension(_CHAT_END_FILTER, _CHAT_END, default_source_code={"inline_string": script})
    return {**keeping, "disabled": True}


def _rules(paths: MappingProxyType[_Path, str] | dict[_Path, str]) -> list[dict[str, Any]]:
    return [
        {
            "selectors": [{"key": each} for each in path],
            "on_present": {"metadata_namespace": ANSWER, "key": key},
        }
        for path, key in paths.items()
    ]


def _parser(paths: dict[_Path, str]) -> dict[str, Any]:
    """Write a parser; of a field that comes again, as the tier does in the last event, the last counts."""
    return extension("json", _PARSER, rules=[{"rule": rule} for rule in _rules(paths)])


_CHAT = "OPENAI_CHAT_COMPLETIONS"
_LIKE_OPENAI = (
    # Embeddings never say what they are, and neither do chats of every server.
    Endpoint("chat/completions|completions", _CHAT, MappingProxyType(_OPENAI), done=True),
    Endpoint("embeddings", _CHAT),
    Endpoint("responses", read=MappingProxyType(_OPENAI)),
)
_ENDPOINTS = MappingProxyType(
    {
        Kind.OPENAI: _LIKE_OPENAI,
        Kind.AZURE: _LIKE_OPENAI,
        Kind.COMPATIBLE: (*_LIKE_OPENAI, Endpoint("messages", read=MappingProxyType(_MESSAGES))),
        Kind.ANTHROPIC: (Endpoint("messages", read=MappingProxyType(_MESSAGES)),),
        Kind.BEDROCK: (
            Endpoint("converse", read=MappingProxyType(_CONVERSE)),
            Endpoint("converse-stream", frames=True),
        ),
    }
)
