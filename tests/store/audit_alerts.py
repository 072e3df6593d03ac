"""Which alerts a ledger must have, reckoned from its entries about holds."""

from collections import defaultdict
from collections.abc import Collection
from typing import NamedTuple

from tallystick.core.hold import Hold, read_hold
from tallystick.core.hold import State as HoldState
from tallystick.core.policy import Unit
from tests.store.backends import State


class Use(NamedTuple):
    """What a budget has spent and held: exactly, but of a rolling window somewhere between."""

    least: int
    most: int


class Books:
    """The budgets' use, entry by entry."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        self.held: dict[str, int] = defaultdict(int)
        self.spent: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        """By the instant at which it leaves the window; 0: it stays."""
        self.told: dict[str, tuple[int, int]] = {}
        """The highest threshold that was told, and until when that counts; 0: for ever."""

    def use(self, counter: str, at_ms: int) -> Use:
        parts = self.spent[counter].items()
        least = sum(amount for leaves_ms, amount in parts if not leaves_ms or leaves_ms > at_ms)
        return Use(self.held[counter] + least, self.held[counter] + sum(amount for _, amount in parts))

    def post(self, entry: dict[str, str]) -> list[tuple[str, int, tuple[int, ...]]]:
        """Counts an entry; counter, limit and thresholds of each budget whose use went up."""
        kind, key, at_ms = entry["kind"], f"{entry['tenant']}:{entry['id']}", int(entry["at"])
        if kind == "reserve":
            self.holds[key] = _hold_of(entry)
            if entry.get("tally"):  # it is held again, as of when it was first
                self.holds[key].answer = read_hold(entry["tally"]).answer
            return self._add(self.holds[key], int(entry["nano"]), int(entry["tokens"]), 1, None, at_ms)
        if kind == "extend":
            hold, nano, tokens = self.holds[key], int(entry["nano"]), int(entry["tokens"])
            hold.nano_usd, hold.tokens = hold.nano_usd + nano, hold.tokens + tokens
            return self._add(hold, nano, tokens, 0, None, at_ms)
        if kind not in ("settle", "expire", "release", "charge"):
            return []
        if kind == "charge":
            self.holds[key] = _hold_of(entry | {"nano": "0", "tokens": "0"})
            self.holds[key].state = HoldState.LOST
        if entry.get("tally"):
            self.holds[key] = read_hold(entry["tally"])
            self.holds[key].state = HoldState.LOST
        hold = self.holds[key]
        charged = [int(entry.get(name, 0)) for name in ("nano", "tokens", "requests")]
        before = (hold.charged_nano_usd, hold.charged_tokens, hold.charged_requests)
        spent = [new - old for new, old in zip(charged, before, strict=True)]
        back = (-hold.nano_usd, -hold.tokens, -1) if hold.state is HoldState.OPEN else (0, 0, 0)
        hold.charged_nano_usd, hold.charged_tokens, hold.charged_requests = charged
        hold.state = HoldState.SETTLED
        return self._add(hold, *back, spent, at_ms)

    def _add(
        self, hold: Hold, nano: int, tokens: int, requests: int, spent: list[int] | None, at_ms: int
    ) -> list[tuple[str, int, tuple[int, ...]]]:
        up = []
        for line in hold.budgets:
            if line.unit is Unit.CONCURRENT:
                continue
            slot = (Unit.NANO_USD, Unit.TOKENS, Unit.REQUESTS).index(line.unit)
            change = (nano, tokens, requests)[slot]
            self.held[line.counter] += change
            leaves_ms = _leaves_ms(line.end, hold.reserved_ms)
            if spent and (not leaves_ms or leaves_ms > at_ms):
                self.spent[line.counter][leaves_ms] += spent[slot]
                change += spent[slot]
            if change > 0:
                up.append((line.counter, line.limit, line.alerts))
        return up


def _hold_of(entry: dict[str, str]) -> Hold:
    hold = read_hold(f'["O",0,"{entry["nano"]}","{entry["tokens"]}","0","0","0","",""]\n[]\n{entry["body"]}')
    hold.answer = f'["",{entry["at"]}]'
    return hold


def _leaves_ms(end: str, reserved_ms: int) -> int:
    """When what is spent has left a rolling window; 0 of another window."""
    if not end.startswith("~"):
        return 0
    length_ms, bucket_ms = (int(part) for part in end[1:].split("+"))
    return reserved_ms // bucket_ms * bucket_ms + bucket_ms + length_ms


def check_alerts(state: State, forgotten: Collection[str] = ()) -> None:
    """Each threshold of a budget and window once, at the entry with which its use reached it, and no other.

    After that entry, in the order of the budgets; `forgotten` are those that the store has dropped.
    """
    books = Books()
    log = [entry.fields for entry in state.log]
    for n, entry in enumerate(log):
        told: dict[str, list[int]] = defaultdict(list)
        up = books.post(entry)
        for alert in log[n + 1 :] if entry["kind"] != "alert" else []:
            if alert["kind"] != "alert":
                break
            assert (alert["id"], alert["tenant"], alert["at"]) == (entry["id"], entry["tenant"], entry["at"])
            told[alert["budget"]].append(int(alert["percent"]))
            limit, alerts = next(
                (limit, alerts) for counter, limit, alerts in up if counter == alert["budget"]
            )
            use = books.use(alert["budget"], int(alert["at"]))
            if alert["budget"] not in forgotten:
                assert use.least <= int(alert["used"]) <= use.most
                assert int(alert["limit"]) == limit
                assert int(alert["percent"]) in alerts
        for counter, limit, alerts in up:
            if counter not in forgotten:
                _check_told(books, counter, limit, alerts, told[counter], int(entry["at"]))


def _check_told(
    books: Books, counter: str, limit: int, alerts: tuple[int, ...], told: list[int], at_ms: int
) -> None:
    highest, until_ms = books.told.get(counter, (0, 0))
    if until_ms and at_ms >= until_ms:
        highest = 0
    least, most = books.use(counter, at_ms)
    must = [percent for percent in alerts if percent > highest and least * 100 >= limit * percent]
    may = [percent for percent in alerts if percent > highest and most * 100 >= limit * percent]
    assert told == may[: len(told)], (counter, told, may)
    assert told[: len(must)] == must, (counter, told, must)
    if told:
        rolling = counter.rpartition(":")[2].partition("~")[2]
        books.told[counter] = (told[-1], at_ms + int(rolling) * 1_000 if rolling else 0)


def alerts_in(state: State) -> list[tuple[str, int, int]]:
    """Budget, threshold and use of each alert, in order."""
    told = [entry.fields for entry in state.log if entry.fields["kind"] == "alert"]
    return [(each["budget"].split(":")[2], int(each["percent"]), int(each["used"])) for each in told]
