"""A wallet's funds: lots of three kinds, how they come, are drawn, and lapse. The scripts mirror it.

A wallet's balance (funds − spent) is what its lots hold together. A charge that
the lots can't cover makes it negative: a debt, which the next funds pay first.
So a wallet in debt has no lots.

What open holds may still need does not lapse under them: of lots that have
expired, as much as is held stays until those holds have ended.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

GRANT_ID = "grant"
"""The id of the lot that a schedule replenishes; no credit may have it."""
REFUND_PREFIX = "refund:"
"""Of the ids of lots that a correction gives back; no credit may have one."""
NEVER = 0


class LotKind(IntEnum):
    """Where funds come from, in the order in which they are drawn. The numbers are those of the API."""

    GRANT = 1
    EARNED = 2
    PAID = 3


class Lot(NamedTuple):
    """Funds of one origin, in the wallet's unit."""

    id: str
    """Of the credit or transfer that it came by; `grant` for the grant."""
    kind: LotKind
    expires_ms: int
    """0: never."""
    amount: int
    """What is left of it; of a draw, what was drawn."""
    source: str = ""
    """The counter of the wallet that it was allocated from."""
    rollover: int = 0
    """How much of a grant may be carried into the next period."""

    @property
    def rank(self) -> tuple[int, float]:
        """The lower, the sooner it is drawn."""
        return int(self.kind), self.expires_ms or float("inf")


class GrantLine(NamedTuple):
    """A wallet's grant in the period of a plan."""

    amount: int
    rollover: int
    span: str
    """`month`, …"""
    period: int
    """The number of the period: the next one's is one higher."""
    expires_ms: int
    start_ms: int = 0

    @property
    def marker(self) -> str:
        """What the wallet keeps of it, so that it is granted once."""
        return f"{self.span}:{self.period}"


@dataclass(slots=True)
class Account:
    """One wallet as the store keeps it."""

    funds: int = 0
    """All that came, less what lapsed or was taken out."""
    balance: int = 0
    """funds − spent"""
    held: int = 0
    marker: str = ""
    """The period that was last granted."""
    lots: list[Lot] = field(default_factory=list)

    @property
    def available(self) -> int:
        """What may be held or taken out; below zero it is debt."""
        return self.balance - self.held

    def receive(self, lot: Lot) -> None:
        """Adds funds; debt is paid off first."""
        debt = max(0, -self.balance)
        self.funds += lot.amount
        self.balance += lot.amount
        self._insert(lot._replace(amount=lot.amount - min(debt, lot.amount)))

    def _insert(self, lot: Lot) -> None:
        if not lot.amount:
            return
        for i, other in enumerate(self.lots):
            if other[:3] == lot[:3]:
                self.lots[i] = other._replace(amount=other.amount + lot.amount)
                return
        at = sum(other.rank <= lot.rank for other in self.lots)
        self.lots.insert(at, lot)

    def draw(self, amount: int, wanted: Callable[[Lot], bool] = lambda lot: True) -> list[Lot]:
        """Takes this much out of the lots, as far as they reach; what was drawn of each."""
        drawn, kept = [], []
        for lot in self.lots:
            part = min(lot.amount, amount) if wanted(lot) else 0
            amount -= part
            if part:
                drawn.append(lot._replace(amount=part))
            if part < lot.amount:
                kept.append(lot._replace(amount=lot.amount - part))
        self.lots = kept
        return drawn

    def charge(self, amount: int) -> list[Lot]:
        """Spends; what the lots do not cover is debt."""
        self.balance -= amount
        return self.draw(amount)

    def refund(self, amount: int, drawn: list[Lot], owed: int, refund_id: str, now_ms: int) -> list[Lot]:
        """Undoes a part of a charge, the last drawn first: to the lots that it came from.

        `owed` is the part of the charge that no lot covered: it reduces the debt, and where
        that was paid meanwhile it comes back as a paid lot. What came from a lot that has
        expired since has lapsed with it. Returns what remains drawn.
        """
        back = min(amount, owed)
        self._return(Lot(refund_id, LotKind.PAID, NEVER, back))
        amount -= back
        kept = list(drawn)
        while amount and kept:
            lot = kept.pop()
            back = min(amount, lot.amount)
            if lot.amount > back:
                kept.append(lot._replace(amount=lot.amount - back))
            amount -= back
            if lot.expires_ms and lot.expires_ms <= now_ms:
                self.funds -= back
            else:
                self._return(lot._replace(amount=back))
        return kept

    def _return(self, lot: Lot) -> None:
        self.funds -= lot.amount  # it is not new
        self.receive(lot)

    def lapse(self, now_ms: int, *, renewing: bool = False) -> int:
        """Lets go of what has expired; how much. With `renewing` the grant's period is over, too."""
        held, lapsed, carried, kept = max(0, self.held), 0, 0, []
        rollover = 0
        for lot in self.lots:
            over = 0 < lot.expires_ms <= now_ms or (renewing and lot.id == GRANT_ID and lot.expires_ms)
            if not over:
                kept.append(lot)
                continue
            needed = min(lot.amount, held)
            held -= needed
            carry = min(lot.amount - needed, max(0, lot.rollover - carried))
            carried += carry
            rollover = max(rollover, lot.rollover)
            lapsed += lot.amount - needed - carry
            if needed:
                kept.append(lot._replace(amount=needed, expires_ms=min(lot.expires_ms, now_ms), rollover=0))
        self.lots = kept
        self.funds -= lapsed
        self.balance -= lapsed
        if carried:
            self._insert(Lot(GRANT_ID, LotKind.GRANT, NEVER, carried, "", rollover))
        return lapsed

    def renew(self, grant: GrantLine, now_ms: int) -> tuple[int, int]:
        """Grants what this period brings, unless it has: what came, and what lapsed."""
        span, _, last = self.marker.partition(":")
        known = span == grant.span
        # A sidecar whose clock is behind asks for an earlier period.
        if grant.expires_ms <= now_ms or (known and int(last) >= grant.period):
            return 0, 0
        lapsed = self.lapse(now_ms, renewing=True)
        carried = sum(lot.amount for lot in self.lots if _is_carried(lot))
        self.lots = [lot for lot in self.lots if not _is_carried(lot)]
        # Each whole period that went by unseen would have left its grant, as far as it rolls over.
        missed = grant.period - int(last) - 1 if known else 0
        kept = min(grant.rollover, carried + missed * grant.amount)
        lapsed += max(0, carried - kept)
        came = grant.amount + max(0, kept - carried)
        self.funds -= carried
        self.balance -= carried
        amount = grant.amount + kept
        self.receive(Lot(GRANT_ID, LotKind.GRANT, grant.expires_ms, amount, "", grant.rollover))
        self.marker = grant.marker
        return came, lapsed


def lots_cells(lots: Iterable[Lot]) -> list[list[object]]:
    """Lots as the store keeps them."""
    return [[x.id, int(x.kind), x.expires_ms, str(x.amount), x.source, str(x.rollover)] for x in lots]


def lots_of(cells: Any) -> list[Lot]:
    """The inverse of `lots_cells`."""
    return [Lot(i, LotKind(kind), int(end), int(n), src, int(over)) for i, kind, end, n, src, over in cells]


def read_lots(text: str | None) -> list[Lot]:
    """The lots in a store's text."""
    return lots_of(json.loads(text)) if text else []


def _is_carried(lot: Lot) -> bool:
    return lot.id == GRANT_ID and not lot.expires_ms
