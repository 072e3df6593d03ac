"""Shadows: a second policy of a tenant, decided beside the live one and never enforced.

Its counters, holds, ledger entries and versions are those of a namespace, which is a tenant to the
store and to nobody else: no tenant's name has the mark in it.
"""

import os
from enum import Enum
from typing import NamedTuple

from tallystick.core.decision import Decision

MARK = "!"


def new_namespace(tenant: str) -> str:
    """One that was never used, so that a new shadow counts from 0."""
    return f"{tenant}{MARK}{os.urandom(6).hex()}"


def is_namespace(tenant: str) -> bool:
    """Whether it is that of a shadow."""
    return MARK in tenant


def owner_of(tenant: str) -> str:
    """The tenant of a namespace; a tenant itself."""
    return tenant.partition(MARK)[0]


class Verdict(Enum):
    """How a shadow's decision differs from the live one."""

    SAME = "same"
    WOULD_DENY = "would_deny"
    WOULD_ALLOW = "would_allow"
    OTHER_MODEL = "other_model"
    OTHER_REASON = "other_reason"
    """Both refuse: for another reason, or by another budget."""


class Side(NamedTuple):
    """What one of the two policies decided."""

    allowed: bool
    model: str
    reason: str
    """Empty where it allows."""
    budget: str
    """The one that binds; empty where none does."""

    @classmethod
    def of(cls, decision: Decision) -> "Side":
        """What a decision says."""
        refusal = decision.refusal
        reason, budget = (refusal.reason.name, refusal.budget) if refusal else ("", "")
        return cls(refusal is None, decision.model, reason, budget)


def compare(live: Side, shadow: Side) -> Verdict:
    """How they differ."""
    if live.allowed and not shadow.allowed:
        return Verdict.WOULD_DENY
    if shadow.allowed and not live.allowed:
        return Verdict.WOULD_ALLOW
    if live.allowed:
        return Verdict.SAME if live.model == shadow.model else Verdict.OTHER_MODEL
    same = (live.reason, live.budget) == (shadow.reason, shadow.budget)
    return Verdict.SAME if same else Verdict.OTHER_REASON
