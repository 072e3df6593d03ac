"""How the in-memory store keeps what is said of tenants: their policies, and who is suspended."""

from tallystick.core.errors import PolicyConflict, PolicyNotFound
from tallystick.store.asks import StoredPolicy
from tallystick.store.memory_partition import Partition
from tallystick.store.tenant_states import Suspension, TenantState


class TenantsInMemory:
    """The part of `MemoryStore` that administrators change tenants by."""

    _partitions: list[Partition]

    def _begin(self, tenant: str) -> Partition:
        raise NotImplementedError

    async def apply_policy(self, tenant: str, document: str, expected: int | None) -> tuple[int, bool]:
        """See `Store.apply_policy`."""
        p = self._begin(tenant)
        version = p.version(tenant)
        if p.policy.get(f"{tenant}:{version}") == document:
            return version, False
        if expected not in (None, version):
            raise PolicyConflict(f"version {version} is in force, not {expected}")
        p.append("policy", tenant, str(version + 1))
        p.policy[f"{tenant}:{version + 1}"] = document
        p.meta[f"policy:{tenant}"] = version + 1
        return version + 1, True

    async def policy(self, tenant: str) -> StoredPolicy | None:
        """See `Store.policy`."""
        p = self._begin(tenant)
        version = p.version(tenant)
        return StoredPolicy(p.policy[f"{tenant}:{version}"], version) if version else None

    async def suspend(self, tenant: str, by: str, reason: str) -> tuple[Suspension, bool]:
        """See `Store.suspend`."""
        p = self._known(tenant)
        changed = not p.suspended(tenant)
        if changed:
            p.append("suspend", tenant, tenant, by=by, reason=reason)
            p.suspensions[tenant] = Suspension(p.now_ms, by, reason)
        return p.suspensions[tenant], changed

    async def resume(self, tenant: str, by: str, reason: str) -> bool:
        """See `Store.resume`."""
        p = self._known(tenant)
        changed = p.suspended(tenant)
        if changed:
            p.append("resume", tenant, tenant, by=by, reason=reason)
            del p.suspensions[tenant]
        return changed

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
