"""What is true of every state of a partition, reckoned without the code under test."""

from collections import Counter
from collections.abc import Iterable

from tallystick.core.hold import State as HoldState
from tallystick.core.hold import read_hold
from tallystick.core.ledger import Entry, replay
from tallystick.core.policy import Unit
from tests.store.backends import RETENTION_MS, State


def held_by_open_holds(state: State) -> dict[str, int]:
    """What the open holds' records hold together, by counter; zeros left out."""
    held: Counter[str] = Counter()
    for name, text in state.hold.items():
        if name.split(":")[1] != "r" or not text.startswith(HoldState.OPEN):
            continue
        hold = read_hold(text)
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
    opened = [name for name, text in state.hold.items() if ":r:" in name and text.startswith(HoldState.OPEN)]
    assert state.meta.get("open", 0) == len(opened)
    for name in opened:
        assert state.due[f"r:{name}"] == read_hold(state.hold[name]).expires_ms


def check_kept(state: State) -> None:
    """Whatever is kept for a time has its end in the due queue, and nothing else has."""
    kept = {f"{'r' if name.split(':')[1] == 'r' else 'a'}:{name}" for name in state.hold}
    assert {member for member in state.due if member[0] != "w"} == kept


def check_ledger(state: State, forgotten: Iterable[str] = ()) -> None:
    """The ledger replays to the counters; `forgotten` are those that the store has dropped."""
    gone = {f"{counter}:{suffix}" for counter in forgotten for suffix in "sh"}
    replayed = {name: value for name, value in replay(state.log).items() if name not in gone}
    counted = {name: value for name, value in state.count.items() if value and name not in gone}
    assert replayed == counted
    assert [entry.entry_id for entry in state.log] == [f"1-{n + 1}" for n in range(len(state.log))]
    assert state.meta.get("seq", 0) == len(state.log)


def check_money(state: State) -> None:
    """Credits − charges = balances, and the funds are the credits."""
    funds: Counter[str] = Counter()
    charged: dict[str, tuple[str, int]] = {}
    spent: Counter[str] = Counter()
    for _, entry in state.log:
        key = f"{entry['tenant']}:{entry['id']}"
        if entry["kind"] == "credit":
            funds[entry["wallet"]] += int(entry["amount"])
        elif entry["kind"] == "reserve":
            charged[key] = (entry["wallet"], 0)
        elif entry["kind"] in ("settle", "expire", "release"):
            if entry.get("tally"):
                paying = read_hold(entry["tally"]).wallet
                charged[key] = (paying[0] if paying else "", 0)
            counter, before = charged[key]
            field = "tokens" if counter.endswith(f":{Unit.TOKENS}") else "nano"
            after = int(entry.get(field, "0"))
            spent[counter] += after - before
            charged[key] = (counter, after)
    wallets = {name[:-2] for name in state.count if ":w:" in name}
    for wallet in wallets:
        assert state.count.get(f"{wallet}:f", 0) == funds[wallet]
        assert state.count.get(f"{wallet}:b", 0) == funds[wallet] - spent[wallet]


def ended_windows(state: State, now_ms: int, retention_ms: int = RETENTION_MS) -> set[str]:
    """The counters that a store may have dropped by now."""
    ended = set()
    for name in {*replay(state.log), *state.count}:
        counter, window = name[:-2], name[:-2].rpartition(":")[2][1:]
        if ":b:" in counter and window:
            start, length = window.split("+")
            if (int(start) + int(length)) * 1000 + retention_ms <= now_ms:
                ended.add(counter)
    return ended


def kinds(log: Iterable[Entry]) -> list[str]:
    """The kinds of entries, in order."""
    return [entry.fields["kind"] for entry in log]


def check_all(state: State, forgotten: Iterable[str] = ()) -> None:
    """All of the above."""
    check_holds(state)
    check_kept(state)
    check_ledger(state, forgotten)
    check_money(state)
