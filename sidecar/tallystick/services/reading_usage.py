"""Envoy's record of usage, `envoy.data.ai.v3.TokenUsage`, which no package of messages has yet.

It is declared here in a pool of its own, so that one that comes later is not in the way. Counts are
wrapped, each in a message that may be missing.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_COMPLETE, _PARTIAL = 1, 2
_UINT64: Any = 4
_INT32: Any = 5
_MESSAGE: Any = 11
_ONE: Any = 1


def _declare() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="token_usage.proto", package="record")

    def message(name: str, *fields: tuple[str, int, Any]) -> None:
        made = file.message_type.add(name=name)
        for field, number, kind in fields:
            added = made.field.add(name=field, number=number, label=_ONE)
            if isinstance(kind, str):
                added.type, added.type_name = _MESSAGE, f".record.{kind}"
            else:
                added.type = kind

    message("Count", ("value", 1, _UINT64))
    message("Input", ("cached_tokens", 1, "Count"), ("cache_creation_tokens", 2, "Count"))
    message("Output", ("reasoning_tokens", 1, "Count"))
    message(
        "TokenUsage",
        *(("input_tokens", 3, "Count"), ("output_tokens", 4, "Count"), ("provider_total_tokens", 8, "Count")),
        *(("of_input", 6, "Input"), ("of_output", 7, "Output"), ("extraction_status", 9, _INT32)),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("record.TokenUsage"))


_TokenUsage = _declare()


def read_record(raw: bytes) -> tuple[Mapping[str, int], bool]:
    """The counts by name, 0 where there is none, and whether they are of the whole answer.

    Broken bytes tell nothing, and neither does a record whose making failed.
    """
    try:
        record = _TokenUsage.FromString(raw)
    except DecodeError:
        return {}, False
    status = record.extraction_status
    if status not in (_COMPLETE, _PARTIAL):
        return {}, False
    counts = {
        "input_tokens": record.input_tokens.value,
        "output_tokens": record.output_tokens.value,
        "provider_total_tokens": record.provider_total_tokens.value,
        "cached_tokens": record.of_input.cached_tokens.value,
        "cache_creation_tokens": record.of_input.cache_creation_tokens.value,
        "reasoning_tokens": record.of_output.reasoning_tokens.value,
    }
    return counts, status == _COMPLETE
