"""Policies that are applied while somebody else applies another."""

import pytest

from tallystick.core.errors import PolicyConflict
from tallystick.engine.policies import ApplyCall, Policies, RollbackCall
from tallystick.store.asks import StoredPolicy
from tests.unit.engine.office import Office, WatchedStore

A, B, C = (f"tenant: acme\nbudgets: {{b: {{limit: {n} USD, window: day}}}}\n" for n in (1, 2, 3))


class BusyStore(WatchedStore):
    """Somebody applies C as soon as an old version is looked at."""

    async def policy(self, tenant: str, version: int = 0) -> StoredPolicy | None:
        found = await super().policy(tenant, version)
        if version:
            await self.apply_policy(tenant, C, None)
        return found


async def test_a_rollback_replaces_only_what_it_found() -> None:
    office, store = Office(), BusyStore()
    office.planner._store = store
    policies = Policies(store, office.planner, office.administration.pages)
    for document in (A, B):
        await policies.apply(ApplyCall(document, None))
    with pytest.raises(PolicyConflict, match="version 3 is in force, not 2"):
        await policies.rollback(RollbackCall("acme", 0, None, "ann", ""))
    assert await store.policy("acme") == StoredPolicy(C, 3)


async def test_a_dry_run_leaves_the_plans_that_are_remembered() -> None:
    office = Office()
    await office.apply("budgets: {b: {limit: 1 USD, window: day}}\n")
    await office.reserve()
    rules = office.planner.known("acme")
    await office.administration.policies.preview(ApplyCall(B, 1))
    assert office.planner.known("acme") is rules
    assert rules is not None
    assert rules.plans
