"""Shows on the screen what the ledger says: the programs know nothing of it, and Envoy tells nobody."""

import asyncio

from tallystick.core.counters import parse_counter
from tallystick.core.hold import Hold, State
from tallystick.core.subject import value_in
from tallystick.demo.books import PAGE
from tallystick.demo.screen import Call, Screen
from tallystick.store.address import StoreAddress
from tallystick.store.keys import partition_of
from tallystick.store.valkey import ValkeyStore

EVERY_S = 0.05
SETTLED_WITHIN_S = 10.0


async def watch_ledger(screen: Screen, address: StoreAddress, tenant: str) -> None:
    """Read the tenant's entries as they come."""
    store, last = ValkeyStore(address), "0"
    try:
        await store.open()
        partition = partition_of(tenant, store.partitions)
        while True:
            for entry in await store.ledger(partition, last, PAGE):
                last = entry.entry_id
                _show(screen, entry.fields)
            await asyncio.sleep(EVERY_S)
    finally:
        await store.close()


async def all_settled(screen: Screen, program: str = "") -> None:
    """Wait until the calls of a program, or all, are settled; Envoy tells it some 0.1 s after their end.

    If one is not in time, the books will tell.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + SETTLED_WITHIN_S
    while screen.in_flight(program) and clock() < deadline:  # noqa: ASYNC110 - it waits for the ledger
        await asyncio.sleep(EVERY_S)


def _show(screen: Screen, fields: dict[str, str]) -> None:
    match fields["kind"]:
        case "reserve":
            hold = Hold(State.OPEN, 0, 0, 0, body=fields["body"])
            model, asked = hold.model, hold.asked_model
            instead = "" if model == asked else f"{screen.instead(asked, model)}, for its budget runs low"
            payer = parse_counter(fields["wallet"])[1]
            program = value_in(hold.subject, "user")
            screen.held(fields["id"], Call(program, model, int(fields["nano"]), payer, instead))
        case "settle":
            screen.ended(fields["id"], int(fields["nano"]), "estimated" if fields["estimated"] == "1" else "")
        case "release" | "expire" as kind:
            screen.ended(fields["id"], int(fields.get("nano", 0)), f"{kind}d")
