"""The part of the store on Valkey or Redis that keeps which tenants have a shadow: in partition 0."""

from tallystick.store.keys import OF_SHADOWS, partition_keys
from tallystick.store.script_runner import ScriptRunner
from tallystick.store.tenant_states import PolicyNote, Shadows

CHANGED = 0


class ShadowsOnValkey:
    """See `Store.shadows` and its neighbours."""

    _runner: ScriptRunner

    async def shadows(self, known: str) -> Shadows | None:
        """See `Store.shadows`."""
        key = partition_keys(OF_SHADOWS)[0]
        stamp = (await self._runner.ask(OF_SHADOWS, "HGET", key, "shadows") or b"").decode()
        if stamp == known:
            return None
        # Who is told of a change between the two asks again: the stamp is then another one.
        found = await self._runner.scan(OF_SHADOWS, key, "shadow:*")
        names = {name.partition(":")[2]: told.decode() for name, told in found.items()}
        return Shadows(stamp, names)

    async def set_shadow(self, tenant: str, namespace: str, stamp: str, note: PolicyNote) -> tuple[str, bool]:
        """See `Store.set_shadow`."""
        args = (tenant, namespace, stamp, note.by, note.comment)
        message = self._runner.message("shadow", OF_SHADOWS, args)
        reply = await self._runner.evaluate("shadow", OF_SHADOWS, message)
        return reply[1].decode(), reply[0] == CHANGED
