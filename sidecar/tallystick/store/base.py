"""What a store does, in the words of the domain. Every method is one atomic step.

Two stores keep this promise: `memory`, the executable specification, and
`valkey`. Random operations on both give equal replies and equal state.

All methods raise `StoreUnavailable` when there is no answer in time; the
outcome is then unknown, and the same call with the same id may be made again.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from tallystick.core.hold import Hold
from tallystick.core.learning import Counts, Pair
from tallystick.core.ledger import Entry
from tallystick.core.outcome import Mode
from tallystick.core.plan import Plan, WalletLine
from tallystick.core.reasons import Reason


class Stamp(NamedTuple):
    """When and where in a partition's order something was answered."""

    now_ms: int
    """The store's clock."""
    seq: int
    epoch: int


class ReserveAsk(NamedTuple):
    """What a call takes, besides its plan."""

    reservation_id: str
    content: str
    """A digest of the request, by which a retry is told from another request."""
    nano_usd: int
    tokens: int
    ttl_ms: int
    refusal: Reason
    body: str
    """The record's body (`core.hold.hold_body`)."""


class Held(NamedTuple):
    """It is held."""

    stamp: Stamp
    payer: int
    """Which wallet of the plan pays, from 1; 0 when none does."""
    expires_ms: int
    values: list[int]
    """As they were before: balance and held of each wallet, spent and held of each budget."""


class Refused(NamedTuple):
    """There is no room; nothing was written."""

    stamp: Stamp
    reason: Reason
    binds: int
    """Which budget refuses, from 1; 0 when it isn't one."""
    values: list[int]
    """As in `Held`; for an extension the budgets of the hold come first, then its wallet."""


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
    """Limit and rank of each budget of the hold, in its order, by the policy in force."""


class Extended(NamedTuple):
    """What is held now in all."""

    stamp: Stamp
    expires_ms: int
    nano_usd: int
    tokens: int


class Counters(NamedTuple):
    """Counters read at one moment."""

    stamp: Stamp
    values: list[int]


class WalletFunds(NamedTuple):
    """The counters of one wallet."""

    funds: int
    balance: int
    """funds − spent"""
    held: int


class StoredPolicy(NamedTuple):
    """A policy in force."""

    document: str
    version: int


class Swept(NamedTuple):
    """A partition after a sweep."""

    stamp: Stamp
    open_holds: int
    more: bool


class Store(Protocol):
    """One atomic step each."""

    @property
    def partitions(self) -> int:
        """How many partitions there are; fixed when the store was first used."""
        ...

    async def reserve(self, plan: Plan, ask: ReserveAsk) -> Held | Refused | Again | Replayed:
        """Holds the cost in every counter of the plan, or writes nothing.

        Raises:
            IdMismatch: the id holds another content.
            ReservationEnded: the id was released.
        """
        ...

    async def settle(self, tenant: str, ask: SettleAsk) -> Settled:
        """Ends a hold, or corrects an estimated end once.

        Raises:
            IdMismatch: it was settled with another content.
            ReservationNotFound: there is no such hold, and no tally.
            ReservationEnded: the tally is older than the retention.
        """
        ...

    async def release(self, tenant: str, reservation_id: str) -> Released:
        """Gives a hold back whole.

        Raises:
            ReservationEnded: it was settled.
        """
        ...

    async def extend(self, tenant: str, ask: ExtendAsk) -> Extended | Refused | Again:
        """Adds to an open hold.

        Raises:
            IdMismatch: the extension id added another amount.
            ReservationNotFound: there is no such hold.
            ReservationEnded: it is not open.
        """
        ...

    async def balance(self, plan: Plan) -> Counters | Again:
        """Funds, balance and held of each wallet of the plan, spent and held of each budget."""
        ...

    async def credit(
        self, tenant: str, wallet: WalletLine, amount: int, credit_id: str, reason: str
    ) -> WalletFunds:
        """Adds paid funds to a wallet, once per credit id.

        Raises:
            IdMismatch: the id credited another wallet or amount.
        """
        ...

    async def wallets(self, tenant: str) -> dict[str, WalletFunds]:
        """The tenant's wallets that have counters, by counter."""
        ...

    async def hold(self, tenant: str, reservation_id: str) -> Hold | None:
        """A hold's record."""
        ...

    async def apply_policy(self, tenant: str, document: str, expected: int | None) -> tuple[int, bool]:
        """Puts a policy in force; its version, and whether anything changed.

        Raises:
            PolicyConflict: `expected` is not the version in force.
        """
        ...

    async def policy(self, tenant: str) -> StoredPolicy | None:
        """The tenant's policy in force."""
        ...

    async def learn(self, tenant: str, news: Mapping[Pair, Counts]) -> dict[Pair, Counts]:
        """Adds answers to those that are known of these pairs; all that is known of them now.

        A pair without answers is only asked for. What the reply leaves out is not known: of
        too many pairs (`core.learning.MOST_PAIRS`) the least used are dropped.
        """
        ...

    async def sweep(self, partition: int, limit: int) -> Swept:
        """Ends at most `limit` due entries of a partition."""
        ...

    async def ledger(self, partition: int, after: str, count: int) -> Sequence[Entry]:
        """Up to `count` ledger entries after an id (`0` for the first), in order."""
        ...

    async def shared_key(self, proposed: bytes) -> bytes:
        """The tally key that all sidecars share: the one kept first."""
        ...

    async def ping(self) -> None:
        """Returns when the store answers."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
