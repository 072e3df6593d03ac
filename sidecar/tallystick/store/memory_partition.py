"""The state of one partition in memory: what the keys hold, in plain Python."""

import heapq
from dataclasses import dataclass, field

from tallystick.core.hold import Hold, State, read_hold
from tallystick.core.ledger import Entry, charge
from tallystick.core.plan import Plan
from tallystick.core.policy import OnExpiry, Unit
from tallystick.store.base import Stamp

SESSION_LIFE_MS = 7_776_000_000
RETRY_MS = 3_600_000
EPOCH = 1


@dataclass(slots=True)
class Partition:
    """The state of one partition; the names are those of the keys."""

    retention_ms: int
    meta: dict[str, int] = field(default_factory=dict)
    count: dict[str, int] = field(default_factory=dict)
    hold: dict[str, str] = field(default_factory=dict)
    due: dict[str, int] = field(default_factory=dict)
    queue: list[tuple[int, bytes]] = field(default_factory=list)
    """A heap over `due`; an entry that `due` no longer has is stale."""
    log: list[Entry] = field(default_factory=list)
    policy: dict[str, str] = field(default_factory=dict)
    now_ms: int = 0

    def stamp(self) -> Stamp:
        """Where the partition stands."""
        return Stamp(self.now_ms, self.meta.get("seq", 0), EPOCH)

    def version(self, tenant: str) -> int:
        """The policy version in force."""
        return self.meta.get(f"policy:{tenant}", 0)

    def append(self, kind: str, tenant: str, entry_id: str, **fields: object) -> None:
        """Appends a ledger entry."""
        seq = self.meta["seq"] = self.meta.get("seq", 0) + 1
        common = {"kind": kind, "at": str(self.now_ms), "tenant": tenant, "id": entry_id}
        self.log.append(
            Entry(f"{EPOCH}-{seq}", common | {name: str(value) for name, value in fields.items()})
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

    def values(self, plan: Plan) -> list[int]:
        """Balance and held of each wallet of the plan, spent and held of each budget."""
        names = [f"{line.counter}:{suffix}" for line in plan.wallets for suffix in "bh"]
        names += [f"{line.counter}:{suffix}" for line in plan.budgets for suffix in "sh"]
        return [self.count.get(name, 0) for name in names]

    def charge(self, hold: Hold, nano_usd: int, tokens: int, requests: int) -> None:
        """Ends what is held and brings what is charged to these amounts."""
        self.opened(-1 if hold.state is State.OPEN else 0)
        self.retire(hold)
        charge(self.count, hold, nano_usd, tokens, requests)

    def retire(self, hold: Hold) -> None:
        """Schedules the end of counters that the hold brings into being."""
        for line in hold.budgets:
            if line.unit is Unit.CONCURRENT or f"{line.counter}:h" in self.count or line.end == "0":
                continue
            if line.end == "session":
                self.schedule(f"w:{line.counter}", self.now_ms + SESSION_LIFE_MS)
            else:
                self.schedule(f"w:{line.counter}", max(int(line.end), self.now_ms) + self.retention_ms)

    def end_due(self, limit: int) -> bool:
        """Ends at most `limit` due entries; True when there may be more."""
        members = self.due_now(limit)
        for member in members:
            name = member[2:]
            if member.startswith("r:") and self.hold.get(name, "").startswith(State.OPEN):
                self._expire(member, read_hold(self.hold[name]))
            elif member.startswith("w:"):
                self._end_window(member, name)
            else:
                self.hold.pop(name, None)
                del self.due[member]
            self.wrote()
        return len(members) == limit

    def _expire(self, member: str, hold: Hold) -> None:
        tenant, _, reservation_id = member[2:].split(":", 2)
        charged = (hold.nano_usd, hold.tokens, 1) if hold.on_expiry is OnExpiry.CHARGE else (0, 0, 0)
        nano_usd, tokens, requests = charged
        self.append("expire", tenant, reservation_id, nano=nano_usd, tokens=tokens, requests=requests)
        self.charge(hold, *charged)
        hold.state = State.EXPIRED if requests else State.RELEASED
        self.hold[member[2:]] = hold.text()
        self.schedule(member, self.now_ms + self.retention_ms)

    def _end_window(self, member: str, counter: str) -> None:
        if self.count.get(f"{counter}:h"):
            self.schedule(member, self.now_ms + RETRY_MS)
            return
        self.count.pop(f"{counter}:s", None)
        self.count.pop(f"{counter}:h", None)
        del self.due[member]
