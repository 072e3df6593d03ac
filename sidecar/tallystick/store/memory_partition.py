"""The state of one partition in memory: what the keys hold, in plain Python."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from tallystick.core.counters import bucket_of, rolling_ms
from tallystick.core.hold import HeldBudget, Hold, State, read_hold
from tallystick.core.ledger import Entry, by_unit
from tallystick.core.lots import REFUND_PREFIX, Account, GrantLine, lots_cells, read_lots
from tallystick.core.packing import compact
from tallystick.core.plan import WalletLine
from tallystick.core.policy import OnExpiry, Unit
from tallystick.core.weigh import thresholds_passed
from tallystick.store.asks import Stamp
from tallystick.store.freezing import Freeze
from tallystick.store.memory_ticket_ends import end_ticket
from tallystick.store.tenant_states import Suspension

SESSION_LIFE_MS = 7_776_000_000
RETRY_MS = 3_600_000
END_BEFORE_REFUSAL = 500
"""The most that one call ends, so that it stays short."""
EPOCH = 1


@dataclass(slots=True)
class Partition:
    """The state of one partition; the names are those of the keys."""

    retention_ms: int
    meta: dict[str, int] = field(default_factory=dict)
    suspensions: dict[str, Suspension] = field(default_factory=dict)
    """By tenant; in the key `meta`, too, but no numbers."""
    count: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    """The fields of `count` that are no numbers: lots, grants' periods, alerts that fired."""
    hold: dict[str, str] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    queue: list[tuple[int, bytes]] = field(default_factory=list)
    """A heap over `due`; an entry that `due` no longer has is stale."""
    log: list[Entry] = field(default_factory=list)
    policy: dict[str, str] = field(default_factory=dict)
    ticket: dict[str, str] = field(default_factory=dict)
    now_ms: int = 0
    frozen: Freeze | None = None
    """In the key `meta`, too."""

    def stamp(self) -> Stamp:
        """Where the partition stands."""
        return Stamp(self.now_ms, self.meta.get("seq", 0), self.meta.get("epoch", EPOCH))

    def version(self, tenant: str) -> int:
        """The policy version in force."""
        return self.meta.get(f"policy:{tenant}", 0)

    def suspended(self, tenant: str) -> bool:
        """Whether a tenant is switched off."""
        return tenant in self.suspensions

    def append(self, kind: str, tenant: str, entry_id: str, **fields: object) -> None:
        """Appends a ledger entry."""
        seq = self.meta["seq"] = self.meta.get("seq", 0) + 1
        common = {"kind": kind, "at": str(self.now_ms), "tenant": tenant, "id": entry_id}
        self.log.append(
            Entry(
                f"{self.stamp().epoch}-{seq}",
                common | {name: str(value) for name, value in fields.items()},
            )
        )
        self.wrote()

    def wrote(self) -> None:
        """Keeps the clock, after anything was written."""
        self.meta["clock"] = self.now_ms
        self.meta.setdefault("open", 0)
        self.meta.setdefault("seq", 0)

    def opened(self, change: int) -> None:
        """Counts open holds."""
        self.meta["open"] = self.meta.get("open", 0) + change

    def schedule(self, member: str, at_ms: int) -> None:
        """Puts a member into the due queue, or moves it there."""
        self.due[member] = at_ms
        heapq.heappush(self.queue, (at_ms, member.encode()))

    def due_now(self, limit: int) -> list[str]:
        """The first members that are due, by time and then by name."""
        members: list[str] = []
        while self.queue and self.queue[0][0] <= self.now_ms and len(members) < limit:
            at_ms, raw = heapq.heappop(self.queue)
            member = raw.decode()
            if self.due.get(member) == at_ms and member not in members:
                members.append(member)
        for member in members:
            heapq.heappush(self.queue, (self.due[member], member.encode()))
        return members

    # --- wallets

    def account(self, counter: str) -> Account:
        """A wallet as it is kept."""
        funds, balance, held = (self.count.get(f"{counter}:{suffix}", 0) for suffix in "fbh")
        lots = read_lots(self.texts.get(f"{counter}:l"))
        return Account(funds, balance, held, self.texts.get(f"{counter}:g", ""), lots)

    def keep_account(self, counter: str, account: Account) -> None:
        """Keeps a wallet, and when the first of its lots expires."""
        count, texts = self.count, self.texts
        count[f"{counter}:f"], count[f"{counter}:b"] = account.funds, account.balance
        count[f"{counter}:h"] = account.held
        if account.marker:
            texts[f"{counter}:g"] = account.marker
        texts.pop(f"{counter}:l", None)
        if account.lots:
            texts[f"{counter}:l"] = compact(lots_cells(account.lots))
        ends = [lot.expires_ms for lot in account.lots if lot.expires_ms > self.now_ms]
        if ends:
            self.schedule(f"l:{counter}", min(ends))
        else:
            self.due.pop(f"l:{counter}", None)

    def append_lapse(self, counter: str, lapsed: int) -> None:
        """The ledger's entry of what has expired, if anything has."""
        if lapsed:
            self.append("lapse", counter.partition(":")[0], counter, wallet=counter, amount=lapsed)

    def append_grant(self, tenant: str, wallet: WalletLine, came: int, lapsed: int) -> None:
        """The ledger's entry of a renewal."""
        grant, counter = wallet.grant, wallet.counter
        assert isinstance(grant, GrantLine)
        self.append(
            "grant", tenant, counter,
            wallet=counter, unit=wallet.unit, amount=came, lapsed=lapsed, expires=grant.expires_ms,
        )  # fmt: skip

    def pay(self, hold: Hold, hold_id: str, nano_usd: int, tokens: int) -> tuple[Account | None, int]:
        """The wallet of a hold once this is charged, `hold.drawn` with it, and what lapsed."""
        if hold.wallet is None:
            return None, 0
        counter, unit = hold.wallet
        in_tokens = unit is Unit.TOKENS
        account = self.account(counter)
        funds = account.funds
        account.lapse(self.now_ms)  # what nobody holds is gone, whether the sweeper has come by or not
        if hold.state is State.OPEN:
            account.held -= hold.tokens if in_tokens else hold.nano_usd
        before = hold.charged_tokens if in_tokens else hold.charged_nano_usd
        change = (tokens if in_tokens else nano_usd) - before
        if change > 0:
            hold.drawn = hold.drawn + account.charge(change)
        elif change:
            owed = before - sum(lot.amount for lot in hold.drawn)
            hold.drawn = account.refund(-change, hold.drawn, owed, REFUND_PREFIX + hold_id, self.now_ms)
        account.lapse(self.now_ms)
        return account, funds - account.funds

    # --- budgets

    def values(self, lines: Iterable[object]) -> list[int]:
        """Spent and held of each budget."""
        counters = [line.counter for line in lines]  # type: ignore[attr-defined]
        return [self.count.get(f"{counter}:{suffix}", 0) for counter in counters for suffix in "sh"]

    def post(
        self, tenant: str, hold_id: str, hold: Hold, held: dict[Unit, int], spent: dict[Unit, int] | None
    ) -> None:
        """Adds to the budgets of a hold what is held and what is spent (None: nothing)."""
        for line in hold.budgets:
            was_spent, was_held = self.values((line,))
            new = f"{line.counter}:h" not in self.count
            self.count[f"{line.counter}:h"] = was_held + held[line.unit]
            if line.unit is Unit.CONCURRENT:
                if not self.count[f"{line.counter}:h"]:
                    del self.count[f"{line.counter}:h"]
                continue
            if spent is not None:
                self._spend(line, hold.reserved_ms, spent[line.unit])
            if new:
                self._retire(line)
            used = sum(self.values((line,)))
            if used > was_spent + was_held:
                self._tell(tenant, hold_id, line, used)

    def _spend(self, line: HeldBudget, reserved_ms: int, amount: int) -> None:
        name, bucket = f"{line.counter}:s", bucket_of(line.end, reserved_ms)
        before = self.count.get(name, 0)
        self.count[name] = before
        if bucket is None:
            self.count[name] += amount
        elif bucket.leaves_ms > self.now_ms:
            self.count[name] += amount
            part = f"{name}@{bucket.number}"
            self.count[part] = self.count.get(part, 0) + amount
            self.schedule(f"b:{part}", bucket.leaves_ms)

    def _retire(self, line: HeldBudget) -> None:
        """Schedules the end of a budget's counters."""
        rolls = rolling_ms(line.end)
        if rolls:
            self.schedule(f"w:{line.counter}", self.now_ms + sum(rolls) + self.retention_ms)
        elif line.end == "session":
            self.schedule(f"w:{line.counter}", self.now_ms + SESSION_LIFE_MS)
        elif line.end != "0":
            self.schedule(f"w:{line.counter}", max(int(line.end), self.now_ms) + self.retention_ms)

    def _tell(self, tenant: str, hold_id: str, line: HeldBudget, used: int) -> None:
        """Tells of every threshold that is passed and was not told of before."""
        name, rolls = f"{line.counter}:a", rolling_ms(line.end)
        percent, _, till = self.texts.get(name, "0").partition("@")
        told = 0 if till and self.now_ms >= int(till) else int(percent)
        new = [each for each in thresholds_passed(line.limit, line.alerts, used) if each > told]
        for each in new:
            self.append(
                "alert", tenant, hold_id, budget=line.counter, percent=each, used=used, limit=line.limit
            )
        if new:
            self.texts[name] = f"{new[-1]}@{self.now_ms + rolls[0]}" if rolls else str(new[-1])

    def charge(
        self, tenant: str, hold_id: str, hold: Hold, account: Account | None, charged: tuple[int, int, int]
    ) -> None:
        """Ends what is held and brings what is charged to nano_usd, tokens and requests."""
        held = by_unit(0, 0, 0)
        if hold.state is State.OPEN:
            held = by_unit(-hold.nano_usd, -hold.tokens, -1)
            self.opened(-1)
        before = (hold.charged_nano_usd, hold.charged_tokens, hold.charged_requests)
        spent = by_unit(*(new - old for new, old in zip(charged, before, strict=True)))
        self.post(tenant, hold_id, hold, held, spent)
        if account and hold.wallet:
            self.keep_account(hold.wallet[0], account)
        hold.charged_nano_usd, hold.charged_tokens, hold.charged_requests = charged

    # --- what ends

    def end_due(self, limit: int) -> bool:
        """Ends at most `limit` due entries; True when there may be more."""
        members = self.due_now(limit)
        for member in members:
            name = member[2:]
            if member.startswith("r:") and self.hold.get(name, "").startswith(f'["{State.OPEN}"'):
                self._expire(member, read_hold(self.hold[name]))
            elif member.startswith("w:"):
                self._end_window(member, name)
            elif member.startswith("b:"):
                self._end_bucket(member, name)
            elif member.startswith("l:"):
                self._end_lots(name)
            elif member.startswith("t:"):
                end_ticket(self, member)
            else:
                self.hold.pop(name, None)
                del self.due[member]
            self.wrote()
        return len(members) == limit

    def _expire(self, member: str, hold: Hold) -> None:
        tenant, _, hold_id = member[2:].split(":", 2)
        charged = (hold.nano_usd, hold.tokens, 1) if hold.on_expiry is OnExpiry.CHARGE else (0, 0, 0)
        account, lapsed = self.pay(hold, hold_id, charged[0], charged[1])
        nano_usd, tokens, requests = charged
        self.append(
            "expire", tenant, hold_id,
            nano=nano_usd, tokens=tokens, requests=requests, drawn=drawn_text(hold), lapsed=lapsed,
        )  # fmt: skip
        self.charge(tenant, hold_id, hold, account, charged)
        hold.state = State.EXPIRED if requests else State.RELEASED
        self.hold[member[2:]] = hold.text()
        self.schedule(member, self.now_ms + self.retention_ms)

    def _end_window(self, member: str, counter: str) -> None:
        told_till = int(self.texts.get(f"{counter}:a", "").partition("@")[2] or 0)
        rolls = "~" in counter.rpartition(":")[2] and self.count.get(f"{counter}:s")
        if rolls or told_till > self.now_ms or self.count.get(f"{counter}:h"):
            self.schedule(member, self.now_ms + RETRY_MS)
            return
        self.count.pop(f"{counter}:s", None)
        self.count.pop(f"{counter}:h", None)
        self.texts.pop(f"{counter}:a", None)
        del self.due[member]

    def _end_bucket(self, member: str, part: str) -> None:
        total, amount = part.rpartition("@")[0], self.count.pop(part, 0)
        if total in self.count:
            self.count[total] -= amount
        del self.due[member]

    def _end_lots(self, counter: str) -> None:
        account = self.account(counter)
        lapsed = account.lapse(self.now_ms)
        self.append_lapse(counter, lapsed)
        self.keep_account(counter, account)


def drawn_text(hold: Hold) -> str:
    """What was drawn for a hold, as the ledger keeps it."""
    return compact(lots_cells(hold.drawn)) if hold.drawn else ""
