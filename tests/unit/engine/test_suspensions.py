"""Which tenants are known to be switched off."""

import pytest

from tallystick.engine.suspensions import Suspensions
from tallystick.store.memory import MemoryStore
from tallystick.store.tenant_states import PolicyNote

pytestmark = pytest.mark.contract(13)


async def test_they_are_read_the_first_time_and_whenever_one_was_switched() -> None:
    """The first time whatever the count: what an earlier release wrote has none."""
    store = MemoryStore(partitions=1)
    await store.apply_policy("acme", "tenant: acme", None, PolicyNote())
    await store.suspend("acme", "ann", "a loop")
    suspensions = Suspensions(store)
    assert ("acme" in suspensions, len(suspensions)) == (False, 0)
    await suspensions.look(0, 0)
    assert ("acme" in suspensions, "other" in suspensions, len(suspensions)) == (True, False, 1)
    await store.resume("acme", "ann", "")
    await suspensions.look(0, 0)
    assert "acme" in suspensions
    await suspensions.look(0, (await store.sweep(0, 1)).switched)
    assert "acme" not in suspensions
    suspensions.note("acme", suspended=True)
    assert "acme" in suspensions
