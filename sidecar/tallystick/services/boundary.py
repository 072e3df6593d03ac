"""The boundary of every method: admission, metrics, and errors to status codes.

Nothing but what the table names gets out: an unexpected exception is logged
here and answered with INTERNAL, without its text.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc
import structlog

from tallystick.core import errors
from tallystick.observe.metrics import Metrics
from tallystick.services.admission import Admission
from tallystick.services.native_call import NativeCall

CODES: tuple[tuple[type[errors.TallystickError], grpc.StatusCode], ...] = (
    (errors.InvalidArgument, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.IdMismatch, grpc.StatusCode.ALREADY_EXISTS),
    (errors.ReservationEnded, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ReservationNotFound, grpc.StatusCode.NOT_FOUND),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDenied, grpc.StatusCode.PERMISSION_DENIED),
    (errors.TokenExists, grpc.StatusCode.ALREADY_EXISTS),
    (errors.TokenNotFound, grpc.StatusCode.NOT_FOUND),
    (errors.FundsMissing, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.PolicyNotFound, grpc.StatusCode.NOT_FOUND),
    (errors.PolicyConflict, grpc.StatusCode.ABORTED),
    (errors.TicketNotFound, grpc.StatusCode.NOT_FOUND),
    (errors.TicketAnswered, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.TicketEnded, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.LedgerGap, grpc.StatusCode.OUT_OF_RANGE),
    (errors.Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Draining, grpc.StatusCode.UNAVAILABLE),
    (errors.StoreUnavailable, grpc.StatusCode.UNAVAILABLE),
)
"""Which error becomes which code: the first that fits."""

MOST_CHARACTERS = 600
"""Of a status's message: clients drop answers with more than 8 KiB of metadata, and escaped characters
are up to twelve."""

INTERNAL_MESSAGE = "internal error; the sidecar's log has it"

log = structlog.get_logger("tallystick.services")

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any] | NativeCall"
Request = TypeVar("Request")
Response = TypeVar("Response")


class Guarded(Protocol):
    """A servicer that the boundary can stand around."""

    admission: Admission
    metrics: Metrics

    def unheard(self, request: Any, response: Any) -> None:
        """The caller left after the answer was found, and before it was sent."""
        ...


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """The code and text that a caller may see. An unexpected error is logged."""
    for kind, code in CODES:
        if isinstance(error, kind):
            text = str(error)
            return code, text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"
    log.error("unexpected error", exc_info=error)
    return grpc.StatusCode.INTERNAL, INTERNAL_MESSAGE


async def _wait(admission: Admission, context: Context) -> None:
    """Waits for a place and takes it; a call for which there is none is turned away."""
    try:
        await admission.wait(context.time_remaining())
    except (errors.Overloaded, errors.Draining) as error:
        await context.abort(*status_of(error))


def answered(
    method: Callable[[Any, Request], Awaitable[Response]],
) -> Callable[[Any, Request, Context], Awaitable[Response]]:
    """Stands around a method of a servicer, which itself sees no context."""
    name = method.__name__

    @functools.wraps(method)
    async def handler(self: Guarded, request: Request, context: Context) -> Response:
        arrived = time.perf_counter()
        admission, code = self.admission, "OK"
        if not admission.enter():
            await _wait(admission, context)
        began = time.perf_counter()
        response: Response | None = None
        try:
            response = await method(self, request)
            if isinstance(context, NativeCall):
                context.unheard = functools.partial(self.unheard, request, response)
            else:
                await asyncio.sleep(0)  # grpcio cancels who has left, and tells of none later
        except asyncio.CancelledError:
            code = "CANCELLED"
            if response is not None:
                self.unheard(request, response)
            raise
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a panic of a library in Rust is no Exception
            status, text = status_of(error)
            code = status.name
            await context.abort(status, text)
        finally:
            ended = time.perf_counter()
            admission.leave(ended - began)
            self.metrics.rpc(name, code).observe(ended - arrived)
        assert response is not None  # abort raises
        return response

    return handler
