"""`tallystick reserve`, `settle`, `release` and `extend`: one reservation, step by step."""

import base64
import binascii
import secrets
import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.amounts import read_cost, read_ttl
from tallystick.cli.connection import budget_service
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import Connection, ReservationId, SubjectOptions, Tenant
from tallystick.cli.output import print_message, show, show_command
from tallystick.cli.requests import ActualOptions, EstimateOptions, put_actual, put_estimate, subject_message
from tallystick.cli.tickets import Asking

if TYPE_CHECKING:
    from tallystick.v1 import budget_pb2 as pb

Model = Annotated[str, typer.Option(metavar="NAME", help="As the provider names it.", show_default=False)]
Provider = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="openai, anthropic …: where one name has several prices.", show_default=False
    ),
]
NewId = Annotated[
    str,
    typer.Option(
        "--id", metavar="ID", help="Its idempotency key: the same again changes nothing.", show_default=False
    ),
]
Ttl = Annotated[
    str,
    typer.Option(metavar="TIME", help="How long it stays open, 1s to 24h, as in 10m.", show_default=False),
]
Tally = Annotated[
    str,
    typer.Option(metavar="BASE64", help="The reservation's tally, as --json shows it.", show_default=False),
]


class Outcome(StrEnum):
    """How a call ended."""

    COMPLETED = "completed"
    COMPLETED_NO_USAGE = "completed-no-usage"
    CLIENT_ABORTED = "client-aborted"
    PROVIDER_ERROR_BILLED = "provider-error-billed"
    PROVIDER_ERROR_UNBILLED = "provider-error-unbilled"
    NOT_DISPATCHED = "not-dispatched"
    UNKNOWN = "unknown"


def reserve(
    *,
    tenant: Tenant,
    model: Model = "",
    provider: Provider = "",
    estimate: EstimateOptions,
    subject: SubjectOptions,
    new_id: NewId = "",
    ttl: Ttl = "",
    asking: Asking,
    connection: Connection,
) -> None:
    """Set the estimated cost of a call aside, or hear why not.

    Exits with 0 for ALLOW, else with 10. After an ALLOW it prints the command to settle with.
    """
    from tallystick.v1 import budget_pb2 as pb

    request = pb.ReserveRequest(
        tenant=tenant,
        reservation_id=new_id,
        subject=subject_message(subject),
        model=model,
        provider=provider,
        ttl=read_ttl(ttl) if ttl else None,
    )
    put_estimate(request, estimate)
    asking.put(request)
    with budget_service(connection) as service:
        decision = service.Reserve(request, timeout=connection.timeout_s + request.wait.seconds)
    if connection.as_json:
        print_message(decision)
    else:
        from tallystick.cli.decisions import show_decision

        show_decision(decision)
        if decision.result == pb.RESULT_ALLOW:
            show("", "Next, with what was really used:")
            show_command(_settle_command(request, decision, connection.address))
    exit_if_denied(decision.result)


HowItEnded = Annotated[
    Outcome, typer.Option(metavar="OUTCOME", help=f"How the call ended: {', '.join(Outcome)}.")
]
AccessLog = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="Envoy's access log: all calls in it, in place of TENANT and ID.",
        show_default=False,
    ),
]


def settle(
    *,
    tenant: Tenant = "",
    reservation_id: ReservationId = "",
    outcome: HowItEnded = Outcome.COMPLETED,
    actual: ActualOptions,
    tally: Tally = "",
    access_log: AccessLog = "",
    connection: Connection,
) -> None:
    """End a reservation with what was really spent.

    A completed call without tokens, usage or cost is charged what was held. Only not-dispatched and
    provider-error-unbilled give everything back.

    With --access-log every call that Envoy wrote to its file is settled or released, as the sidecar would
    have done; what was settled before stays as it is, so a file can be given again and again.
    """
    from tallystick.v1 import budget_pb2 as pb

    if access_log:
        from tallystick.cli.replaying import replay

        if tenant or actual.ways or tally:
            raise CommandError(ExitCode.USAGE, "--access-log: expected it alone, without TENANT and ID")
        replay(access_log, connection)
        return
    if not (tenant and reservation_id):
        raise CommandError(ExitCode.USAGE, "expected TENANT and ID, or --access-log FILE")
    request = pb.SettleRequest(
        tenant=tenant,
        reservation_id=reservation_id,
        tally=_read_tally(tally),
        outcome=f"OUTCOME_{outcome.name}",
    )
    put_actual(request, actual)
    _settle(request, connection)


def _settle(request: "pb.SettleRequest", connection: Connection) -> None:
    with budget_service(connection) as service:
        settled = service.Settle(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(settled)
    else:
        _show_settled(settled)


def _show_settled(settled: "pb.SettleResponse") -> None:
    from tallystick.cli.tables import cost_text, payment_lines

    show(f"{settled.reservation_id}: charged {cost_text(settled.charged)}", *payment_lines(settled))
    if settled.estimated:
        show("This is what was held, an estimate: settle again with usage or a cost to correct it once.")
    if settled.late:
        show("The reservation had ended before, or was not known: this was charged late.")


def release(tenant: Tenant, reservation_id: ReservationId, connection: Connection) -> None:
    """End a reservation of a call that was never sent: all goes back.

    An id that is not known is remembered, and a reservation that arrives late under it is refused.
    """
    from tallystick.v1 import budget_pb2 as pb

    request = pb.ReleaseRequest(tenant=tenant, reservation_id=reservation_id)
    with budget_service(connection) as service:
        released = service.Release(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(released)
        return
    from tallystick.cli.tables import cost_text

    if released.HasField("released"):
        show(f"{released.reservation_id}: released {cost_text(released.released)}")
    else:
        show(
            f"{released.reservation_id}: nothing was held; a reservation with this id is refused from now on"
        )


def extend(
    *,
    tenant: Tenant,
    reservation_id: ReservationId,
    ttl: Ttl = "",
    more: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AMOUNT", help="'0.10 USD' to hold besides; may be repeated.", show_default=False
        ),
    ] = None,
    new_id: NewId = "",
    tally: Tally = "",
    connection: Connection,
) -> None:
    """Give an open reservation more time, more money, or both.

    Exits with 10 if there is no room for more; the reservation then stays as it was.
    """
    from tallystick.v1 import budget_pb2 as pb

    request = pb.ExtendRequest(
        tenant=tenant,
        reservation_id=reservation_id,
        tally=_read_tally(tally),
        ttl=read_ttl(ttl) if ttl else None,
    )
    if more:
        request.more.CopyFrom(read_cost("--more", more))
        request.extension_id = new_id or f"x-{secrets.token_hex(12)}"
    with budget_service(connection) as service:
        answer = service.Extend(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    else:
        from tallystick.cli.decisions import show_extension

        show_extension(answer)
    exit_if_denied(answer.result)


def _settle_command(request: "pb.ReserveRequest", decision: "pb.ReserveResponse", address: str) -> str:
    words = ["tallystick", "settle", request.tenant, decision.reservation_id, "--outcome", "completed"]
    given = request.WhichOneof("estimate")
    if given == "tokens":
        words += ["--input", str(request.tokens.input), "--output", str(request.tokens.max_output)]
    elif given == "cost":
        from tallystick.cli.tables import cost_text

        for amount in cost_text(request.cost).split(", "):
            words += ["--cost", amount] if not amount.startswith("0 ") else []
    else:
        words += ["--usage", "answer.json"]
    if address:
        words += ["--address", address]
    return shlex.join(words)


def _read_tally(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise CommandError(ExitCode.USAGE, f"--tally: expected base64 ({error})") from None


def exit_if_denied(result: int) -> None:
    """Exit with the code of a DENY, if it is one."""
    from tallystick.v1 import budget_pb2 as pb

    if result != pb.RESULT_ALLOW:
        raise typer.Exit(ExitCode.DENY)
