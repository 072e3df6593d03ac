"""Tables about policies: what changes, who is over, which versions there are."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tallystick.cli.output import time_text
from tallystick.cli.tables import UNITS, make_table
from tallystick.core.decision import amount_text
from tallystick.v1 import policy_pb2

_STYLES = {"tighter": "red", "looser": "green", "new": "cyan", "gone": "magenta", "changed": "yellow"}
_PREFIX = "DIFFERENCE_KIND_"


def differences_table(differences: Iterable[policy_pb2.PolicyDifference]) -> Table:
    """One line for each difference."""
    table = make_table(("", "Where", "What"))
    for column in table.columns[:2]:
        column.no_wrap = True
    for each in differences:
        kind = policy_pb2.DifferenceKind.Name(each.kind).removeprefix(_PREFIX).lower()
        table.add_row(Text(kind, style=_STYLES.get(kind, "")), Text(each.path), Text(each.text))
    return table


def over_table(over: Sequence[policy_pb2.OverBudget]) -> Table:
    """One line for each group of a budget."""
    rows = [
        [Text(amount_text(amount, UNITS[each.unit])) for amount in (each.spent, each.held, each.limit)]
        for each in over
    ]
    table = make_table(("Budget", "Group"), ("Spent", "Held", "Limit"), rows)
    for each, cells in zip(over, rows, strict=True):
        table.add_row(Text(each.budget, style="bold"), Text(each.group or "-"), *cells)
    return table


def history_table(versions: Iterable[policy_pb2.PolicyVersion]) -> Table:
    """One line for each version."""
    rows: list[tuple[Text, list[Any]]] = []
    for each in versions:
        at = time_text(each.at) if each.HasField("at") else "-"
        back = f"version {each.rolled_back_to} again" if each.rolled_back_to else ""
        comment = "; ".join(part for part in (back, each.comment) if part)
        rows.append((Text(str(each.version)), [Text(at), Text(each.by or "-"), Text(comment or "-")]))
    table = make_table(("Version", "When", "By", "Comment"))
    for version, cells in rows:
        table.add_row(version, *cells)
    return table
