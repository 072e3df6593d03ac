"""`tallystick ledger`: what was written of every change of money."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.amounts import read_past
from tallystick.cli.connection import admin_service
from tallystick.cli.options import AdminConnection
from tallystick.cli.output import print_line, time_text

if TYPE_CHECKING:
    from tallystick.v1 import admin_pb2

OneTenant = Annotated[
    str, typer.Argument(metavar="[TENANT]", help="The tenant's name. Default: all.", show_default=False)
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="Only entries of this kind, such as settle or alert; may be repeated.",
        show_default=False,
    ),
]
Since = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="Only what was written since: a date, an RFC 3339 time, or 10m ago. Default: all of it; "
        "with --follow, from now on.",
        show_default=False,
    ),
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")]
LONG = frozenset({"body", "tally", "drawn", "usage"})
"""Fields that are records in themselves: only the JSON has them."""
TOLD = frozenset({"wallet_unit", "unit"})
"""Fields that other fields are shown by."""


def tail(
    *,
    tenant: OneTenant = "",
    kind: Kinds = None,
    since: Since = "",
    follow: Follow = False,
    connection: AdminConnection,
) -> None:
    """Print entries of the ledger, one a line, in the order in which they were written.

    With --json each line is a document. When the sidecar drains or its store is away it ends with 3.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.TailLedgerRequest(tenant=tenant, kinds=kind or (), follow=follow)
    if since:
        request.since.CopyFrom(read_past("--since", since))
    elif follow:
        request.from_now.SetInParent()
    with admin_service(connection) as service:
        for answer in service.TailLedger(request):
            for entry in answer.entries:
                if connection.as_json:
                    print_line(entry)
                else:
                    sys.stdout.write(_line(entry) + "\n")
            sys.stdout.flush()


def _line(entry: "admin_pb2.LedgerEntry") -> str:
    head = f"{time_text(entry.at)}  {entry.kind:<8} {entry.tenant}  {entry.of}"
    told = (_field(entry, name) for name in entry.fields if name not in LONG | TOLD)
    return "  ".join([head, *(text for text in sorted(told) if text)])


def _field(entry: "admin_pb2.LedgerEntry", name: str) -> str:
    """Write a field for people: counters by their names, dollars as such, nothing where nothing is told."""
    from google.protobuf.timestamp_pb2 import Timestamp

    from tallystick.cli.tables import named
    from tallystick.core.counters import parse_counter
    from tallystick.core.decision import amount_text
    from tallystick.core.lots import LotKind
    from tallystick.core.policy import Unit
    from tallystick.core.tickets import read_asked

    value, fields = entry.fields[name], entry.fields
    counter = fields.get("budget") or fields.get("wallet")
    if value in ("", "0") or value == entry.of:
        return ""
    if name == "nano":
        name, value = "cost", amount_text(int(value), Unit.NANO_USD)
    elif name == "kind_of_lot":
        name, value = "lot", LotKind(int(value)).name.lower()
    elif name == "expires":
        value = time_text(Timestamp(seconds=int(value) // 1000))
    elif name in ("wallet", "to", "budget"):
        value = named(*parse_counter(value)[:2])
    elif name == "said" and counter:
        asked = read_asked(value)
        why = f"  why={asked.justification}" if asked.justification else ""
        return f"asks={amount_text(asked.amount, parse_counter(counter)[2])}{why}"
    elif name in ("amount", "lapsed", "used", "limit") and counter:
        value = amount_text(int(value), parse_counter(counter)[2])
    return f"{name}={value}"
