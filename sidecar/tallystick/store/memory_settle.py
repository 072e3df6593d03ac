"""How the in-memory store ends a hold with what was really spent."""

from tallystick.core.errors import IdMismatch, ReservationEnded, ReservationNotFound
from tallystick.core.hold import LATE, Hold, State, read_hold
from tallystick.core.outcome import Mode
from tallystick.store.asks import SettleAsk, Settled
from tallystick.store.memory_partition import Partition, drawn_text


def settle(p: Partition, tenant: str, ask: SettleAsk, retention_ms: int) -> Settled:
    """See `Store.settle`."""
    stored = p.hold.get(f"{tenant}:r:{ask.reservation_id}", "")
    lost = not stored or stored.startswith(f'["{State.REFUSED}"')
    if lost and not ask.tally:
        raise ReservationNotFound(f"no reservation {ask.reservation_id!r}, and no tally came with it")
    hold = read_hold(ask.tally if lost else stored)
    if lost:
        if p.now_ms >= hold.expires_ms + retention_ms:
            raise ReservationEnded(f"the tally of {ask.reservation_id!r} is older than the retention")
        hold.state = State.LOST
    was_estimated = hold.state in (State.EXPIRED, State.ESTIMATED)
    ended_late = hold.ended_as == ask.content + LATE
    if hold.state in (State.SETTLED, State.ESTIMATED) and (ended_late or hold.ended_as == ask.content):
        return _settled(p, hold, was_estimated, ended_late, changed=False)
    if hold.state is State.SETTLED:
        raise IdMismatch(f"reservation {ask.reservation_id!r} was settled with other content")
    if was_estimated and ask.estimated:
        return _settled(p, hold, estimated=True, late=True, changed=False)
    late = hold.state is not State.OPEN
    _charge(p, tenant, ask, hold, tally=ask.tally if lost else "", retention_ms=retention_ms)
    settled = _settled(p, hold, ask.estimated, late, changed=True)
    p.end_due(4)
    return settled


def _charge(p: Partition, tenant: str, ask: SettleAsk, hold: Hold, *, tally: str, retention_ms: int) -> None:
    name = f"{tenant}:r:{ask.reservation_id}"
    nano_usd, tokens, requests = hold.nano_usd, hold.tokens, 1
    if ask.mode is Mode.COST:
        nano_usd = nano_usd if ask.nano_usd is None else ask.nano_usd
        tokens = tokens if ask.tokens is None else ask.tokens
    elif ask.mode is Mode.NONE:
        nano_usd, tokens, requests = 0, 0, 0
    account, lapsed = p.pay(hold, ask.reservation_id, nano_usd, tokens)
    p.append(
        "settle",
        tenant,
        ask.reservation_id,
        nano=nano_usd,
        tokens=tokens,
        requests=requests,
        outcome=ask.outcome,
        estimated=int(ask.estimated),
        usage=ask.usage,
        tally=tally,
        drawn=drawn_text(hold),
        lapsed=lapsed,
    )
    hold.ended_as = ask.content if hold.state is State.OPEN else ask.content + LATE
    p.charge(tenant, ask.reservation_id, hold, account, (nano_usd, tokens, requests))
    hold.state = State.ESTIMATED if ask.estimated else State.SETTLED
    p.hold[name] = hold.text()
    p.schedule(f"r:{name}", max(hold.expires_ms, p.now_ms) + retention_ms)


def _settled(p: Partition, hold: Hold, estimated: bool, late: bool, changed: bool) -> Settled:
    return Settled(
        p.stamp(),
        hold.charged_nano_usd,
        hold.charged_tokens,
        estimated,
        late,
        changed,
        hold.wallet[0] if hold.wallet else "",
        tuple(hold.drawn),
        hold.nano_usd,
        hold.tokens,
    )
