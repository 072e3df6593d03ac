"""What Envoy read of an answer: `envoy.data.ai.v3.TokenUsage`, which no package of messages has yet."""

from dataclasses import dataclass
from typing import Any

from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_COUNT, _MESSAGE, _TEXT, _NUMBER = ".google.protobuf.UInt64Value", 11, 9, 5
PROTOCOLS = (
    "LLM_PROTOCOL_UNSPECIFIED", "OPENAI_CHAT_COMPLETIONS", "OPENAI_RESPONSES", "ANTHROPIC_MESSAGES",
    "GEMINI_GENERATE_CONTENT",
)  # fmt: skip
STATUSES = ("EXTRACTION_STATUS_UNSPECIFIED", "COMPLETE", "PARTIAL", "FAILED")


@dataclass(frozen=True)
class Usage:
    """The counts; None is what was not told."""

    protocol: str
    model: str
    status: str
    input: int | None = None
    output: int | None = None
    total: int | None = None
    provider_total: int | None = None
    cached: int | None = None
    cache_written: int | None = None
    tool_use: int | None = None
    reasoning: int | None = None


def _declare() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="token_usage_of_tests.proto", package="of_tests", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )

    def message(name: str, *fields: tuple[int, str, int, str]) -> None:
        made = file.message_type.add(name=name)
        for number, field, kind, type_name in fields:
            of = {"type_name": type_name} if type_name else {}
            made.field.add(number=number, name=field, type=kind, label=1, **of)

    message("Input", (1, "cached", 11, _COUNT), (2, "cache_written", 11, _COUNT), (3, "tool_use", 11, _COUNT))
    message("Output", (1, "reasoning", 11, _COUNT))
    message(
        "TokenUsage",
        (1, "protocol", _NUMBER, ""), (2, "model", _TEXT, ""), (3, "input", _MESSAGE, _COUNT),
        (4, "output", _MESSAGE, _COUNT), (5, "total", _MESSAGE, _COUNT),
        (6, "of_input", _MESSAGE, ".of_tests.Input"), (7, "of_output", _MESSAGE, ".of_tests.Output"),
        (8, "provider_total", _MESSAGE, _COUNT), (9, "status", _NUMBER, ""),
    )  # fmt: skip
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("of_tests.TokenUsage"))


TokenUsage = _declare()


def usage_of(entry: HTTPAccessLogEntry) -> Usage | None:
    """The record of an entry; None if there is none."""
    typed = entry.common_properties.metadata.typed_filter_metadata
    if "envoy.ai.token_usage" not in typed:
        return None
    record = typed["envoy.ai.token_usage"]
    assert record.type_url == "type.googleapis.com/envoy.data.ai.v3.TokenUsage"
    read = TokenUsage.FromString(record.value)

    def count(message: Any, name: str) -> int | None:
        return getattr(message, name).value if message.HasField(name) else None

    return Usage(
        PROTOCOLS[read.protocol], read.model, STATUSES[read.status],
        count(read, "input"), count(read, "output"), count(read, "total"), count(read, "provider_total"),
        count(read.of_input, "cached"), count(read.of_input, "cache_written"),
        count(read.of_input, "tool_use"), count(read.of_output, "reasoning"),
    )  # fmt: skip
