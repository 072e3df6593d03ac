"""Refusals of proxied calls, in the words of the provider that was asked."""

from tallystick.core import errors
from tallystick.core.decision import Decision
from tallystick.core.reasons import Reason
from tallystick.providers import Api
from tallystick.providers.refusals import (
    Problem,
    problem_of,
    refusal_body,
    refusal_headers,
    refusal_status,
)
from tallystick.proxied.calls import Turned

UNAUTHENTICATED, BAD_REQUEST, UNMETERED_ROUTE = "UNAUTHENTICATED", "BAD_REQUEST", "UNMETERED_ROUTE"

TICKET = "x-tallystick-ticket"
"""The header that names the ticket of a refusal; its text does, too."""

UNMETERED = Problem(
    403,
    "unmetered_route",
    "nobody meters this route, and the policy's routes.unmetered does not let it through",
    None,
    False,
)


def turned(shape: str | Api, problem: Problem, reason: str) -> Turned:
    """Write a refusal; `shape` is whose words to use."""
    status, headers = refusal_status(shape, problem), refusal_headers(shape, problem)
    return Turned(status, headers, refusal_body(shape, problem), reason)


def refused(shape: str | Api, decision: Decision) -> Turned:
    """Write the refusal of a decision, with its advice."""
    refusal = decision.refusal
    assert refusal is not None
    message, advice = refusal.message, decision.advice
    if advice and advice.model:
        message += f"; {advice.model} would fit"
    elif advice and advice.max_output:
        message += f"; an answer of at most {advice.max_output} tokens would fit"
    told = turned(shape, problem_of(refusal.reason, message, refusal.retry_after_ms), refusal.reason.name)
    if decision.ticket is None:
        return told
    return told._replace(headers=(*told.headers, (TICKET, decision.ticket.id)))


def failed(shape: str | Api, error: errors.TallystickError) -> Turned:
    """Write what an error means to the caller; one that is not meant for callers is raised again."""
    text = str(error)
    match error:
        case errors.Unauthenticated():
            return turned(shape, Problem(401, "invalid_api_key", text, None, False), UNAUTHENTICATED)
        case errors.InvalidArgument():
            return turned(shape, Problem(400, "bad_request", text, None, False), BAD_REQUEST)
        case errors.IdMismatch() | errors.ReservationEnded():
            return turned(shape, Problem(409, "call_has_ended", text, None, False), BAD_REQUEST)
        case errors.StoreUnavailable():
            reason = Reason.STORE_UNAVAILABLE
            return turned(shape, problem_of(reason, "budgets can't be checked now", None), reason.name)
        case _:
            raise error
