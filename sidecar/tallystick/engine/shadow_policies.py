"""The life of a shadow policy: begun with funds as the live wallets have them, looked at, ended."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from tallystick.core.counters import parse_counter
from tallystick.core.errors import PolicyConflict, PolicyNotFound
from tallystick.core.lots import LotKind
from tallystick.core.plan import WalletLine
from tallystick.core.policy import Policy
from tallystick.core.shadow import Verdict, new_namespace
from tallystick.engine.administration import Administration
from tallystick.engine.calls import CreditCall, MoveCall
from tallystick.engine.paging import Cut, Page
from tallystick.engine.policies import Applied, ApplyCall
from tallystick.engine.shadow_report import Difference
from tallystick.engine.shadows import Shadows
from tallystick.policyfile import load_policy
from tallystick.store.asks import CreditAsk, StoredPolicy
from tallystick.store.base import Store
from tallystick.store.tenant_states import PolicyNote

BEGAN_WITH = "began-with"
"""The id of what a shadow's wallet has from the beginning."""


class ShadowState(NamedTuple):
    """What this sidecar saw of a shadow."""

    version: int
    decided: int
    counts: Sequence[tuple[tuple[Verdict, str, str], int]]
    """By verdict, reason and budget, the most frequent first."""
    differences: Cut[Difference]
    """The newest first."""


class ShadowPolicies:
    """What administrators do with shadows."""

    def __init__(self, store: Store, live: Administration, shadows: Shadows) -> None:
        self._store = store
        self._live = live
        self._shadows = shadows
        self._beside = Administration(store, shadows.planner)
        live.on_funds = self._funds

    async def apply(self, call: ApplyCall) -> Applied:
        """Puts a shadow in place of the one there is, whose usage it goes on with; or begins one.

        Raises:
            InvalidPolicy, PolicyConflict, StoreUnavailable.
            PolicyNotFound: there is no live policy beside which it could stand.
        """
        policy = load_policy(call.document)
        await self._live.policies.policy(policy.tenant)
        await self._shadows.refresh()
        kept = self._shadows.namespaces.get(policy.tenant)
        namespace = kept or await self._begin(policy, call)
        version, changed = await self._store.apply_policy(namespace, call.document, call.expected, call.note)
        await self._shadows.refresh()
        return Applied(policy.tenant, version, changed or not kept)

    async def _begin(self, policy: Policy, call: ApplyCall) -> str:
        """Where the shadow is, once all sidecars may know of it."""
        if call.expected:
            raise PolicyConflict(f"version 0 of the shadow is in force, not {call.expected}")
        namespace = new_namespace(policy.tenant)
        await self._store.apply_policy(namespace, call.document, 0, call.note)
        templates = {wallet.name: wallet for wallet in policy.wallets}
        for counter, account in (await self._store.wallets(policy.tenant)).items():
            name, group, unit = parse_counter(counter)
            paid = sum(lot.amount for lot in account.lots if lot.kind is not LotKind.GRANT)
            if paid > 0 and name in templates and templates[name].unit is unit:
                there = f"{namespace}:{counter.partition(':')[2]}"
                ask = CreditAsk(WalletLine(name, group, unit, there), paid, BEGAN_WITH, "as the live wallet")
                await self._store.credit(namespace, ask)
        kept, _ = await self._store.set_shadow(policy.tenant, namespace, os.urandom(8).hex(), call.note)
        return kept

    async def clear(self, tenant: str, note: PolicyNote) -> bool:
        """Ends a shadow; whether there was one. What it would have spent is forgotten."""
        _, changed = await self._store.set_shadow(tenant, "", os.urandom(8).hex(), note)
        await self._shadows.refresh()
        return changed

    async def policy(self, tenant: str, version: int = 0) -> StoredPolicy:
        """The shadow, or another version of it.

        Raises:
            PolicyNotFound, StoreUnavailable.
        """
        await self._shadows.refresh()
        stored = await self._store.policy(self._namespace(tenant), version)
        if stored is None:
            raise PolicyNotFound(f"version {version} of the shadow of tenant {tenant} is not kept")
        return stored

    async def state(self, tenant: str, page: Page) -> ShadowState:
        """What this sidecar saw, since it began or the shadow did.

        Raises:
            PolicyNotFound, InvalidArgument, StoreUnavailable.
        """
        before = int(self._live.pages.place(page) or 0)
        version = (await self.policy(tenant)).version
        report = self._shadows.report(tenant)
        rest = [each for each in reversed(report.recent) if not before or each.number < before]
        found = rest[: page.size]
        more = len(rest) > len(found)
        token = self._live.pages.token(page, str(found[-1].number)) if more else ""
        return ShadowState(version, report.decided, report.counts.most_common(), Cut(found, token))

    def _namespace(self, tenant: str) -> str:
        namespace = self._shadows.namespaces.get(tenant)
        if namespace is None:
            raise PolicyNotFound(f"tenant {tenant} has no shadow policy")
        return namespace

    def _funds(self, call: CreditCall | MoveCall) -> None:
        """A live wallet got funds, or gave them: so do the shadow's."""
        namespace = self._shadows.namespaces.get(call.tenant)
        if namespace is None:
            return

        async def work() -> None:
            there = call._replace(tenant=namespace)
            if isinstance(there, CreditCall):
                await self._beside.credit(there)
            else:
                await self._beside.move(there)

        self._shadows.offer(call.tenant, work)
