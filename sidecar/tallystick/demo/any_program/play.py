"""The demo with Envoy from start to end: everything is real, on loopback, and gone afterwards."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from rich.console import Console

from tallystick.core.consumer_keys import hash_key, make_key
from tallystick.demo.any_program import report
from tallystick.demo.any_program.ledger import all_settled, watch_ledger
from tallystick.demo.any_program.programs import SUBJECTS, Street, cast
from tallystick.demo.books import Books, read_ledger, read_wallets
from tallystick.demo.play import TENANT, admin_of, end_in_order, wallets_of, watch_wallets, watched
from tallystick.demo.provider import StandIn
from tallystick.demo.report import account
from tallystick.demo.screen import Screen
from tallystick.demo.sidecar import SidecarProcess
from tallystick.policyfile.add_consumer import add_consumer

POLICY = Path(__file__).with_name("policy.yaml")


async def play() -> bool:
    """Play it, and return whether the books agree."""
    end_in_order()
    screen = Screen(Console(highlight=False))
    report.introduce(screen)
    async with contextlib.AsyncExitStack() as ending:
        directory = tempfile.TemporaryDirectory(prefix="tallystick-", ignore_cleanup_errors=True)
        folder = Path(ending.enter_context(directory))
        providers = [await ending.enter_async_context(StandIn()) for _ in range(2)]
        keys = {program: make_key(TENANT) for program in SUBJECTS}
        gateway = _gateway(folder, providers, _policy(folder, keys))
        await ending.enter_async_context(gateway)
        url = await gateway.said(r"(http://127\.0\.0\.1:\d+)/openai/v1")
        admin = await ending.enter_async_context(admin_of(gateway))
        report.show_change(screen, url)
        watches = (watch_wallets(screen, admin), watch_ledger(screen, gateway.store_address, TENANT))
        async with watched(screen, gateway, *watches):
            async with asyncio.TaskGroup() as programs:
                for program in cast(Street(url, keys, screen)):
                    programs.create_task(program)
            await all_settled(screen)
        screen.wallets = await wallets_of(admin)
        books = Books(
            bill={model: paid for provider in providers for model, paid in provider.bill.items()},
            ledger=await read_ledger(gateway.store_address),
            wallets=read_wallets(screen.wallets),
        )
    account(screen, books)
    report.what_next(screen, POLICY)
    return books.agree


def _policy(folder: Path, keys: dict[str, str]) -> Path:
    """Write the policy with the programs as its consumers."""
    document = POLICY.read_text()
    for program, key in keys.items():
        document = add_consumer(document, program, hash_key(key), SUBJECTS[program])
    path = folder / "policy.yaml"
    path.write_text(document)
    return path


def _gateway(folder: Path, providers: list[StandIn], policy: Path) -> SidecarProcess:
    words = ["gateway", "--listen", "127.0.0.1:0"]
    for name, provider in zip(("openai", "anthropic"), providers, strict=True):
        words += ["--provider", f"{name}={provider.url}", "--key", f"{name}=env:{name.upper()}_API_KEY"]
    keys = {"OPENAI_API_KEY": "sk-of-the-company", "ANTHROPIC_API_KEY": "sk-ant-of-the-company"}
    return SidecarProcess(folder, policy, words, keys)
