"""From requests about the store to calls, and from its state to messages, as `reading` and `writing` do."""

from tallystick.core.subject import check_text
from tallystick.engine.partitions import StoreState, ThawCall
from tallystick.services.writing_states import timestamp
from tallystick.store.freezing import Freeze
from tallystick.v1 import admin_pb2 as pb


def read_thaw(request: pb.ThawPartitionRequest) -> ThawCall:
    """Checks and translates. Raises InvalidArgument."""
    check_text("by", request.by)
    check_text("reason", request.reason)
    return ThawCall(request.partition, request.by, request.reason)


def write_frozen(partition: int, frozen: Freeze) -> pb.FrozenPartition:
    """Since when a partition is frozen, and why."""
    since = timestamp(frozen.since_ms)
    return pb.FrozenPartition(partition=partition, since=since, seen=frozen.seen, found=frozen.found)


def write_store(state: StoreState) -> pb.GetStoreResponse:
    """What is known of the store."""
    return pb.GetStoreResponse(
        durability=state.durability,
        durability_checked=state.told_settings,
        partitions=state.partitions,
        frozen=[write_frozen(partition, state.frozen[partition]) for partition in sorted(state.frozen)],
    )
