"""The ledger: one entry for every change of money, and the replay to balances."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from tallystick.core.counters import bucket_of
from tallystick.core.hold import Hold, State, read_hold
from tallystick.core.packing import compact
from tallystick.core.policy import Unit


class Entry(NamedTuple):
    """One entry of a partition's ledger."""

    entry_id: str
    """`EPOCH-SEQ`, without gaps within an epoch."""
    fields: dict[str, str]
    """`kind`, `at` (Unix ms), `tenant`, `id`, and what the kind tells."""


KINDS = (
    *("reserve", "settle", "release", "refuse", "expire", "extend", "charge"),
    *("credit", "grant", "lapse", "debit", "allocate", "reclaim"),
    *("alert", "policy", "suspend", "resume", "token", "revoke", "thaw", "shadow"),
    *("ticket", "approve", "reject", "ticket_end"),
)

Counters = dict[str, int]


def replay(entries: Iterable[Entry]) -> Counters:
    """The counters that follow from the entries alone; those at zero are left out.

    Counters of ended windows, which a store drops in time, are in it; so is every
    sub-bucket of a rolling window, but not their sum.

    Raises:
        ValueError: an entry is of unknown kind, or the sequence has a gap.
    """
    counters: Counters = defaultdict(int)
    holds: dict[str, Hold] = {}
    last: tuple[int, int] | None = None
    for entry in entries:
        epoch, seq = (int(part) for part in entry.entry_id.split("-"))
        if last and last != (epoch, seq - 1) and last[0] == epoch:
            raise ValueError(f"the ledger has a gap before {entry.entry_id}")
        last = (epoch, seq)
        _apply(entry.fields, counters, holds)
    return {name: value for name, value in counters.items() if value}


def _apply(fields: dict[str, str], counters: Counters, holds: dict[str, Hold]) -> None:
    kind, key = fields["kind"], f"{fields['tenant']}:{fields['id']}"
    if kind == "reserve":
        answer = compact(["", int(fields["at"]), fields["wallet"], fields["wallet_unit"]])
        hold = Hold(
            State.OPEN, 0, int(fields["nano"]), int(fields["tokens"]), answer=answer, body=fields["body"]
        )
        if fields.get("tally"):  # it was allowed without the store, and before
            hold = read_hold(fields["tally"])
        holds[key] = hold
        _hold(counters, hold, hold.nano_usd, hold.tokens, 1)
    elif kind == "extend":
        hold, nano_usd, tokens = holds[key], int(fields["nano"]), int(fields["tokens"])
        _hold(counters, hold, nano_usd, tokens, 0)
        hold.nano_usd += nano_usd
        hold.tokens += tokens
    elif kind in ("settle", "expire", "release"):
        if fields.get("tally"):
            holds[key] = read_hold(fields["tally"])
            holds[key].state = State.LOST
        charged = tuple(int(fields.get(name, 0)) for name in ("nano", "tokens", "requests"))
        _charge(counters, holds[key], charged, int(fields["at"]), int(fields["lapsed"]))
    elif kind == "charge":
        answer = compact(["", int(fields["at"]), fields["wallet"], fields["wallet_unit"]])
        hold = Hold(State.LOST, 0, 0, 0, answer=answer, body=fields["body"])
        charged = tuple(int(fields[name]) for name in ("nano", "tokens", "requests"))
        _charge(counters, hold, charged, int(fields["at"]), int(fields["lapsed"]))
    elif kind in FUNDS:
        _move(fields, counters)
    elif kind in ("approve", "ticket_end"):
        amount = int(fields["amount"])
        counters[f"{fields['budget']}:x"] += amount if kind == "approve" else -amount
    elif kind not in KINDS:
        raise ValueError(f"unknown kind of ledger entry: {kind}")


FUNDS = ("credit", "grant", "lapse", "debit", "allocate", "reclaim")


def _move(fields: dict[str, str], counters: Counters) -> None:
    amount = int(fields["amount"])
    comes = fields["kind"] in ("credit", "grant")
    changes = {fields["wallet"]: amount - int(fields.get("lapsed", 0)) if comes else -amount}
    if fields.get("to"):
        changes[fields["to"]] = amount
    for wallet, change in changes.items():
        counters[f"{wallet}:f"] += change
        counters[f"{wallet}:b"] += change


def _hold(counters: Counters, hold: Hold, nano_usd: int, tokens: int, requests: int) -> None:
    held = by_unit(nano_usd, tokens, requests)
    lines = [(line.counter, line.unit) for line in hold.budgets]
    if hold.wallet:
        lines.append(hold.wallet)
    for counter, unit in lines:
        counters[f"{counter}:h"] += held[unit]


def _charge(counters: Counters, hold: Hold, charged: tuple[int, ...], at_ms: int, lapsed: int) -> None:
    if hold.state is State.OPEN:
        _hold(counters, hold, -hold.nano_usd, -hold.tokens, -1)
        hold.state = State.SETTLED
    before = (hold.charged_nano_usd, hold.charged_tokens, hold.charged_requests)
    spent = by_unit(*(new - old for new, old in zip(charged, before, strict=True)))
    for line in hold.budgets:
        if line.unit is Unit.CONCURRENT:
            continue
        bucket = bucket_of(line.end, hold.reserved_ms)
        if bucket is None:
            counters[f"{line.counter}:s"] += spent[line.unit]
        elif at_ms < bucket.leaves_ms:
            counters[f"{line.counter}:s@{bucket.number}"] += spent[line.unit]
    if hold.wallet:
        counter, unit = hold.wallet
        counters[f"{counter}:b"] -= spent[unit] + lapsed
        counters[f"{counter}:f"] -= lapsed
    hold.charged_nano_usd, hold.charged_tokens, hold.charged_requests = charged


def by_unit(nano_usd: int, tokens: int, requests: int) -> dict[Unit, int]:
    """Amounts by unit; `requests` are calls in flight, too."""
    return {
        Unit.NANO_USD: nano_usd,
        Unit.TOKENS: tokens,
        Unit.REQUESTS: requests,
        Unit.CONCURRENT: requests,
    }
