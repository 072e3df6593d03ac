"""The policy that decides: the one in force, or the newest before it where that can't be read."""

import logging
from dataclasses import replace

from tallystick.core.errors import InvalidArgument, StoreUnusable
from tallystick.core.policy import Policy
from tallystick.core.shadow import owner_of
from tallystick.policyfile import load_policy
from tallystick.store.asks import StoredPolicy
from tallystick.store.base import Store

log = logging.getLogger("tallystick.policies")


class Reader:
    """Reads the policies of a store. A bad one never takes effect: the one before it stays.

    Bad are those that a newer release wrote, with words that this one does not know, and those
    that somebody wrote into the store by hand. Every sidecar finds the same one in their place,
    since it looks for it in the store's history and not in what it happens to remember.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.unreadable: dict[str, int] = {}
        """Tenants whose policy in force can't be read, and its version."""

    async def read(self, tenant: str, stored: StoredPolicy) -> Policy:
        """The policy that decides, under the version in force.

        Raises:
            StoreUnusable: no version that is kept can be read.
            StoreUnavailable.
        """
        try:
            policy = _read(tenant, stored)
        except InvalidArgument as error:
            return await self._before(tenant, stored, error)
        self.unreadable.pop(tenant, None)
        return policy

    async def _before(self, tenant: str, stored: StoredPolicy, error: InvalidArgument) -> Policy:
        policy = await self._newest_readable(tenant, stored.version)
        if self.unreadable.get(tenant) != stored.version:
            self.unreadable[tenant] = stored.version
            stays = f"version {policy.version} stays" if policy else "there is none before it"
            log.error(
                "policy of tenant %s, version %d, can't be read, and %s: %s",
                *(tenant, stored.version, stays, error),
            )
        if policy is None:
            raise StoreUnusable(f"no policy of tenant {tenant} that is kept can be read by this release")
        # Scripts compare the version; prices keep that of the document they come from.
        return replace(policy, version=stored.version)

    async def _newest_readable(self, tenant: str, before: int) -> Policy | None:
        for each in await self._store.policy_history(tenant):
            stored = await self._store.policy(tenant, each.version) if each.version < before else None
            if stored is None:
                continue
            try:
                return _read(tenant, stored)
            except InvalidArgument:
                continue
        return None


def _read(tenant: str, stored: StoredPolicy) -> Policy:
    policy = load_policy(stored.document, stored.version)
    if policy.tenant != owner_of(tenant):
        raise InvalidArgument("tenant", f"expected {owner_of(tenant)}, whose policy it is")
    return policy if policy.tenant == tenant else replace(policy, tenant=tenant)
