"""From requests for the ledger to calls, and from its entries to messages, as `reading` and `writing` do."""

from tallystick.core.counters import counter_window, parse_counter
from tallystick.core.errors import InvalidArgument
from tallystick.core.ledger import KINDS
from tallystick.core.tickets import read_asked
from tallystick.engine.calls import TailCall
from tallystick.engine.ledger_tail import EVENTS, Batch, TailedEntry
from tallystick.engine.paging import Page
from tallystick.services.administering_tenants import MAX_TOKEN_CHARACTERS
from tallystick.services.reading import read_tenant
from tallystick.services.writing_states import UNITS, clamp, timestamp
from tallystick.v1 import admin_pb2 as pb

LAST_S = 253_402_300_799
"""The last second of the year 9999."""
OF_ALL = ("kind", "at", "tenant", "id")
"""What every entry tells; the rest is of its kind."""
TICKETS = {
    "ticket": "ticket_opened",
    "approve": "ticket_approved",
    "reject": "ticket_rejected",
    "ticket_end": "ticket_ended",
}
"""Which event an entry about a ticket is."""


def read_tail(request: pb.TailLedgerRequest) -> TailCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant) if request.tenant else ""
    unknown = [kind for kind in request.kinds if kind not in KINDS]
    if unknown:
        raise InvalidArgument("kinds", f"expected some of {', '.join(KINDS)}, got {unknown[0][:64]!a}")
    kinds = frozenset(request.kinds)
    return TailCall(
        tenant,
        kinds,
        _read_position(request, kinds),
        _read_since(request),
        from_now=request.HasField("from_now"),
        follow=request.follow,
    )


def read_watch(request: pb.WatchEventsRequest) -> TailCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant) if request.tenant else ""
    begins = request.WhichOneof("begin") is not None
    page, since_ms = _read_position(request, EVENTS), _read_since(request)
    return TailCall(tenant, EVENTS, page, since_ms, from_now=not begins, follow=True)


def _read_position(request: pb.TailLedgerRequest | pb.WatchEventsRequest, kinds: frozenset[str]) -> Page:
    """What other kinds tell before it was passed over, so it is of use for these kinds alone."""
    position = request.position
    if len(position) > MAX_TOKEN_CHARACTERS:
        raise InvalidArgument("position", f"expected at most {MAX_TOKEN_CHARACTERS:,} characters")
    if not position and request.WhichOneof("begin") == "position":
        raise InvalidArgument("position", "expected the position that came with an entry")
    return Page(0, f"{','.join(sorted(kinds))} of {request.tenant}", position)


def _read_since(request: pb.TailLedgerRequest | pb.WatchEventsRequest) -> int:
    since = request.since
    if not (0 <= since.seconds <= LAST_S and 0 <= since.nanos < 10**9):
        raise InvalidArgument("since", "expected a time from 1970 to 9999")
    return since.seconds * 1_000 + since.nanos // 1_000_000


def write_batch(batch: Batch) -> pb.TailLedgerResponse:
    """Entries as they stand in the ledger."""
    return pb.TailLedgerResponse(
        entries=[_write_entry(each) for each in batch.entries], position=batch.position
    )


def _write_entry(row: TailedEntry) -> pb.LedgerEntry:
    fields = row.entry.fields
    return pb.LedgerEntry(
        partition=row.partition,
        id=row.entry.entry_id,
        kind=fields["kind"],
        at=timestamp(int(fields["at"])),
        tenant=fields["tenant"],
        of=fields["id"],
        fields={name: value for name, value in fields.items() if name not in OF_ALL},
    )


def write_events(batch: Batch) -> pb.WatchEventsResponse:
    """Entries as events."""
    return pb.WatchEventsResponse(
        events=[_write_event(each) for each in batch.entries], position=batch.position
    )


def _write_policy(fields: dict[str, str]) -> pb.PolicyApplied:
    """Entries of earlier releases tell of the version alone."""
    return pb.PolicyApplied(
        version=int(fields["id"]),
        by=fields.get("by", ""),
        comment=fields.get("comment", ""),
        rolled_back_to=int(fields.get("back_to") or 0),
    )


def _write_event(row: TailedEntry) -> pb.Event:
    fields = row.entry.fields
    kind, event_id = fields["kind"], f"{row.partition}-{row.entry.entry_id}"
    event = pb.Event(id=event_id, at=timestamp(int(fields["at"])), tenant=fields["tenant"])
    if kind == "alert":
        event.alert.CopyFrom(_write_alert(fields))
    elif kind == "policy":
        event.policy_applied.CopyFrom(_write_policy(fields))
    elif kind == "grant":
        event.funds_granted.CopyFrom(_write_grant(fields))
    elif kind in TICKETS:
        getattr(event, TICKETS[kind]).CopyFrom(_write_ticket(fields))
    else:
        told = event.tenant_suspended if kind == "suspend" else event.tenant_resumed
        told.SetInParent()
        told.by, told.reason = fields["by"], fields["reason"]
    return event


def _write_alert(fields: dict[str, str]) -> pb.Alert:
    name, group, unit = parse_counter(fields["budget"])
    alert = pb.Alert(
        budget=name,
        group=group,
        unit=UNITS[unit],
        percent=int(fields["percent"]),
        used=clamp(int(fields["used"])),
        limit=clamp(int(fields["limit"])),
        reservation_id=fields["id"],
    )
    start_ms, end_ms = counter_window(fields["budget"])
    if end_ms:
        alert.window_start.CopyFrom(timestamp(start_ms))
        alert.window_end.CopyFrom(timestamp(end_ms))
    return alert


def _write_ticket(fields: dict[str, str]) -> pb.TicketEvent:
    name, group, unit = parse_counter(fields["budget"])
    event = pb.TicketEvent(ticket_id=fields["id"], budget=name, group=group, unit=UNITS[unit])
    event.amount, event.by = clamp(int(fields.get("amount", 0))), fields.get("by", "")
    event.note = fields.get("note", "")
    if "said" in fields:
        event.justification = read_asked(fields["said"]).justification
    if "expires" in fields:
        event.expires_at.CopyFrom(timestamp(int(fields["expires"])))
    return event


def _write_grant(fields: dict[str, str]) -> pb.FundsGranted:
    name, group, unit = parse_counter(fields["wallet"])
    return pb.FundsGranted(
        wallet=name,
        group=group,
        unit=UNITS[unit],
        amount=clamp(int(fields["amount"])),
        lapsed=clamp(int(fields["lapsed"])),
        expires_at=timestamp(int(fields["expires"])),
    )
