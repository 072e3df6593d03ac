"""The account at the end: the provider's bill, the ledger and the wallets have to agree."""

from dataclasses import dataclass

from tallystick.core.counters import parse_counter
from tallystick.core.hold import Hold, State, read_hold
from tallystick.core.ledger import Entry, replay
from tallystick.store.address import StoreAddress
from tallystick.store.valkey import ValkeyStore
from tallystick.v1.budget_pb2 import WalletState

PAGE = 1_000

Bill = dict[str, tuple[int, int]]
"""Model → calls, and nano-dollars for them."""

Wallets = dict[tuple[str, str], tuple[int, int, int]]
"""Name and group → funds, balance and held, in nano-dollars."""


@dataclass(frozen=True)
class Ledger:
    """What the ledger alone says."""

    entries: int
    bill: Bill
    """Calls that were charged anything."""
    wallets: Wallets


@dataclass(frozen=True)
class Books:
    """Three accounts of one run, each from another source."""

    bill: Bill
    """What the provider served, and its bill for it."""
    ledger: Ledger
    wallets: Wallets
    """What the admin API says."""

    @property
    def totals(self) -> tuple[int, int, int]:
        """Credits, spent and balance of all wallets together."""
        funds = sum(wallet[0] for wallet in self.wallets.values())
        balance = sum(wallet[1] for wallet in self.wallets.values())
        return funds, funds - balance, balance

    @property
    def ledger_agrees(self) -> bool:
        """Whether the ledger charged what the provider bills, for every model."""
        return self.ledger.bill == self.bill

    @property
    def wallets_agree(self) -> bool:
        """Whether the wallets paid that bill."""
        return self.totals[1] == sum_of(self.bill)[1]

    @property
    def replay_agrees(self) -> bool:
        """Whether the ledger, replayed, gives these wallets, and nothing is held any more."""
        return self.ledger.wallets == self.wallets and not any(held for *_, held in self.wallets.values())

    @property
    def agree(self) -> bool:
        """Whether everything agrees."""
        return self.ledger_agrees and self.wallets_agree and self.replay_agrees


def sum_of(bill: Bill) -> tuple[int, int]:
    """Calls and nano-dollars of all models together."""
    return sum(calls for calls, _ in bill.values()), sum(nano_usd for _, nano_usd in bill.values())


def read_wallets(states: list[WalletState]) -> Wallets:
    """Take over the answer of `ListWallets`."""
    return {(w.name, w.group): (w.funds, w.funds - w.spent, w.held) for w in states}


async def read_ledger(address: StoreAddress) -> Ledger:
    """Read every entry from the store, and replay them."""
    pages = await read_entries(address)
    return Ledger(
        entries=sum(map(len, pages)),
        bill=_charged([entry for entries in pages for entry in entries]),
        wallets={key: value for entries in pages for key, value in _replayed(entries).items()},
    )


async def read_entries(address: StoreAddress) -> list[list[Entry]]:
    """Read the ledger of every partition."""
    store = ValkeyStore(address)
    try:
        await store.open()
        return [await _entries(store, partition) for partition in range(store.partitions)]
    finally:
        await store.close()


async def _entries(store: ValkeyStore, partition: int) -> list[Entry]:
    entries: list[Entry] = []
    while page := await store.ledger(partition, entries[-1].entry_id if entries else "0", PAGE):
        entries += page
    return entries


def _charged(entries: list[Entry]) -> Bill:
    models: dict[str, str] = {}
    charged: dict[str, int] = {}
    for fields in (entry.fields for entry in entries):
        if fields["kind"] == "reserve":
            models[fields["id"]] = Hold(State.OPEN, 0, 0, 0, body=fields["body"]).model
        elif fields["kind"] in {"settle", "expire"}:
            if fields.get("tally"):  # it was let through without the store
                models[fields["id"]] = read_hold(fields["tally"]).model
            # A correction names the whole charge anew, so the last entry of a call counts.
            charged[fields["id"]] = int(fields["nano"])
    bill: Bill = {}
    for identity, nano_usd in charged.items():
        if nano_usd:
            calls, sum_nano_usd = bill.get(models[identity], (0, 0))
            bill[models[identity]] = calls + 1, sum_nano_usd + nano_usd
    return bill


def _replayed(entries: list[Entry]) -> Wallets:
    counters = replay(entries)
    names = {name.rpartition(":")[0] for name in counters if name.split(":")[1] == "w"}
    funds, balance, held = ({name: counters.get(f"{name}:{end}", 0) for name in names} for end in "fbh")
    return {parse_counter(name)[:2]: (funds[name], balance[name], held[name]) for name in names}
