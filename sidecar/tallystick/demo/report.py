"""The first and the last words: what will be shown, whether the books agree, what to try next."""

from pathlib import Path

from rich.text import Text

from tallystick.core.money import usd_text
from tallystick.demo.books import Books, sum_of
from tallystick.demo.screen import Screen, money

NEXT = (
    ("tallystick policy validate acme.yaml", "all that is wrong in a policy"),
    ("tallystick serve --policy acme.yaml", "your own sidecar"),
    ("tallystick reserve acme --cost '0.25 USD'", "one decision; --help tells more"),
)
TO_READ = (("policy.yaml", "what the agents may spend"), ("gateway.py", "reserve, call, settle: to copy"))


def introduce(screen: Screen) -> None:
    """Say what is about to be seen."""
    funds = sum(wallet.funds for wallet in screen.wallets)
    say = screen.say
    say(Text("Tallystick decides on AI spend before each call.", "bold"))
    purse = f"{len(screen.wallets)} wallets with {money(funds, 2)}"
    say(f"A sidecar with its own store, {purse}, ten agents, and")
    say("a stand-in provider that speaks OpenAI's API. All of it runs on this machine")
    say("and is gone afterwards. Each line is a call that has ended, or that was refused.\n")


def account(screen: Screen, books: Books) -> None:
    """Show the wallets, and the accounts below each other."""
    say, (funds, spent, balance) = screen.say, books.totals
    say(Text("\nWallets", "bold"))
    say(screen.bars())
    say(Text("\nThe books", "bold"))
    (served, billed), (charges, charged) = sum_of(books.bill), sum_of(books.ledger.bill)
    _row(screen, f"provider  served {served} calls and bills", billed)
    _row(screen, f"ledger    charged {charges} calls", charged, agrees=books.ledger_agrees)
    for model in sorted(books.bill | books.ledger.bill):
        calls, nano_usd = books.ledger.bill.get(model, (0, 0))
        agrees = books.bill.get(model) == books.ledger.bill.get(model)
        _row(screen, f"          {calls} with {model}", nano_usd, agrees=agrees)
    _row(
        screen, f"wallets   ${usd_text(funds)} - ${usd_text(balance)} left", spent, agrees=books.wallets_agree
    )
    mark, style = (screen.yes, "green") if books.replay_agrees else (screen.no, "bold red")
    said = f"  replay    {books.ledger.entries} ledger entries give these wallets, nothing is held"
    say(Text.assemble(f"{said:<68}", (mark, style)))
    if books.agree:
        say(Text("\nThe books agree, to the nano-dollar.", "bold green"))
    else:
        say(Text("\nTHE BOOKS DO NOT AGREE.", "bold red"))


def what_next(screen: Screen, policy: Path) -> None:
    """Name what to try and what to read."""
    say = screen.say
    say(Text("\nNext", "bold"))
    for command, what in NEXT:
        say(f"  {command:<42} {what}")
    say(Text("\nTo read", "bold"))
    say(f"  in {policy.parent}")
    for name, what in TO_READ:
        say(f"  {name:<42} {what}")
    say(f"  {'docs/':<42} policy, API and settings in full")


def _row(screen: Screen, what: str, nano_usd: int, *, agrees: bool | None = None) -> None:
    amount = f"${usd_text(nano_usd)}"
    line = Text(f"  {what:<46} {amount:>14}")
    if agrees is not None:
        mark, style = (f"{screen.yes} equal", "green") if agrees else (f"{screen.no} differs", "bold red")
        line.append(f"     {mark}", style)
    screen.say(line)
