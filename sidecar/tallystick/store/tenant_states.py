"""What a store tells of tenants and is told of them, as plain values."""

from typing import NamedTuple


class Suspension(NamedTuple):
    """Why a tenant is switched off."""

    since_ms: int
    by: str
    reason: str


class TenantState(NamedTuple):
    """A tenant that has a policy."""

    tenant: str
    policy_version: int
    suspension: Suspension | None


MOST_VERSIONS = 100
"""So many versions of a tenant's policy are kept, the newest ones."""


class PolicyNote(NamedTuple):
    """What is told of a policy when it is put in force."""

    by: str = ""
    comment: str = ""
    back_to: int = 0
    """The version whose document it has again; 0: it is no rollback."""


class AppliedPolicy(NamedTuple):
    """A version of a tenant's policy that is kept."""

    version: int
    at_ms: int
    """When it was put in force; 0 where that was before such things were kept."""
    note: PolicyNote


def applied_policy(version: int, told: str) -> AppliedPolicy:
    """From what `lua/apply_policy.lua` keeps; empty where nothing is known."""
    at_ms, by, comment, back_to = told.split("\t") if told else ("0", "", "", "")
    return AppliedPolicy(version, int(at_ms), PolicyNote(by, comment, int(back_to or 0)))


class Shadows(NamedTuple):
    """The tenants that have a shadow."""

    stamp: str
    """Of the last change; empty where there never was one."""
    namespaces: dict[str, str]
    """By tenant."""
