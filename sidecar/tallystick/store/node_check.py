"""Whether a node is set up to keep what is promised of the store."""

from collections.abc import Awaitable, Callable

import hiredis

from tallystick.core.errors import StoreUnusable
from tallystick.store.connection import Reply
from tallystick.store.durability import Promise
from tallystick.store.resp import encode

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
    append_only, fsync, replicas = told
    wanted, mode = promise.mode.appendfsync, promise.mode
    if append_only != "yes":
        raise StoreUnusable(f"durability {mode}: the store keeps no append-only file; set appendonly yes")
    if fsync not in (wanted, "always"):
        raise StoreUnusable(f"durability {mode}: the store has appendfsync {fsync}; set {wanted}")
    if int(replicas) < promise.replicas:
        raise StoreUnusable(
            f"durability {mode}: the store has min-replicas-to-write {replicas}; set {promise.replicas}"
        )
    return True


async def _setting(run: Run, name: str) -> str:
    """A setting of the node; empty where it doesn't tell."""
    reply = await run(encode(["CONFIG", "GET", name]))
    if isinstance(reply, hiredis.ReplyError) or len(reply) != 2:
        return ""
    return str(reply[1].decode())
