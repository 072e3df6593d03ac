"""`tallystick hold`: look after reservations that nobody ends."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.amounts import read_cost, read_ttl
from tallystick.cli.connection import admin_service, pages_of
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import Actor, AdminConnection, ReservationId, Tenant, read_pairs
from tallystick.cli.output import print_message, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tallystick.v1 import admin_pb2


TITLES = ("Reservation", "State", "Who", "Paid by", "Reserved", "Expires")


class HoldState(StrEnum):
    """What became of a reservation."""

    OPEN = "open"
    EXPIRED = "expired"
    ESTIMATED = "estimated"
    SETTLED = "settled"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which reservations."""

    state: Annotated[
        list[HoldState] | None,
        typer.Option(
            metavar="STATE",
            help="open, expired, estimated, settled or released; may be repeated. Default: open.",
            show_default=False,
        ),
    ] = None
    subject: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIMENSION=VALUE",
            help="Only of subjects with this value; may be repeated.",
            show_default=False,
        ),
    ] = None
    older_than: Annotated[
        str,
        typer.Option(
            metavar="LENGTH", help="Only those reserved at least so long ago: 10m, 2h.", show_default=False
        ),
    ] = ""
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, metavar="N", help="At most so many.")] = 100


@dataclass(frozen=True, slots=True)
class How:
    """What becomes of it: exactly one."""

    cost: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AMOUNT",
            help="Charge this, as an estimate: '0.25 USD', '1200 tokens', or one of each.",
            show_default=False,
        ),
    ] = None
    as_held: Annotated[bool, typer.Option("--as-held", help="Charge what is held.")] = False
    release: Annotated[bool, typer.Option("--release", help="Give everything back.")] = False
    extend: Annotated[
        str, typer.Option(metavar="LENGTH", help="Give it so much time from now.", show_default=False)
    ] = ""

    def put(self, request: "admin_pb2.ResolveHoldRequest") -> None:
        """Say it in a request."""
        if [bool(self.cost), self.as_held, self.release, bool(self.extend)].count(True) != 1:
            raise CommandError(
                ExitCode.USAGE, "expected exactly one of --cost, --as-held, --release and --extend"
            )
        if self.cost:
            request.settle.CopyFrom(read_cost("--cost", self.cost))
        elif self.as_held:
            request.settle_as_held.SetInParent()
        elif self.release:
            request.release.SetInParent()
        else:
            request.extend.CopyFrom(read_ttl(self.extend, "--extend"))


def list_holds(*, tenant: Tenant, chosen: Chosen, connection: AdminConnection) -> None:
    """List reservations, the soonest to expire first.

    Ended ones are known until the retention has passed.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ListHoldsRequest(
        tenant=tenant,
        states=[f"HOLD_STATE_{state.name}" for state in chosen.state or ()],
        subject=read_pairs("--subject", chosen.subject),
        older_than=read_ttl(chosen.older_than, "--older-than") if chosen.older_than else None,
        page_size=min(chosen.limit, 1_000),
    )
    with admin_service(connection) as service:
        found = pages_of(service.ListHolds, request, "holds", connection.timeout_s, chosen.limit)
    del found.holds[chosen.limit :]
    if connection.as_json:
        print_message(found)
    elif not found.holds:
        show(f"{tenant}: no such reservation")
    else:
        show(_table(found.holds))
        if len(found.holds) == chosen.limit and found.next_page_token:
            show("… and maybe more: see --limit")


def resolve(
    *, tenant: Tenant, reservation_id: ReservationId, how: How, actor: Actor, connection: AdminConnection
) -> None:
    """End a reservation that nobody ends, or give it more time.

    What is charged stands as an estimate: if the caller settles after all, it is corrected, once.
    """
    from tallystick.cli.output import time_text
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ResolveHoldRequest(
        tenant=tenant, reservation_id=reservation_id, by=actor.name, reason=actor.reason
    )
    how.put(request)
    with admin_service(connection) as service:
        answer = service.ResolveHold(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
        return
    from tallystick.cli.tables import cost_text

    hold, before = answer.hold, "" if answer.changed else ", as it was before"
    if how.extend:
        show(f"{reservation_id}: open until {time_text(hold.expires_at)}{before}")
    elif how.release:
        show(f"{reservation_id}: released, {cost_text(hold.held)} went back{before}")
    else:
        show(f"{reservation_id}: charged {cost_text(hold.charged)}, an estimate{before}")


def _table(holds: "Sequence[admin_pb2.Hold]") -> "Table":
    from rich.text import Text

    from tallystick.cli.output import time_text
    from tallystick.cli.tables import cost_text, make_table, named
    from tallystick.v1 import admin_pb2

    rows: list[list[Any]] = [[Text(cost_text(hold.held)), Text(cost_text(hold.charged))] for hold in holds]
    table = make_table(TITLES, ("Held", "Charged"), rows)
    for hold, cells in zip(holds, rows, strict=True):
        who = " ".join(f"{name}={value}" for name, value in sorted(hold.subject.items()))
        state = admin_pb2.HoldState.Name(hold.state).removeprefix("HOLD_STATE_").lower()
        texts = [state, who, named(hold.wallet, hold.wallet_group)]
        times = [time_text(hold.reserved_at), time_text(hold.expires_at)]
        table.add_row(Text(hold.reservation_id, style="bold"), *map(Text, [*texts, *times]), *cells)
    return table
