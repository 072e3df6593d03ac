"""The life of a policy: tried without effect, applied, kept, and gone back to."""

import asyncio
from typing import NamedTuple

from tallystick.core.decision import BudgetState
from tallystick.core.differences import Difference
from tallystick.core.errors import PolicyConflict, PolicyNotFound
from tallystick.core.policy import Policy
from tallystick.core.policy_differences import policy_differences
from tallystick.engine.budget_list import groups_over
from tallystick.engine.paging import Cut, Page, Pages
from tallystick.engine.planner import Planner
from tallystick.policyfile import load_policy
from tallystick.store.asks import StoredPolicy
from tallystick.store.base import Store
from tallystick.store.tenant_states import AppliedPolicy, PolicyNote

MOST_OVER = 100
"""Of the groups that would be over their limit at once so many are told."""
NOTHING_SAID = PolicyNote()


class ApplyCall(NamedTuple):
    """A policy to put in force, or to try."""

    document: str
    expected: int | None
    """The version it replaces; None: any."""
    note: PolicyNote = NOTHING_SAID


class RollbackCall(NamedTuple):
    """An earlier policy to put in force again."""

    tenant: str
    to_version: int
    """0: the one before the one in force."""
    expected: int | None
    """The version it replaces; None: the one that is found."""
    by: str
    comment: str


class Applied(NamedTuple):
    """The policy in force by now."""

    tenant: str
    version: int
    changed: bool
    """False when the document was in force already."""


class Preview(NamedTuple):
    """What applying a policy would do."""

    applied: Applied
    """The version in force, which stays; whether it would change."""
    differences: list[Difference]
    over: list[BudgetState]
    """The groups that would be over their limit at once."""
    more_over: bool
    """Whether there are more than `MOST_OVER`."""


class Policies:
    """What administrators do with the policies of tenants."""

    def __init__(self, store: Store, planner: Planner, pages: Pages) -> None:
        self._store = store
        self._planner = planner
        self._pages = pages

    async def apply(self, call: ApplyCall) -> Applied:
        """Puts a policy in force.

        Raises:
            InvalidPolicy, PolicyConflict, StoreUnavailable.
        """
        tenant = load_policy(call.document).tenant
        version, changed = await self._store.apply_policy(tenant, call.document, call.expected, call.note)
        await self._planner.load(tenant)
        return Applied(tenant, version, changed)

    async def preview(self, call: ApplyCall) -> Preview:
        """What `apply` would do; nothing is put in force.

        Raises:
            InvalidPolicy, PolicyConflict, StoreUnavailable.
        """
        policy = load_policy(call.document)
        stored = await self._store.policy(policy.tenant)
        version, changed = stored.version if stored else 0, not stored or stored.document != call.document
        if changed and call.expected not in (None, version):
            raise PolicyConflict(f"version {version} is in force, not {call.expected}")
        decides = (await self._planner.at(policy.tenant, version)).policy
        counters = await self._store.budgets(policy.tenant)
        now_ms = self._planner.clock.now_ms()
        # Of a hundred thousand groups it takes half a second, for which no Reserve should wait.
        found, over = await asyncio.to_thread(_compare, decides, policy, counters, now_ms)
        applied = Applied(policy.tenant, version, changed)
        return Preview(applied, found, over[:MOST_OVER], len(over) > MOST_OVER)

    async def policy(self, tenant: str, version: int = 0) -> StoredPolicy:
        """The policy in force, or another version that is kept.

        Raises:
            PolicyNotFound, StoreUnavailable.
        """
        stored = await self._store.policy(tenant, version)
        if stored is None and version:
            raise PolicyNotFound(f"version {version} of the policy of tenant {tenant} is not kept")
        if stored is None:
            raise PolicyNotFound(f"tenant {tenant} has no policy")
        return stored

    async def history(self, tenant: str, page: Page) -> Cut[AppliedPolicy]:
        """The versions that are kept, the newest first.

        Raises:
            PolicyNotFound, InvalidArgument, StoreUnavailable.
        """
        before = int(self._pages.place(page) or 0)  # a forged token needs no look at the store
        kept = await self._store.policy_history(tenant)
        if not kept:
            raise PolicyNotFound(f"tenant {tenant} has no policy")
        rest = [each for each in kept if not before or each.version < before]
        found = rest[: page.size]
        more = len(rest) > len(found)
        return Cut(found, self._pages.token(page, str(found[-1].version)) if more else "")

    async def rollback(self, call: RollbackCall) -> tuple[Applied, int]:
        """Puts an earlier document in force again, as a new version; and which one it is.

        Raises:
            InvalidPolicy: this release can't read it any more.
            PolicyNotFound, PolicyConflict, StoreUnavailable.
        """
        now = (await self.policy(call.tenant)).version
        if call.expected not in (None, now):
            raise PolicyConflict(f"version {now} is in force, not {call.expected}")
        if now == 1 and not call.to_version:
            raise PolicyNotFound(f"tenant {call.tenant} has no policy before version 1")
        old = await self.policy(call.tenant, call.to_version or now - 1)
        note = PolicyNote(call.by, call.comment, old.version)
        return await self.apply(ApplyCall(old.document, now, note)), old.version


def _compare(
    decides: Policy, policy: Policy, counters: dict[str, tuple[int, int]], now_ms: int
) -> tuple[list[Difference], list[BudgetState]]:
    return policy_differences(decides, policy), groups_over(policy, counters, now_ms, MOST_OVER + 1)
