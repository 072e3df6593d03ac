"""The part of the store on Valkey or Redis that keeps what is said of tenants."""

import asyncio

from tallystick.core.errors import PolicyConflict, PolicyNotFound
from tallystick.store.asks import StoredPolicy
from tallystick.store.keys import partition_keys
from tallystick.store.script_runner import ScriptRunner
from tallystick.store.tenant_states import (
    MOST_VERSIONS,
    AppliedPolicy,
    PolicyNote,
    Suspension,
    TenantState,
    applied_policy,
)

CHANGED, MISMATCH, UNKNOWN = 0, 4, 6
NOTHING_SAID = PolicyNote()


class TenantsOnValkey:
    """Their policies, and who is suspended."""

    _runner: ScriptRunner

    async def apply_policy(
        self, tenant: str, document: str, expected: int | None, note: PolicyNote = NOTHING_SAID
    ) -> tuple[int, bool]:
        """See `Store.apply_policy`."""
        args: list[object] = [tenant, document, "" if expected is None else expected]
        args += [note.by, note.comment, note.back_to or "", MOST_VERSIONS]
        reply = await self._runner.run("apply_policy", tenant, args)
        if reply[0] == MISMATCH:
            raise PolicyConflict(f"version {int(reply[1])} is in force, not {expected}")
        return int(reply[1]), reply[0] == CHANGED

    async def policy(self, tenant: str, version: int = 0) -> StoredPolicy | None:
        """See `Store.policy`."""
        partition = self._runner.partition(tenant)
        version = version or await self._in_force(partition, tenant)
        place = (partition_keys(partition)[5], f"{tenant}:{version}")
        document = await self._runner.ask(partition, "HGET", *place)
        return None if document is None else StoredPolicy(document.decode(), version)

    async def policy_history(self, tenant: str) -> list[AppliedPolicy]:
        """See `Store.policy_history`."""
        partition = self._runner.partition(tenant)
        newest, key = await self._in_force(partition, tenant), partition_keys(partition)[5]
        versions = range(newest, max(0, newest - MOST_VERSIONS), -1)
        if not versions:
            return []
        notes = await self._runner.ask(partition, "HMGET", key, *(f"{tenant}:{v}:n" for v in versions))
        found = []
        for version, note in zip(versions, notes, strict=True):
            # Of one that an earlier release applied there is the document alone.
            if note or await self._runner.ask(partition, "HEXISTS", key, f"{tenant}:{version}"):
                found.append(applied_policy(version, note.decode() if note else ""))
        return found

    async def _in_force(self, partition: int, tenant: str) -> int:
        """The version in force; 0: there is none."""
        version = await self._runner.ask(partition, "HGET", partition_keys(partition)[0], f"policy:{tenant}")
        return int(version or 0)

    async def suspend(self, tenant: str, by: str, reason: str) -> tuple[Suspension, bool]:
        """See `Store.suspend`."""
        told, changed = await self._switch(tenant, "suspend", by, reason)
        return _suspension(told), changed

    async def resume(self, tenant: str, by: str, reason: str) -> bool:
        """See `Store.resume`."""
        return (await self._switch(tenant, "resume", by, reason))[1]

    async def _switch(self, tenant: str, kind: str, by: str, reason: str) -> tuple[bytes, bool]:
        reply = await self._runner.run("suspend", tenant, [tenant, kind, by, reason])
        if reply[0] == UNKNOWN:
            raise PolicyNotFound(f"tenant {tenant} has no policy")
        return reply[1], reply[0] == CHANGED

    async def suspended(self, partition: int) -> set[str]:
        """See `Store.suspended`."""
        fields = await self._runner.scan(partition, partition_keys(partition)[0], "suspended:*")
        return {name.partition(":")[2] for name in fields}

    async def tenants(self) -> list[TenantState]:
        """See `Store.tenants`."""
        partitions = range(self._runner.partitions)
        found = await asyncio.gather(*(self._tenants_of(partition) for partition in partitions))
        return sorted((each for states in found for each in states), key=lambda each: each.tenant)

    async def _tenants_of(self, partition: int) -> list[TenantState]:
        fields = await self._runner.scan(partition, partition_keys(partition)[0], "*:*")
        names = (name.partition(":")[2] for name in fields if name.startswith("policy:"))
        return [
            TenantState(
                name,
                int(fields[f"policy:{name}"]),
                _suspension(told) if (told := fields.get(f"suspended:{name}")) else None,
            )
            for name in names
        ]


def _suspension(told: bytes) -> Suspension:
    """From what `lua/suspend.lua` keeps."""
    since_ms, by, reason = told.decode().split("\t")
    return Suspension(int(since_ms), by, reason)
