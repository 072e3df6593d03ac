"""What a store is asked, and what it answers, as plain values."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from tallystick.core.hold import Hold
from tallystick.core.lots import Account, Lot, LotKind
from tallystick.core.outcome import Mode
from tallystick.core.plan import Plan, Taken, WalletLine
from tallystick.core.reasons import Reason


class Stamp(NamedTuple):
    """When and where in a partition's order something was answered."""

    now_ms: int
    """The store's clock."""
    seq: int
    epoch: int


class Try(NamedTuple):
    """A model that may be used, and what the call takes with it."""

    plan: Plan
    nano_usd: int
    tokens: int
    refusal: Reason
    body: str
    """The record's body (`core.hold.hold_body`)."""
    soft: tuple[int, ...] | None = None
    """Weighed against instead of the ceilings of its budgets."""


class ReserveAsk(NamedTuple):
    """A call; its models are tried in order, the one that was asked for first."""

    reservation_id: str
    content: str
    """A digest of the request, by which a retry is told from another request."""
    ttl_ms: int
    tries: tuple[Try, ...]
    """With a first one that is `soft`, the last is the same without."""


class Held(NamedTuple):
    """It is held."""

    stamp: Stamp
    payer: int
    """Which wallet of the plan pays, from 1; 0 when none does."""
    expires_ms: int
    values: list[int]
    """As they were before: balance and held of each wallet, spent and held of each budget of the try."""
    tried: int = 1
    """Which try it is, from 1."""
    reason: Reason = Reason.NONE
    """Why it is not the first."""
    binds: int = 0
    """Which budget of the first refused, from 1; 0 when it wasn't one."""


class Refused(NamedTuple):
    """There is no room; nothing was written."""

    stamp: Stamp
    reason: Reason
    binds: int
    """Which budget refuses, from 1; 0 when it isn't one."""
    values: list[int]
    """As in `Held`; for an extension the budgets of the hold come first, then its wallet."""
    tried: int = 1
    """The try that this tells of: that of the model that was asked for."""


class Again(NamedTuple):
    """The plan is stale, or more is due than one call ends: ask again with this."""

    now_ms: int
    policy_version: int


class Replayed(NamedTuple):
    """It was held before, by a request of the same content."""

    hold: Hold


class SettleAsk(NamedTuple):
    """The end of a hold."""

    reservation_id: str
    content: str
    mode: Mode
    nano_usd: int | None
    """None: not said, so as held."""
    tokens: int | None
    """None: not said, so as held."""
    estimated: bool
    outcome: str
    """For the ledger."""
    usage: str
    """For the ledger: tokens by class."""
    tally: str
    """The record out of a genuine tally, or empty."""


class Settled(NamedTuple):
    """What is charged now in all."""

    stamp: Stamp
    nano_usd: int
    tokens: int
    estimated: bool
    late: bool
    changed: bool
    """False when it had been settled so before."""
    wallet: str = ""
    """The counter of the wallet that paid."""
    drawn: tuple[Lot, ...] = ()
    """What was drawn in all, from which of its lots."""
    held_nano_usd: int = 0
    held_tokens: int = 0


class ChargeAsk(NamedTuple):
    """A cost that nothing was held for."""

    plan: Plan
    charge_id: str
    content: str
    """A digest of the request, by which a retry is told from another request."""
    nano_usd: int
    tokens: int
    requests: int
    usage: str
    """For the ledger: tokens by class."""
    body: str
    """The record's body (`core.hold.hold_body`)."""
    keep_ms: int = 0
    """How long a retry gets the same answer; 0: as long as an ended hold."""


class Charged(NamedTuple):
    """What was charged."""

    stamp: Stamp
    nano_usd: int
    tokens: int
    changed: bool
    """False when it had been charged before."""
    wallet: str
    """The counter of the wallet that paid; empty where none did."""
    drawn: tuple[Lot, ...]
    values: list[int]
    """Spent and held of each budget by now."""
    suspended: bool = False
    """Whether the tenant is; it is charged all the same."""


class TakeAsk(NamedTuple):
    """A cost that is charged at once, if there is room; nothing of it is ever held."""

    charge: ChargeAsk
    needs: Taken
    """What there must be room for. Nothing of it is in flight."""
    refusal: Reason = Reason.NONE
    """One that no counter can change."""


class Verdict(NamedTuple):
    """On one of several costs: whether it fits after those before it."""

    reason: Reason
    binds: int
    """Which budget refuses, from 1; 0 when it isn't one."""
    values: list[int]
    """As they were before it: balance and held of each wallet, spent and held of each budget."""


class Took(NamedTuple):
    """All were charged, or none was: where one verdict is a refusal."""

    stamp: Stamp
    verdicts: list[Verdict]


class Released(NamedTuple):
    """What went back."""

    stamp: Stamp
    nano_usd: int
    tokens: int
    known: bool
    """False: there was no such hold, and a Reserve of this id is refused from now on."""


class ExtendAsk(NamedTuple):
    """More time, more money, or both, for an open hold."""

    reservation_id: str
    extension_id: str
    """Empty without money."""
    policy_version: int
    ttl_ms: int
    nano_usd: int
    tokens: int
    limits: tuple[tuple[int, Reason], ...]
    """Ceiling and rank of each budget of the hold, in its order, by the policy in force."""


class Extended(NamedTuple):
    """What is held now in all."""

    stamp: Stamp
    expires_ms: int
    nano_usd: int
    tokens: int


class Counters(NamedTuple):
    """Counters read at one moment."""

    stamp: Stamp
    accounts: list[Account]
    """Of each wallet of the plan; what its period grants is not in it until it is used."""
    values: list[int]
    """Spent and held of each budget of the plan."""
    parts: Sequence[int] = ()
    """What was spent in the sub-buckets that were asked for."""
    suspended: bool = False
    """Whether the tenant is."""


class CreditAsk(NamedTuple):
    """Funds for a wallet."""

    wallet: WalletLine
    amount: int
    credit_id: str
    reason: str
    kind: LotKind = LotKind.PAID
    expires_ms: int = 0
    """0: never."""


class MoveKind(StrEnum):
    """Why funds leave a wallet; the value is its kind in the ledger."""

    DEBIT = "debit"
    ALLOCATE = "allocate"
    RECLAIM = "reclaim"


class MoveAsk(NamedTuple):
    """Funds out of a wallet, and into another one or none."""

    kind: MoveKind
    move_id: str
    source: WalletLine
    target: WalletLine | None
    amount: int
    """0 of a reclaim: all that can be."""
    reason: str


class Moved(NamedTuple):
    """What was moved; the accounts as they are now."""

    amount: int
    drawn: tuple[Lot, ...]
    """Empty in the answer to a retry."""
    source: Account
    target: Account | None


class StoredPolicy(NamedTuple):
    """A policy in force."""

    document: str
    version: int


class Tokens(NamedTuple):
    """Every token of a store."""

    stamp: str
    """Of the last change; empty where there never was one."""
    records: dict[str, str]
    """By `core.callers.Token.field`."""
