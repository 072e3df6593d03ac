"""The contract, on every store: which tenants have a shadow, under which namespace."""

import pytest

from tallystick.store.tenant_states import PolicyNote, Shadows
from tests.store.audit import check_all
from tests.store.backends import START_MS, Backend
from tests.store.conftest import MakeBackend
from tests.store.desk import Desk, budget, policy_of
from tests.store.steps import ORG

NOTE = PolicyNote("ann", "to see")


async def test_a_shadow_has_the_namespace_that_was_kept_first(backend: Backend) -> None:
    store = await backend.client()
    assert await store.shadows("-") == Shadows("", {})
    assert await store.shadows("") is None
    assert await store.set_shadow("acme", "", "s0", NOTE) == ("", False)
    assert await store.set_shadow("acme", "acme!1", "s1", NOTE) == ("acme!1", True)
    assert await store.set_shadow("acme", "acme!2", "s2", NOTE) == ("acme!1", False)
    assert await store.set_shadow("b", "b!1", "s3", NOTE) == ("b!1", True)
    assert await store.shadows("s1") == Shadows("s3", {"acme": "acme!1", "b": "b!1"})
    assert await store.shadows("s3") is None
    assert await store.set_shadow("acme", "", "s4", NOTE) == ("", True)
    assert await store.shadows("s3") == Shadows("s4", {"b": "b!1"})
    check_all(backend.state())


async def test_the_ledger_tells_who_began_and_ended_it(make_backend: MakeBackend) -> None:
    backend = make_backend(partitions=4)
    store = await backend.client()
    await store.set_shadow("acme", "acme!1", "s1", NOTE)
    await store.set_shadow("acme", "acme!2", "s2", NOTE)
    await store.set_shadow("acme", "", "s3", PolicyNote("bob"))
    common = {"kind": "shadow", "at": str(START_MS), "tenant": "acme", "id": "acme"}
    assert [entry.fields for entry in backend.state(0).log] == [
        common | {"namespace": "acme!1", "by": "ann", "comment": "to see"},
        common | {"namespace": "", "by": "bob", "comment": ""},
    ]


@pytest.mark.contract(10)
async def test_what_a_namespace_spends_leaves_its_tenant_as_it_was(backend: Backend) -> None:
    store = await backend.client()
    parts = (ORG, budget("d", 1_000))
    desks = [Desk(backend, store, policy_of(*parts, tenant=name)) for name in ("acme", "acme!1")]
    live, shadow = desks
    for desk in desks:
        await desk.credit("org", 1_000)
    await live.hold("a", 10)
    before = (await live.counters())[1:], await store.budgets("acme"), await store.wallets("acme")
    kept = {name: value for name, value in backend.state().count.items() if name.startswith("acme:")}
    await shadow.hold("a", 700)  # the same id is another hold
    await shadow.settle("a", 900)
    assert ((await live.counters())[1:], await store.budgets("acme"), await store.wallets("acme")) == before
    assert kept == {n: v for n, v in backend.state().count.items() if n.startswith("acme:")}
    assert (await live.settle("a", 7)).nano_usd == 7
    assert list(await store.budgets("acme!1")) != list(await store.budgets("acme"))
    check_all(backend.state())
