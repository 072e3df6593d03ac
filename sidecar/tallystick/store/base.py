"""What a store does, in the words of the domain. Every method is one atomic step.

Two stores keep this promise: `memory`, the executable specification, and
`valkey`. Random operations on both give equal replies and equal state.

All methods raise `StoreUnavailable` when there is no answer in time; the
outcome is then unknown, and the same call with the same id may be made again.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tallystick.core.callers import Token
from tallystick.core.hold import Hold
from tallystick.core.learning import Counts, Pair
from tallystick.core.ledger import Entry
from tallystick.core.lots import Account
from tallystick.core.plan import Plan
from tallystick.core.tickets import Ticket
from tallystick.store.asks import (
    Again,
    ChargeAsk,
    Charged,
    Counters,
    CreditAsk,
    ExtendAsk,
    Extended,
    Held,
    MoveAsk,
    Moved,
    Refused,
    Released,
    Replayed,
    ReserveAsk,
    SettleAsk,
    Settled,
    TakeAsk,
    Tokens,
    Took,
)
from tallystick.store.base_tenants import TenantsKept
from tallystick.store.freezing import Freeze, Swept
from tallystick.store.hold_places import HoldsSeen, Place, ResolveAsk
from tallystick.store.ticket_asks import AnswerAsk, Opened, TicketAsk


class Store(TenantsKept, Protocol):
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

    async def charge(self, ask: ChargeAsk) -> Charged | Again:
        """Charges a cost that nothing was held for, whatever is left.

        The first wallet with enough pays, else the last of the cascade goes into debt.

        Raises:
            IdMismatch: the id was used for something else.
        """
        ...

    async def take(self, asks: Sequence[TakeAsk]) -> Took | Again:
        """Charges several costs of one tenant, where there is room for all of them."""
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

    async def balance(self, plan: Plan, parts: Sequence[str] = ()) -> Counters | Again:
        """The accounts of the wallets of the plan; spent and held of each of its budgets.

        `parts`: the counters (`COUNTER:s@N`) of sub-buckets of rolling windows to read as well.
        """
        ...

    async def credit(self, tenant: str, ask: CreditAsk) -> Account:
        """Adds a lot to a wallet, once per credit id.

        Raises:
            IdMismatch: the id was used for something else.
        """
        ...

    async def move(self, tenant: str, ask: MoveAsk) -> Moved:
        """Takes available funds out of a wallet, once per id.

        Raises:
            IdMismatch: the id was used for something else.
            FundsMissing: there is not so much.
        """
        ...

    async def wallets(self, tenant: str) -> dict[str, Account]:
        """The tenant's wallets that have counters, by counter."""
        ...

    async def budgets(self, tenant: str) -> dict[str, tuple[int, int]]:
        """Spent and held of the tenant's budgets that have counters, by counter, in any window."""
        ...

    async def hold(self, tenant: str, reservation_id: str) -> Hold | None:
        """A hold's record."""
        ...

    async def restore(self, tenant: str, reservation_id: str, record: str, outcome: str) -> bool:
        """Holds what was allowed without the store, as its record says and whatever the limits are.

        False: the store knows of it, or that it was released. `outcome` is for the ledger.

        Raises:
            ReservationEnded: the record is older than the retention.
        """
        ...

    async def holds(self, tenant: str, after: Place, count: int) -> HoldsSeen:
        """The tenant's holds, of the next `count` entries of its partition's due queue.

        They are not read at one moment; each is as it is now.
        """
        ...

    async def resolve(self, tenant: str, ask: ResolveAsk) -> tuple[Hold, bool]:
        """Ends a hold by the word of an administrator, or gives it time; and whether that changed anything.

        What ended by an estimate may be ended anew.

        Raises:
            ReservationNotFound: there is no such hold.
            ReservationEnded: it was settled or released; or is not open, and should get time.
        """
        ...

    async def open_ticket(self, ask: TicketAsk) -> Opened | Again:
        """The open ticket of a budget, group and window, or the one that was rejected for it; else a new one.

        `Again` also where the budget would not refuse the call any more.
        """
        ...

    async def answer_ticket(self, tenant: str, ask: AnswerAsk) -> tuple[Ticket, bool]:
        """Approves a ticket, which gives its budget an allowance, or rejects it; and whether that is new.

        Raises:
            TicketNotFound: there is no such ticket.
            TicketAnswered: it was answered otherwise.
            TicketEnded: nobody answered it in time, or its window has ended.
        """
        ...

    async def tickets(self, tenant: str) -> list[Ticket]:
        """Every ticket of a tenant that is known, in no order; they are not read at one moment."""
        ...

    async def find_tickets(self, partition: int, names: Sequence[tuple[str, str]]) -> list[Ticket | None]:
        """Tickets of one partition, by tenant and id."""
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

    @property
    def frozen(self) -> Mapping[int, Freeze]:
        """The partitions that are frozen, as of the last sweep: they answer StoreFrozen."""
        ...

    @property
    def durability(self) -> str:
        """What the store promises of what was answered, by name."""
        ...

    @property
    def told_settings(self) -> bool:
        """Whether the store told that it is set up so."""
        ...

    async def freeze(self, partition: int, epoch: int, seq: int) -> Freeze | None:
        """Freezes a partition that is not as far as this; how it is frozen by now."""
        ...

    async def thaw(self, partition: int, by: str, reason: str) -> Freeze | None:
        """Lets a partition go on in a new epoch; how it was frozen, None where nothing changed."""
        ...

    async def ledger(self, partition: int, after: str, count: int) -> Sequence[Entry]:
        """Up to `count` ledger entries after an id (`0` for the first), in order."""
        ...

    async def ledger_before(self, partition: int, at_ms: int) -> str:
        """The id of the last ledger entry that is older than this time; `0` where none is."""
        ...

    async def shared_key(self, proposed: bytes) -> bytes:
        """The tally key that all sidecars share: the one kept first."""
        ...

    async def tokens(self, known: str) -> Tokens | None:
        """Every token; None while the last change is the `known` one. `-` knows of none."""
        ...

    async def make_token(self, token: Token, stamp: str, by: str) -> None:
        """Keeps a token; `stamp` is what this change is known by.

        Raises:
            TokenExists: there is one of this name, or as many as there may be.
        """
        ...

    async def revoke_token(self, tenant: str, name: str, stamp: str, by: str) -> None:
        """Forgets a token.

        Raises:
            TokenNotFound: there is none of this name.
        """
        ...

    async def ping(self) -> None:
        """Returns when the store answers."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
