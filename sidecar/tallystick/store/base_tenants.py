"""What a store does about tenants: a part of the protocol in `base`, under the same promises."""

from typing import Protocol

from tallystick.store.asks import StoredPolicy
from tallystick.store.tenant_states import AppliedPolicy, PolicyNote, Shadows, Suspension, TenantState

NOTHING_SAID = PolicyNote()


class TenantsKept(Protocol):
    """Their policies, and who is suspended."""

    async def apply_policy(
        self, tenant: str, document: str, expected: int | None, note: PolicyNote = NOTHING_SAID
    ) -> tuple[int, bool]:
        """Puts a policy in force; its version, and whether anything changed.

        The newest `MOST_VERSIONS` are kept, with their notes.

        Raises:
            PolicyConflict: `expected` is not the version in force.
        """
        ...

    async def policy(self, tenant: str, version: int = 0) -> StoredPolicy | None:
        """The tenant's policy in force, or a version of it that is kept."""
        ...

    async def policy_history(self, tenant: str) -> list[AppliedPolicy]:
        """The versions of the tenant's policy that are kept, the newest first."""
        ...

    async def suspend(self, tenant: str, by: str, reason: str) -> tuple[Suspension, bool]:
        """Switches a tenant off; who did it first, and whether anything changed.

        Raises:
            PolicyNotFound: it has no policy.
        """
        ...

    async def resume(self, tenant: str, by: str, reason: str) -> bool:
        """Switches a tenant on again; whether anything changed.

        Raises:
            PolicyNotFound: it has no policy.
        """
        ...

    async def suspended(self, partition: int) -> set[str]:
        """The suspended tenants of a partition; they are not read at one moment."""
        ...

    async def tenants(self) -> list[TenantState]:
        """Every tenant that has a policy, by name; they are not read at one moment.

        Namespaces of shadows are among them.
        """
        ...

    async def shadows(self, known: str) -> Shadows | None:
        """Who has a shadow; None while the last change is the `known` one. `-` knows of none."""
        ...

    async def set_shadow(self, tenant: str, namespace: str, stamp: str, note: PolicyNote) -> tuple[str, bool]:
        """Gives a tenant's shadow a namespace, if it has none; with an empty one takes it away.

        The namespace by now, empty where there is none, and whether anything changed.
        """
        ...
