"""Budgets of a whole tenant as tables."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tallystick.cli.output import time_text
from tallystick.cli.summaries import match_text
from tallystick.cli.tables import amount_of, make_card, make_table
from tallystick.core.decision import amount_text
from tallystick.core.policy import Budget
from tallystick.v1 import admin_pb2 as pb
from tallystick.v1 import budget_pb2

AMOUNTS = ("Limit", "Spent", "Held", "Remaining", "Used")


def list_table(budgets: Sequence[pb.ListedBudget]) -> Table:
    """List budgets, a line for each group."""
    rows = [_cells(each.state) for each in budgets]
    table = make_table(("Budget", "Window", "Ends", "When full"), AMOUNTS, rows)
    for each, cells in zip(budgets, rows, strict=True):
        name = Text.assemble((each.state.name, "bold"), " ", (each.state.group, "dim"))
        table.add_row(name, Text(each.window or "-"), Text(_end(each)), Text(_when_full(each)), *cells)
    return table


def group_table(budgets: Sequence[pb.ListedBudget]) -> Table:
    """List the groups of one budget."""
    rows = [_cells(each.state) for each in budgets]
    table = make_table(("Group", "Alert"), AMOUNTS, rows)
    for each, cells in zip(budgets, rows, strict=True):
        reached = each.state.threshold_percent
        table.add_row(Text(each.state.group or "all"), Text(f"{reached} %" if reached else "-"), *cells)
    return table


def budget_card(budget: Budget, listed: pb.ListedBudget) -> RenderableType:
    """Say what the policy says of a budget."""
    window = listed.window or "calls in flight"
    rows = [
        ("limit", amount_text(budget.limit, budget.unit)),
        ("window", window if _end(listed) == "-" else f"{window}, until {_end(listed)}"),
        ("per", ", ".join(budget.per) or "-"),
        ("match", match_text(budget.match)),
        ("when full", _when_full(listed)),
        ("overage", amount_text(budget.overage, budget.unit) if budget.overage else "-"),
        ("priorities", ", ".join(f"{name} {percent} %" for name, percent in budget.priorities) or "-"),
        ("alerts", ", ".join(f"{percent} %" for percent in budget.alerts) or "-"),
    ]
    return make_card(budget.name, "cyan", rows)


def used_percent(state: budget_pb2.BudgetState) -> int:
    """What is spent and held, in percent of the limit, rounded down."""
    return (state.spent + state.held) * 100 // state.limit if state.limit else 100


def _cells(state: budget_pb2.BudgetState) -> list[Text]:
    percent = used_percent(state)
    style = "bold red" if percent >= 100 else ""
    amounts = (state.limit, state.spent, state.held)
    return [
        *(Text(amount_of(amount, state.unit)) for amount in amounts),
        Text(amount_of(state.remaining, state.unit), style=style),
        Text(f"{percent} %", style=style),
    ]


def _end(listed: pb.ListedBudget) -> str:
    return time_text(listed.state.window_end) if listed.state.HasField("window_end") else "-"


def _when_full(listed: pb.ListedBudget) -> str:
    return pb.OnExhausted.Name(listed.on_exhausted).removeprefix("ON_EXHAUSTED_").lower()
