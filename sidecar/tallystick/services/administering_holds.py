"""From requests about holds to calls, and from holds to messages, as `reading` and `writing` do."""

from tallystick.core.counters import parse_counter
from tallystick.core.errors import InvalidArgument
from tallystick.core.hold import Hold, State
from tallystick.core.subject import check_text, is_dimension
from tallystick.engine.calls import Cost, HoldsCall, ResolveCall
from tallystick.engine.paging import Cut
from tallystick.services.permissions import signed
from tallystick.services.reading import read_cost, read_reservation, read_tenant, read_ttl
from tallystick.services.writing_states import clamp, timestamp
from tallystick.store.hold_places import ListedHold, ResolveKind
from tallystick.v1 import admin_pb2 as pb
from tallystick.v1 import budget_pb2

STATES = {
    State.OPEN: pb.HOLD_STATE_OPEN,
    State.EXPIRED: pb.HOLD_STATE_EXPIRED,
    State.ESTIMATED: pb.HOLD_STATE_ESTIMATED,
    State.SETTLED: pb.HOLD_STATE_SETTLED,
    State.RELEASED: pb.HOLD_STATE_RELEASED,
}
BY_NUMBER = {number: state for state, number in STATES.items()}
MAX_AGE_MS = 366 * 86_400_000


def read_list_holds(request: pb.ListHoldsRequest) -> HoldsCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant)
    unknown = [number for number in request.states if number not in BY_NUMBER]
    if unknown:
        raise InvalidArgument("states", f"expected states of a hold, got {unknown[0]}")
    states = frozenset(BY_NUMBER[number] for number in request.states) or frozenset({State.OPEN})
    for name, value in request.subject.items():
        if not is_dimension(name):
            raise InvalidArgument("subject", f"expected dimensions as keys, got {name[:64]!a}")
        check_text(f"subject[{name}]", value)
    age = request.older_than
    older_ms = age.seconds * 1_000 + age.nanos // 1_000_000
    if not 0 <= older_ms <= MAX_AGE_MS:
        raise InvalidArgument("older_than", "expected at least 0 s, and at most 366 days")
    return HoldsCall(tenant, states, dict(request.subject), older_ms)


def read_resolve(request: pb.ResolveHoldRequest) -> ResolveCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, reservation_id = read_reservation(request)
    check_text("by", request.by)
    check_text("reason", request.reason)
    how = request.WhichOneof("how")
    if how is None:
        raise InvalidArgument("how", "expected one of settle, settle_as_held, release and extend")
    kind = ResolveKind(how.partition("_")[0])
    cost: Cost | None = read_cost("settle", request.settle) if how == "settle" else None
    ttl_ms = read_ttl(request.extend, "extend") if how == "extend" else 0
    return ResolveCall(tenant, reservation_id, kind, signed(request.by), request.reason, cost, ttl_ms)


def write_holds(cut: Cut[ListedHold]) -> pb.ListHoldsResponse:
    """A page of holds."""
    holds = [write_hold(each.reservation_id, each.hold) for each in cut.found]
    return pb.ListHoldsResponse(holds=holds, next_page_token=cut.token)


def write_hold(reservation_id: str, hold: Hold) -> pb.Hold:
    """A hold as it is."""
    message = pb.Hold(
        reservation_id=reservation_id,
        state=STATES[hold.state],
        subject=hold.subject_values,
        model=hold.model,
        held=budget_pb2.Cost(nano_usd=clamp(hold.nano_usd), tokens=clamp(hold.tokens)),
        charged=budget_pb2.Cost(nano_usd=clamp(hold.charged_nano_usd), tokens=clamp(hold.charged_tokens)),
        reserved_at=timestamp(hold.reserved_ms),
        expires_at=timestamp(hold.expires_ms),
    )
    if hold.wallet:
        message.wallet, message.wallet_group, _ = parse_counter(hold.wallet[0])
    return message
