"""Random policies, prior spend and calls, for what a refusal and a dry run promise."""

import random
import time
from typing import Any, ClassVar

from tallystick.store.keys import partition_of
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import ALLOW, Caller, new_tenant, ref

PRICES = """
prices:
  models:
    grand: {input: 10, output: 30}
    mid: {input: 4, output: 8}
    tiny: {input: 1, output: 2}
    gift: {free: true}
"""
MODELS = ("grand", "mid", "tiny", "gift")
WINDOWS = ("minute", "hour", "day", "90s", "rolling 30s", "rolling 10m", "rolling 7h", "total", "session")
LIMITS = (
    "0.02 USD", "0.05 USD", "0.2 USD", "3k tokens", "8k tokens", "20k tokens", "2 requests", "9 requests"
)  # fmt: skip
DAY_MS = 86_400_000
PARTITION = 7
"""Of all worlds: the sidecar takes over its clock, which only goes forward."""


class World:
    """A tenant of its own under a random policy, at a time that stands still until it is moved."""

    latest_ms: ClassVar[int] = 0

    def __init__(self, caller: Caller, books: Books, choice: random.Random) -> None:
        self.caller, self.books, self.choice = caller, books, choice
        caller.tenant = new_tenant()
        while partition_of(caller.tenant, books.partitions) != PARTITION:
            caller.tenant = new_tenant()
        self.stop_clock(max(time.time_ns() // 1_000_000, World.latest_ms + 1))
        self.granted = False
        caller.apply(self.policy())

    def stop_clock(self, now_ms: int) -> None:
        """Until `Books.put_clocks_right`."""
        self.now_ms = World.latest_ms = now_ms
        self.books.stop_clock(self.caller.tenant, now_ms)

    def policy(self) -> str:
        choice, lines = self.choice, [PRICES]
        if choice.random() < 0.6:
            lines.append("wallets:")
            for name, per in (("user", "per: [user]"), ("org", ""))[choice.randrange(2) :]:
                self.granted = granted = choice.random() < 0.5
                amount, over = choice.choice(("0.01", "0.04")), choice.choice(("", ", rollover: 50%"))
                grant = f"grant: {{amount: {amount} USD, every: day{over}}}" if granted else ""
                lines.append(f"  {name}: {{{', '.join(filter(None, (per, grant)))}}}")
        names = [f"b{n}" for n in range(choice.randrange(0 if len(lines) > 1 else 1, 4))]
        lines += ["budgets:"] if names else []
        for name in names:
            cells = [f"limit: {choice.choice(LIMITS)}", f"window: {choice.choice(WINDOWS)}"]
            if choice.random() < 0.3:
                cells.append(f"match: {{model: [{', '.join(choice.sample(MODELS, 2))}]}}")
            if choice.random() < 0.2:
                cells.append("overage: 20%")
            elif choice.random() < 0.3:
                cells.append("priorities: {low: 50%, normal: 90%}")
            lines.append(f"  {name}: {{{', '.join(cells)}}}")
        if choice.random() < 0.6:
            at = choice.choice((50, 80, 100))
            lines.append(f"downgrade:\n  - {{model: grand, to: [mid, tiny], at: {at}%}}")
            if choice.random() < 0.4:
                lines.append("  - {model: mid, to: [gift]}")
        if choice.random() < 0.2:
            lines.append("models: {deny: [mid]}")
        return "\n".join(lines)

    def call(self, **fields: Any) -> pb.ReserveRequest:
        choice = self.choice
        estimate = pb.TokenEstimate(input=choice.randrange(2_000), max_output=choice.randrange(1, 3_000))
        fields.setdefault("model", choice.choice(("grand", "grand", "mid", "tiny")))
        subject = pb.Subject(user="alice", session="s", priority=choice.choice(("", "low", "high")))
        return self.caller.ask(estimate=estimate, subject=subject, **fields)

    def spend(self) -> None:
        """What came before: credits, and calls at several times, most of them settled."""
        choice, caller = self.choice, self.caller
        wallets = [name for name in ("user", "org") if f"\n  {name}: " in self.document()]
        for name in wallets:
            group = {"user": "alice"} if name == "user" else {}
            for _ in range(choice.randrange(3)):
                expires = choice.choice((None, self.now_ms + choice.choice((60_000, 3_600_000))))
                caller.credit_lot(
                    choice.choice((5, 20, 60)) * 1_000_000,
                    ref(name, **group), expires=expires,
                )  # fmt: skip
        for _ in range(choice.randrange(7)):
            self.stop_clock(self.now_ms + choice.choice((0, 1, 700, 20_000, 200_000)))
            answer = caller.send(self.call(ttl=86_400))
            if answer.result != ALLOW:
                continue
            if self.granted or choice.random() < 0.8:
                usage = pb.Usage(input=choice.randrange(3_000), output=choice.randrange(3_000))
                caller.settle(answer.reservation_id, usage=usage)
        self.stop_clock(self.now_ms + choice.choice((1, 10_000, 300_000)))

    def document(self) -> str:
        state = self.books.of_tenant(self.caller.tenant)
        return state.policy[max(state.policy)]

    def outcome(self, request: pb.ReserveRequest) -> tuple[bool, str]:
        """Whether it is allowed, and with which model; it is as if it had not been asked."""
        answer = self.caller.send(request)
        if answer.result == ALLOW:
            self.caller.release(answer.reservation_id)
        return answer.result == ALLOW, answer.model
