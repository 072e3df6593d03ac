"""Whether a node is set up to keep what is promised of the store."""

import logging
import re
from collections.abc import Awaitable, Callable

import hiredis

from tallystick.core.errors import StoreUnusable
from tallystick.store.connection import Reply
from tallystick.store.durability import Durability, Promise
from tallystick.store.resp import encode

log = logging.getLogger("tallystick.store")

Run = Callable[[bytes], Awaitable[Reply]]


async def check_node(run: Run, promise: Promise) -> bool:
    """Whether a node told its settings. `run` has one command answered.

    Raises:
        StoreUnusable: they don't keep the promise; it says what to set.
    """
    eviction = await _setting(run, "maxmemory-policy")
    if eviction.startswith("allkeys"):  # volatile-… evicts what has a TTL, and no key of ours has
        raise StoreUnusable(f"the store evicts keys ({eviction}); set noeviction")
    told = [await _setting(run, name) for name in ("appendonly", "appendfsync", "min-replicas-to-write")]
    if not all(told):
        return False
    problem = _problem(promise, *told)
    if problem and promise.mode is not Durability.FAST:
        raise StoreUnusable(f"durability {promise.mode}: {problem}")
    if problem:  # it may be meant so: of what is fast nobody expects more
        log.warning("a crash of the store may lose more than its last second: %s", problem)
    if promise.replicas:
        await _compare_replicas(run, promise.replicas)
    return True


async def _compare_replicas(run: Run, confirming: int) -> None:
    """Warns where a replica that confirmed nothing may be chosen to become the master."""
    told = await run(encode(["INFO", "replication"]))
    found = re.search(rb"^connected_slaves:(\d+)", told, re.MULTILINE) if isinstance(told, bytes) else None
    if found and int(found[1]) > confirming:
        log.warning(
            "%d of %d replicas confirm: one that lacks the latest may become the master; set "
            "TALLYSTICK_REPLICAS to %d, or replica-priority 0 on those that are not to",
            *(confirming, int(found[1]), int(found[1])),
        )


def _problem(promise: Promise, append_only: str, fsync: str, replicas: str) -> str:
    """What keeps the store from its promise; empty where nothing does."""
    wanted = promise.mode.appendfsync
    if append_only != "yes":
        return "the store keeps no append-only file; set appendonly yes"
    if fsync not in (wanted, "always"):
        return f"the store has appendfsync {fsync}; set {wanted}"
    if int(replicas) < promise.replicas:
        return f"the store has min-replicas-to-write {replicas}; set {promise.replicas}"
    return ""


async def _setting(run: Run, name: str) -> str:
    """A setting of the node; empty where it doesn't tell."""
    reply = await run(encode(["CONFIG", "GET", name]))
    if isinstance(reply, hiredis.ReplyError) or len(reply) != 2:
        return ""
    return str(reply[1].decode())
