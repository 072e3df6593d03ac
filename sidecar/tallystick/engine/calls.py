"""What a caller asks the engine, as plain values. Adapters make these."""

from collections.abc import Mapping
from enum import Enum, auto
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

from tallystick.core.hold import State
from tallystick.core.lots import LotKind
from tallystick.core.outcome import Outcome
from tallystick.core.policy import Unit
from tallystick.core.subject import Subject
from tallystick.core.tickets import TicketState
from tallystick.core.usage import Usage
from tallystick.engine.paging import Page
from tallystick.providers.call import Api
from tallystick.store.asks import MoveKind
from tallystick.store.hold_places import ResolveKind
from tallystick.store.ticket_asks import AnswerKind

NOTHING: Mapping[str, Any] = MappingProxyType({})


class TokenEstimate(NamedTuple):
    """Counted tokens; `max_output` is None where the request sets no limit."""

    input: int
    max_output: int | None


class Cost(NamedTuple):
    """A cost that the caller knows."""

    nano_usd: int
    tokens: int


class ProviderRequest(NamedTuple):
    """The provider's request as it will be sent. Holds the prompt: never log it."""

    api: Api
    body: bytes
    body_bytes: int = 0
    """The length of the whole body, where `body` is only its beginning."""
    read: Mapping[str, Any] = NOTHING
    """What is known of the whole body then, by dotted name."""

    @property
    def cut(self) -> bool:
        """Whether only the beginning is at hand."""
        return self.body_bytes > len(self.body)


class ReserveCall(NamedTuple):
    """Asks for a reservation. `content`: a digest of all the caller said, where an id came with it."""

    tenant: str
    reservation_id: str
    """Empty: one is made."""
    content: str
    subject: Subject
    model: str
    provider: str
    estimate: TokenEstimate | Cost | ProviderRequest
    ttl_ms: int = 0
    """0: as the policy says."""
    justification: str = ""
    """For a ticket, where one opens."""


class SettleCall(NamedTuple):
    """Ends a reservation."""

    tenant: str
    reservation_id: str
    content: str
    tally: bytes
    outcome: Outcome
    actual: Usage | Cost | None
    estimated: bool = False
    """`actual` is an estimate of the caller's: charged like what is held, until a Settle corrects it."""


def settle_content(outcome: Outcome, actual: Usage | Cost | None) -> str:
    """A digest of what a Settle says: the same for a retry, wherever it comes from."""
    said = f"{outcome:d}{type(actual).__name__}{actual and list(actual)}"
    return blake2b(said.encode(), digest_size=12).hexdigest()


class ChargeCall(NamedTuple):
    """Charges a cost that nothing was held for."""

    tenant: str
    charge_id: str
    content: str
    subject: Subject
    model: str
    provider: str
    used: Usage | Cost
    requests: int = 1
    keep_ms: int = 0
    """How long a retry gets the same answer; 0: as long as an ended hold."""


class HitKind(Enum):
    """What hits are."""

    CHECK = auto()
    """Taken if there is room; what is taken of none looks whether there is any."""
    REPORT = auto()
    """Of what was spent: recorded in any case."""
    EITHER = auto()
    """Nobody says which: recorded in any case, and the answer tells whether there was room."""


class Hits(NamedTuple):
    """What one descriptor of a rate limit request takes, of one unit alone."""

    subject: Subject
    model: str
    provider: str
    unit: Unit
    amount: int
    kind: HitKind


class ExtendCall(NamedTuple):
    """Asks for more time, more money, or both."""

    tenant: str
    reservation_id: str
    tally: bytes
    extension_id: str
    ttl_ms: int
    more: Cost | None
    used: Usage | None = None
    """In place of `more`: hold at least what this costs, whatever is held by now."""


class BalanceCall(NamedTuple):
    """Asks what a subject's next call would meet."""

    tenant: str
    subject: Subject
    model: str
    provider: str


class BudgetsCall(NamedTuple):
    """Asks how budgets stand."""

    tenant: str
    budget: str
    """Empty: all of the policy."""
    group: dict[str, str]
    """Only groups with these values; with a budget."""


class SwitchCall(NamedTuple):
    """Suspends or resumes a tenant."""

    tenant: str
    by: str
    reason: str


class HoldsCall(NamedTuple):
    """Asks for holds."""

    tenant: str
    states: frozenset[State]
    subject: dict[str, str]
    """Only of subjects with these values, by dimension."""
    older_ms: int
    """Only those that were reserved at least so long ago."""


class ResolveCall(NamedTuple):
    """An administrator's word on a hold."""

    tenant: str
    reservation_id: str
    kind: ResolveKind
    by: str
    reason: str
    cost: Cost | None
    """Of a settle; None: as held."""
    ttl_ms: int
    """Of an extension."""


class WalletRef(NamedTuple):
    """A wallet by its name in the policy and a value for each dimension of its `per`."""

    wallet: str
    group: dict[str, str]


class TicketsCall(NamedTuple):
    """Asks for tickets."""

    tenant: str
    states: frozenset[TicketState]
    """Empty: all."""
    budget: str
    """Empty: of all."""


class AnswerCall(NamedTuple):
    """An administrator's word on a ticket."""

    tenant: str
    ticket_id: str
    kind: AnswerKind
    by: str
    note: str
    amount: int = 0
    """Of an approval: of the allowance, or of the credit."""
    unit: Unit | None = None
    """Must be the budget's, or the wallet's."""
    expires_ms: int = 0
    """When the allowance or the credit ends; 0: with the window, or never."""
    wallet: WalletRef | None = None
    """The wallet that gets a credit, in place of an allowance."""


class TailCall(NamedTuple):
    """Asks for entries of the ledger."""

    tenant: str
    """Empty: of all."""
    kinds: frozenset[str]
    """Empty: all."""
    page: Page
    """Its token is the position to go on after; empty: none."""
    since_ms: int
    """Only what was written then or later; 0: all."""
    from_now: bool
    follow: bool


class CreditCall(NamedTuple):
    """Adds a lot to a wallet."""

    tenant: str
    wallet: str
    group: dict[str, str]
    amount: int
    unit: Unit
    """Must be the wallet's."""
    credit_id: str
    """Empty: one is made."""
    reason: str
    kind: LotKind = LotKind.PAID
    expires_ms: int = 0
    """0: never."""


class MoveCall(NamedTuple):
    """Takes available funds out of a wallet, for good or into another one."""

    tenant: str
    kind: MoveKind
    source: WalletRef
    target: WalletRef | None
    amount: int
    """0 of a reclaim: all that can be."""
    unit: Unit | None
    """Must be that of the wallets; None only with an amount of 0."""
    move_id: str
    """Empty: one is made."""
    reason: str
