"""From how a call ended to what is charged for it; `docs/reference/envoy.md` has the table."""

from typing import NamedTuple

from tallystick.core.outcome import Outcome
from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.proxied.calls import Ending, HeldCall
from tallystick.proxied.rates import BYTES_PER_TOKEN, Rates

FIRST_ERROR = 400
"""Answers with this status or a higher one are the provider's errors."""


class End(NamedTuple):
    """What to tell the engine."""

    outcome: Outcome | None
    """None: nothing was sent, so the hold is released."""
    usage: Usage | None = None
    estimated: bool = False
    """Whether the usage is an estimate."""


RELEASED = End(None)


def end_of(call: HeldCall, ending: Ending, rates: Rates) -> End:
    """Tell what an end means. Without usage the engine charges the outcome's: the hold, or nothing."""
    usage = ending.usage
    if not ending.sent:
        return RELEASED
    if ending.status >= FIRST_ERROR:
        return End(Outcome.PROVIDER_ERROR_BILLED, usage) if usage else End(Outcome.PROVIDER_ERROR_UNBILLED)
    if usage and ending.complete:
        return End(Outcome.COMPLETED, usage)
    if ending.client_left or ending.provider_broke_off:
        return _broken(call, ending, rates)
    if ending.status == 0:
        return End(Outcome.UNKNOWN)
    return _unreported(call, ending, rates)


def outgrown(call: HeldCall, so_far: Ending, rates: Rates) -> Usage | None:
    """What a stream that goes on should be held for: what it used and a quarter of that.

    None where it is within its hold, or where nothing tells: bytes of the body stand for tokens once the
    model's rate is known, those of text are at least known to be no more than a token for three.
    """
    if not so_far.streamed or so_far.output_bytes is None:
        return None
    tokens = rates.tokens(call, so_far)
    if tokens is None:
        if not so_far.text_seen:
            return None
        tokens = so_far.output_bytes // BYTES_PER_TOKEN
    if tokens <= call.held.output:
        return None
    return call.held._replace(output=tokens + tokens // 4)


def _broken(call: HeldCall, ending: Ending, rates: Rates) -> End:
    """An answer that not all of passed. What is made whole before it is sent was made, and costs as held."""
    outcome = Outcome.CLIENT_ABORTED if ending.client_left else Outcome.PROVIDER_ERROR_BILLED
    if not ending.status:
        return End(outcome if ending.client_left else Outcome.UNKNOWN)
    if not ending.streamed or ending.output_bytes is None:
        return End(outcome)
    tokens = rates.tokens(call, ending)
    if tokens is None:
        tokens = min(-(-ending.output_bytes // BYTES_PER_TOKEN), call.held.output)
    return End(outcome, _used(call, ending.usage, tokens), estimated=True)


def _unreported(call: HeldCall, ending: Ending, rates: Rates) -> End:
    """An answer that passed to its end and did not say what it took."""
    unfinished = call.api is Api.OPENAI_RESPONSES and not ending.streamed  # the work goes on without us
    tokens = None if unfinished else rates.tokens(call, ending)
    if tokens is None:
        return End(Outcome.COMPLETED_NO_USAGE)
    return End(Outcome.COMPLETED, _used(call, ending.usage, tokens), estimated=True)


def _used(call: HeldCall, reported: Usage | None, output: int) -> Usage:
    """The larger of what was reported so far and what passed; the input as reported, else as held."""
    if reported is None or not reported.total_input:
        reported = call.held._replace(output=reported.output if reported else 0, reasoning=0)
    return reported._replace(output=max(reported.output, output))
