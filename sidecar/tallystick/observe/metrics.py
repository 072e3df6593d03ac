"""All instruments, in one place.

The counters and histograms of the hot path are our own: prometheus_client's
cost 0.3 µs an increment and 0.6 to 0.9 µs an observation, with locks that one
event loop has no use for; these cost a tenth and a sixth of that. They are
exported through prometheus_client all the same. They belong to one thread.

Labels are bounded: never a tenant, user, key or model; and an instrument that
has grown to `_MOST_CHILDREN` label sets counts what comes after as `other`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, TypeVar

from prometheus_client import CollectorRegistry, Gauge, Info, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_MOST_CHILDREN = 200
_SECONDS = (
    *(50e-6, 100e-6, 200e-6, 500e-6),
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
"""The upper bounds of the histograms of time, in seconds: 50 µs to 5 s."""
_RATIOS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0),
)
"""The upper bounds of ratios; up to 1.0 a hold was enough."""


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Add `amount`."""
        self.value += amount


class Histogram:
    """How many observations fell into each bucket of `BOUNDS`."""

    __slots__ = ("counts", "total")
    BOUNDS: ClassVar[tuple[float, ...]] = _SECONDS

    def __init__(self) -> None:
        self.counts = [0] * (len(self.BOUNDS) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one observation, in seconds where it is of time."""
        self.counts[bisect_left(self.BOUNDS, value)] += 1
        self.total += value

    def buckets(self) -> Sequence[tuple[str, float]]:
        """Return the cumulative counts by upper bound, as Prometheus has them."""
        running = 0
        cumulative: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.BOUNDS), "+Inf"), self.counts, strict=True):
            running += count
            cumulative.append((bound, running))
        return cumulative


class Ratios(Histogram):
    """A histogram of ratios."""

    __slots__ = ()
    BOUNDS = _RATIOS


_Instrument = TypeVar("_Instrument", Counter, Histogram)


class _Children(Generic[_Instrument]):
    """One instrument for each set of label values, made once and kept."""

    def __init__(self, make: type[_Instrument], name: str, text: str, labels: Sequence[str]) -> None:
        self.name, self.text, self.labels = name, text, labels
        self._make: type[_Instrument] = make
        self._children: dict[tuple[str, ...], _Instrument] = {}

    def of(self, *values: str) -> _Instrument:
        child = self._children.get(values)
        return child if child is not None else self._new(values)

    def _new(self, values: tuple[str, ...]) -> _Instrument:
        if len(self._children) >= _MOST_CHILDREN:
            values = ("other",) * len(self.labels)
        return self._children.setdefault(values, self._make())

    def items(self) -> list[tuple[tuple[str, ...], _Instrument]]:
        return list(self._children.items())


class _Export(Collector):
    """Shows our own instruments to prometheus_client."""

    def __init__(
        self, counters: Sequence[_Children[Counter]], histograms: Sequence[_Children[Histogram]]
    ) -> None:
        self._counters = counters
        self._histograms = histograms

    def collect(self) -> Iterator[Metric]:
        for counters in self._counters:
            counter = CounterMetricFamily(counters.name, counters.text, labels=counters.labels)
            for values, one in counters.items():
                counter.add_metric(values, one.value)
            yield counter
        for histograms in self._histograms:
            histogram = HistogramMetricFamily(histograms.name, histograms.text, labels=histograms.labels)
            for values, each in histograms.items():
                histogram.add_metric(values, each.buckets(), each.total)
            yield histogram


class Metrics:
    """Every instrument of one sidecar, on a registry of its own. `version` is the sidecar's."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._add_histograms()
        self._add_proxied()
        self._add_shadows()
        self._decisions = _Children(
            Counter, "tallystick_decisions", "Decisions by result and reason.", ("result", "reason")
        )
        self._settles = _Children(
            Counter,
            "tallystick_settles",
            "Settles by outcome, estimated or reported.",
            ("outcome", "estimated"),
        )
        plain = {
            "shed": "Calls turned away because too many were waiting.",
            "charges": "Costs charged that nothing was held for.",
            "store_reconnects": "Connections to the store made anew.",
            "alone": "Decisions made while the store was away.",
            "plan_hits": "Plans found in the cache.",
            "plan_misses": "Plans that had to be made.",
        }
        counters = {name: _Children(Counter, f"tallystick_{name}", text, ()) for name, text in plain.items()}
        self.shed = counters["shed"].of()
        self.charges = counters["charges"].of()
        self.store_reconnects = counters["store_reconnects"].of()
        self.alone = counters["alone"].of()
        self.plan_hits = counters["plan_hits"].of()
        self.plan_misses = counters["plan_misses"].of()
        self.registry.register(
            _Export(
                [
                    *(self._decisions, self._settles, self._calls, self._ends, self._kept),
                    *(self._shadows, self._shadow_dropped, *counters.values()),
                ],
                [self._rpc, self._store, self._estimates],
            )
        )
        self._add_gauges(version)
        self._add_store_gauges()

    def _add_histograms(self) -> None:
        self._rpc = _Children(
            Histogram,
            "tallystick_rpc_seconds",
            "Seconds from a call's arrival to its answer.",
            ("method", "code"),
        )
        self._store = _Children(
            Histogram, "tallystick_store_seconds", "Seconds an operation of the store took.", ("operation",)
        )
        self._estimates: _Children[Histogram] = _Children(
            Ratios,
            "tallystick_estimate_ratio",
            "What a call took, as its settle reported, over what was held; above 1 too little was.",
            ("unit",),
        )

    def _add_proxied(self) -> None:
        self._calls = _Children(
            Counter, "tallystick_proxied_calls", "Calls through a proxy by verdict.", ("verdict", "reason")
        )
        self._ends = _Children(Counter, "tallystick_proxied_ends", "Ends of calls through a proxy.", ("end",))
        self._kept = _Children(Counter, "tallystick_proxied_kept", "Holds of streams that go on.", ("how",))

    def _add_shadows(self) -> None:
        self._shadows = _Children(
            Counter,
            "tallystick_shadow_decisions",
            "Decisions by shadow policies, by how they differ from the live ones, and why.",
            ("verdict", "reason"),
        )
        self._shadow_dropped = _Children(
            Counter, "tallystick_shadow_dropped", "What shadow policies were not told.", ("why",)
        )

    def _add_gauges(self, version: str) -> None:
        """Declare what is read when scraped: give each `set`, or `set_function` where a call would `inc`."""
        self.tenants_suspended = Gauge(
            "tallystick_tenants_suspended",
            "Tenants that are switched off, as far as this sidecar knows.",
            registry=self.registry,
        )
        self.holds_open = Gauge("tallystick_holds_open", "Holds that have not ended.", registry=self.registry)
        self.in_flight = Gauge("tallystick_in_flight", "Calls being worked on.", registry=self.registry)
        self.streams_open = Gauge(
            "tallystick_streams_open", "Calls that pass through ext_proc.", registry=self.registry
        )
        self.journaled = Gauge(
            "tallystick_journaled", "Calls that the store is yet to be told of.", registry=self.registry
        )
        self.waiting_for_tickets = Gauge(
            "tallystick_waiting_for_tickets", "Calls that wait for a ticket.", registry=self.registry
        )
        self.policies_unreadable = Gauge(
            "tallystick_policies_unreadable",
            "Tenants whose policy in force can't be read: the one before it decides.",
            registry=self.registry,
        )
        self.plans_cached = Gauge("tallystick_plans_cached", "Plans in the cache.", registry=self.registry)
        Info("tallystick_build", "The sidecar's version.", registry=self.registry).info({"version": version})
        ProcessCollector(registry=self.registry)

    def _add_store_gauges(self) -> None:
        self.store_up = Gauge(
            "tallystick_store_up", "1 if the store answers, else 0.", registry=self.registry
        )
        text = "Nodes of the store by the state of their circuit breaker: closed, half-open or open."
        self._store_breaker = Gauge("tallystick_store_breaker", text, ("state",), registry=self.registry)
        self.partitions_frozen = Gauge(
            "tallystick_partitions_frozen",
            "Partitions that went back, and answer nothing until they are thawed.",
            registry=self.registry,
        )
        self._durability = Gauge(
            "tallystick_store_durability",
            "1 for the mode that the store was set up for; checked: whether it told that it is.",
            ("mode", "checked"),
            registry=self.registry,
        )

    def decision(self, result: str, reason: str) -> Counter:
        """Return the counter of decisions with this result and reason; `reason` is empty for an ALLOW."""
        return self._decisions.of(result, reason)

    def settle(self, outcome: str, *, estimated: bool) -> Counter:
        """Return the counter of settles with this outcome; `estimated` if nobody reported the usage."""
        return self._settles.of(outcome, "true" if estimated else "false")

    def proxied_call(self, verdict: str, reason: str) -> Counter:
        """Return the counter of proxied calls: `allowed`, `passed` (and why) or `turned` (and the reason)."""
        return self._calls.of(verdict, reason)

    def proxied_end(self, end: str) -> Counter:
        """Return the counter of ends of proxied calls: an outcome, `RELEASED`, `LOST` or `UNHELD`."""
        return self._ends.of(end)

    def store_breaker(self, state: str) -> Gauge:
        """How many nodes of the store are in a state."""
        return self._store_breaker.labels(state)

    def tell_durability(self, mode: str, *, checked: bool) -> None:
        """Say what the store promises."""
        self._durability.labels(mode, "true" if checked else "false").set(1)

    def kept(self, how: str) -> Counter:
        """Return the counter of holds of streams that go on: `kept`, `grown`, `refused` for lack of room."""
        return self._kept.of(how)

    def shadow(self, verdict: str, reason: str) -> Counter:
        """Return the counter of decisions by shadows; `reason`: of the policy that refuses, or empty."""
        return self._shadows.of(verdict, reason)

    def shadow_dropped(self, why: str) -> Counter:
        """Return the counter of what shadows were not told: the queue `full`, the `store` away, `failed`."""
        return self._shadow_dropped.of(why)

    def rpc(self, method: str, code: str = "OK") -> Histogram:
        """Return the histogram of a method's answers with a gRPC code, in seconds."""
        return self._rpc.of(method, code)

    def store(self, operation: str) -> Histogram:
        """Return the histogram of an operation of the store, in seconds."""
        return self._store.of(operation)

    def estimate_ratio(self, unit: str) -> Histogram:
        """Return the histogram of what calls took over what was held, in `usd` or `tokens`."""
        return self._estimates.of(unit)
