"""A backtest's report for people."""

from collections.abc import Iterable, Sequence
from heapq import nlargest

from rich.text import Text

from tallystick.backtest import Report
from tallystick.backtest.document import (
    downgrades,
    quantiles,
    refusals,
    threshold_of,
    time_text,
    top_subjects,
)
from tallystick.backtest.report import BudgetDay
from tallystick.cli.output import show
from tallystick.cli.tables import make_table
from tallystick.core.money import usd_text
from tallystick.core.policy import Budget
from tallystick.core.subject import subject_text

MOST_DAYS = 40
"""So many lines of budgets by day; more are for `--json`."""

Row = tuple[Sequence[str], Sequence[str]]
"""Texts, and amounts."""


def show_report(report: Report, wallets: str, seconds: float) -> None:
    """Print it, the most important first."""
    calls = report.made.calls
    first, last = time_text(report, report.first_ms), time_text(report, report.last_ms)
    funds = f", wallets {wallets}" if report.policy.wallets else ""
    show(Text(f"{report.policy.tenant}: {calls} calls, {first} to {last}{funds}", style="bold"), "")
    _show_decisions(report)
    _show_budgets(report)
    _show_days(report)
    _show_subjects(report)
    _show_estimates(report)
    show("", f"{calls} calls in {seconds:.1f} s, {calls / seconds:.0f} a second")


def _show_decisions(report: Report) -> None:
    def row(name: str, calls: int, nano_usd: int) -> Row:
        return (name,), (str(calls), f"{calls / report.made.calls:.1%}", usd_text(nano_usd))

    rows = [row("as it was, by the policy's prices", report.made.calls, report.made.nano_usd)]
    rows.append(row("allowed", report.spent.calls, report.spent.nano_usd))
    rows += [
        row(f"  downgraded {asked} → {used}", each.calls, each.nano_usd)
        for (asked, used), each in downgrades(report)
    ]
    rows += [row(f"refused {reason.name}", each.calls, each.nano_usd) for reason, each in refusals(report)]
    if report.billed.bills.calls:
        rows.append(row("billed", report.billed.bills.calls, report.billed.bills.nano_usd))
        rows.append(
            row("  the same calls, by price", report.billed.bills.calls, report.billed.priced_nano_usd)
        )
    if report.unpriced:
        rows.append(((f"without a price: {report.unpriced} calls",), ("", "", "")))
    _show_table(("Calls",), ("Count", "Share", "USD"), rows)


def _show_budgets(report: Report) -> None:
    rows: list[Row] = []
    for budget in report.policy.budgets:
        found = report.budgets[budget.name]
        days = found.days.values()
        first = "-" if found.first_refusal_ms is None else time_text(report, found.first_refusal_ms)
        rows.append((
            (budget.name, first),
            (
                str(sum(day.calls for day in days)),
                str(sum(day.refused for day in days)),
                str(sum(day.refused > 0 for day in days)),
                f"{max((day.peak_percent for day in days), default=0)} %",
            ),
        ))  # fmt: skip
    if rows:
        show("")
        _show_table(("Budget", "First refusal"), ("Calls", "Refused", "On days", "Peak use"), rows)


def _show_days(report: Report) -> None:
    """Print the days on which a budget refused or reached a threshold."""
    found = [
        (name, budget, day)
        for budget in report.policy.budgets
        for name, day in report.budgets[budget.name].days.items()
        if day.refused or threshold_of(budget, day.peak_percent)
    ]
    if not found:
        return
    shown = nlargest(MOST_DAYS, found, key=lambda each: (each[2].refused, each[2].peak_percent))
    shown.sort(key=lambda each: each[0])
    show("")
    _show_table(
        ("Day", "Budget"), ("Calls", "Refused", "Peak use", "Threshold"), [_day_row(*each) for each in shown]
    )
    if len(found) > len(shown):
        show(f"… and {len(found) - len(shown)} more, less full: see --json")


def _day_row(name: str, budget: Budget, day: BudgetDay) -> Row:
    threshold = threshold_of(budget, day.peak_percent)
    return (name, budget.name), (
        str(day.calls),
        str(day.refused),
        f"{day.peak_percent} %",
        f"{threshold} %" if threshold else "-",
    )


def _show_subjects(report: Report) -> None:
    rows: list[Row] = []
    for subject, each in top_subjects(report):
        by = ", ".join(f"{name} {count}" for name, count in each.by.most_common())
        name = subject_text(subject).replace("\t", ", ") or "-"
        rows.append(((name, by), (str(each.refused.calls), usd_text(each.refused.nano_usd))))
    if rows:
        show("")
        _show_table(("Refused most", "By"), ("Calls", "USD"), rows)


def _show_estimates(report: Report) -> None:
    if not report.ratios:
        return
    spread = ", ".join(f"{name} {value:.2f}" for name, value in quantiles(report.ratios).items())
    share = report.exceeded / len(report.ratios)
    show("", f"Held ÷ charged: {spread}. {share:.1%} of {len(report.ratios)} calls cost more than was held.")


def _show_table(texts: Sequence[str], amounts: Sequence[str], rows: Iterable[Row]) -> None:
    made = [([Text(each) for each in names], [Text(each) for each in cells]) for names, cells in rows]
    table = make_table(texts, amounts, [cells for _, cells in made])
    for names, cells in made:
        table.add_row(*names, *cells)
    show(table)
