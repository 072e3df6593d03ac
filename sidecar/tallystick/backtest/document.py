"""A report as one plain document, for JSON: amounts of money are text, as in the API."""

from collections.abc import Sequence
from datetime import UTC, datetime
from heapq import nlargest
from typing import Any

from tallystick.backtest.report import BudgetReport, Day, Report, SubjectReport, Sum
from tallystick.core.policy import Budget
from tallystick.core.subject import Subject, subject_text

MOST_SUBJECTS = 10
QUANTILES = (50, 90, 99)


def document_of(report: Report) -> dict[str, Any]:
    """Everything that the report has."""
    return {
        "from": time_text(report, report.first_ms),
        "until": time_text(report, report.last_ms),
        "calls": report.made.calls,
        "allowed": report.spent.calls,
        "refused": [{"reason": reason.name, **_sum(each)} for reason, each in refusals(report)],
        "downgraded": [
            {"model": asked, "to": used, **_sum(each)} for (asked, used), each in downgrades(report)
        ],
        "cost": {
            "nano_usd": str(report.made.nano_usd),
            "unpriced_calls": report.unpriced,
            "spent_nano_usd": str(report.spent.nano_usd),
            "billed_nano_usd": str(report.billed.bills.nano_usd),
            "billed_calls": report.billed.bills.calls,
            "billed_calls_nano_usd": str(report.billed.priced_nano_usd),
        },
        "days": [_day(name, day) for name, day in report.days.items()],
        "budgets": [_budget(report, budget) for budget in report.policy.budgets],
        "subjects": [_subject(subject, each) for subject, each in top_subjects(report)],
        "estimates": {
            "calls": len(report.ratios),
            "exceeded_calls": report.exceeded,
            "held_by_charged": quantiles(report.ratios),
        },
    }


def refusals(report: Report) -> list[tuple[Any, Sum]]:
    """By reason, in the order in which reasons win."""
    return sorted(report.refused.items())


def downgrades(report: Report) -> list[tuple[tuple[str, str], Sum]]:
    """By model asked and used, the most frequent first."""
    return sorted(report.downgraded.items(), key=lambda item: (-item[1].calls, item[0]))


def top_subjects(report: Report) -> list[tuple[Subject, SubjectReport]]:
    """Those that were refused most often."""
    return nlargest(MOST_SUBJECTS, report.subjects.items(), key=lambda item: item[1].refused.calls)


def time_text(report: Report, at_ms: int) -> str:
    """RFC 3339, to the second, in the time zone of the report."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(report.zone).isoformat()


def quantiles(ratios: Sequence[float]) -> dict[str, float]:
    """The least value that so many percent are not above; nothing of nothing."""
    ordered = sorted(ratios)
    return {f"p{q}": round(ordered[-(-len(ordered) * q // 100) - 1], 4) for q in QUANTILES if ordered}


def threshold_of(budget: Budget, percent: int) -> int:
    """The highest of the budget's thresholds that this use has reached; 0 for none."""
    return max((alert for alert in budget.alerts if percent >= alert), default=0)


def threshold_days(budget: Budget, report: BudgetReport) -> dict[str, int]:
    """On how many days each threshold was reached."""
    peaks = [day.peak_percent for day in report.days.values()]
    return {str(alert): sum(peak >= alert for peak in peaks) for alert in budget.alerts}


def _sum(each: Sum) -> dict[str, Any]:
    return {"calls": each.calls, "nano_usd": str(each.nano_usd)}


def _day(name: str, day: Day) -> dict[str, Any]:
    return {
        "day": name,
        "calls": day.made.calls,
        "refused": day.refused,
        "downgraded": day.downgraded,
        "nano_usd": str(day.made.nano_usd),
        "spent_nano_usd": str(day.spent_nano_usd),
    }


def _budget(report: Report, budget: Budget) -> dict[str, Any]:
    found = report.budgets[budget.name]
    first_ms = found.first_refusal_ms
    return {
        "budget": budget.name,
        "calls": sum(day.calls for day in found.days.values()),
        "refused": sum(day.refused for day in found.days.values()),
        "peak_percent": max((day.peak_percent for day in found.days.values()), default=0),
        "first_refusal": None if first_ms is None else time_text(report, first_ms),
        "threshold_days": threshold_days(budget, found),
        "days": [
            {
                "day": name,
                "calls": day.calls,
                "refused": day.refused,
                "peak_percent": day.peak_percent,
                "threshold_percent": threshold_of(budget, day.peak_percent),
            }
            for name, day in found.days.items()
        ],
    }


def _subject(subject: Subject, found: SubjectReport) -> dict[str, Any]:
    pairs = (each.split("=", 1) for each in subject_text(subject).split("\t") if each)
    return {"subject": dict(pairs), **_sum(found.refused), "by": dict(found.by.most_common())}
