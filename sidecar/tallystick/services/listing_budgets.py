"""From requests for budgets to calls, and from budgets to messages, as `reading` and `writing` do."""

from tallystick.core.policy import OnExhausted, Unit
from tallystick.core.subject import check_text
from tallystick.engine.budget_list import ListedBudget
from tallystick.engine.calls import BudgetsCall
from tallystick.engine.paging import Cut
from tallystick.services.reading import read_tenant
from tallystick.services.reading_wallets import read_group
from tallystick.services.writing_states import write_budget
from tallystick.v1 import admin_pb2 as pb

ON_EXHAUSTED = {
    OnExhausted.DENY: pb.ON_EXHAUSTED_DENY,
    OnExhausted.ALERT: pb.ON_EXHAUSTED_ALERT,
    OnExhausted.DOWNGRADE: pb.ON_EXHAUSTED_DOWNGRADE,
    OnExhausted.TICKET: pb.ON_EXHAUSTED_TICKET,
}


def read_list_budgets(request: pb.ListBudgetsRequest) -> BudgetsCall:
    """Checks and translates. Raises InvalidArgument."""
    tenant = read_tenant(request.tenant)
    check_text("budget", request.budget)
    return BudgetsCall(tenant, request.budget, read_group("group", request.group))


def write_list_budgets(cut: Cut[ListedBudget]) -> pb.ListBudgetsResponse:
    """A page of the list."""
    budgets, more = [_write_listed(each) for each in cut.found], bool(cut.token)
    return pb.ListBudgetsResponse(budgets=budgets, truncated=more, next_page_token=cut.token)


def _write_listed(listed: ListedBudget) -> pb.ListedBudget:
    budget = listed.budget
    return pb.ListedBudget(
        state=write_budget(listed.state),
        window="" if budget.unit is Unit.CONCURRENT else budget.window.text(),
        on_exhausted=ON_EXHAUSTED[budget.on_exhausted],
    )
