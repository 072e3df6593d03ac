"""Which parts of a sidecar work: what /readyz tells, and whether gRPC's health is SERVING."""

from collections.abc import Mapping

from tallystick.observe.http import ALONE, READY
from tallystick.observe.metrics import Metrics
from tallystick.store.breaker import Breaker
from tallystick.store.valkey import ValkeyStore


class Readiness:
    """Each part is `READY`, alone or before what is to be known of it; else it says what it waits for."""

    def __init__(self, metrics: Metrics) -> None:
        self._own = {"store": "starting", "policies": "starting"}
        self._store: ValkeyStore | None = None
        self.beside: dict[str, str] = {}
        """Of parts that are not the sidecar's own."""
        for state in Breaker:
            metrics.store_breaker(state).set_function(lambda state=state: self._count(state))  # type: ignore[misc]

    def _count(self, state: Breaker) -> int:
        return list(self._store.breakers().values()).count(state) if self._store else 0

    def watch(self, store: ValkeyStore) -> None:
        """From now on tells of its nodes and partitions, too."""
        self._store = store

    @property
    def opened(self) -> bool:
        """Whether the policies are known."""
        return self._own["policies"] == READY

    def open(self) -> None:
        """They are."""
        self._own["policies"] = READY

    def drain(self) -> None:
        """No call is taken on."""
        self._own["listeners"] = "draining"

    def store_is(self, *, up: bool, alone: bool) -> None:
        """The store answers, or does not. `alone`: calls are decided without it."""
        self._own["store"] = READY if up else ALONE if alone and self.opened else "away"

    @property
    def serving(self) -> bool:
        """Whether calls are decided."""
        return all(state.startswith(READY) for state in self._own.values())

    def parts(self) -> Mapping[str, str]:
        """By name."""
        told = dict(self._own)
        if self._store is not None:
            broken = [
                f"{node} {state}" for node, state in self._store.breakers().items() if state != Breaker.CLOSED
            ]
            if broken:
                told["store"] += f" (circuit breaker: {', '.join(broken)})"
            if frozen := ", ".join(map(str, self._store.frozen)):
                told["partitions"] = f"{READY}, but frozen: {frozen}"
        return told | self.beside
