"""The Envoys: a provider that answers at once, a chain without our filters, and chains that ask."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from envoy.service.auth.v3.external_auth_pb2_grpc import AuthorizationStub
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

from tallystick.envoy import EnvoyOptions, Provider, Way, read_key, read_provider
from tallystick.envoy.options import Place
from tallystick.v1 import budget_pb2 as pb
from tests.bench import workload as direct
from tests.bench.envoy import workload
from tests.bench.targets import ServerTarget, SidecarTarget
from tests.e2e.envoy.process import EnvoyProcess

FAST, SLOW = "fast", "slow"
"""The providers' names: one answers JSON at once, the other streams."""
PLAIN, NOOP, SIDECAR = "plain", "no-op", "tallystick"


class Lane(NamedTuple):
    """A way, and the transport of those who are asked."""

    way: Way
    transport: str

    def __str__(self) -> str:
        return f"{self.way}, {self.transport}"


@dataclass(frozen=True, slots=True)
class Chain:
    """An Envoy, and who it asks: nobody, handlers that do nothing, or a sidecar."""

    name: str
    port: int
    pid: int
    asked: ServerTarget | SidecarTarget | None = None

    @property
    def sidecar(self) -> SidecarTarget | None:
        return self.asked if isinstance(self.asked, SidecarTarget) else None


class Providers:
    """Both stand-ins, in processes of their own. Use it as a context."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> "Providers":
        with ExitStack() as ending:
            nowhere = read_provider(f"{FAST}:compatible=http://127.0.0.1:9")
            fast = ending.enter_context(_envoy(self._folder / "p", (nowhere,), change=_answer_at_once))
            slow = ending.enter_context(ServerTarget("tests.bench.envoy.provider"))
            self.both = (_openai(FAST, fast.port), _openai(SLOW, slow.port))
            self._ending = ending.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()


@contextmanager
def chains(lane: Lane, providers: Providers, folder: Path) -> Iterator[list[Chain]]:
    """Plain, with handlers that do nothing, and with a sidecar: in this order."""
    folder.mkdir()
    way, transport = lane
    settings = {"ENVOY": "true", "PRELOAD_TOKENIZERS": "true"}
    with ExitStack() as stack:
        sidecar = SidecarTarget(transport, folder / "s", workload.POLICY, workload.CREDITS, **settings)
        stack.enter_context(sidecar)
        _record(sidecar, folder)
        noop = stack.enter_context(ServerTarget("tests.bench.envoy.noop", transport, str(folder)))

        def envoy(name: str, asked: ServerTarget | SidecarTarget | None, socket: Path) -> Chain:
            change = _leave_out_filters if asked is None else _name_the_tenant
            options = {"way": way, "sidecar": Place(path=str(socket))}
            started = _envoy(folder / name[0], providers.both, change=change, **options)
            process = stack.enter_context(started)
            return Chain(name, process.port, process.pid, asked)

        yield [
            envoy(PLAIN, None, folder / "nobody"),
            envoy(NOOP, noop, folder / "noop.sock"),
            envoy(SIDECAR, sidecar, sidecar.socket),
        ]


@contextmanager
def _envoy(
    folder: Path, providers: tuple[Provider, ...], change: Callable[[dict[str, Any]], None], **options: Any
) -> Iterator[EnvoyProcess]:
    folder.mkdir()
    made = EnvoyOptions(
        providers=providers,
        listen=Place("127.0.0.1", 0),
        admin=Place(path=f"{folder}/admin"),
        **{"sidecar": Place(path=f"{folder}/nobody"), **options},
    )
    process = EnvoyProcess(made, folder, {"BENCH_KEY": "key-of-the-provider"}, change)
    try:
        process.start()
        yield process
    finally:
        process.stop()


def _openai(name: str, port: int) -> Provider:
    provider = read_provider(f"{name}:openai=http://127.0.0.1:{port}")
    return replace(provider, key=read_key(f"{name}=env:BENCH_KEY")[1])


def _record(sidecar: SidecarTarget, folder: Path) -> None:
    """Keeps what a sidecar answers, for the handlers that answer nothing else."""
    with grpc.insecure_channel(f"unix:{sidecar.socket}") as channel:
        check = AuthorizationStub(channel).Check(workload.check_request())
        limit = RateLimitServiceStub(channel).ShouldRateLimit(workload.rate_limit_request())
    assert check.HasField("ok_response"), check
    assert limit.overall_code == limit.OK, limit
    (folder / "check").write_bytes(check.SerializeToString())
    (folder / "limit").write_bytes(limit.SerializeToString())
    (told,) = (each.header for each in check.ok_response.response_headers_to_add)
    sidecar.budget.Release(pb.ReleaseRequest(tenant=direct.TENANT, reservation_id=told.value))


def _name_the_tenant(configuration: dict[str, Any]) -> None:
    """What `tallystick envoy config` writes; the domain of rate limits is a tenant's name."""
    for each in _http_of(configuration)["http_filters"]:
        if "domain" in each["typed_config"]:
            each["typed_config"]["domain"] = direct.TENANT


def _leave_out_filters(configuration: dict[str, Any]) -> None:
    """The same listener, routes and providers, and nobody to ask."""
    manager = _http_of(configuration)
    manager["http_filters"] = manager["http_filters"][-1:]  # the router
    manager["access_log"] = []
    manager.pop("access_log_options", None)
    for route in _routes(manager):
        route.pop("typed_per_filter_config", None)
    resources = configuration["static_resources"]
    resources["clusters"] = [each for each in resources["clusters"] if each["name"] != "tallystick"]


def _answer_at_once(configuration: dict[str, Any]) -> None:
    """An answer of Envoy itself, to whatever it is asked."""
    _leave_out_filters(configuration)
    manager = _http_of(configuration)
    content_type = {"header": {"key": "content-type", "value": "application/json"}}
    body = workload.ANSWER.decode()
    manager["generate_request_id"] = False
    manager["route_config"]["virtual_hosts"][0]["routes"] = [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": body}},
            "response_headers_to_add": [{**content_type, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        }
    ]
    configuration["static_resources"]["clusters"] = []


def _http_of(configuration: dict[str, Any]) -> dict[str, Any]:
    (listener,) = configuration["static_resources"]["listeners"]
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def _routes(manager: dict[str, Any]) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = manager["route_config"]["virtual_hosts"][0]["routes"]
    return routes
