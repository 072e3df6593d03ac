"""From requests about tenants to calls, and from tenants to messages, as `reading` and `writing` do."""

from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.core.subject import check_text
from tallystick.engine.calls import SwitchCall
from tallystick.engine.paging import Cut, Page
from tallystick.services.permissions import signed
from tallystick.services.reading import digest, read_tenant
from tallystick.services.writing_states import timestamp
from tallystick.store.tenant_states import Suspension, TenantState
from tallystick.v1 import admin_pb2 as pb

MOST_OF_A_PAGE = 1_000
MAX_TOKEN_CHARACTERS = 4_096


def read_page(request: Any) -> Page:
    """Which page of a list; the list is told by all else in the request. Raises InvalidArgument."""
    size, token = request.page_size, request.page_token
    if not 0 <= size <= MOST_OF_A_PAGE:
        raise InvalidArgument("page_size", f"expected 1 to {MOST_OF_A_PAGE:,}, or 0 for that many")
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidArgument("page_token", f"expected at most {MAX_TOKEN_CHARACTERS:,} characters")
    asked = type(request)()
    asked.CopyFrom(request)
    asked.ClearField("page_size")
    asked.ClearField("page_token")
    return Page(size or MOST_OF_A_PAGE, f"{request.DESCRIPTOR.name} {digest(asked)}", token)


def read_switch(request: pb.SuspendTenantRequest | pb.ResumeTenantRequest) -> SwitchCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant)
    check_text("by", request.by)
    check_text("reason", request.reason)
    return SwitchCall(tenant, signed(request.by), request.reason)


def write_suspension(suspension: Suspension) -> pb.Suspension:
    """Since when, by whom and why."""
    return pb.Suspension(since=timestamp(suspension.since_ms), by=suspension.by, reason=suspension.reason)


def write_tenants(cut: Cut[TenantState]) -> pb.ListTenantsResponse:
    """A page of tenants."""
    return pb.ListTenantsResponse(
        tenants=[
            pb.Tenant(
                name=each.tenant,
                policy_version=each.policy_version,
                suspension=write_suspension(each.suspension) if each.suspension else None,
            )
            for each in cut.found
        ],
        next_page_token=cut.token,
    )
