"""The account at the end: the provider's bill, the ledger and the wallets have to agree."""

from dataclasses import dataclass

from tallystick.core.counters import parse_counter
from tallystick.core.ledger import Entry, replay
from tallystick.store.address import StoreAddress
from tallystick.store.valkey import ValkeyStore
from tallystick.v1.budget_pb2 import WalletState

PAGE = 1_000

Wallets = dict[tuple[str, str], tuple[int, int, int]]
"""Name and group → funds, balance and held, in nano-dollars."""


@dataclass(frozen=True)
class Ledger:
    """What the ledger alone says."""

    entries: int
    charges: int
    """Calls that were charged anything."""
    charged_nano_usd: int
    wallets: Wallets


@dataclass(frozen=True)
class Books:
    """Three accounts of one run, each from another source."""

    calls: int
    """What the provider served,"""
    billed_nano_usd: int
    """and its bill for it."""
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
        """Whether the ledger charged what the provider bills, call by call and in all."""
        same_calls = self.ledger.charges == self.calls
        return same_calls and self.ledger.charged_nano_usd == self.billed_nano_usd

    @property
    def wallets_agree(self) -> bool:
        """Whether the wallets paid that bill."""
        return self.totals[1] == self.billed_nano_usd

    @property
    def replay_agrees(self) -> bool:
        """Whether the ledger, replayed, gives these wallets, and nothing is held any more."""
        return self.ledger.wallets == self.wallets and not any(held for *_, held in self.wallets.values())

    @property
    def agree(self) -> bool:
        """Whether everything agrees."""
        return self.ledger_agrees and self.wallets_agree and self.replay_agrees


def read_wallets(states: list[WalletState]) -> Wallets:
    """Take over the answer of `ListWallets`."""
    return {(w.name, w.group): (w.funds, w.funds - w.spent, w.held) for w in states}


async def read_ledger(address: StoreAddress) -> Ledger:
    """Read every entry from the store, partition by partition, and replay them."""
    store = ValkeyStore(address)
    try:
        await store.open()
        pages = [await _entries(store, partition) for partition in range(store.partitions)]
    finally:
        await store.close()
    charged: dict[str, int] = {}
    for entries in pages:
        # A correction names the whole charge anew, so the last entry of a call counts.
        charged |= {e.fields["id"]: int(e.fields["nano"]) for e in entries if _is_charge(e)}
    return Ledger(
        entries=sum(map(len, pages)),
        charges=sum(1 for nano_usd in charged.values() if nano_usd),
        charged_nano_usd=sum(charged.values()),
        wallets={key: value for entries in pages for key, value in _replayed(entries).items()},
    )


async def _entries(store: ValkeyStore, partition: int) -> list[Entry]:
    entries: list[Entry] = []
    while page := await store.ledger(partition, entries[-1].entry_id if entries else "0", PAGE):
        entries += page
    return entries


def _is_charge(entry: Entry) -> bool:
    return entry.fields["kind"] in {"settle", "expire"}


def _replayed(entries: list[Entry]) -> Wallets:
    counters = replay(entries)
    names = {name.rpartition(":")[0] for name in counters if name.split(":")[1] == "w"}
    funds, balance, held = ({name: counters.get(f"{name}:{end}", 0) for name in names} for end in "fbh")
    return {parse_counter(name)[:2]: (funds[name], balance[name], held[name]) for name in names}
