"""The ledger: one entry for every change of money, and the replay to balances."""

from collections.abc import Iterable
from typing import NamedTuple

from tallystick.core.hold import Hold, State, read_hold
from tallystick.core.policy import Unit


class Entry(NamedTuple):
    """One entry of a partition's ledger."""

    entry_id: str
    """`EPOCH-SEQ`, without gaps within an epoch."""
    fields: dict[str, str]
    """`kind`, `at` (Unix ms), `tenant`, `id`, and what the kind tells."""


KINDS = ("reserve", "settle", "release", "refuse", "expire", "extend", "credit", "policy")

Counters = dict[str, int]


def replay(entries: Iterable[Entry]) -> Counters:
    """The counters that follow from the entries alone; those at zero are left out.

    Counters of ended windows, which a store drops in time, are in it.

    Raises:
        ValueError: an entry is of unknown kind, or the sequence has a gap.
    """
    counters: Counters = {}
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
        answer = f"\t{fields['at']}\t{fields['wallet']}\t{fields['wallet_unit']}"
        hold = Hold(
            State.OPEN, 0, int(fields["nano"]), int(fields["tokens"]), answer=answer, body=fields["body"]
        )
        holds[key] = hold
        post(counters, hold, hold.nano_usd, hold.tokens, 1)
    elif kind == "extend":
        hold, nano_usd, tokens = holds[key], int(fields["nano"]), int(fields["tokens"])
        post(counters, hold, nano_usd, tokens, 0)
        hold.nano_usd += nano_usd
        hold.tokens += tokens
    elif kind in ("settle", "expire"):
        if fields.get("tally"):
            holds[key] = read_hold(fields["tally"])
            holds[key].state = State.LOST
        charge(counters, holds[key], int(fields["nano"]), int(fields["tokens"]), int(fields["requests"]))
    elif kind == "release":
        charge(counters, holds[key], 0, 0, 0)
    elif kind == "credit":
        for suffix in (":f", ":b"):
            name = fields["wallet"] + suffix
            counters[name] = counters.get(name, 0) + int(fields["amount"])
    elif kind not in KINDS:
        raise ValueError(f"unknown kind of ledger entry: {kind}")


def post(counters: Counters, hold: Hold, nano_usd: int, tokens: int, requests: int) -> None:
    """Adds to what is held in a hold's counters; `requests` are calls in flight, too."""
    held = {
        Unit.NANO_USD: nano_usd,
        Unit.TOKENS: tokens,
        Unit.REQUESTS: requests,
        Unit.CONCURRENT: requests,
    }
    lines = [(line.counter, line.unit) for line in hold.budgets]
    if hold.wallet:
        lines.append(hold.wallet)
    for counter, unit in lines:
        name = f"{counter}:h"
        counters[name] = counters.get(name, 0) + held[unit]
        if unit is Unit.CONCURRENT and not counters[name]:
            del counters[name]


def charge(counters: Counters, hold: Hold, nano_usd: int, tokens: int, requests: int) -> None:
    """Ends what is held and brings what is charged to these amounts."""
    if hold.state is State.OPEN:
        post(counters, hold, -hold.nano_usd, -hold.tokens, -1)
        hold.state = State.SETTLED
    else:
        post(counters, hold, 0, 0, 0)
    spent = {
        Unit.NANO_USD: nano_usd - hold.charged_nano_usd,
        Unit.TOKENS: tokens - hold.charged_tokens,
        Unit.REQUESTS: requests - hold.charged_requests,
    }
    for line in hold.budgets:
        if line.unit is not Unit.CONCURRENT:
            name = f"{line.counter}:s"
            counters[name] = counters.get(name, 0) + spent[line.unit]
    if hold.wallet:
        counter, unit = hold.wallet
        counters[f"{counter}:b"] = counters.get(f"{counter}:b", 0) - spent[unit]
    hold.charged_nano_usd, hold.charged_tokens, hold.charged_requests = nano_usd, tokens, requests
