"""A provider's usage object, as it came, to disjoint classes of tokens.

The formats are told apart by their fields: OpenAI's chat and embeddings count a
`prompt`, its responses have `input_tokens` that include what was cached, Anthropic's
`input_tokens` exclude it; Gemini counts in `…TokenCount`, of which the prompt's includes what
was cached, Bedrock in `…Tokens`, of which `inputTokens` exclude it. Where two numbers of one
report disagree about how much was used, the larger is charged; where one is impossible, the
report is refused.
"""

from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.usage import Usage
from tallystick.providers.body import Fields, decode, object_at

FIELD = "provider_usage"
_KNOWN = frozenset({"prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"})
_GEMINI = frozenset({"promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"})
_BEDROCK = frozenset({"inputTokens", "outputTokens", "totalTokens"})
_ALL = _KNOWN | _GEMINI | _BEDROCK
_EXPECTED = "a usage object of OpenAI, Anthropic, Gemini or Bedrock"
_ANTHROPIC_ONLY = frozenset({"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"})


def parse_usage(body: bytes) -> Usage | None:
    """Read the tokens of a call, or `None` where the object says nothing: `null`, `{}`, or all zero.

    Raises:
        InvalidArgument: of `provider_usage`: malformed, negative, impossible, above 2**63 - 1, or
            not a usage object of OpenAI, Anthropic, Gemini or Bedrock.

    """
    try:
        value = decode(body, FIELD)
    except RecursionError:
        raise InvalidArgument(FIELD, "JSON that is nested less deeply") from None
    return read_usage(value)


def read_usage(value: object) -> Usage | None:
    """Read the tokens of a call from a usage object that is decoded. As `parse_usage`, also in errors."""
    if value is None or value == {}:
        return None
    report = object_at(value, FIELD)
    if _ALL.isdisjoint(report.values):
        raise InvalidArgument(FIELD, _EXPECTED)
    usage = _read(report)
    if usage.total > MAX_AMOUNT:
        raise InvalidArgument(FIELD, f"at most {MAX_AMOUNT} tokens")
    return usage if usage.total else None


def _read(report: Fields) -> Usage:
    if "prompt_tokens" in report.values or "completion_tokens" in report.values:
        return _openai(report, "prompt_tokens", "completion_tokens")
    if not _GEMINI.isdisjoint(report.values):
        return _gemini(report)
    if not _BEDROCK.isdisjoint(report.values):
        return _bedrock(report)
    if _ANTHROPIC_ONLY.isdisjoint(report.values):
        return _openai(report, "input_tokens", "output_tokens")
    return _anthropic_total(report)


def _openai(report: Fields, input_name: str, output_name: str) -> Usage:
    """OpenAI's counts include what was cached; a total above the sum is reasoning counted apart."""
    # Compatible servers may report under both names.
    total_input = max(_tokens(report, "prompt_tokens"), _tokens(report, "input_tokens"))
    output = max(_tokens(report, "completion_tokens"), _tokens(report, "output_tokens"))
    read = _tokens(details := report.child(f"{input_name}_details"), "cached_tokens")
    written = _tokens(details, "cache_write_tokens")
    produced = report.child(f"{output_name}_details")
    reasoning = max(_tokens(produced, "reasoning_tokens"), _tokens(produced, "thinking_tokens"))
    _require(report, input_name)
    if read + written > total_input:
        raise report.wrong(f"{input_name}_details", f"no more cached tokens than {input_name}")
    if reasoning > output:
        output += reasoning  # it can't be within
    output = max(output, _tokens(report, "total_tokens") - total_input)
    usage = Usage(
        input=total_input - read - written,
        cache_read=read,
        cache_write_5m=written,
        output=output,
        reasoning=reasoning,
    )
    _check_sum(usage.total, total_input + output)
    return usage


def _anthropic_total(report: Fields) -> Usage:
    """Read the counts of the message; of all its iterations where these come to more.

    With compaction, the counts on top leave out what the compaction itself used.
    """
    usage = _anthropic(report)
    steps = [_anthropic(object_at(step, report.at("iterations"))) for step in report.items("iterations")]
    summed = Usage(*(sum(column) for column in zip(*steps, strict=True))) if steps else Usage()
    return summed if summed.total > usage.total else usage


def _anthropic(report: Fields) -> Usage:
    written = _tokens(report, "cache_creation_input_tokens")
    lifetimes = report.child("cache_creation")
    short = _tokens(lifetimes, "ephemeral_5m_input_tokens")
    long = _tokens(lifetimes, "ephemeral_1h_input_tokens")
    _require(report, "input_tokens")
    usage = Usage(
        input=_tokens(report, "input_tokens"),
        cache_read=_tokens(report, "cache_read_input_tokens"),
        cache_write_5m=max(short, written - long),
        cache_write_1h=long,
        output=(output := _tokens(report, "output_tokens")),
        reasoning=min(_tokens(report.child("output_tokens_details"), "thinking_tokens"), output),
    )
    _check_sum(usage.total_input, usage.input + usage.cache_read + max(written, short + long))
    return usage


def _gemini(report: Fields) -> Usage:
    """Gemini's prompt includes what was cached; what tools read is input besides."""
    total_input = _tokens(report, "promptTokenCount") + _tokens(report, "toolUsePromptTokenCount")
    read = _tokens(report, "cachedContentTokenCount")
    thoughts = _tokens(report, "thoughtsTokenCount")
    output = _tokens(report, "candidatesTokenCount") + thoughts
    _require(report, "promptTokenCount")
    if read > total_input:
        raise report.wrong("cachedContentTokenCount", "no more than promptTokenCount")
    output = max(output, _tokens(report, "totalTokenCount") - total_input)
    usage = Usage(input=total_input - read, cache_read=read, output=output, reasoning=thoughts)
    _check_sum(usage.total, total_input + output)
    return usage


def _bedrock(report: Fields) -> Usage:
    """Bedrock's input excludes what was cached; its total has all. What that has more is output."""
    written = _tokens(report, "cacheWriteInputTokens")
    details = [object_at(each, report.at("cacheDetails")) for each in report.items("cacheDetails")]
    long = sum(_tokens(each, "inputTokens") for each in details if each.text("ttl") == "1h")
    short = sum(_tokens(each, "inputTokens") for each in details if each.text("ttl") != "1h")
    _require(report, "inputTokens")
    usage = Usage(
        input=_tokens(report, "inputTokens"),
        cache_read=_tokens(report, "cacheReadInputTokens"),
        cache_write_5m=max(short, written - long),
        cache_write_1h=long,
        output=_tokens(report, "outputTokens"),
    )
    total = max(usage.total, _tokens(report, "totalTokens"))
    usage = usage._replace(output=usage.output + total - usage.total)
    _check_sum(usage.total, total)
    return usage


def _tokens(report: Fields | None, name: str) -> int:
    return (report and report.integer(name, MAX_AMOUNT)) or 0


def _require(report: Fields, name: str) -> None:
    """Half a report must not pass for the whole: Anthropic's deltas may carry the output alone."""
    value: Any = report.values.get(name)
    if value is None and any(_tokens(report, known) for known in _ALL):
        raise report.wrong(name, "the input tokens, without which the usage is not complete")


def _check_sum(classes: int, total: int) -> None:
    """Stop a mistake of ours here, before it becomes a charge."""
    if classes != total:
        raise AssertionError("the classes of tokens do not sum to the total")
