"""The instruments: what a scrape shows."""

from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tallystick.observe.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def samples(metrics: Metrics) -> Iterator[Sample]:
    for family in metrics.registry.collect():
        yield from family.samples


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_counters(metrics: Metrics) -> None:
    metrics.decision("ALLOW", "").inc()
    metrics.decision("DENY", "BUDGET_EXHAUSTED").inc()
    metrics.decision("DENY", "BUDGET_EXHAUSTED").inc(2)
    metrics.settle("COMPLETED", estimated=False).inc()
    metrics.settle("UNKNOWN", estimated=True).inc()
    metrics.shed.inc()
    metrics.store_reconnects.inc()
    metrics.plan_hits.inc()
    metrics.plan_misses.inc()
    assert value(metrics, "tallystick_decisions_total", result="ALLOW", reason="") == 1
    assert value(metrics, "tallystick_decisions_total", result="DENY", reason="BUDGET_EXHAUSTED") == 3
    assert value(metrics, "tallystick_settles_total", outcome="COMPLETED", estimated="false") == 1
    assert value(metrics, "tallystick_settles_total", outcome="UNKNOWN", estimated="true") == 1
    for name in ("shed", "store_reconnects", "plan_hits", "plan_misses"):
        assert value(metrics, f"tallystick_{name}_total") == 1


def test_plain_counters_start_at_zero(metrics: Metrics) -> None:
    for name in ("shed", "store_reconnects", "plan_hits", "plan_misses"):
        assert value(metrics, f"tallystick_{name}_total") == 0


def test_children_are_made_once(metrics: Metrics) -> None:
    assert metrics.rpc("Reserve") is metrics.rpc("Reserve", "OK")
    assert metrics.rpc("Reserve") is not metrics.rpc("Reserve", "UNAVAILABLE")
    assert metrics.store("reserve") is metrics.store("reserve")
    assert metrics.decision("ALLOW", "") is metrics.decision("ALLOW", "")


def test_histograms(metrics: Metrics) -> None:
    for seconds in (10e-6, 50e-6, 51e-6, 0.003, 7.0):
        metrics.rpc("Reserve").observe(seconds)
    metrics.store("reserve").observe(0.0002)

    def at_most(bound: str) -> float | None:
        return value(metrics, "tallystick_rpc_seconds_bucket", method="Reserve", code="OK", le=bound)

    assert at_most("5e-05") == 2  # a bound belongs to its bucket
    assert at_most("0.0001") == 3
    assert at_most("0.002") == 3
    assert at_most("0.005") == 4
    assert at_most("5.0") == 4
    assert at_most("+Inf") == 5
    assert value(metrics, "tallystick_rpc_seconds_count", method="Reserve", code="OK") == 5
    total = value(metrics, "tallystick_rpc_seconds_sum", method="Reserve", code="OK")
    assert total == pytest.approx(7.003111)
    assert value(metrics, "tallystick_store_seconds_bucket", operation="reserve", le="0.0002") == 1


def test_gauges_and_build_info(metrics: Metrics) -> None:
    metrics.holds_open.set(7)
    metrics.store_up.set(1)
    metrics.in_flight.set_function(lambda: 3)
    metrics.plans_cached.set(5)
    assert value(metrics, "tallystick_holds_open") == 7
    assert value(metrics, "tallystick_store_up") == 1
    assert value(metrics, "tallystick_in_flight") == 3
    assert value(metrics, "tallystick_plans_cached") == 5
    assert value(metrics, "tallystick_build_info", version="1.2.3") == 1


def test_labels_are_bounded(metrics: Metrics) -> None:
    for number in range(1000):
        metrics.rpc(f"/made.up/{number}").observe(0.001)
    counts = [s for s in samples(metrics) if s.name == "tallystick_rpc_seconds_count"]
    assert len(counts) == 201
    assert sum(sample.value for sample in counts) == 1000
    assert value(metrics, "tallystick_rpc_seconds_count", method="other", code="other") == 800


def test_both_formats_are_valid(metrics: Metrics) -> None:
    metrics.rpc("Reserve").observe(0.001)
    metrics.decision("ALLOW", "").inc()
    text = generate_openmetrics(metrics.registry).decode()  # type: ignore[no-untyped-call]
    families = {f.name: f for f in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    assert families["tallystick_rpc_seconds"].type == "histogram"
    assert families["tallystick_decisions"].type == "counter"
    assert b"tallystick_decisions_total" in generate_latest(metrics.registry)


def test_two_in_one_process_do_not_meet(metrics: Metrics) -> None:
    metrics.shed.inc()
    assert value(Metrics("2"), "tallystick_shed_total") == 0
