"""`tallystick store`: what the store promises, and partitions that went back."""

from typing import TYPE_CHECKING, Annotated

import typer

from tallystick.cli.connection import admin_service
from tallystick.cli.options import Actor, AdminConnection
from tallystick.cli.output import print_message, show

if TYPE_CHECKING:
    from tallystick.v1 import admin_pb2

Partition = Annotated[int, typer.Argument(min=0, help="The partition's number, as `store status` has it.")]


def status(*, connection: AdminConnection) -> None:
    """Show how durable the store is, and which of its partitions are frozen."""
    from tallystick.v1 import admin_pb2

    with admin_service(connection) as service:
        answer = service.GetStore(admin_pb2.GetStoreRequest(), timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
        return
    unchecked = "" if answer.durability_checked else " (not checked: the store doesn't tell its settings)"
    show(f"durability: {answer.durability}{unchecked}")
    show(f"partitions: {answer.partitions}, {len(answer.frozen) or 'none'} frozen")
    for frozen in answer.frozen:
        show(f"partition {frozen.partition}: {_told(frozen)}")


def thaw(partition: Partition, *, actor: Actor, connection: AdminConnection) -> None:
    """Let a frozen partition go on from where it is.

    It was frozen because the store had lost what was answered: it was put back to a backup, or failed over
    to a replica that lagged. Look at what is lost before, for nothing brings it back afterwards.
    """
    from tallystick.v1 import admin_pb2

    request = admin_pb2.ThawPartitionRequest(partition=partition, by=actor.name, reason=actor.reason)
    with admin_service(connection) as service:
        answer = service.ThawPartition(request, timeout=connection.timeout_s)
    if connection.as_json:
        print_message(answer)
    elif answer.HasField("frozen"):
        show(f"partition {partition}: thawed; it was {_told(answer.frozen)}")
    else:
        show(f"partition {partition}: was not frozen")


def _told(frozen: "admin_pb2.FrozenPartition") -> str:
    from tallystick.cli.output import time_text

    return f"frozen since {time_text(frozen.since)}, when {frozen.seen} had been seen and {frozen.found} came"
