"""From asks to the arguments of scripts, and from their replies to answers."""

from collections.abc import Sequence
from typing import Any

from tallystick.core.lots import Account, read_lots
from tallystick.core.packing import compact
from tallystick.core.plan import WalletLine
from tallystick.core.reasons import Reason
from tallystick.store.asks import Held, Moved, Refused, ReserveAsk, Settled, Stamp, Try
from tallystick.store.wire import bulks

OF_THE_CALL, OF_A_TRY = 3, 6
"""How many arguments of `reserve` are of the call and of each model that it tries."""
RESERVE = b"%b" + (OF_THE_CALL + OF_A_TRY) * b"$%d\r\n%b\r\n"
NO_LIMITS = b""
ACCOUNT = "fbhgl"
"""The fields of a wallet: funds, balance, held, the period last granted, lots."""


def reserve_message(head: object, ask: ReserveAsk) -> bytes:
    """The command of a Reserve; `head` is what its plan says."""
    first, reservation_id, content = ask.tries[0], ask.reservation_id.encode(), ask.content.encode()
    body, nano_usd, tokens = first.body.encode(), b"%d" % first.nano_usd, b"%d" % first.tokens
    limits, ttl_ms = NO_LIMITS if first.soft is None else _limits(first.soft), b"%d" % ask.ttl_ms
    message = RESERVE % (
        head,
        *(len(reservation_id), reservation_id),
        *(len(content), content),
        *(len(ttl_ms), ttl_ms),
        *(len(nano_usd), nano_usd),
        *(len(tokens), tokens),
        *(1 if first.refusal < 10 else 2, b"%d" % first.refusal),
        *(1, b"1" if first.plan.wallets else b"0"),
        *(len(limits), limits),
        *(len(body), body),
    )
    if len(ask.tries) > 1:
        message += bulks([cell for each in ask.tries[1:] for cell in _try_cells(each)])
    return message


def held_of(reply: list[Any]) -> Held:
    """An ALLOW of `reserve`."""
    _, now_ms, seq, epoch, payer, expires_ms, tried, why, binds, funds, cells, offset = reply
    reason = Reason(why) if why else Reason.NONE
    values = values_of(funds + cells[offset:])
    return Held(Stamp(now_ms, seq, int(epoch)), payer, expires_ms, values, tried, reason, binds)


def refused_of(reply: list[Any]) -> Refused:
    """A DENY of `reserve`."""
    _, now_ms, seq, epoch, why, binds, tried, funds, cells, offset = reply
    stamp = Stamp(now_ms, seq, int(epoch))
    return Refused(stamp, Reason(why), binds, values_of(funds + cells[offset:]), tried)


def settled_of(reply: list[Any], *, changed: bool) -> Settled:
    """An answer of `settle`."""
    _, _, _, _, nano_usd, tokens, estimated, late, wallet, drawn, held_nano_usd, held_tokens = reply
    return Settled(
        stamp_of(reply),
        int(nano_usd),
        int(tokens),
        estimated == 1,
        late == 1,
        changed,
        wallet.decode(),
        tuple(read_lots(drawn.decode())),
        int(held_nano_usd),
        int(held_tokens),
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


def _limits(limits: tuple[int, ...]) -> bytes:
    return compact([str(limit) for limit in limits]).encode()


def _try_cells(each: Try) -> list[object]:
    pays = 1 if each.plan.wallets else 0
    limits = NO_LIMITS if each.soft is None else _limits(each.soft)
    return [each.nano_usd, each.tokens, int(each.refusal), pays, limits, each.body]


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
