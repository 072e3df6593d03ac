"""Wallets, budgets and decisions as tables."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tallystick.cli.output import console, length_text, time_text
from tallystick.core.decision import amount_text
from tallystick.core.money import usd_text
from tallystick.core.policy import Unit
from tallystick.v1 import budget_pb2 as pb

UNITS = {
    pb.UNIT_NANO_USD: Unit.NANO_USD,
    pb.UNIT_TOKENS: Unit.TOKENS,
    pb.UNIT_REQUESTS: Unit.REQUESTS,
    pb.UNIT_CONCURRENT: Unit.CONCURRENT,
}
BAR_CELLS = 16
NEARLY_FULL_PERCENT = 80


def amount_of(amount: int, unit: pb.Unit) -> str:
    """Write an amount with its unit, exactly."""
    return amount_text(amount, UNITS[unit])


def cost_text(cost: pb.Cost) -> str:
    """Write a cost: `0.000315 USD, 1200 tokens`."""
    return f"{amount_text(cost.nano_usd, Unit.NANO_USD)}, {amount_text(cost.tokens, Unit.TOKENS)}"


def named(name: str, group: str) -> str:
    """Name a wallet or budget with its group: `user (user=alice)`."""
    return f"{name} ({group})" if group else name


def make_table(
    texts: Sequence[str], amounts: Sequence[str] = (), rows: Sequence[Sequence[Text]] = ()
) -> Table:
    """Make an empty table that looks like all others: columns of texts, then of amounts.

    `rows` are the amounts that will stand in it: no width makes them fold.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 0, 0, 2), header_style="bold")
    for title in texts:
        table.add_column(title, overflow="fold")
    for number, title in enumerate(amounts):
        width = max((_width(cells[number]) for cells in rows), default=0)
        table.add_column(title, justify="right", min_width=width, no_wrap=True)
    return table


def make_card(title: str, style: str, rows: Iterable[tuple[str, str]]) -> RenderableType:
    """Make a frame with a title and a line for each name and value; without the frame in a pipe."""
    lines = Table.grid(padding=(0, 2, 0, 0))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    for name, value in rows:
        lines.add_row(Text(name), Text(value))
    heading = Text(title, style=f"bold {style}")
    if not console().is_terminal:
        return Group(heading, lines)
    return Panel(lines, title=heading, title_align="left", border_style=style, expand=False, padding=(0, 1))


def wallet_table(wallets: Sequence[pb.WalletState], payer: str | None = None) -> Table:
    """List wallets; the one that pays is marked where `payer` is given, and debt is red."""
    rows = [_wallet_cells(wallet) for wallet in wallets]
    table = make_table(("Wallet",), ("Funds", "Spent", "Held", "Available"), rows)
    if payer is not None:
        table.add_column()
    for wallet, cells in zip(wallets, rows, strict=True):
        pays = payer is not None and wallet.name == payer
        name = Text.assemble((wallet.name, "bold green" if pays else "bold"), " ", (wallet.group, "dim"))
        mark = Text("pays" if pays else "", style="bold green")
        table.add_row(name, *cells, *([mark] if payer is not None else []))
    return table


def _wallet_cells(wallet: pb.WalletState) -> list[Text]:
    unit = UNITS[wallet.unit]
    amounts = [Text(_number(amount, unit)) for amount in (wallet.funds, wallet.spent, wallet.held)]
    available = amount_text(wallet.available, unit)
    return [*amounts, Text(available, style="bold red" if wallet.available < 0 else "")]


def lot_table(wallets: Sequence[pb.WalletState]) -> Table:
    """List the lots of wallets, in the order in which they are drawn."""
    lots = [(wallet, lot) for wallet in wallets for lot in wallet.lots]
    rows = [[Text(amount_of(lot.remaining, wallet.unit))] for wallet, lot in lots]
    table = make_table(("Wallet", "Kind", "Lot", "Expires"), ("Remaining",), rows)
    for (wallet, lot), cells in zip(lots, rows, strict=True):
        name = Text.assemble((wallet.name, "bold"), " ", (wallet.group, "dim"))
        expires = time_text(lot.expires_at) if lot.HasField("expires_at") else "never"
        table.add_row(name, Text(_kind_text(lot.kind)), Text(lot.id), Text(expires), *cells)
    return table


def draws_text(drawn: Iterable[pb.Draw], unit: pb.Unit) -> str:
    """Say what was drawn from which lots: `2.00 USD of grant, 0.50 USD of paid c-1`."""
    return ", ".join(
        f"{amount_of(draw.amount, unit)} of {_kind_text(draw.kind)}"
        + ("" if draw.kind == pb.LOT_KIND_GRANT else f" {draw.lot}")
        for draw in drawn
    )


def payment_lines(settled: pb.SettleResponse | pb.ChargeResponse) -> list[str]:
    """Say which wallet paid, from which lots, and what they did not cover."""
    if not settled.wallet:
        return []
    lines, unit = [f"paid by {named(settled.wallet, settled.wallet_group)}"], settled.wallet_unit
    charged = settled.charged.tokens if unit == pb.UNIT_TOKENS else settled.charged.nano_usd
    owed = charged - sum(draw.amount for draw in settled.drawn)
    if settled.drawn:
        lines.append(f"drawn from {draws_text(settled.drawn, unit)}")
    if owed > 0:
        lines.append(f"{amount_of(owed, unit)} was covered by no lot, and is debt")
    return lines


def _kind_text(kind: pb.LotKind) -> str:
    return pb.LotKind.Name(kind).removeprefix("LOT_KIND_").lower()


def budget_table(budgets: Sequence[pb.BudgetState]) -> Table:
    """List budgets, two lines each: how full it is, until when; and the amounts."""
    out = console()
    rows = [_budget_cells(budget) for budget in budgets]
    table = make_table(("Budget", "Use, and window's end"), ("Left / limit", "Spent / held"), rows)
    table.columns[1].no_wrap = True
    for budget, cells in zip(budgets, rows, strict=True):
        group = (budget.group or "all") + ("" if budget.enforced else ", only alerts")
        use = Text.assemble(use_bar(budget, out), "\n", (_end_text(budget), "dim"))
        table.add_row(Text.assemble((budget.name, "bold"), "\n", (group, "dim")), use, *cells)
    return table


def step_table(steps: Sequence[pb.ExplainResponse.Step]) -> Table:
    """List what was considered, in order; what decides is marked."""
    rows = [_step_cells(step) for step in steps]
    table = make_table(("Model", "Step"), ("Ceiling / funds", "In use", "Takes"), rows)
    table.add_column("Fits", no_wrap=True)
    table.add_column(no_wrap=True)
    before = None
    for step, cells in zip(steps, rows, strict=True):
        kind = step.WhichOneof("of")
        name = Text.assemble(
            f"{kind} ", (getattr(step, kind).name, "bold"), " ", (getattr(step, kind).group, "dim")
        )
        fits = Text("yes" if step.fits else "no", style="" if step.fits else "red")
        mark = Text(_mark(step), style="bold green" if step.fits else "bold red")
        model = Text(step.model if step.model != before else "", style="bold")
        table.add_row(model, name, *cells, fits, mark)
        before = step.model
    return table


def _step_cells(step: pb.ExplainResponse.Step) -> list[Text]:
    is_budget = step.HasField("budget")
    state = step.budget if is_budget else step.wallet
    most = step.budget.ceiling if is_budget else step.wallet.funds
    amounts = (most, state.spent + state.held, step.takes)
    return [Text(amount_of(amount, state.unit)) for amount in amounts]


def _mark(step: pb.ExplainResponse.Step) -> str:
    if not step.binds:
        return ""
    return "pays" if step.fits else "refuses"


def _budget_cells(budget: pb.BudgetState) -> list[Text]:
    left, limit, spent, held = (
        amount_of(amount, budget.unit)
        for amount in (budget.remaining, budget.limit, budget.spent, budget.held)
    )
    style = "bold red" if budget.remaining < 0 else ""
    if budget.ceiling != budget.limit:
        limit = f"to {amount_of(budget.ceiling, budget.unit)}, limit {limit}"
    return [
        Text.assemble((left, style), "\n", (limit, "dim")),
        Text.assemble(spent, "\n", (held, "dim")),
    ]


def use_bar(budget: pb.BudgetState, out: Console) -> Text:
    """Draw what is spent, what is held and what is left, with the percentage in use."""
    full, half, empty = "#=." if out.options.ascii_only else "█▒░"
    spent = _cells(budget.spent, budget.limit)
    used = _cells(budget.spent + budget.held, budget.limit)
    percent = (budget.spent + budget.held) * 100 // budget.limit if budget.limit else 100
    style = "red" if percent >= 100 else "yellow" if percent >= NEARLY_FULL_PERCENT else "green"
    return Text.assemble(
        (full * spent + half * (used - spent), style), (empty * (BAR_CELLS - used), "dim"), f" {percent:3d} %"
    )


def _cells(amount: int, limit: int) -> int:
    """How many cells of the bar an amount fills: none only for nothing, all only for the whole limit."""
    if amount <= 0:
        return 0
    return BAR_CELLS if amount >= limit else min(BAR_CELLS - 1, max(1, amount * BAR_CELLS // limit))


def _end_text(budget: pb.BudgetState) -> str:
    if budget.HasField("window_end"):
        return time_text(budget.window_end, "minutes" if budget.window_end.seconds % 60 == 0 else "seconds")
    if budget.HasField("rolling"):
        return f"rolling {length_text(budget.rolling)}"
    return "calls in flight" if budget.unit == pb.UNIT_CONCURRENT else "no end"


def _width(text: Text) -> int:
    return max(map(cell_len, text.plain.split("\n")))


def _number(amount: int, unit: Unit) -> str:
    return usd_text(amount) if unit is Unit.NANO_USD else str(amount)
