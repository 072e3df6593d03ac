"""The use-cases of those who switch tenants off and on."""

from tallystick.core.shadow import is_namespace
from tallystick.engine.calls import SwitchCall
from tallystick.engine.paging import Cut, Page, Pages
from tallystick.engine.suspensions import Suspensions
from tallystick.store.base import Store
from tallystick.store.tenant_states import Suspension, TenantState


class Tenants:
    """Suspends and resumes tenants, and lists them."""

    def __init__(self, store: Store, pages: Pages, suspensions: Suspensions) -> None:
        self._store = store
        self._suspensions = suspensions
        self._pages = pages

    async def suspend(self, call: SwitchCall) -> tuple[Suspension, bool]:
        """Switches a tenant off; who did it first, and whether anything changed.

        Raises:
            PolicyNotFound, StoreUnavailable.
        """
        done = await self._store.suspend(*call)
        self._suspensions.note(call.tenant, suspended=True)
        return done

    async def resume(self, call: SwitchCall) -> bool:
        """Switches a tenant on again; whether anything changed.

        Raises:
            PolicyNotFound, StoreUnavailable.
        """
        changed = await self._store.resume(*call)
        self._suspensions.note(call.tenant, suspended=False)
        return changed

    async def list(self, page: Page, *, suspended: bool) -> Cut[TenantState]:
        """Tenants that have a policy, by name; or only those that are suspended.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        self._pages.place(page)  # a forged token needs no look at the store
        found = [each for each in await self._store.tenants() if not is_namespace(each.tenant)]
        chosen = [each for each in found if each.suspension or not suspended]
        return self._pages.cut(chosen, page, lambda each: each.tenant)
