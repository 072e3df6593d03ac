"""From requests about shadow policies to calls, and from what was seen of them to messages."""

from typing import Any

from tallystick.core.shadow import Side, Verdict
from tallystick.core.subject import check_text
from tallystick.engine.shadow_policies import ShadowState
from tallystick.engine.shadow_report import Difference
from tallystick.services.permissions import signed
from tallystick.services.reading import read_tenant
from tallystick.services.writing_states import clamp, timestamp
from tallystick.store.tenant_states import PolicyNote
from tallystick.v1 import budget_pb2 as bpb
from tallystick.v1 import policy_pb2 as ppb

_VERDICTS = {
    Verdict.SAME: ppb.SHADOW_VERDICT_UNSPECIFIED,
    Verdict.WOULD_DENY: ppb.SHADOW_VERDICT_WOULD_DENY,
    Verdict.WOULD_ALLOW: ppb.SHADOW_VERDICT_WOULD_ALLOW,
    Verdict.OTHER_MODEL: ppb.SHADOW_VERDICT_OTHER_MODEL,
    Verdict.OTHER_REASON: ppb.SHADOW_VERDICT_OTHER_REASON,
}


def read_clear(request: ppb.ClearShadowRequest) -> tuple[str, PolicyNote]:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant)
    check_text("by", request.by)
    check_text("comment", request.comment)
    return tenant, PolicyNote(signed(request.by), request.comment)


def write_shadow(state: ShadowState) -> ppb.ListShadowDifferencesResponse:
    """How the shadow differs from the live policy."""
    counts = [
        ppb.ShadowCount(verdict=_VERDICTS[verdict], reason=_reason(reason), budget=budget, count=count)
        for (verdict, reason, budget), count in state.counts
    ]
    return ppb.ListShadowDifferencesResponse(
        version=state.version,
        decided=state.decided,
        counts=counts,
        differences=map(_write_difference, state.differences.found),
        next_page_token=state.differences.token,
    )


def _write_difference(difference: Difference) -> ppb.ShadowDifference:
    return ppb.ShadowDifference(
        at=timestamp(difference.at_ms),
        reservation_id=difference.reservation_id,
        subject=difference.subject,
        verdict=_VERDICTS[difference.verdict],
        live=_write_side(difference.live),
        shadow=_write_side(difference.shadow),
        cost=bpb.Cost(nano_usd=clamp(difference.nano_usd), tokens=clamp(difference.tokens)),
    )


def _write_side(side: Side) -> ppb.ShadowSide:
    return ppb.ShadowSide(
        allowed=side.allowed, model=side.model, reason=_reason(side.reason), budget=side.budget
    )


def _reason(name: str) -> Any:
    return bpb.Reason.Value(f"REASON_{name}") if name else bpb.REASON_UNSPECIFIED
