"""Channels to a sidecar, and gRPC errors as one line for people."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import AdminConnection, Connection
from tallystick.cli.settings import read_settings

if TYPE_CHECKING:
    import grpc

MAX_ANSWER_BYTES = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.enable_http_proxy", 0),  # a sidecar is near
)
_UNREACHED = ("failed to connect", "errors resolving", "dns resolution failed", "socket closed")
"""How the details begin when nobody answered at all."""
_EXITS = {
    "UNAVAILABLE": ExitCode.UNREACHABLE,
    "DEADLINE_EXCEEDED": ExitCode.UNREACHABLE,
    "RESOURCE_EXHAUSTED": ExitCode.UNREACHABLE,
    "CANCELLED": ExitCode.UNREACHABLE,
    "INTERNAL": ExitCode.BUG,
    "UNKNOWN": ExitCode.BUG,
}
"""Every other code means that the input was refused."""


@contextlib.contextmanager
def budget_service(connection: Connection) -> Iterator[Any]:
    """Connect to the data plane: yields its stub, and turns gRPC errors into `CommandError`."""
    address = _address("--address", connection.address) or _default_budget_address()
    from tallystick.v1.budget_pb2_grpc import BudgetServiceStub

    with _channel(address, connection) as channel:
        stub: Any = BudgetServiceStub
        yield stub(channel)


@contextlib.contextmanager
def admin_service(connection: AdminConnection) -> Iterator[Any]:
    """Connect to the control plane: yields its stub, and turns gRPC errors into `CommandError`."""
    address = _address("--admin-address", connection.admin_address) or _default_admin_address()
    from tallystick.v1.admin_pb2_grpc import AdminServiceStub

    with _channel(address, connection) as channel:
        stub: Any = AdminServiceStub
        yield stub(channel)


def pages_of(method: Any, request: Any, field: str, timeout_s: float, most: int = 0) -> Any:
    """Ask for all pages of a list: the first answer, with the items of all in its `field`.

    `most`: no more pages are asked for once there are so many items; 0: all of them.
    """
    answer = method(request, timeout=timeout_s)
    items = getattr(answer, field)
    while answer.next_page_token and not 0 < most <= len(items):
        request.page_token = answer.next_page_token
        following = method(request, timeout=timeout_s)
        items.extend(getattr(following, field))
        answer.next_page_token = following.next_page_token
    return answer


def _address(option: str, text: str) -> str:
    """Take `host:port`, `unix:PATH` or a bare path as what gRPC calls it; empty as it is."""
    if text.startswith(("/", "./", "../")):
        return f"unix:{text}"
    if text and ":" not in text:
        raise CommandError(ExitCode.USAGE, f"{option}: expected HOST:PORT or unix:PATH, not {text!r}")
    return text


def _default_budget_address() -> str:
    settings = read_settings()
    if settings.socket:
        return f"unix:{settings.socket}"
    if settings.listen:
        return settings.listen
    raise CommandError(ExitCode.USAGE, "the settings have no address of the sidecar; give --address")


def _default_admin_address() -> str:
    settings = read_settings()
    if settings.admin_socket:
        return f"unix:{settings.admin_socket}"
    raise CommandError(ExitCode.USAGE, "the settings have no admin socket; give --admin-address")


@contextlib.contextmanager
def _channel(address: str, connection: Connection | AdminConnection) -> "Iterator[grpc.Channel]":
    import grpc

    from tallystick.cli.bearer import open_channel

    with open_channel(address, _OPTIONS, connection) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            # What a stub raises is a call as well, which the base class does not show.
            raise _explained(
                error.code().name, error.details() or "", address, connection.timeout_s
            ) from None


def _explained(code: str, details: str, address: str, timeout_s: float) -> CommandError:
    if code == "UNAVAILABLE" and details.lower().startswith(_UNREACHED):
        return CommandError(
            ExitCode.UNREACHABLE,
            f"can't reach the sidecar at {address}",
            "Is it running? Start it with `tallystick serve`, or say where it is with --address "
            "or --admin-address.",
        )
    if code == "DEADLINE_EXCEEDED":
        return CommandError(ExitCode.UNREACHABLE, f"no answer from {address} within {timeout_s:g} s")
    if code == "UNIMPLEMENTED":
        details = f"{address} does not serve this; the admin service has an address of its own"
    words = code.lower().replace("_", " ")
    return CommandError(_EXITS.get(code, ExitCode.REFUSED), f"{words}: {details}")
