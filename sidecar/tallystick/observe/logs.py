"""Structured logs on stderr: one line an event, ours and the libraries' in the same form.

Secrets don't get through: a value whose key is, or contains as a word, a name
that secrets and contents go by is replaced, wherever it is nested.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from structlog.typing import Processor

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "text"]

REDACTED = "[redacted]"
_SECRET = frozenset(
    {"authorization", "apikey", "body", "cookie", "credential", "credentials", "key", "passwd", "password"}
    | {"prompt", "secret", "tally", "token"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_DEEPEST = 8
_tallystick = logging.getLogger("tallystick")


class _Stderr(logging.StreamHandler[Any]):
    """The handler that `configure` puts in, and replaces when it is called again."""


def configure(level: Level = "info", format: Format = "json") -> None:  # noqa: A002
    """Send all logs of the process to stderr, from `level` on.

    Libraries are heard from `warning` on, and from `info` on where `level` is `debug`.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = _Stderr(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                *_renderer(format),
            ],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _Stderr)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(number, logging.WARNING) if number > logging.DEBUG else logging.INFO)
    _tallystick.setLevel(number)


def debug_enabled() -> bool:
    """Tell whether debug lines come out, at 0.1 µs, before one is put together."""
    return _tallystick.isEnabledFor(logging.DEBUG)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of keys that may hold secrets or contents; a structlog processor."""
    return {key: _shown(key, value, _DEEPEST) for key, value in event.items()}


def _shown(key: object, value: object, depth: int) -> object:
    words = [word.lower() for word in _WORD.findall(str(key))]
    if "".join(words) in _SECRET:
        return REDACTED
    # `prompt_tokens` is a count; `access_tokens` are tokens.
    singular = [word.removesuffix("s") for word in words]
    if not isinstance(value, int | float | None) and not _SECRET.isdisjoint(singular):
        return REDACTED
    return _nested(value, depth)


def _nested(value: object, depth: int) -> object:
    if isinstance(value, Mapping):
        return {str(key): _shown(key, each, depth - 1) for key, each in value.items()} if depth else REDACTED
    if isinstance(value, list | tuple | set | frozenset):
        return [_nested(each, depth - 1) for each in value] if depth else REDACTED
    return value


def _renderer(format: Format) -> list[Processor]:  # noqa: A002
    if format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The plain formatter, because the rich one shows local variables.
    return [
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
