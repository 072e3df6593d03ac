"""`tallystick budget`: how full the limits of a policy are."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.connection import admin_service
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import AdminConnection, Tenant, read_pairs
from tallystick.cli.output import print_json, print_message, show

if TYPE_CHECKING:
    from tallystick.core.policy import Budget
    from tallystick.v1 import admin_pb2

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The budget's name in the policy.", show_default=False)
]
GroupPairs = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="DIMENSION=VALUE",
        help="Only groups with this value of the budget's per; may be repeated.",
        show_default=False,
    ),
]


def list_budgets(tenant: Tenant, connection: AdminConnection) -> None:
    """List the budgets of the policy in force, with every group that spent or holds something.

    Each stands as it is in its present window, the fullest group of a budget first. What remains is the
    limit less spent and held. At most 1000 lines.
    """
    from tallystick.v1 import admin_pb2

    with admin_service(connection) as service:
        found = service.ListBudgets(admin_pb2.ListBudgetsRequest(tenant=tenant), timeout=connection.timeout_s)
    if connection.as_json:
        print_message(found)
        return
    from tallystick.cli.budget_tables import list_table

    if not found.budgets:
        show(f"{tenant}: the policy has no budgets")
        return
    show(list_table(found.budgets))
    _tell_truncated(found)


def show_budget(tenant: Tenant, name: Name, group: GroupPairs = None, *, connection: AdminConnection) -> None:
    """Show one budget: what the policy says of it, and its groups, the fullest first.

    Of each group it tells the highest alert that was reached. With --group only those groups are shown.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ListBudgetsRequest(tenant=tenant, budget=name, group=read_pairs("--group", group))
    with admin_service(connection) as service:
        found = service.ListBudgets(request, timeout=connection.timeout_s)
        stored = service.GetPolicy(admin_pb2.GetPolicyRequest(tenant=tenant), timeout=connection.timeout_s)
    budget = _declared(stored.document, name)
    if connection.as_json:
        print_json(_document(budget, found))
        return
    from tallystick.cli.budget_tables import budget_card, group_table

    show(budget_card(budget, found.budgets[0]), "", group_table(found.budgets))
    _tell_truncated(found)


def _declared(document: str, name: str) -> "Budget":
    """Find the budget in the policy. The two answers may lie on both sides of a change of it."""
    from tallystick.policyfile import load_policy

    for budget in load_policy(document).budgets:
        if budget.name == name:
            return budget
    raise CommandError(ExitCode.REFUSED, f"budget {name} was taken out of the policy just now")


def _document(budget: "Budget", found: "admin_pb2.ListBudgetsResponse") -> dict[str, Any]:
    from tallystick.cli.output import message_document

    return {
        "name": budget.name,
        "match": {dimension: list(patterns) for dimension, patterns in budget.match.patterns},
        "per": list(budget.per),
        "alerts": list(budget.alerts),
        "priorities": dict(budget.priorities),
        "overage": str(budget.overage),
        **message_document(found),
    }


def _tell_truncated(found: "admin_pb2.ListBudgetsResponse") -> None:
    if found.truncated:
        show(f"… and more than these {len(found.budgets)}: see budget show NAME --group DIMENSION=VALUE")
