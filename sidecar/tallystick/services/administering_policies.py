"""From requests about policies to calls, and from what is told of them to messages."""

from tallystick.core.decision import BudgetState
from tallystick.core.differences import Difference, Kind
from tallystick.core.errors import InvalidArgument
from tallystick.core.subject import check_text
from tallystick.engine.paging import Cut
from tallystick.engine.policies import Applied, ApplyCall, Preview, RollbackCall
from tallystick.services.permissions import signed
from tallystick.services.reading import read_tenant
from tallystick.services.writing_states import UNITS, clamp, timestamp
from tallystick.store.tenant_states import AppliedPolicy, PolicyNote
from tallystick.v1 import admin_pb2 as pb
from tallystick.v1 import policy_pb2 as ppb

MAX_VERSION = 2**53

_KINDS = {
    Kind.TIGHTER: ppb.DIFFERENCE_KIND_TIGHTER,
    Kind.LOOSER: ppb.DIFFERENCE_KIND_LOOSER,
    Kind.NEW: ppb.DIFFERENCE_KIND_NEW,
    Kind.GONE: ppb.DIFFERENCE_KIND_GONE,
    Kind.CHANGED: ppb.DIFFERENCE_KIND_CHANGED,
}


def read_apply(request: pb.ApplyPolicyRequest) -> ApplyCall:
    """Checks and translates. Raises InvalidArgument."""
    check_text("by", request.by)
    check_text("comment", request.comment)
    if request.dry_run and request.shadow:
        raise InvalidArgument("dry_run", "expected none with shadow: a shadow is a trial already")
    expected = request.expected_version if request.HasField("expected_version") else None
    return ApplyCall(request.document, expected, PolicyNote(signed(request.by), request.comment))


def read_version(field: str, version: int) -> int:
    """Checks a version of a policy. Raises InvalidArgument."""
    if version > MAX_VERSION:
        raise InvalidArgument(field, f"expected at most {MAX_VERSION}")
    return version


def read_rollback(request: ppb.RollbackPolicyRequest) -> RollbackCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant, to_version = read_tenant(request.tenant), read_version("to_version", request.to_version)
    check_text("by", request.by)
    check_text("comment", request.comment)
    expected = request.expected_version if request.HasField("expected_version") else None
    return RollbackCall(tenant, to_version, expected, signed(request.by), request.comment)


def write_applied(applied: Applied) -> pb.ApplyPolicyResponse:
    """The policy in force by now."""
    return pb.ApplyPolicyResponse(tenant=applied.tenant, version=applied.version, changed=applied.changed)


def write_preview(preview: Preview) -> pb.ApplyPolicyResponse:
    """What would change."""
    response = write_applied(preview.applied)
    response.differences.extend(map(write_difference, preview.differences))
    response.over.extend(map(_write_over, preview.over))
    response.more_over = preview.more_over
    return response


def write_difference(difference: Difference) -> ppb.PolicyDifference:
    """One thing that a policy says otherwise."""
    kind, path, text = difference
    return ppb.PolicyDifference(kind=_KINDS[kind], path=path, text=text)


def _write_over(state: BudgetState) -> ppb.OverBudget:
    line = state.line
    return ppb.OverBudget(
        budget=line.name,
        group=line.group,
        unit=UNITS[line.unit],
        spent=clamp(state.spent),
        held=clamp(state.held),
        limit=line.limit,
    )


def write_history(cut: Cut[AppliedPolicy]) -> ppb.GetPolicyHistoryResponse:
    """A page of versions."""
    versions = [
        ppb.PolicyVersion(
            version=version,
            at=timestamp(at_ms) if at_ms else None,
            by=note.by,
            comment=note.comment,
            rolled_back_to=note.back_to,
        )
        for version, at_ms, note in cut.found
    ]
    return ppb.GetPolicyHistoryResponse(versions=versions, next_page_token=cut.token)
