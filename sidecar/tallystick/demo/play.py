"""The demo from start to end: everything is real, on loopback, and gone afterwards."""

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path

import grpc
import openai
from rich.console import Console

from tallystick.core.money import NANO_PER_USD
from tallystick.demo import report
from tallystick.demo.agents import CREDITS_CENTS, Stage, cast
from tallystick.demo.asking import asking
from tallystick.demo.books import Books, read_ledger, read_wallets
from tallystick.demo.gateway import Gateway
from tallystick.demo.midnight import midnight
from tallystick.demo.observer import Observer
from tallystick.demo.outage import outage
from tallystick.demo.provider import StandIn
from tallystick.demo.screen import Screen
from tallystick.demo.sidecar import SidecarProcess
from tallystick.v1 import admin_pb2, budget_pb2
from tallystick.v1.admin_pb2_grpc import AdminServiceStub
from tallystick.v1.budget_pb2 import WalletState
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub

TENANT = "demo"
POLICY = Path(__file__).with_name("policy.yaml")
WALLETS_EVERY_S = 0.25
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NANO_PER_CENT = NANO_PER_USD // 100


async def play() -> bool:
    """Play it, and return whether the books agree."""
    end_in_order()
    screen = Screen(Console(highlight=False))
    async with contextlib.AsyncExitStack() as ending:
        directory = tempfile.TemporaryDirectory(prefix="tallystick-", ignore_cleanup_errors=True)
        folder = Path(ending.enter_context(directory))
        provider = await ending.enter_async_context(StandIn())
        sidecar = await ending.enter_async_context(SidecarProcess(folder, POLICY))
        admin = await ending.enter_async_context(admin_of(sidecar))
        await _credit(admin)
        screen.wallets = await wallets_of(admin)
        report.introduce(screen)
        await _scene(screen, sidecar, provider, admin)
        screen.wallets = await wallets_of(admin)
        books = Books(
            bill=provider.bill,
            ledger=await read_ledger(sidecar.store_address),
            wallets=read_wallets(screen.wallets),
        )
    report.account(screen, books)
    report.what_next(screen, POLICY)
    return books.agree


def end_in_order() -> None:
    """Let the first signal end the demo in order; the ones that follow change nothing."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def end() -> None:
        for number in SIGNALS:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, end)


@contextlib.asynccontextmanager
async def admin_of(sidecar: SidecarProcess) -> AsyncIterator[AdminServiceStub]:
    """Connect to its admin service."""
    async with grpc.aio.insecure_channel(sidecar.admin_target) as channel:
        yield AdminServiceStub(channel)


async def _credit(admin: AdminServiceStub) -> None:
    for wallet, groups in CREDITS_CENTS.items():
        for value, cents in groups.items():
            await admin.CreditWallet(
                admin_pb2.CreditWalletRequest(
                    tenant=TENANT,
                    wallet=wallet,
                    group={wallet: value},
                    amount=cents * NANO_PER_CENT,
                    unit=budget_pb2.UNIT_NANO_USD,
                    credit_id=f"demo-{wallet}-{value}",
                    reason="the demo's opening credit",
                )
            )


async def wallets_of(admin: AdminServiceStub) -> list[WalletState]:
    """Ask for every wallet."""
    answer = await admin.ListWallets(admin_pb2.ListWalletsRequest(tenant=TENANT), timeout=5)
    return list(answer.wallets)


async def _scene(screen: Screen, sidecar: SidecarProcess, provider: StandIn, admin: AdminServiceStub) -> None:
    """Let the agents play. The first error of any of them ends the scene."""
    watches = watch_wallets(screen, admin)
    async with watched(screen, sidecar, watches), _gateways(screen, sidecar, provider) as stage:
        async with asyncio.TaskGroup() as agents:
            for agent in cast(stage):
                agents.create_task(agent)
            agents.create_task(asking(stage, TENANT, admin))
        await stage.gateway.reconcile()
        await outage(stage, sidecar.store_address)
        await midnight(stage, TENANT, sidecar.store_address)


@contextlib.asynccontextmanager
async def watched(
    screen: Screen, sidecar: SidecarProcess, *watches: Coroutine[None, None, None]
) -> AsyncIterator[None]:
    """Show the moving part while the block and the watches run; the first error of any of them is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(watch) for watch in watches]
            with screen.moving():
                yield
            for task in watching:
                task.cancel()
    except ExceptionGroup as failed:
        error: Exception = failed
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        await sidecar.must_run()
        raise error from None


async def watch_wallets(screen: Screen, admin: AdminServiceStub) -> None:
    """Keep the wallets on the screen up to date."""
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):  # the store is away: they stay as they were
            screen.wallets = await wallets_of(admin)
        await asyncio.sleep(WALLETS_EVERY_S)


@contextlib.asynccontextmanager
async def _gateways(screen: Screen, sidecar: SidecarProcess, provider: StandIn) -> AsyncIterator[Stage]:
    """Connect a gateway for each region of the provider."""
    async with contextlib.AsyncExitStack() as ending:
        observed = grpc.aio.insecure_channel(
            sidecar.target,
            interceptors=[Observer(screen)],  # type: ignore[list-item]
        )
        channel = await ending.enter_async_context(observed)
        budget = BudgetServiceStub(channel)

        async def gateway(url: str) -> Gateway:
            sdk = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=30)
            return Gateway(budget, await ending.enter_async_context(sdk), TENANT)

        nobody = ending.enter_context(_port_of_nobody())
        yield Stage(
            gateway=await gateway(f"{provider.url}/v1"),
            region_down=await gateway(f"http://127.0.0.1:{nobody}/v1"),
            region_overloaded=await gateway(f"{provider.url}/overloaded/v1"),
            tell=screen.tell,
        )


@contextlib.contextmanager
def _port_of_nobody() -> Iterator[int]:
    """Keep a port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
