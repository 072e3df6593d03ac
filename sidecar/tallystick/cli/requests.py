"""From options to requests: who is spending, what a call may take, and what it took."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.amounts import read_cost
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.files import read_bytes
from tallystick.cli.options import SubjectOptions, read_pairs
from tallystick.core.money import MAX_AMOUNT

if TYPE_CHECKING:
    from tallystick.v1 import budget_pb2 as pb

ESTIMATE_PANEL = "What the call may take: tokens, a cost, or the request"
ONE_WAY = "expected one way to say what the call took: tokens, --usage, or --cost"
ACTUAL_PANEL = "What the call took: tokens, the provider's usage, or a cost"


class Api(StrEnum):
    """Which provider's API a request is for."""

    OPENAI_CHAT = "openai-chat"
    OPENAI_RESPONSES = "openai-responses"
    OPENAI_EMBEDDINGS = "openai-embeddings"
    ANTHROPIC_MESSAGES = "anthropic-messages"
    GEMINI_GENERATE = "gemini-generate"
    BEDROCK_CONVERSE = "bedrock-converse"


def _tokens(text: str, panel: str, *names: str) -> Any:
    return typer.Option(
        *names, parser=_read_count, metavar="N", help=text, show_default=False, rich_help_panel=panel
    )


def _read_count(text: str) -> int:
    """Read a number of tokens. typer's own bounds would fill half the help."""
    if not (text.isascii() and text.isdecimal() and int(text) <= MAX_AMOUNT):
        raise typer.BadParameter(f"expected a whole number of tokens, 0 to {MAX_AMOUNT}, not {text!r}")
    return int(text)


def _text(metavar: str, text: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=text, show_default=False, rich_help_panel=panel)


@dataclass(frozen=True, slots=True)
class EstimateOptions:
    """Three ways to say what a call may take, of which one is to be used."""

    input_tokens: Annotated[int | None, _tokens("Tokens of the prompt.", ESTIMATE_PANEL)] = None
    max_output: Annotated[
        int | None, _tokens("The most tokens of the answer. Default: as the policy says.", ESTIMATE_PANEL)
    ] = None
    cost: Annotated[
        list[str] | None,
        _text("AMOUNT", "'0.25 USD'; may be repeated, for dollars and tokens.", ESTIMATE_PANEL),
    ] = None
    request: Annotated[
        str, _text("FILE", "The provider's request, JSON; - is standard input. Needs --api.", ESTIMATE_PANEL)
    ] = ""
    api: Annotated[
        Api | None, _text("API", f"Which API --request is for: {', '.join(Api)}.", ESTIMATE_PANEL)
    ] = None


@dataclass(frozen=True, slots=True)
class ActualOptions:
    """Three ways to say what a call took, of which at most one is to be used."""

    input: Annotated[
        int | None, _tokens("Tokens in, neither read from nor written to a cache.", ACTUAL_PANEL)
    ] = None
    output: Annotated[int | None, _tokens("Tokens out, reasoning included.", ACTUAL_PANEL)] = None
    cache_read: Annotated[int | None, _tokens("Tokens in, read from a cache.", ACTUAL_PANEL)] = None
    cache_write_5m: Annotated[
        int | None, _tokens("Tokens in, written to a cache for 5 minutes.", ACTUAL_PANEL, "--cache-write-5m")
    ] = None
    cache_write_1h: Annotated[
        int | None, _tokens("Tokens in, written to a cache for an hour.", ACTUAL_PANEL, "--cache-write-1h")
    ] = None
    reasoning: Annotated[int | None, _tokens("Of the tokens out, reasoning.", ACTUAL_PANEL)] = None
    usage: Annotated[
        str,
        _text("FILE", "The provider's usage, or its whole answer, JSON; - is standard input.", ACTUAL_PANEL),
    ] = ""
    cost: Annotated[
        list[str] | None,
        _text("AMOUNT", "'0.19 USD'; may be repeated, for dollars and tokens.", ACTUAL_PANEL),
    ] = None

    def tokens(self) -> dict[str, int]:
        """The tokens that are given, by the API's names."""
        classes = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning")
        return {name: value for name in classes if (value := getattr(self, name)) is not None}

    @property
    def ways(self) -> int:
        """How many of the three are used."""
        return [bool(self.tokens()), bool(self.cost), bool(self.usage)].count(True)


def subject_message(options: SubjectOptions) -> "pb.Subject":
    """Make the subject that the options name."""
    from tallystick.core.subject import DIMENSIONS
    from tallystick.v1 import budget_pb2 as pb

    values = {name: getattr(options, name) for name in DIMENSIONS}
    return pb.Subject(labels=read_pairs("--label", options.label), **values)


def put_estimate(message: "pb.ReserveRequest", options: EstimateOptions) -> None:
    """Set what the call may take.

    Raises:
        CommandError: the options say it in no way, or in several.

    """
    counted = options.input_tokens is not None or options.max_output is not None
    if [counted, bool(options.cost), bool(options.request)].count(True) != 1:
        raise CommandError(
            ExitCode.USAGE,
            "expected one way to say what the call may take: --input-tokens and --max-output, --cost, "
            "or --request with --api",
        )
    if options.cost:
        message.cost.CopyFrom(read_cost("--cost", options.cost))
    elif counted:
        if not message.model:
            raise CommandError(ExitCode.USAGE, "--model: expected the model that the tokens are priced for")
        message.tokens.input = options.input_tokens or 0
        message.tokens.max_output = options.max_output or 0
        message.tokens.SetInParent()
    else:
        if options.api is None:
            raise CommandError(ExitCode.USAGE, f"--api: expected one of {', '.join(Api)}")
        body = read_bytes(options.request)
        message.request.CopyFrom(type(message.request)(api=f"API_{options.api.name}", body=body))


def put_actual(message: "pb.SettleRequest | pb.ChargeRequest", options: ActualOptions) -> None:
    """Set what the call took, if the options say so.

    Raises:
        CommandError: they say it in several ways.

    """
    tokens = options.tokens()
    if options.ways > 1:
        raise CommandError(ExitCode.USAGE, ONE_WAY)
    if options.cost:
        message.cost.CopyFrom(read_cost("--cost", options.cost))
    elif options.usage:
        message.provider_usage = usage_of(read_bytes(options.usage))
    elif tokens:
        for name, value in tokens.items():
            setattr(message.usage, name, value)
        message.usage.SetInParent()


def put_used(message: "pb.ChargeRequest", options: ActualOptions) -> None:
    """Set what was used.

    Raises:
        CommandError: the options say it in no way, or in several.

    """
    if options.ways != 1:
        raise CommandError(ExitCode.USAGE, ONE_WAY)
    put_actual(message, options)


def usage_of(body: bytes) -> bytes:
    """Take the usage object out of a provider's whole answer; anything else stays as it is."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body  # the sidecar says what is wrong
    for name in ("usage", "usageMetadata"):
        if isinstance(document, dict) and isinstance(document.get(name), dict):
            return json.dumps(document[name]).encode()
    return body
