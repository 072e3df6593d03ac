"""From asks to the arguments of scripts, and from their replies to answers."""

from collections.abc import Sequence
from typing import Any

from tallystick.core.lots import Account, read_lots
from tallystick.core.packing import compact
from tallystick.core.plan import Plan, WalletLine
from tallystick.core.reasons import Reason
from tallystick.store.asks import Held, Moved, Refused, ReserveAsk, SettleAsk, Settled, Stamp

CALL = b"$%d\r\n%b\r\n" * 4
TRY = b"$%d\r\n%b\r\n" * 2 + b"$%d\r\n%d\r\n"
OF_FIRST = 3
"""Elements of the reply to a call that is allowed as it was asked for."""
OF_A_SETTLE = 9
"""How many arguments of `settle` are of one."""
SETTLE = b"$%d\r\n%b\r\n" * OF_A_SETTLE
ACCOUNT = "fbhgl"
"""The fields of a wallet: funds, balance, held, the period last granted, lots."""


def plan_cells(plan: Plan, retention_ms: int) -> list[object]:
    """What all calls of a plan have in common, as `reserve` takes it."""
    cells: list[object] = [plan.tenant, plan.policy_version, plan.valid_from_ms, plan.valid_until_ms]
    tries = [(plan, plan.soft), *((rung, None) for rung in plan.rungs)]
    if plan.soft is not None:
        tries.append((plan, None))
    cells += [
        retention_ms,
        compact([wallet_cells(line) for line in plan.wallets]),
        len(tries),
        int(plan.asks),
    ]
    for each, soft in tries:
        limits = "" if soft is None else compact([str(limit) for limit in soft])
        cells += [1 if each.wallets else 0, limits, *each.body_parts]
    return cells


def call_cells(plan: Plan, ask: ReserveAsk) -> bytes:
    """What one call adds to that, as RESP."""
    reservation_id, content, ttl_ms = ask.reservation_id.encode(), ask.content.encode(), b"%d" % ask.ttl_ms
    body, tail = ask.tries[0].body, plan.body_parts[-1]
    subject = body[len(plan.body_head) : len(body) - len(tail)].encode()
    cells = CALL % (
        *(len(reservation_id), reservation_id),
        *(len(content), content),
        *(len(ttl_ms), ttl_ms),
        *(len(subject), subject),
    )
    for each in ask.tries:
        nano_usd, tokens, refusal = b"%d" % each.nano_usd, b"%d" % each.tokens, each.refusal
        cells += TRY % (len(nano_usd), nano_usd, len(tokens), tokens, 1 if refusal < 10 else 2, refusal)
    return cells


def held_of(reply: list[Any]) -> Held:
    """An ALLOW of `reserve`."""
    now_ms, seq, epoch, expires_ms, *values = map(int, reply[1].split())
    stamp, payer = Stamp(now_ms, seq, epoch), reply[2]
    if len(reply) == OF_FIRST:
        return Held(stamp, payer, expires_ms, values)
    tried, why, binds = reply[OF_FIRST:]
    return Held(stamp, payer, expires_ms, values, tried, Reason(why), binds)


def refused_of(reply: list[Any]) -> Refused:
    """A DENY of `reserve`."""
    _, now_ms, seq, epoch, why, binds, tried, funds, cells = reply
    stamp = Stamp(now_ms, seq, int(epoch))
    return Refused(stamp, Reason(why), binds, [*map(int, funds.split()), *map(int, cells.split())], tried)


def settle_cells(ask: SettleAsk, record: str) -> bytes:
    """One settle, as RESP; with the record out of its tally where the store has lost the hold."""
    reservation_id, content = ask.reservation_id.encode(), ask.content.encode()
    nano_usd = b"" if ask.nano_usd is None else b"%d" % ask.nano_usd
    tokens = b"" if ask.tokens is None else b"%d" % ask.tokens
    mode, outcome, usage, kept = (
        ask.mode.encode(),
        ask.outcome.encode(),
        ask.usage.encode(),
        record.encode(),
    )
    return SETTLE % (
        *(len(reservation_id), reservation_id),
        *(len(content), content),
        *(len(mode), mode),
        *(len(nano_usd), nano_usd),
        *(len(tokens), tokens),
        *(1, b"1" if ask.estimated else b"0"),
        *(len(outcome), outcome),
        *(len(usage), usage),
        *(len(kept), kept),
    )


def settled_of(reply: list[Any], *, changed: bool) -> Settled:
    """An answer of `settle`."""
    _, numbers, estimated, late, wallet, drawn = reply
    now_ms, seq, epoch, nano_usd, tokens, held_nano_usd, held_tokens = map(int, numbers.split())
    return Settled(
        Stamp(now_ms, seq, epoch),
        nano_usd,
        tokens,
        estimated == 1,
        late == 1,
        changed,
        wallet.decode(),
        tuple(read_lots(drawn.decode())),
        held_nano_usd,
        held_tokens,
    )


def moved_of(reply: list[Any]) -> Moved:
    """An answer of `move`."""
    _, _, _, _, amount, drawn, source, target = reply
    lots = tuple(read_lots(drawn.decode()))
    return Moved(int(amount), lots, account_of(source), account_of(target) if target else None)


def stamp_of(reply: list[Any]) -> Stamp:
    """When and where it was answered."""
    return Stamp(reply[1], int(reply[2]), int(reply[3]))


def values_of(raw: list[bytes | None]) -> list[int]:
    """Counters; one that isn't there is 0."""
    return [int(value) if value else 0 for value in raw]


def wallet_cells(line: WalletLine) -> list[object]:
    """A wallet as the scripts take it (`lua/_grants.lua`)."""
    cells: list[object] = [line.counter, line.unit]
    if line.grant:
        amount, rollover, span, period, expires_ms, _ = line.grant
        cells += [str(amount), str(rollover), span, period, expires_ms]
    return cells


def account_of(cells: Sequence[bytes | None]) -> Account:
    """A wallet, from the fields of `ACCOUNT`."""
    funds, balance, held, marker, lots = (cell.decode() if cell else "" for cell in cells)
    return Account(int(funds or 0), int(balance or 0), int(held or 0), marker, read_lots(lots))
