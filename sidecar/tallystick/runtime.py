"""The composition root: makes every part, and starts and ends them in order."""

import asyncio
import contextlib
import logging
import os
import secrets
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tallystick.background.callers_watch import watch_callers_for_ever
from tallystick.background.learner import learn_for_ever
from tallystick.background.sweeper import sweep_for_ever
from tallystick.collector import spare_collections
from tallystick.config import Settings
from tallystick.core.errors import StoreUnavailable, StoreUnusable
from tallystick.engine import Administration, Planner
from tallystick.engine.callers import Callers
from tallystick.engine.shadow_policies import ShadowPolicies
from tallystick.engine.shadowed import ShadowedEngine
from tallystick.observe.http import HttpEndpoint
from tallystick.observe.logs import debug_enabled
from tallystick.observe.metrics import Metrics
from tallystick.readiness import Readiness
from tallystick.services.admin import AdminService
from tallystick.services.admission import Admission
from tallystick.services.budget import BudgetService
from tallystick.services.listening import listen
from tallystick.services.servers import Register, Servers
from tallystick.services.streams import Streams
from tallystick.store.address import StoreAddress
from tallystick.store.embedded import EmbeddedValkey
from tallystick.store.journal import Journal
from tallystick.store.valkey import ValkeyStore
from tallystick.tokens import TokenCounter
from tallystick.v1.admin_pb2_grpc import add_AdminServiceServicer_to_server
from tallystick.v1.budget_pb2_grpc import add_BudgetServiceServicer_to_server

ADMIN_CALLS = 64
MOST_STREAMS = 64
KEY_BYTES = 32
RETRY_S = 0.2

Drain = Callable[[float], Awaitable[None]]
"""Lets what is under way finish, for so many seconds at most."""

log = logging.getLogger("tallystick.runtime")


class Sidecar:
    """One sidecar: `async with Sidecar(settings)` serves until the block ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(version("tallystick"))
        self.opened = asyncio.Event()
        """Set once calls are answered for the first time."""
        self.readiness = Readiness(self.metrics)
        self._address = settings.store_address()
        self._promise = promise = settings.promise()
        fsync = promise.mode.appendfsync
        self._embedded = None if self._address else EmbeddedValkey(settings.data_dir, fsync=fsync)
        self._servers = Servers(settings.transport, settings.reflection)
        self._streams = Streams(MOST_STREAMS)
        self._admissions = (
            Admission(settings.max_in_flight, settings.max_queued, self.metrics),
            Admission(ADMIN_CALLS, ADMIN_CALLS, self.metrics),
        )
        self._drains: list[Drain] = [admission.drain for admission in self._admissions]
        self._http: HttpEndpoint | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = contextlib.AsyncExitStack()

    @property
    def ports(self) -> tuple[int, int]:
        """The TCP ports of gRPC and HTTP; 0 where there is none."""
        grpc_port = self._servers.ports[0] if self.settings.listen and self._servers.ports else 0
        return grpc_port, self._http.port if self._http else 0

    async def __aenter__(self) -> "Sidecar":
        async with contextlib.AsyncExitStack() as ending:
            await self._start(ending)
            self._ending = ending.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.readiness.drain()
        await self._ending.aclose()

    async def _start(self, ending: contextlib.AsyncExitStack) -> None:
        settings = self.settings
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreUnusable(f"data directory {settings.data_dir}: {error.strerror}") from error
        if settings.http_listen:
            self._http = HttpEndpoint(settings.http_listen, self.metrics, self.readiness.parts)
            await self._http.start()
            ending.push_async_callback(self._http.stop)
        if self._embedded:
            await self._embedded.start()
            ending.push_async_callback(self._embedded.stop)
            self._run(ending, self._embedded.watch(self._embedded_changed))
        self._store = store = self._make_store()
        self.readiness.watch(store)
        ending.push_async_callback(store.close)
        counter = await asyncio.to_thread(TokenCounter, settings.preload_tokenizers)
        self._planner = planner = Planner(store, self.metrics)
        journal = Journal(settings.journal_file, settings.journal_bytes)
        ending.push_async_callback(journal.close)
        self._engine = ShadowedEngine(store, planner, counter, self.metrics, journal)
        self._administration = Administration(store, planner)
        self._shadow_policies = ShadowPolicies(store, self._administration, self._engine.shadows)
        self._callers = Callers(store, settings.callers_file)
        await self._servers.set_serving(False)
        ending.push_async_callback(self._drain)
        await self._listen()
        self._run(ending, self._open())

    def _make_store(self) -> ValkeyStore:
        settings = self.settings
        address = self._address
        if self._embedded:
            address = StoreAddress(path=str(self._embedded.socket_path))
        assert address is not None
        return ValkeyStore(
            address,
            partitions=settings.partitions,
            retention_ms=int(settings.retention.total_seconds() * 1000),
            timeout_s=settings.store_timeout_ms / 1000,
            tls=_tls(settings) if address.tls else None,
            on_change=self._store_changed,
            promise=self._promise,
        )

    async def _listen(self) -> None:
        settings, metrics = self.settings, self.metrics
        of_budget, of_admin = self._admissions
        metrics.in_flight.set_function(lambda: of_budget.at_work)
        metrics.waiting_for_tickets.set_function(lambda: self._engine.tickets.watch.waiting)
        budget = BudgetService(self._engine, of_budget, metrics, debug_enabled())
        parts = (self._administration, self._callers, of_admin, self._streams, metrics)
        admin = AdminService(*parts, shadows=self._shadow_policies)
        add_budget: Register = partial(add_BudgetServiceServicer_to_server, budget)
        if settings.envoy:
            add_budget = self._with_envoy(add_budget)
        add_admin = partial(add_AdminServiceServicer_to_server, admin)
        await listen(
            self._servers, settings, self._callers, metrics, add_budget=add_budget, add_admin=add_admin
        )

    def _with_envoy(self, add_budget: Register) -> Register:
        """Envoy's services beside ours; their messages are loaded for those who want them."""
        from tallystick.services.envoy import EnvoyServices

        settings = self.settings
        envoy = EnvoyServices(
            self._engine,
            self._planner,
            self._admissions[0],
            self.metrics,
            default_tenant=settings.default_tenant,
            limits={"tenant": settings.rate_limit_tenant, "unit": settings.rate_limit_unit},
        )
        self._drains.append(envoy.drain)
        return envoy.beside(add_budget)

    async def _drain(self) -> None:
        """Calls at work finish and are answered; then the listeners end."""
        grace_s, clock = self.settings.drain_timeout.total_seconds(), asyncio.get_running_loop().time
        began = clock()
        await self._servers.tell_draining()
        self._streams.drain()
        self._engine.tickets.watch.drain()
        self._administration.tickets.watch.drain()
        await asyncio.gather(*(drain(grace_s) for drain in self._drains))
        await self._servers.stop(max(0.0, grace_s - (clock() - began)))

    async def _open(self) -> None:
        """Waits for the store, and then serves."""
        store = self._store
        if not self._embedded:
            log.info("waiting for the store at %s", self._address)
        await store.open()
        self._tell_durability()
        while not await self._prepared():  # noqa: ASYNC110 - what it waits for is the store's answer
            await asyncio.sleep(RETRY_S)
        self.readiness.open()
        spare_collections()
        await self._show()
        self.opened.set()
        log.info("serving on %s", ", ".join(self._places()))
        await asyncio.gather(
            sweep_for_ever(store, self._planner.suspensions, self.metrics),
            watch_callers_for_ever(self._callers),
            learn_for_ever(store, self._planner, self._engine.learned),
            self._engine.catch_up_for_ever(),
            self._engine.shadows.run_for_ever(),
        )

    def _tell_durability(self) -> None:
        mode, told = self._promise.mode, self._store.told_settings
        self.metrics.tell_durability(mode, checked=told)
        if not told:
            log.warning("durability %s: the store doesn't tell its settings, so this is not checked", mode)

    async def _prepared(self) -> bool:
        """Whether the policies are applied and the key is known; False when the store went away meanwhile."""
        try:
            key = await self._tally_key()
            await self._callers.refresh()
            for path in self.settings.policy_files:
                tenant, number, _ = await self._administration.apply_policy(path.read_text(), None)
                log.info("policy %s of tenant %s is in force, version %d", path, tenant, number)
        except StoreUnusable:
            raise
        except StoreUnavailable as error:
            log.warning("the start is tried again: %s", error)
            return False
        self._engine.seal_with(key)
        self._administration.pages.seal_with(key)
        return True

    def _places(self) -> list[str]:
        settings, (grpc_port, http_port) = self.settings, self.ports
        places = [f"gRPC port {grpc_port}"] if settings.listen else []
        places += [f"admin port {self._servers.ports[-1]}"] if settings.admin_listen else []
        places += [str(path) for path in (settings.socket, settings.admin_socket) if path]
        return places + ([f"HTTP port {http_port}"] if http_port else [])

    async def _tally_key(self) -> bytes:
        """The key in the file, which must be the one that the store's sidecars share."""
        path = self.settings.tally_key_file
        own = path.read_bytes() if path.exists() else None
        shared = await self._store.shared_key(own or secrets.token_hex(KEY_BYTES).encode())
        if own is None:
            _write_private(path, shared)
        elif own != shared:
            raise StoreUnusable(f"the key in {path} is not the one that this store's sidecars share")
        return shared

    def _store_changed(self, up: bool) -> None:
        self.readiness.store_is(up=up, alone=not up and self._planner.has_rules_for_itself)
        self.metrics.store_up.set(up)
        if not up:
            self.metrics.store_reconnects.inc()
            log.warning("the store is away")
        elif self.readiness.opened:
            log.info("the store is back")
        self._soon(self._show())

    def _embedded_changed(self, up: bool) -> None:
        log.info("the embedded store %s", "answers again" if up else "is gone")

    async def _show(self) -> None:
        await self._servers.set_serving(self.readiness.serving)

    def _soon(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def _run(self, ending: contextlib.AsyncExitStack, work: Coroutine[object, object, None]) -> None:
        """Runs beside the calls; if it fails, the sidecar ends."""
        task = asyncio.create_task(work)
        self._tasks.append(task)

        async def end() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        ending.push_async_callback(end)

    async def failed(self) -> None:
        """Returns never; raises what ended a part that should run for ever."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()


def _tls(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.store_tls_ca)
    if settings.store_tls_cert:
        context.load_cert_chain(settings.store_tls_cert, settings.store_tls_key)
    return context


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
