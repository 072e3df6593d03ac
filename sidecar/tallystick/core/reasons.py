"""Why a call is refused, as a total order: checked and reported by number."""

from enum import IntEnum

from tallystick.core.policy import Budget, OnExhausted, Unit


class Reason(IntEnum):
    """The lower number wins where several apply. The numbers are those of the API."""

    NONE = 0
    TENANT_SUSPENDED = 1
    MODEL_NOT_ALLOWED = 2
    PRICE_UNKNOWN = 3
    NO_BUDGET_MATCHED = 4
    CAN_NEVER_FIT = 5
    RUNAWAY_LOOP = 6
    RATE_LIMITED = 7
    CONCURRENCY_LIMITED = 8
    BUDGET_EXHAUSTED = 9
    INSUFFICIENT_FUNDS = 10
    STORE_UNAVAILABLE = 11


LOOP_DIMENSIONS = frozenset({"session", "prompt"})


FIXED_MESSAGES = {
    Reason.TENANT_SUSPENDED: "the tenant is suspended; an administrator can resume it",
    Reason.MODEL_NOT_ALLOWED: "the policy's models do not let this model through",
    Reason.PRICE_UNKNOWN: "this model has no price; declare one in the policy's prices, or a ceiling",
    Reason.NO_BUDGET_MATCHED: (
        "no wallet and no budget covers this call; apply a policy that has one, or set unmatched: allow"
    ),
    Reason.INSUFFICIENT_FUNDS: "no wallet of the cascade is for this subject, or for a cost in this unit",
}
"""Of reasons that no counter decides."""


def reason_of(budget: Budget) -> Reason:
    """The reason that this budget refuses with; `NONE` when it never does."""
    if budget.on_exhausted is OnExhausted.ALERT:
        return Reason.NONE
    if budget.unit is Unit.CONCURRENT:
        return Reason.CONCURRENCY_LIMITED
    if budget.unit is Unit.REQUESTS and LOOP_DIMENSIONS.intersection(budget.per):
        return Reason.RUNAWAY_LOOP
    if budget.unit in (Unit.REQUESTS, Unit.TOKENS) and budget.window.is_short:
        return Reason.RATE_LIMITED
    return Reason.BUDGET_EXHAUSTED
