"""What is true of every state of a partition, reckoned without the code under test."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from tallystick.core.hold import Hold, read_hold
from tallystick.core.hold import State as HoldState
from tallystick.core.ledger import Entry, replay
from tallystick.core.lots import Lot, read_lots
from tallystick.core.policy import Unit
from tallystick.core.tickets import Ticket, TicketState, read_ticket
from tests.store.audit_alerts import check_alerts
from tests.store.backends import RETENTION_MS, State

ROLLING = re.compile(r"^(.*:.~(\d+)):s(?:@(\d+))?$")
"""A rolling window's `:s` or one of its sub-buckets: counter, length in seconds, number."""


def open_holds(state: State) -> dict[str, Hold]:
    """The records of the open holds, by name."""
    holds = {name: read_hold(text) for name, text in state.hold.items() if name.split(":")[1] == "r"}
    return {name: hold for name, hold in holds.items() if hold.state is HoldState.OPEN}


def held_by_open_holds(state: State) -> dict[str, int]:
    """What the open holds' records hold together, by counter; zeros left out."""
    held: Counter[str] = Counter()
    for hold in open_holds(state).values():
        amounts = {
            Unit.NANO_USD: hold.nano_usd,
            Unit.TOKENS: hold.tokens,
            Unit.REQUESTS: 1,
            Unit.CONCURRENT: 1,
        }
        for line in hold.budgets:
            held[f"{line.counter}:h"] += amounts[line.unit]
        if hold.wallet:
            counter, unit = hold.wallet
            held[f"{counter}:h"] += amounts[unit]
    return {name: amount for name, amount in held.items() if amount}


def check_holds(state: State) -> None:
    """Held totals are the sums of open holds; each open hold is due; their number is known."""
    held = {name: amount for name, amount in state.count.items() if name.endswith(":h") and amount}
    assert held == held_by_open_holds(state)
    opened = open_holds(state)
    assert state.meta.get("open", 0) == len(opened)
    for name, hold in opened.items():
        assert state.due[f"r:{name}"] == hold.expires_ms


def check_kept(state: State) -> None:
    """Whatever is kept for a time has its end in the due queue, and nothing else has."""
    kept = {f"{'r' if name.split(':')[1] == 'r' else 'a'}:{name}" for name in state.hold}
    kept |= {f"b:{name}" for name in state.count if ":s@" in name}
    kept |= {f"t:{name}" for name in tickets_of(state)}
    assert {member for member in state.due if member[0] not in "wl"} == kept
    for name in state.count:
        unit_and_window = name.rpartition(":")[0].rpartition(":")[2]
        if (
            ":b:" in name
            and ":s@" not in name
            and not name.endswith(":x")
            and unit_and_window[0] != Unit.CONCURRENT
            and unit_and_window[1:]
        ):
            assert f"w:{name.rpartition(':')[0]}" in state.due, name


def tickets_of(state: State) -> dict[str, Ticket]:
    """The tickets, by name."""
    records = {name: text for name, text in state.ticket.items() if name.split(":")[1] == "t"}
    return {name: read_ticket(name.split(":", 2)[2], text) for name, text in records.items()}


def check_tickets(state: State) -> None:
    """Allowances are the sums of approved tickets; the latest of a budget is known, and only one is open."""
    tickets, allowances, opened = tickets_of(state), Counter[str](), Counter[str]()
    for name, ticket in tickets.items():
        if ticket.state is TicketState.APPROVED:
            allowances[f"{ticket.counter}:x"] += ticket.amount
        if ticket.state in (TicketState.OPEN, TicketState.APPROVED):
            assert state.due[f"t:{name}"] == ticket.expires_ms
        if ticket.state is TicketState.OPEN:
            opened[ticket.counter] += 1
            assert state.ticket[ticket.counter] == ticket.id
    assert {name: value for name, value in state.count.items() if name.endswith(":x")} == allowances
    assert set(opened.values()) <= {1}
    latest = {counter: text for counter, text in state.ticket.items() if counter.split(":")[1] == "b"}
    assert len(latest) + len(tickets) == len(state.ticket)
    for counter, ticket_id in latest.items():
        assert tickets[f"{counter.split(':')[0]}:t:{ticket_id}"].counter == counter


def check_lots_due(state: State) -> None:
    """A lot that expires has its entry; one that outlived its expiry is kept for open holds alone."""
    clock = state.meta.get("clock", 0)
    for name, text in state.texts.items():
        if not name.endswith(":l"):
            continue
        ends = [lot.expires_ms for lot in read_lots(text) if lot.expires_ms]
        entry = state.due.get(f"l:{name[:-2]}")
        later = [end for end in ends if end > clock]
        if later:
            assert entry is not None, name
            assert entry <= min(later)
        if entry is not None:
            assert entry in ends
        elif not later and ends:
            expired = sum(lot.amount for lot in read_lots(text) if lot.expires_ms)
            assert expired <= state.count[f"{name[:-2]}:h"], name
    waiting = {member[2:] for member in state.due if member.startswith("l:")}
    assert {f"{counter}:l" for counter in waiting} <= state.texts.keys()


def check_lots(state: State) -> None:
    """A wallet's lots are its balance; in debt it has none. They stand in the order of the draw."""
    wallets = {name[:-2] for name in {*state.count, *state.texts} if name.split(":")[1] == "w"}
    for wallet in wallets:
        lots = read_lots(state.texts.get(f"{wallet}:l"))
        assert sum(lot.amount for lot in lots) == max(0, state.count.get(f"{wallet}:b", 0)), wallet
        assert all(lot.amount > 0 for lot in lots)
        assert lots == sorted(lots, key=draw_order), lots


def draw_order(lot: Lot) -> tuple[int, float]:
    """By kind, and the sooner it expires."""
    return lot.kind, lot.expires_ms or float("inf")


def check_ledger(state: State, forgotten: Iterable[str] = ()) -> None:
    """The ledger replays to the counters; `forgotten` are those that the store has dropped."""
    gone = {f"{counter}:{suffix}" for counter in forgotten for suffix in "sh"}
    replayed = {name: value for name, value in replay(state.log).items() if name not in gone}
    for name in [name for name in replayed if ":s@" in name and name not in state.count]:
        _, leaves_ms = _bucket(name)
        assert leaves_ms <= state.meta["clock"], name
        del replayed[name]
    rolling: Counter[str] = Counter()
    for name, value in state.count.items():
        if ":s@" in name:
            rolling[name.rpartition("@")[0]] += value
    sums = {name: value for name, value in state.count.items() if _is_sum(name)}
    assert {name: value for name, value in sums.items() if value} == +rolling
    counted = {name: v for name, v in state.count.items() if v and name not in gone and name not in sums}
    assert replayed == counted
    places = [tuple(map(int, entry.entry_id.split("-"))) for entry in state.log]
    assert [seq for _, seq in places] == list(range(1, len(places) + 1))
    assert places == sorted(places)
    assert state.meta.get("seq", 0) == len(state.log)


def _is_sum(name: str) -> bool:
    match = ROLLING.match(name)
    return bool(match) and match[3] is None  # type: ignore[index]


def _bucket(name: str) -> tuple[str, int]:
    """The counter of a sub-bucket, and when it has left its window."""
    match = ROLLING.match(name)
    assert match, name
    length_ms = int(match[2]) * 1_000
    bucket_ms = -(-length_ms // 60)
    return match[1], (int(match[3]) + 1) * bucket_ms + length_ms


def check_money(state: State) -> None:
    """What came, less what lapsed and was taken out, are the funds; less what was charged, the balances."""
    funds: Counter[str] = Counter()
    charged: dict[str, tuple[str, int]] = {}
    spent: Counter[str] = Counter()
    for _, entry in state.log:
        key = f"{entry['tenant']}:{entry['id']}"
        lapsed = int(entry.get("lapsed", "0"))
        if entry["kind"] in ("credit", "grant"):
            funds[entry["wallet"]] += int(entry["amount"]) - lapsed
        elif entry["kind"] in ("lapse", "debit", "allocate", "reclaim"):
            funds[entry["wallet"]] -= int(entry["amount"])
            funds[entry.get("to", "")] += int(entry["amount"])
        elif entry["kind"] == "reserve":
            charged[key] = (entry["wallet"], 0)
        elif entry["kind"] in ("settle", "expire", "release", "charge"):
            if entry["kind"] == "charge":
                charged[key] = (entry["wallet"], 0)
            if entry.get("tally"):
                paying = read_hold(entry["tally"]).wallet
                charged[key] = (paying[0] if paying else "", 0)
            counter, before = charged[key]
            field = "tokens" if counter.endswith(f":{Unit.TOKENS}") else "nano"
            after = int(entry.get(field, "0"))
            spent[counter] += after - before
            funds[counter] -= lapsed
            charged[key] = (counter, after)
    wallets = {name[:-2] for name in state.count if ":w:" in name}
    for wallet in wallets:
        assert state.count.get(f"{wallet}:f", 0) == funds[wallet]
        assert state.count.get(f"{wallet}:b", 0) == funds[wallet] - spent[wallet]


def check_drawn(state: State) -> None:
    """What was drawn for a hold is at most what it was charged; the rest was debt."""
    drawn: dict[str, int] = defaultdict(int)
    for _, entry in state.log:
        if entry["kind"] in ("settle", "expire", "release", "charge"):
            lots = read_lots(entry["drawn"])
            assert all(lot.amount > 0 for lot in lots)
            drawn[f"{entry['tenant']}:r:{entry['id']}"] = sum(lot.amount for lot in lots)
    for name, text in state.hold.items():
        if name.split(":")[1] != "r":
            continue
        hold = read_hold(text)
        in_tokens = hold.wallet is not None and hold.wallet[1] is Unit.TOKENS
        charged = hold.charged_tokens if in_tokens else hold.charged_nano_usd
        taken = sum(lot.amount for lot in hold.drawn)
        assert taken <= charged if hold.wallet else not taken
        if hold.state is not HoldState.OPEN and hold.wallet:
            assert taken == drawn[name]


def ended_windows(state: State, now_ms: int, retention_ms: int = RETENTION_MS) -> set[str]:
    """The counters that a store may have dropped by now; those of rolling windows end bucket by bucket."""
    ended = set()
    alerted = {f"{entry.fields['budget']}:s" for entry in state.log if entry.fields["kind"] == "alert"}
    for name in {*replay(state.log), *state.count, *alerted}:
        counter, window = name[:-2], name[:-2].rpartition(":")[2][1:]
        if ":b:" in counter and "+" in window:
            start, length = window.split("+")
            if (int(start) + int(length)) * 1000 + retention_ms <= now_ms:
                ended.add(counter)
    return ended


def kinds(log: Iterable[Entry]) -> list[str]:
    """The kinds of entries, in order."""
    return [entry.fields["kind"] for entry in log]


def check_all(state: State, forgotten: Iterable[str] = ()) -> None:
    """All of the above."""
    forgotten = set(forgotten)
    check_holds(state)
    check_kept(state)
    check_tickets(state)
    check_lots_due(state)
    check_lots(state)
    check_ledger(state, forgotten)
    check_money(state)
    check_drawn(state)
    check_alerts(state, forgotten)
