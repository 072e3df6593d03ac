"""The command `tallystick`: the application, and what becomes of every error."""

import io
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from tallystick.cli.about import demo, version
from tallystick.cli.backtest import backtest
from tallystick.cli.balances import balance
from tallystick.cli.budgets import list_budgets, show_budget
from tallystick.cli.charges import charge
from tallystick.cli.envoy import check, config
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.explaining import explain
from tallystick.cli.gateway import gateway
from tallystick.cli.holds import list_holds, resolve
from tallystick.cli.keys import create, key_hash
from tallystick.cli.ledger import tail
from tallystick.cli.options import register
from tallystick.cli.policy_commands import POLICY_HELP, SHADOW_HELP, add_policy_commands
from tallystick.cli.reservations import extend, release, reserve, settle
from tallystick.cli.serve import serve
from tallystick.cli.stores import status, thaw
from tallystick.cli.tenants import list_tenants, resume, suspend
from tallystick.cli.tickets import approve, list_tickets, reject, show_ticket, wait
from tallystick.cli.tokens import create as create_token
from tallystick.cli.tokens import list_tokens, revoke
from tallystick.cli.wallets import allocate, credit, debit, list_wallets, reclaim, show_wallets

HELP = (
    "Decides on AI spend before it happens.\n\nReserve the cost before a call to a model provider, settle "
    "after it with what was really spent; when the money is gone, the next call is refused."
)
EXIT_CODES = """[bold]Exit codes[/bold]
 0  done, or ALLOW
 1  the input was refused: a bad policy, a wrong field, an unknown reservation
 2  the command line or the settings are wrong
 3  the sidecar or its store can't be reached, or the sidecar can't start
10  DENY, or HOLD: a ticket is open
70  a bug in Tallystick

[bold]To begin[/bold]
tallystick demo"""
_LOOKS: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": "rich",
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
app = typer.Typer(name="tallystick", help=HELP, epilog=EXIT_CODES, pretty_exceptions_enable=False, **_LOOKS)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _group(name: str, text: str, above: typer.Typer = app) -> typer.Typer:
    group = typer.Typer(name=name, help=text, **_LOOKS)
    above.add_typer(group)
    return group


register(app, serve, "tallystick serve --policy acme.yaml")
register(
    app,
    gateway,
    "tallystick gateway --provider openai --key openai=env:OPENAI_API_KEY",
    "tallystick gateway --provider anthropic --key anthropic=file:/run/keys/anthropic \\\n"
    "    --provider vllm:compatible=http://10.0.0.7:8000 --policy acme.yaml",
)
register(app, demo, "tallystick demo", "tallystick demo --envoy")
policy = _group("policy", POLICY_HELP)
add_policy_commands(policy, _group("shadow", SHADOW_HELP, policy))
key = _group("key", "The keys of consumers, who call over HTTP.")
register(
    key,
    create,
    "tallystick key create acme review-bot --team search --environment prod",
    "tallystick key create acme review-bot --team search --apply",
)
register(key, key_hash, "tallystick key hash < key.txt", name="hash")
token = _group("token", "The tokens of callers over gRPC: make, list and revoke them.")
register(
    token,
    create_token,
    "tallystick token create acme gateway --can decide --expires 90d",
    "tallystick token create acme search-bot --can decide --team search",
    name="create",
)
register(token, list_tokens, "tallystick token list acme", name="list")
register(token, revoke, "tallystick token revoke acme gateway")
register(app, backtest, "tallystick backtest --policy acme.yaml --usage june.csv.gz")
wallet = _group("wallet", "Prepaid funds: add to them, move them, list them.")
register(
    wallet,
    credit,
    "tallystick wallet credit acme user '25 USD' --group user=alice \\\n    --reason 'invoice 17'",
    "tallystick wallet credit acme org '50 USD' --kind earned --expires 30d",
)
register(wallet, debit, "tallystick wallet debit acme user '5 USD' --group user=alice")
register(
    wallet,
    allocate,
    "tallystick wallet allocate acme org user '10 USD' --to-group user=alice",
    "tallystick wallet allocate acme team user '5 USD' \\\n"
    "    --from-group team=search --to-group user=alice",
)
register(
    wallet,
    reclaim,
    "tallystick wallet reclaim acme user org all --from-group user=alice",
    "tallystick wallet reclaim acme user org '2 USD' --from-group user=alice",
)
register(
    wallet,
    show_wallets,
    "tallystick wallet show acme",
    "tallystick wallet show acme user --group user=alice",
    name="show",
)
register(wallet, list_wallets, "tallystick wallet list acme", name="list")
tenant = _group("tenant", "Switch tenants off and on.")
register(
    tenant,
    suspend,
    "tallystick tenant suspend acme --reason 'a leaked key'",
)
register(tenant, resume, "tallystick tenant resume acme --reason 'the key was replaced'")
register(tenant, list_tenants, "tallystick tenant list --suspended", name="list")
store = _group("store", "The store: what it promises, and partitions that went back.")
register(store, status, "tallystick store status")
register(store, thaw, "tallystick store thaw 17 --reason 'the backup of noon will do'")
hold = _group("hold", "Reservations: list them, and end those that nobody ends.")
register(
    hold,
    list_holds,
    "tallystick hold list acme --older-than 10m",
    "tallystick hold list acme --state expired --subject team=search",
    name="list",
)
register(
    hold,
    resolve,
    "tallystick hold resolve acme r-17 --cost '0.19 USD' --reason 'by the invoice'",
    "tallystick hold resolve acme r-17 --release --reason 'the worker never called'",
)
ticket = _group("ticket", "Calls that ask for more room in a budget: see them, and answer them.")
register(ticket, list_tickets, "tallystick ticket list acme --state open", name="list")
register(ticket, show_ticket, "tallystick ticket show acme t-17", name="show")
register(
    ticket,
    approve,
    "tallystick ticket approve acme t-17 '5 USD' --expires 2h --reason 'the nightly run'",
    "tallystick ticket approve acme t-17 '5 USD' --credit user --group user=alice",
)
register(ticket, reject, "tallystick ticket reject acme t-17 --reason 'not this month'")
register(ticket, wait, "tallystick ticket wait acme t-17 --up-to 10m")
ledger = _group("ledger", "What was written of every change of money.")
register(
    ledger,
    tail,
    "tallystick ledger tail acme --since 10m",
    "tallystick ledger tail --kind alert --kind suspend --follow --json",
)
budget = _group("budget", "The limits of the policy in force, and how full they are.")
register(budget, list_budgets, "tallystick budget list acme", name="list")
register(
    budget,
    show_budget,
    "tallystick budget show acme daily",
    "tallystick budget show acme daily --group user=alice",
    name="show",
)
register(app, balance, "tallystick balance acme --user alice --team search --environment dev")
register(
    app,
    reserve,
    "tallystick reserve acme --user alice --model gpt-5-mini \\\n    --input-tokens 1200 --max-output 500",
    "tallystick reserve acme --user alice --cost '0.25 USD'",
    "tallystick reserve acme --user alice --request body.json --api openai-chat",
)
register(
    app,
    explain,
    "tallystick explain acme --user alice --model gpt-5-mini \\\n    --input-tokens 1200 --max-output 500",
)
register(
    app,
    settle,
    "tallystick settle acme r-17 --outcome completed --input 1180 --output 312",
    "tallystick settle acme r-17 --usage answer.json",
    "tallystick settle --access-log /var/log/envoy/tallystick.log",
)
register(
    app,
    charge,
    "tallystick charge acme --user alice --model gpt-5-mini --input 1180 --output 312 --id batch-17",
    "tallystick charge acme --team search --cost '4.20 USD' --id invoice-9",
)
register(app, release, "tallystick release acme r-17")
register(app, extend, "tallystick extend acme r-17 --ttl 10m --more '0.10 USD' --id x-1")
envoy = _group("envoy", "An Envoy in front of the providers, which asks the sidecar.")
register(
    envoy,
    config,
    "tallystick envoy config --provider openai --key openai=env:OPENAI_API_KEY > envoy.yaml",
    "tallystick envoy config --provider anthropic --key anthropic=file:/run/keys/anthropic \\\n"
    "    --provider vllm:compatible=http://10.0.0.7:8000 --listen 0.0.0.0:8080",
)
register(envoy, check, "tallystick envoy check envoy.yaml")
register(app, version, "tallystick version")


def main() -> NoReturn:
    """Run the command that the arguments name, and exit; no exception gets out."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal can't show
    try:
        app()
    except CommandError as error:
        _complain(*error.lines)
        sys.exit(error.code)
    except Exception as error:  # noqa: BLE001 - the last line of defence
        place = _place(error)
        _complain(
            f"unexpected {type(error).__name__} in {place}: {error}", "This is a bug; please report it."
        )
        sys.exit(ExitCode.BUG)
    sys.exit(ExitCode.OK)


def _place(error: Exception) -> str:
    """Where in our own code it came from: the last of our frames."""
    ours = Path(__file__).parents[1]
    frames = [
        f"{Path(frame.filename).relative_to(ours)}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(ours)
    ]
    return frames[-1]


def _complain(first: str, *rest: str) -> None:
    sys.stderr.write("\n".join([f"tallystick: {first}", *rest]) + "\n")
