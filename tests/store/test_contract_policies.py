"""The contract, on every store: which policy is in force, and which ones were."""

import pytest

from tallystick.core.errors import PolicyConflict
from tallystick.store.asks import StoredPolicy
from tallystick.store.tenant_states import MOST_VERSIONS, AppliedPolicy, PolicyNote
from tests.store.audit import check_all
from tests.store.backends import START_MS, Backend, ServerBackend
from tests.store.conftest import MakeBackend


async def test_every_version_is_kept_with_who_applied_it_when_and_why(backend: Backend) -> None:
    store = await backend.client()
    assert await store.policy_history("acme") == []
    assert await store.apply_policy("acme", "one", None, PolicyNote("Ann Ü", "a first one")) == (1, True)
    backend.move(5)
    assert await store.apply_policy("acme", "two", 1) == (2, True)
    backend.move(5)
    assert await store.apply_policy("acme", "one", 2, PolicyNote("bob", "", 1)) == (3, True)
    assert await store.policy_history("acme") == [
        AppliedPolicy(3, START_MS + 10, PolicyNote("bob", "", 1)),
        AppliedPolicy(2, START_MS + 5, PolicyNote()),
        AppliedPolicy(1, START_MS, PolicyNote("Ann Ü", "a first one")),
    ]
    assert await store.policy("acme") == StoredPolicy("one", 3)
    assert await store.policy("acme", 2) == StoredPolicy("two", 2)
    for unknown in (4, 2**63):
        assert await store.policy("acme", unknown) is None
    assert await store.policy("b", 1) is None
    check_all(backend.state())


async def test_the_ledger_tells_who_applied_what_and_of_a_rollback(backend: Backend) -> None:
    store = await backend.client()
    await store.apply_policy("acme", "one", None, PolicyNote("ann", "why"))
    await store.apply_policy("acme", "two", None)
    await store.apply_policy("acme", "one", None, PolicyNote("bob", "too tight", 1))
    told = [entry.fields for entry in backend.state().log]
    common = {"kind": "policy", "at": str(START_MS), "tenant": "acme"}
    assert told == [
        common | {"id": "1", "by": "ann", "comment": "why", "back_to": ""},
        common | {"id": "2", "by": "", "comment": "", "back_to": ""},
        common | {"id": "3", "by": "bob", "comment": "too tight", "back_to": "1"},
    ]


async def test_what_is_refused_or_changes_nothing_writes_nothing(backend: Backend) -> None:
    store = await backend.client()
    await store.apply_policy("acme", "one", 0, PolicyNote("ann"))
    before = backend.dump()
    with pytest.raises(PolicyConflict, match="version 1 is in force, not 7"):
        await store.apply_policy("acme", "two", 7, PolicyNote("bob"))
    assert await store.apply_policy("acme", "one", 7, PolicyNote("bob")) == (1, False)
    assert backend.dump() == before


async def test_only_the_newest_versions_are_kept_of_each_tenant(make_backend: MakeBackend) -> None:
    backend = make_backend(partitions=1)
    store = await backend.client()
    await store.apply_policy("b", "another's", None)
    for number in range(1, MOST_VERSIONS + 4):
        await store.apply_policy("acme", f"document {number}", None)
    versions = [each.version for each in await store.policy_history("acme")]
    assert versions == list(range(MOST_VERSIONS + 3, 3, -1))
    assert await store.policy("acme", 3) is None
    assert await store.policy("acme", 4) == StoredPolicy("document 4", 4)
    assert len(backend.state().policy) == 2 * MOST_VERSIONS + 2
    assert await store.policy("b", 1) == StoredPolicy("another's", 1)


async def test_versions_of_a_release_that_kept_no_notes_are_told_without(own_backend: ServerBackend) -> None:
    store = await own_backend.client()
    for number in range(1, 4):
        await store.apply_policy("acme", f"document {number}", None, PolicyNote("ann"))
    own_backend.raw.hdel("ts:{t.0}:policy", "acme:1:n", "acme:2:n")
    assert await store.policy_history("acme") == [
        AppliedPolicy(3, START_MS, PolicyNote("ann")),
        AppliedPolicy(2, 0, PolicyNote()),
        AppliedPolicy(1, 0, PolicyNote()),
    ]
