"""How the in-memory store keeps what is said of tenants: their policies, and who is suspended."""

from tallystick.core.errors import PolicyConflict, PolicyNotFound
from tallystick.store.asks import StoredPolicy
from tallystick.store.memory_partition import Partition
from tallystick.store.tenant_states import (
    MOST_VERSIONS,
    AppliedPolicy,
    PolicyNote,
    Suspension,
    TenantState,
    applied_policy,
)

NOTHING_SAID = PolicyNote()


class TenantsInMemory:
    """The part of `MemoryStore` that administrators change tenants by."""

    _partitions: list[Partition]

    def _begin(self, tenant: str) -> Partition:
        raise NotImplementedError

    async def apply_policy(
        self, tenant: str, document: str, expected: int | None, note: PolicyNote = NOTHING_SAID
    ) -> tuple[int, bool]:
        """See `Store.apply_policy`."""
        p = self._begin(tenant)
        version = p.version(tenant)
        if p.policy.get(f"{tenant}:{version}") == document:
            return version, False
        if expected not in (None, version):
            raise PolicyConflict(f"version {version} is in force, not {expected}")
        by, comment, back_to = note.by, note.comment, str(note.back_to or "")
        p.append("policy", tenant, str(version + 1), by=by, comment=comment, back_to=back_to)
        field = f"{tenant}:{version + 1}"
        p.policy[field], p.policy[f"{field}:n"] = document, f"{p.now_ms}\t{by}\t{comment}\t{back_to}"
        p.meta[f"policy:{tenant}"] = version + 1
        for old in range(version + 1 - MOST_VERSIONS, 0, -1):
            p.policy.pop(f"{tenant}:{old}:n", None)
            if p.policy.pop(f"{tenant}:{old}", None) is None:
                break
        return version + 1, True

    async def policy(self, tenant: str, version: int = 0) -> StoredPolicy | None:
        """See `Store.policy`."""
        p = self._begin(tenant)
        version = version or p.version(tenant)
        document = p.policy.get(f"{tenant}:{version}")
        return None if document is None else StoredPolicy(document, version)

    async def policy_history(self, tenant: str) -> list[AppliedPolicy]:
        """See `Store.policy_history`."""
        p = self._begin(tenant)
        newest = p.version(tenant)
        return [
            applied_policy(version, p.policy.get(f"{tenant}:{version}:n", ""))
            for version in range(newest, max(0, newest - MOST_VERSIONS), -1)
            if f"{tenant}:{version}" in p.policy
        ]

    async def suspend(self, tenant: str, by: str, reason: str) -> tuple[Suspension, bool]:
        """See `Store.suspend`."""
        p = self._known(tenant)
        changed = not p.suspended(tenant)
        if changed:
            p.append("suspend", tenant, tenant, by=by, reason=reason)
            p.suspensions[tenant] = Suspension(p.now_ms, by, reason)
            _switched(p)
        return p.suspensions[tenant], changed

    async def resume(self, tenant: str, by: str, reason: str) -> bool:
        """See `Store.resume`."""
        p = self._known(tenant)
        changed = p.suspended(tenant)
        if changed:
            p.append("resume", tenant, tenant, by=by, reason=reason)
            del p.suspensions[tenant]
            _switched(p)
        return changed

    async def suspended(self, partition: int) -> set[str]:
        """See `Store.suspended`."""
        return set(self._partitions[partition].suspensions)

    async def tenants(self) -> list[TenantState]:
        """See `Store.tenants`."""
        found = []
        for p in self._partitions:
            names = (name.partition(":")[2] for name in p.meta if name.startswith("policy:"))
            found += [TenantState(name, p.version(name), p.suspensions.get(name)) for name in names]
        return sorted(found, key=lambda each: each.tenant)

    def _known(self, tenant: str) -> Partition:
        p = self._begin(tenant)
        if not p.version(tenant):
            raise PolicyNotFound(f"tenant {tenant} has no policy")
        return p


def _switched(p: Partition) -> None:
    p.meta["switched"] = p.meta.get("switched", 0) + 1
