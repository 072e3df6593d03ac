"""Tables about shadow policies: how often they differ, and on which calls."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from tallystick.cli.output import time_text
from tallystick.cli.tables import cost_text, make_table
from tallystick.v1 import budget_pb2, policy_pb2


def counts_table(counts: Sequence[policy_pb2.ShadowCount]) -> Table:
    """One line for each kind of difference."""
    rows = [[Text(str(each.count))] for each in counts]
    table = make_table(("Difference", "Reason", "Budget"), ("Calls",), rows)
    for each, cells in zip(counts, rows, strict=True):
        verdict, reason = Text(_verdict(each.verdict), style="bold"), Text(_reason(each.reason))
        table.add_row(verdict, reason, Text(each.budget or "-"), *cells)
    return table


def calls_table(differences: Sequence[policy_pb2.ShadowDifference]) -> Table:
    """One line for each call."""
    rows = [[Text(cost_text(each.cost))] for each in differences]
    table = make_table(("When", "Reservation", "Subject", "Live", "Shadow"), ("Cost",), rows)
    for each, cells in zip(differences, rows, strict=True):
        texts = (time_text(each.at), each.reservation_id, each.subject or "-")
        sides = (_side(each.live), _side(each.shadow))
        table.add_row(*map(Text, texts), *map(Text, sides), *cells)
    return table


def _side(side: policy_pb2.ShadowSide) -> str:
    if side.allowed:
        return f"ALLOW {side.model}".rstrip()
    budget = f" by {side.budget}" if side.budget else ""
    return f"DENY {_reason(side.reason)}{budget}"


def _verdict(verdict: policy_pb2.ShadowVerdict) -> str:
    name = policy_pb2.ShadowVerdict.Name(verdict).removeprefix("SHADOW_VERDICT_")
    return name.lower().replace("_", " ")


def _reason(reason: budget_pb2.Reason) -> str:
    return budget_pb2.Reason.Name(reason).removeprefix("REASON_") if reason else "-"
