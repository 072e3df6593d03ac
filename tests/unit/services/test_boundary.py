import asyncio
from typing import Any, NoReturn

import grpc
import pytest
from structlog.testing import capture_logs

from tallystick.core import errors
from tallystick.observe.metrics import Metrics
from tallystick.services.admission import Admission
from tallystick.services.boundary import CODES, INTERNAL_MESSAGE, MOST_CHARACTERS, answered, status_of
from tallystick.services.native_call import NativeCall

SECRET = "the-password-is-swordfish"


class Aborted(Exception):
    """What `abort` raises."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details


class Context:
    """A call's context."""

    def time_remaining(self) -> float | None:
        return None

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        raise Aborted(code, details)


class Service:
    """A servicer that does as it is told."""

    def __init__(self, most_at_work: int = 2) -> None:
        self.metrics = Metrics("0")
        self.admission = Admission(most_at_work, 1, self.metrics)

    @answered
    async def Do(self, request: Any) -> Any:
        if isinstance(request, BaseException):
            raise request
        if isinstance(request, asyncio.Event):
            await request.wait()
        return request

    async def ask(self, request: Any) -> Any:
        return await self.Do(request, Context())  # type: ignore[arg-type]

    def count(self, code: str) -> int:
        return sum(self.metrics.rpc("Do", code).counts)


EXAMPLES = {
    errors.InvalidArgument("tenant", "expected one"): grpc.StatusCode.INVALID_ARGUMENT,
    errors.InvalidPolicy("budgets", "expected some", 3, 1): grpc.StatusCode.INVALID_ARGUMENT,
    errors.IdMismatch("used"): grpc.StatusCode.ALREADY_EXISTS,
    errors.ReservationEnded("released"): grpc.StatusCode.FAILED_PRECONDITION,
    errors.ReservationNotFound("none"): grpc.StatusCode.NOT_FOUND,
    errors.Unauthenticated("no key"): grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied("tenant: expected acme"): grpc.StatusCode.PERMISSION_DENIED,
    errors.TokenExists("there is one"): grpc.StatusCode.ALREADY_EXISTS,
    errors.TokenNotFound("none"): grpc.StatusCode.NOT_FOUND,
    errors.FundsMissing("5 are available, not 6"): grpc.StatusCode.FAILED_PRECONDITION,
    errors.PolicyNotFound("none"): grpc.StatusCode.NOT_FOUND,
    errors.PolicyConflict("another"): grpc.StatusCode.ABORTED,
    errors.TicketNotFound("none"): grpc.StatusCode.NOT_FOUND,
    errors.TicketAnswered("was approved"): grpc.StatusCode.FAILED_PRECONDITION,
    errors.TicketEnded("has ended"): grpc.StatusCode.FAILED_PRECONDITION,
    errors.LedgerGap("gone"): grpc.StatusCode.OUT_OF_RANGE,
    errors.Overloaded("many"): grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Draining("draining"): grpc.StatusCode.UNAVAILABLE,
    errors.StoreUnavailable("away"): grpc.StatusCode.UNAVAILABLE,
    errors.StoreFrozen("the partition went back"): grpc.StatusCode.UNAVAILABLE,
    errors.StoreUnusable("of no use"): grpc.StatusCode.UNAVAILABLE,
}


def test_every_error_that_a_caller_may_see_has_a_code() -> None:
    def below(kind: type[errors.TallystickError]) -> set[type[errors.TallystickError]]:
        of_core = {each for each in kind.__subclasses__() if each.__module__ == errors.__name__}
        return of_core.union(*(below(each) for each in of_core))

    known = below(errors.TallystickError)
    assert {type(error) for error in EXAMPLES} == known
    assert all(issubclass(kind, tuple(each for each, _ in CODES)) for kind in known)


@pytest.mark.parametrize(("error", "code"), EXAMPLES.items(), ids=lambda x: type(x).__name__)
async def test_an_error_becomes_its_code_and_keeps_its_text(
    error: errors.TallystickError, code: grpc.StatusCode
) -> None:
    service = Service()
    with capture_logs() as logs, pytest.raises(Aborted) as aborted:
        await service.ask(error)
    assert (aborted.value.code, aborted.value.details) == (code, str(error))
    assert logs == []
    assert (service.count(code.name), service.admission.at_work) == (1, 0)


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), KeyError(SECRET), AssertionError(SECRET), MemoryError()]
)
async def test_an_unexpected_error_is_logged_and_its_text_kept_back(error: Exception) -> None:
    service = Service()
    with capture_logs() as logs, pytest.raises(Aborted) as aborted:
        await service.ask(error)
    assert aborted.value.code is grpc.StatusCode.INTERNAL
    assert aborted.value.details == INTERNAL_MESSAGE
    assert [(line["event"], line["log_level"], line["exc_info"]) for line in logs] == [
        ("unexpected error", "error", error)
    ]
    assert (service.count("INTERNAL"), service.admission.at_work) == (1, 0)


async def test_a_panic_of_a_library_is_an_unexpected_error() -> None:
    class PanicException(BaseException):
        """As libraries in Rust raise it: no Exception."""

    service = Service()
    with capture_logs(), pytest.raises(Aborted) as aborted:
        await service.ask(PanicException(SECRET))
    assert (aborted.value.code, aborted.value.details) == (grpc.StatusCode.INTERNAL, INTERNAL_MESSAGE)


async def test_a_caller_who_leaves_gives_the_place_back() -> None:
    service = Service()
    task = asyncio.create_task(service.ask(asyncio.Event()))
    await asyncio.sleep(0)
    assert service.admission.at_work == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (service.count("CANCELLED"), service.admission.at_work) == (1, 0)


async def test_a_call_beyond_the_queue_is_refused_before_any_work() -> None:
    service, event = Service(most_at_work=1), asyncio.Event()
    tasks = [asyncio.create_task(service.ask(event)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Aborted) as aborted:
        await service.ask(None)
    assert aborted.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    event.set()
    assert await asyncio.gather(*tasks) == [event, event]
    assert (service.metrics.shed.value, service.count("OK"), service.admission.at_work) == (1, 2, 0)


async def test_the_time_in_the_queue_is_not_taken_for_work(monkeypatch: pytest.MonkeyPatch) -> None:
    service, event = Service(most_at_work=1), asyncio.Event()
    took: list[float] = []
    leave = service.admission.leave

    def watched(took_s: float) -> None:
        took.append(took_s)
        leave(took_s)

    monkeypatch.setattr(service.admission, "leave", watched)
    first = asyncio.create_task(service.ask(event))
    await asyncio.sleep(0)
    second = asyncio.create_task(service.ask("second"))
    await asyncio.sleep(0.2)
    event.set()
    assert [await first, await second] == [event, "second"]
    assert took[0] >= 0.2  # it worked while it waited for the event
    assert took[1] < 0.15  # it waited for the first, and was done at once
    assert service.metrics.rpc("Do").total >= 0.4


def test_a_long_text_is_cut() -> None:
    _, text = status_of(errors.InvalidArgument("wallet", "𝔵" * 5_000))
    assert len(text) == MOST_CHARACTERS + 1
    assert len(text.encode()) * 3 < 8_192  # percent-encoded in the metadata
    _, text = status_of(errors.InvalidArgument("wallet", "short"))
    assert text == "wallet: short"


class Listener(Service):
    """Remembers the answers that nobody heard."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[tuple[Any, Any]] = []

    def unheard(self, request: Any, response: Any) -> None:
        self.lost.append((request, response))


async def test_an_answer_that_nobody_hears_is_told() -> None:
    service, call = Listener(), NativeCall(1, ((), "", None))
    assert await service.Do("leaves", call) == "leaves"
    assert service.lost == []
    assert call.unheard is not None
    call.unheard()
    assert service.lost == [("leaves", "leaves")]
    assert (service.count("OK"), service.admission.at_work) == (1, 0)


async def test_an_answer_that_nobody_waits_for_any_more_is_told() -> None:
    service, event = Listener(), asyncio.Event()
    tasks = [asyncio.create_task(service.ask(request)) for request in (event, "leaves")]
    await asyncio.sleep(0)  # the second is answered, and leaves at the end of the tick
    tasks[1].cancel()
    event.set()
    assert await tasks[0] is event
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert service.lost == [("leaves", "leaves")]
    assert (service.count("OK"), service.count("CANCELLED"), service.admission.at_work) == (1, 1, 0)
