"""What a policy declares, in short."""

from rich.text import Text

from tallystick.cli.output import show
from tallystick.cli.tables import make_table
from tallystick.core.decision import UNIT_NAMES, amount_text
from tallystick.core.policy import Budget, Match, Policy, Unit


def show_summary(file: str, policy: Policy) -> None:
    """Print a good policy's wallets, in the order of the cascade, and its budgets."""
    show(Text.assemble((f"{file}: good", "bold green"), f", for tenant {policy.tenant}"))
    if policy.wallets:
        wallets = make_table(("Wallet", "Per", "Unit"))
        for wallet in policy.wallets:
            wallets.add_row(Text(wallet.name), Text(_per_text(wallet.per)), Text(UNIT_NAMES[wallet.unit]))
        show("", wallets)
    if policy.budgets:
        budgets = make_table(("Budget", "Per", "Limit", "Window", "When full", "Match"))
        for column in budgets.columns[:-1]:
            column.no_wrap = True
        for budget in policy.budgets:
            limit = amount_text(budget.limit, budget.unit)
            full, match = budget.on_exhausted.value, match_text(budget.match)
            cells = (budget.name, _per_text(budget.per), limit, window_text(budget), full, match)
            budgets.add_row(*map(Text, cells))
        show("", budgets)
    if not policy.wallets and not policy.budgets:
        show("It has neither wallets nor budgets.")


def _per_text(per: tuple[str, ...]) -> str:
    return ", ".join(per) or "-"


def match_text(match: Match) -> str:
    """Say which calls a budget is about: `environment=dev|ci`."""
    return ", ".join(f"{dimension}={'|'.join(patterns)}" for dimension, patterns in match.patterns) or "all"


def window_text(budget: Budget) -> str:
    """Name a window as the policy does."""
    if budget.unit is Unit.CONCURRENT:
        return "-"
    return budget.window.text()
