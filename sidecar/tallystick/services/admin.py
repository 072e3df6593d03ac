"""`tallystick.v1.AdminService`: the control plane."""

import asyncio
from typing import Any

import structlog

from tallystick.engine import Administration
from tallystick.engine.administration import Move
from tallystick.engine.callers import Callers
from tallystick.engine.shadow_policies import ShadowPolicies
from tallystick.observe.metrics import Metrics
from tallystick.services.administering_holds import (
    read_list_holds,
    read_resolve,
    write_hold,
    write_holds,
)
from tallystick.services.administering_ledger import read_tail, read_watch, write_batch, write_events
from tallystick.services.administering_policies import (
    read_apply,
    read_rollback,
    read_version,
    write_applied,
    write_history,
    write_preview,
)
from tallystick.services.administering_shadows import read_clear, write_shadow
from tallystick.services.administering_store import read_thaw, write_frozen, write_store
from tallystick.services.administering_tenants import (
    read_page,
    read_switch,
    write_suspension,
    write_tenants,
)
from tallystick.services.administering_tickets import (
    read_approve,
    read_list_tickets,
    read_reject,
    read_ticket_ref,
    write_tickets,
)
from tallystick.services.admission import Admission
from tallystick.services.boundary import answered
from tallystick.services.listing_budgets import read_list_budgets, write_list_budgets
from tallystick.services.patience import MOST_WOKEN, patient
from tallystick.services.permissions import current_caller, signed
from tallystick.services.reading import read_tenant, read_wait
from tallystick.services.reading_wallets import read_allocate, read_credit, read_debit, read_reclaim
from tallystick.services.streams import Batches, Streams, streamed
from tallystick.services.tokens import read_new_token, token_place, write_token
from tallystick.services.writing_states import clamp, write_draws, write_wallet_lots
from tallystick.services.writing_tickets import write_ticket
from tallystick.v1 import admin_pb2 as pb
from tallystick.v1 import admin_pb2_grpc
from tallystick.v1 import budget_pb2 as bpb
from tallystick.v1 import policy_pb2 as ppb
from tallystick.v1 import ticket_pb2 as kpb
from tallystick.v1 import token_pb2 as tpb

log = structlog.get_logger("tallystick.admin")


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """Translates between the API and the engine."""

    def __init__(
        self,
        administration: Administration,
        callers: Callers,
        admission: Admission,
        streams: Streams,
        metrics: Metrics,
        *,
        shadows: ShadowPolicies,
    ) -> None:
        self._administration = administration
        self._shadows = shadows
        self._callers = callers
        self.admission = admission
        self.streams = streams
        self.metrics = metrics
        self.watch, self.woken = administration.tickets.watch, asyncio.Semaphore(MOST_WOKEN)

    def unheard(self, request: object, response: object) -> None:
        """See `boundary.Guarded`. What was asked for stands."""

    @answered
    async def SuspendTenant(self, request: pb.SuspendTenantRequest) -> pb.SuspendTenantResponse:
        """See the proto."""
        suspension, changed = await self._administration.tenants.suspend(read_switch(request))
        return pb.SuspendTenantResponse(suspension=write_suspension(suspension), changed=changed)

    @answered
    async def ResumeTenant(self, request: pb.ResumeTenantRequest) -> pb.ResumeTenantResponse:
        """See the proto."""
        return pb.ResumeTenantResponse(
            changed=await self._administration.tenants.resume(read_switch(request))
        )

    @answered
    async def ListTenants(self, request: pb.ListTenantsRequest) -> pb.ListTenantsResponse:
        """See the proto."""
        page = read_page(request)
        return write_tenants(await self._administration.tenants.list(page, suspended=request.suspended))

    @answered
    async def GetStore(self, request: pb.GetStoreRequest) -> pb.GetStoreResponse:
        """See the proto."""
        return write_store(self._administration.partitions.state())

    @answered
    async def ThawPartition(self, request: pb.ThawPartitionRequest) -> pb.ThawPartitionResponse:
        """See the proto."""
        call = read_thaw(request)
        frozen = await self._administration.partitions.thaw(call)
        return pb.ThawPartitionResponse(frozen=write_frozen(call.partition, frozen) if frozen else None)

    @answered
    async def ListTickets(self, request: kpb.ListTicketsRequest) -> kpb.ListTicketsResponse:
        """See the proto."""
        call, page = read_list_tickets(request), read_page(request)
        return write_tickets(await self._administration.tickets.list(call, page))

    @patient
    @answered
    async def GetTicket(self, request: kpb.GetTicketRequest) -> kpb.GetTicketResponse:
        """See the proto."""
        read_wait(request.wait)
        ticket = await self._administration.tickets.ticket(*read_ticket_ref(request))
        return kpb.GetTicketResponse(ticket=write_ticket(ticket))

    def waits_for(self, request: kpb.GetTicketRequest, response: kpb.GetTicketResponse) -> Any:
        """See `patience.Patient`."""
        ticket = response.ticket
        return (request.tenant, ticket.id) if ticket.state == bpb.TICKET_STATE_OPEN else None

    @answered
    async def ApproveTicket(self, request: kpb.ApproveTicketRequest) -> kpb.ApproveTicketResponse:
        """See the proto."""
        ticket, changed = await self._administration.tickets.answer(read_approve(request))
        return kpb.ApproveTicketResponse(ticket=write_ticket(ticket), changed=changed)

    @answered
    async def RejectTicket(self, request: kpb.RejectTicketRequest) -> kpb.RejectTicketResponse:
        """See the proto."""
        ticket, changed = await self._administration.tickets.answer(read_reject(request))
        return kpb.RejectTicketResponse(ticket=write_ticket(ticket), changed=changed)

    @answered
    async def ListHolds(self, request: pb.ListHoldsRequest) -> pb.ListHoldsResponse:
        """See the proto."""
        call, page = read_list_holds(request), read_page(request)
        return write_holds(await self._administration.holds.list(call, page))

    @answered
    async def ResolveHold(self, request: pb.ResolveHoldRequest) -> pb.ResolveHoldResponse:
        """See the proto."""
        hold, changed = await self._administration.holds.resolve(read_resolve(request))
        return pb.ResolveHoldResponse(hold=write_hold(request.reservation_id, hold), changed=changed)

    @streamed
    async def TailLedger(self, request: pb.TailLedgerRequest) -> Batches[pb.TailLedgerResponse]:
        """See the proto."""
        async for batch in self._administration.tail.read(read_tail(request)):
            yield write_batch(batch)

    @streamed
    async def WatchEvents(self, request: pb.WatchEventsRequest) -> Batches[pb.WatchEventsResponse]:
        """See the proto."""
        async for batch in self._administration.tail.read(read_watch(request)):
            yield write_events(batch)

    @answered
    async def ApplyPolicy(self, request: pb.ApplyPolicyRequest) -> pb.ApplyPolicyResponse:
        """See the proto."""
        call, policies = read_apply(request), self._administration.policies
        if request.dry_run:
            return write_preview(await policies.preview(call))
        return write_applied(await (self._shadows if request.shadow else policies).apply(call))

    @answered
    async def GetPolicy(self, request: pb.GetPolicyRequest) -> pb.GetPolicyResponse:
        """See the proto."""
        tenant, version = read_tenant(request.tenant), read_version("version", request.version)
        policies = self._shadows if request.shadow else self._administration.policies
        stored = await policies.policy(tenant, version)
        return pb.GetPolicyResponse(document=stored.document, version=stored.version)

    @answered
    async def GetPolicyHistory(self, request: ppb.GetPolicyHistoryRequest) -> ppb.GetPolicyHistoryResponse:
        """See the proto."""
        tenant, page = read_tenant(request.tenant), read_page(request)
        return write_history(await self._administration.policies.history(tenant, page))

    @answered
    async def RollbackPolicy(self, request: ppb.RollbackPolicyRequest) -> ppb.RollbackPolicyResponse:
        """See the proto."""
        applied, back_to = await self._administration.policies.rollback(read_rollback(request))
        return ppb.RollbackPolicyResponse(
            version=applied.version, rolled_back_to=back_to, changed=applied.changed
        )

    @answered
    async def ClearShadow(self, request: ppb.ClearShadowRequest) -> ppb.ClearShadowResponse:
        """See the proto."""
        return ppb.ClearShadowResponse(changed=await self._shadows.clear(*read_clear(request)))

    @answered
    async def ListShadowDifferences(
        self, request: ppb.ListShadowDifferencesRequest
    ) -> ppb.ListShadowDifferencesResponse:
        """See the proto."""
        tenant, page = read_tenant(request.tenant), read_page(request)
        return write_shadow(await self._shadows.state(tenant, page))

    @answered
    async def CreditWallet(self, request: pb.CreditWalletRequest) -> pb.CreditWalletResponse:
        """See the proto."""
        wallet, credit_id = await self._administration.credit(read_credit(request))
        return pb.CreditWalletResponse(wallet=write_wallet_lots(wallet), credit_id=credit_id)

    @answered
    async def DebitWallet(self, request: pb.DebitWalletRequest) -> pb.DebitWalletResponse:
        """See the proto."""
        move = await self._administration.move(read_debit(request))
        return pb.DebitWalletResponse(
            wallet=write_wallet_lots(move.source), debit_id=move.move_id, drawn=write_draws(move.drawn)
        )

    @answered
    async def AllocateFunds(self, request: pb.AllocateFundsRequest) -> pb.AllocateFundsResponse:
        """See the proto."""
        move = await self._administration.move(read_allocate(request))
        return pb.AllocateFundsResponse(transfer_id=move.move_id, **_ends(move))

    @answered
    async def ReclaimFunds(self, request: pb.ReclaimFundsRequest) -> pb.ReclaimFundsResponse:
        """See the proto."""
        move = await self._administration.move(read_reclaim(request))
        return pb.ReclaimFundsResponse(transfer_id=move.move_id, reclaimed=clamp(move.amount), **_ends(move))

    @answered
    async def ListWallets(self, request: pb.ListWalletsRequest) -> pb.ListWalletsResponse:
        """See the proto."""
        tenant, page = read_tenant(request.tenant), read_page(request)
        cut = await self._administration.wallets(tenant, page)
        wallets = [write_wallet_lots(wallet) for wallet in cut.found]
        return pb.ListWalletsResponse(wallets=wallets, next_page_token=cut.token)

    @answered
    async def ListBudgets(self, request: pb.ListBudgetsRequest) -> pb.ListBudgetsResponse:
        """See the proto."""
        call, page = read_list_budgets(request), read_page(request)
        return write_list_budgets(await self._administration.budgets(call, page))

    @answered
    async def CreateToken(self, request: tpb.CreateTokenRequest) -> tpb.CreateTokenResponse:
        """See the proto."""
        token, secret = await self._callers.create(read_new_token(request), signed(""))
        log.info("a token was made", token=token.field, by=_by())
        return tpb.CreateTokenResponse(token=write_token(token), secret=secret)

    @answered
    async def ListTokens(self, request: tpb.ListTokensRequest) -> tpb.ListTokensResponse:
        """See the proto."""
        page = read_page(request)
        cut = self._administration.pages.cut(await self._callers.tokens(request.tenant), page, token_place)
        tokens = [write_token(token) for token in cut.found]
        return tpb.ListTokensResponse(tokens=tokens, next_page_token=cut.token)

    @answered
    async def RevokeToken(self, request: tpb.RevokeTokenRequest) -> tpb.RevokeTokenResponse:
        """See the proto."""
        await self._callers.revoke(request.tenant, request.name, signed(""))
        log.info("a token was revoked", token=f"{request.tenant}:{request.name}", by=_by())
        return tpb.RevokeTokenResponse()


def _by() -> str:
    """Who makes this call, for the log."""
    caller = current_caller()
    return caller.name if caller else "anybody"


def _ends(move: Move) -> dict[str, Any]:
    """Both wallets of a transfer."""
    assert move.target is not None
    return {"from": write_wallet_lots(move.source), "to": write_wallet_lots(move.target)}
