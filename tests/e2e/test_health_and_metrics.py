"""What operators see: health, reflection, metrics, the HTTP endpoint, files, the log."""

import json
import os
import stat
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1.admin_pb2_grpc import AdminServiceStub
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub
from tests.e2e.books import books_of
from tests.e2e.caller import LONG_S, Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import eventually
from tests.servers import SidecarProcess, http_get

SERVING = health_pb2.HealthCheckResponse.SERVING
TRANSPORTS = pytest.mark.parametrize("transport", ["native", "grpcio"])
BUDGET, ADMIN = "tallystick.v1.BudgetService", "tallystick.v1.AdminService"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def channels(served: SidecarProcess) -> Iterator[dict[str, grpc.Channel]]:
    with Caller(served, "tcp") as tcp, Caller(served, "unix") as unix:
        yield {"tcp": tcp.channel, "unix": unix.channel, "admin": unix.admin_channel}


def scrape(sidecar: SidecarProcess) -> Samples:
    status, text = http_get(sidecar.http_port, "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health_overall_and_of_each_service(channels: dict[str, grpc.Channel]) -> None:
    for channel in channels.values():
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", BUDGET, ADMIN):
            request = health_pb2.HealthCheckRequest(service=service)
            assert health.Check(request, timeout=LONG_S).status == SERVING
        with fails(grpc.StatusCode.NOT_FOUND):
            health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=LONG_S)


def test_health_is_watched(channels: dict[str, grpc.Channel]) -> None:
    for channel in channels.values():
        request = health_pb2.HealthCheckRequest(service=BUDGET)
        watching = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=LONG_S)
        assert next(watching).status == SERVING
        watching.cancel()


def listed(channel: grpc.Channel) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(stub.ServerReflectionInfo(iter([request]), timeout=LONG_S))
    return {service.name for service in answer.list_services_response.service}


@TRANSPORTS
def test_reflection_by_setting(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, REFLECTION="true", LISTEN="127.0.0.1:0")
    with Caller(sidecar, "tcp") as caller:
        own = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
        assert listed(caller.channel) == {BUDGET, *own}
        assert listed(caller.admin_channel) == {ADMIN, *own}


def test_no_reflection_unless_it_is_wanted(channels: dict[str, grpc.Channel]) -> None:
    for channel in channels.values():
        with fails(grpc.StatusCode.UNIMPLEMENTED):
            listed(channel)


def test_each_service_is_on_its_own_sockets_only(served: SidecarProcess) -> None:
    for place in ("tcp", "unix"):
        with Caller(served, place) as caller:
            with fails(grpc.StatusCode.UNIMPLEMENTED):
                AdminServiceStub(caller.channel).GetPolicy(apb.GetPolicyRequest(), timeout=LONG_S)
            with fails(grpc.StatusCode.UNIMPLEMENTED):
                BudgetServiceStub(caller.admin_channel).Balance(pb.BalanceRequest(), timeout=LONG_S)


def make_known_calls(caller: Caller) -> None:
    """Three ALLOWs, three DENYs, one error; two settles, one of them estimated, one retry; one hold left."""
    caller.apply("wallets: {org: {}}\nbudgets:\n  few: {limit: 3 requests, window: 1h}")
    caller.credit(100)
    for name in ("a", "b", "c"):
        caller.allowed(30, reservation_id=name)
    assert caller.refused(1).reason == pb.REASON_RATE_LIMITED
    assert caller.refused(1).reason == pb.REASON_RATE_LIMITED
    assert caller.refused(1, model="x", estimate=pb.TokenEstimate(input=1)).reason == pb.REASON_PRICE_UNKNOWN
    caller.settle("a", 20)
    caller.settle("a", 20)
    caller.settle("b", outcome=pb.OUTCOME_COMPLETED_NO_USAGE)
    with fails(grpc.StatusCode.INVALID_ARGUMENT):
        caller.reserve(-1)
    with fails(grpc.StatusCode.NOT_FOUND):
        caller.settle("never", 1)


@TRANSPORTS
def test_metrics_after_known_calls(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, HTTP_LISTEN="127.0.0.1:0")
    with Caller(sidecar) as caller:
        make_known_calls(caller)
    eventually(lambda: scrape(sidecar)["tallystick_holds_open", ()] == 1)
    samples = scrape(sidecar)

    def value(name: str, **labels: str) -> float:
        return samples[f"tallystick_{name}", tuple(sorted(labels.items()))]

    assert value("decisions_total", result="ALLOW", reason="") == 3
    assert value("decisions_total", result="DENY", reason="RATE_LIMITED") == 2
    assert value("decisions_total", result="DENY", reason="PRICE_UNKNOWN") == 1
    assert value("settles_total", outcome="COMPLETED", estimated="false") == 1
    assert value("settles_total", outcome="COMPLETED_NO_USAGE", estimated="true") == 1
    assert value("rpc_seconds_count", method="Reserve", code="OK") == 6
    assert value("rpc_seconds_count", method="Reserve", code="INVALID_ARGUMENT") == 1
    assert value("rpc_seconds_count", method="Settle", code="NOT_FOUND") == 1
    assert value("rpc_seconds_bucket", method="Reserve", code="OK", le="+Inf") == 6
    assert 0 < value("rpc_seconds_sum", method="Reserve", code="OK") < 60
    assert value("store_seconds_count", operation="settle") == 3
    assert value("store_seconds_count", operation="reserve") >= 6
    assert (value("store_up"), value("in_flight"), value("shed_total")) == (1, 0, 0)
    assert value("plan_misses_total") >= 2
    assert value("plan_hits_total") >= 3
    assert value("plans_cached") >= 2
    assert samples["process_resident_memory_bytes", ()] > 2**20


def test_metrics_are_sound_and_name_nobody(served: SidecarProcess) -> None:
    with Caller(served) as caller:
        make_known_calls(caller)
        for accept in ("text/plain", "application/openmetrics-text"):
            _, text = http_get(served.http_port, "/metrics", accept=accept)
            assert caller.tenant not in text
            assert "alice" not in text
    _, text = http_get(served.http_port, "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, family in families.items():
        assert family.documentation
        assert name.startswith(("tallystick_", "process_"))
        keys = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(keys) == len(set(keys))
        if family.type == "histogram":
            check_histogram(family.samples)


def check_histogram(samples: list[Any]) -> None:
    """Buckets never fall, and the last of them is the count."""
    series: dict[tuple[tuple[str, str], ...], list[float]] = {}
    counts: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        if sample.name.endswith("_bucket"):
            series.setdefault(labels, []).append(sample.value)
        elif sample.name.endswith("_count"):
            counts[labels] = sample.value
    assert series.keys() == counts.keys()
    for labels, values in series.items():
        assert values == sorted(values)
        assert values[-1] == counts[labels]


def test_live_and_ready(served: SidecarProcess) -> None:
    assert http_get(served.http_port, "/livez")[0] == 200
    status, body = http_get(served.http_port, "/readyz")
    assert (status, json.loads(body)["status"]) == (200, "ready")
    assert json.loads(body)["parts"]["store"] == "ready"
    assert http_get(served.http_port, "/")[0] == 404


def test_files_are_for_their_owner_only(start: Start) -> None:
    mask = os.umask(0o022)
    try:
        sidecar = start()
        own = sidecar.directory / "made"
        other = start(wait=False, TALLY_KEY_FILE=str(own / "tally.key"), SOCKET=str(own / "t.sock"))
        eventually(lambda: (own / "tally.key").exists())
    finally:
        os.umask(mask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sidecar.directory.iterdir()}
    assert modes["tallystick.sock"] == modes["admin.sock"] == modes["tally.key"] == 0o600
    assert modes["valkey"] == 0o700
    for name in modes.keys() - {"sidecar.log"}:
        assert modes[name] & 0o077 == 0, name
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert stat.S_IMODE((own / "t.sock").stat().st_mode) == 0o600
    with books_of(other) as books:
        assert books.raw.config_get("port") == {"port": "0"}


def test_the_debug_log_has_one_line_a_decision(served: SidecarProcess) -> None:
    with Caller(served) as caller:
        make_known_calls(caller)
        lines = [json.loads(line) for line in served.log.splitlines()]
        decisions = [line for line in lines if line.get("tenant") == caller.tenant]
    assert [line["result"] for line in decisions] == ["ALLOW"] * 3 + ["DENY"] * 3
    assert [line["reason"] for line in decisions[3:]] == ["RATE_LIMITED", "RATE_LIMITED", "PRICE_UNKNOWN"]
    for line in decisions:
        assert (line["event"], line["level"], line["logger"]) == (
            "decision", "debug", "tallystick.decisions"
        )  # fmt: skip
        assert line.keys() == {
            "event", "level", "logger", "timestamp", "tenant", "reservation_id", "result", "reason",
            "model", "cost_nano_usd", "tokens",
        }  # fmt: skip
