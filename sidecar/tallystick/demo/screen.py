"""What the terminal shows: calls as they end, what is in flight, and the wallets going down.

Where the output is no terminal, the same lines come without colours and without
the moving part.
"""

import contextlib
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tallystick.v1.budget_pb2 import Reason, Refusal, ReserveRequest, ReserveResponse, WalletState

CASCADE = ("user", "team", "org", "service")
IN_FLIGHT_SHOWN = 4
INDENT = 7
HEADER = f"{'s':>5}  {'agent':<7} {'model':<12} {'answer':<6} {'held':>8} {'charged':>8}  why"


@dataclass(frozen=True)
class Call:
    """A call that was decided."""

    agent: str
    model: str
    held_nano_usd: int
    payer: str
    downgrade: str = ""
    """Which model stands in for which, and why."""


class Screen:
    """Shows what it is told. `console` decides on colours and width."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.wallets: Sequence[WalletState] = ()
        self._calls: dict[str, Call] = {}
        self._in_flight: set[str] = set()
        self._charged: dict[str, int] = {}
        self._explained: set[tuple[str, str]] = set()
        self._started_s = time.monotonic()
        plain = console.options.ascii_only
        self._full, self._part, self._empty = "#=." if plain else "█▒░"
        self._arrow = "->" if plain else "→"
        self.yes, self.no = ("ok", "WRONG") if plain else ("✔", "✘")

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """Show the moving part as long as the block runs, where there is a terminal."""
        self._started_s = time.monotonic()
        self.say(Text(HEADER, "bold"))
        # FORCE_COLOR makes a terminal of a file, which can have colours but nothing that moves.
        if not self.console.file.isatty() or not self.console.is_terminal or self.console.is_dumb_terminal:
            yield
            return
        with Live(
            get_renderable=self._moving_part, console=self.console, refresh_per_second=8, transient=True
        ):
            yield

    def say(self, line: str | Text | Group) -> None:
        """Print a line: cut where the terminal ends, whole in a file."""
        if self.console.is_terminal:
            self.console.print(line, no_wrap=True, overflow="ellipsis")
        else:
            self.console.print(line, soft_wrap=True)

    def tell(self, headline: str) -> None:
        """Announce what just happened."""
        self._below(f">> {headline}", "bold red")

    def decided(self, request: ReserveRequest, answer: ReserveResponse) -> None:
        """A Reserve was answered."""
        agent = request.subject.user or request.subject.service
        if not answer.HasField("refusal"):
            payer = answer.wallet_group or answer.wallet
            call = Call(agent, answer.model, answer.cost.nano_usd, payer, self._downgrade(answer))
            self.held(answer.reservation_id, call)
            return
        reason, style = _reason(answer.refusal)
        self.refused(Call(agent, answer.model, 0, ""), reason, _because(answer.refusal), style)

    def held(self, reservation_id: str, call: Call) -> None:
        """A call may be made."""
        self._calls[reservation_id] = call
        self._in_flight.add(reservation_id)

    def refused(self, call: Call, reason: str, because: str, style: str = "red") -> None:
        """A call may not be made."""
        self._line(call, Text("DENY  ", f"bold {style}"), "", "", Text(reason, style))
        self._explain(call.agent, reason.partition(",")[0], because, "dim")

    def ended(self, reservation_id: str, charged_nano_usd: int, remark: str) -> None:
        """A Settle or a Release was answered; without a remark, it was paid as usual."""
        self._in_flight.discard(reservation_id)
        self._charged[reservation_id] = charged_nano_usd
        call = self._calls[reservation_id]
        why = Text(remark, "yellow") if remark else Text(f"paid by {call.payer}", "dim")
        held, charged = money(call.held_nano_usd), money(charged_nano_usd)
        self._line(call, Text("ALLOW ", "green"), held, charged, why)
        if call.downgrade:
            self._explain(call.agent, call.model, call.downgrade, "yellow")

    def in_flight(self, agent: str = "") -> int:
        """How many calls are held and have not ended, of all or of one."""
        return sum(agent in {"", self._calls[identity].agent} for identity in self._in_flight)

    def charged(self, agent: str) -> int:
        """What its calls were charged, in nano-dollars."""
        return sum(
            amount for identity, amount in self._charged.items() if self._calls[identity].agent == agent
        )

    def bars(self) -> Group:
        """Every wallet: what is left, what is held, what is spent."""
        states = sorted(self.wallets, key=lambda w: (CASCADE.index(w.name), w.group))
        return Group(*(self._bar(state) for state in states))

    def _bar(self, wallet: WalletState) -> Text:
        width = max(10, min(40, self.console.width - 42))
        left = max(0, wallet.available) * width // max(1, wallet.funds)
        held = min(width - left, -(-wallet.held * width // max(1, wallet.funds)))
        style = "green" if wallet.available * 5 > wallet.funds else "red"
        return Text.assemble(
            f"  {wallet.group:<14} ",
            (self._full * left, style),
            (self._part * held, "yellow"),
            (self._empty * (width - left - held), "dim"),
            f"  {money(wallet.available)} of {money(wallet.funds, 2)} left",
        )

    def _line(self, call: Call, verdict: Text, held: str, charged: str, why: Text) -> None:
        second = f"{time.monotonic() - self._started_s:5.1f}"
        names = f"  {call.agent:<7} {call.model:<12} "
        amounts = f" {held:>8} {charged:>8}  "
        line = Text.assemble((second, "dim"), names, verdict, amounts, why)
        self.say(line)

    def _downgrade(self, answer: ReserveResponse) -> str:
        if not answer.HasField("downgrade"):
            return ""
        asked, because = answer.downgrade.asked_model, answer.downgrade.message.partition(": ")[2]
        return f"{self.instead(asked, answer.model)}, because {because}"

    def instead(self, asked: str, used: str) -> str:
        """Say that a model stands in for another one."""
        return f"{asked} {self._arrow} {used}"

    def _explain(self, agent: str, what: str, words: str, style: str) -> None:
        """Say it the first time only."""
        if (agent, what) not in self._explained:
            self._explained.add((agent, what))
            self._below(words, style)

    def _below(self, words: str, style: str) -> None:
        indent = " " * INDENT
        for line in textwrap.wrap(words, self.console.width - INDENT, break_long_words=False):
            self.say(Text(indent + line, style))

    def _moving_part(self) -> Group:
        # A copy: the display has a thread of its own.
        calls = [call for identity, call in list(self._calls.items()) if identity in self._in_flight]
        shown = [
            Text(f"  {c.agent:<7} {c.model:<12} {money(c.held_nano_usd):>8} held", "yellow")
            for c in calls[:IN_FLIGHT_SHOWN]
        ]
        shown += [Text()] * (IN_FLIGHT_SHOWN - len(shown))
        flight = Text(f"In flight: {len(calls)}", "bold")
        return Group(Text(), flight, *shown, Text("Wallets", "bold"), self.bars())


def money(nano_usd: int, digits: int = 4) -> str:
    """Dollars, rounded for the eye."""
    return f"${Decimal(nano_usd).scaleb(-9):.{digits}f}"


def _reason(refusal: Refusal) -> tuple[str, str]:
    """The reason and its colour; one that time mends within a minute is no alarm."""
    name = Reason.Name(refusal.reason).removeprefix("REASON_")
    if refusal.reason == Reason.REASON_STORE_UNAVAILABLE:  # nobody knows how long
        return name, "yellow"
    if _mends_soon(refusal):
        return f"{name}, wait {refusal.retry_after.seconds + 1} s", "yellow"
    return name, "red"


def _because(refusal: Refusal) -> str:
    """The sidecar's sentence, and when the call would fit, where that is worth a look at the clock."""
    if _mends_soon(refusal) or not refusal.advice.HasField("at"):
        return refusal.message
    return f"{refusal.message}; it would fit at {refusal.advice.at.ToDatetime():%Y-%m-%d %H:%M} UTC"


def _mends_soon(refusal: Refusal) -> bool:
    return refusal.retryable and refusal.retry_after.seconds < 60
