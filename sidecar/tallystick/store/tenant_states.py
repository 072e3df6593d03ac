"""What a store tells of tenants, as plain values."""

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
