import pytest

from tallystick.engine.calls import TailCall
from tallystick.engine.ledger_tail import LedgerTail
from tallystick.engine.paging import Page, Pages
from tests.unit.engine.office import KEY, Office


@pytest.mark.contract(10)
async def test_a_clock_that_was_put_back_makes_nothing_come_twice(office: Office) -> None:
    await office.apply("wallets: {org: {}}")
    for amount in range(1, 41):
        await office.credit(amount)
    log = office.partition.log
    for at in (5, 20, 21):
        log[at].fields["at"] = str(int(log[at].fields["at"]) + 3_600_000)
    pages = Pages()
    pages.seal_with(KEY)
    tail = LedgerTail(office.store, office.planner.clock, pages)
    call = TailCall("", frozenset(), Page(0, "", ""), 0, from_now=False, follow=False)
    told = [row.entry.entry_id async for batch in tail.read(call) for row in batch.entries]
    assert told == [entry.entry_id for entry in log]
