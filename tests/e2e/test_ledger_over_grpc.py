"""The ledger as it is written, and events, over gRPC."""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.store.keys import partition_keys, partition_of
from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books, books_of
from tests.e2e.caller import LONG_S, Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import eventually
from tests.e2e.test_tenants_over_grpc import forged, resume, suspend
from tests.seeds import seed_of_run

CODE = grpc.StatusCode
RULES = """
wallets: {org: {}}
budgets: {daily: {limit: 0.000001 USD, window: day, on_exhausted: alert, alerts: [50, 100]}}
"""
GRANTED = "wallets: {user: {per: [user], grant: {amount: 1 USD, every: month}}}"
WRITERS = 8


def tail(caller: Caller, **fields: Any) -> Any:
    """A stream; it ends after `LONG_S`."""
    request = apb.TailLedgerRequest(**{"tenant": caller.tenant, **fields})
    return caller.administration.TailLedger(request, timeout=LONG_S)


def entries(stream: Any) -> Iterator[Any]:
    return (entry for answer in stream for entry in answer.entries)


def watch(caller: Caller, **fields: Any) -> Any:
    request = apb.WatchEventsRequest(**{"tenant": caller.tenant, **fields})
    return caller.administration.WatchEvents(request, timeout=LONG_S)


def as_written(books: Books, caller: Caller) -> list[tuple[str, dict[str, str]]]:
    return [(entry.entry_id, entry.fields) for entry in books.of_tenant(caller.tenant).log]


def as_told(entry: Any) -> tuple[str, dict[str, str]]:
    at_ms = entry.at.seconds * 1_000 + entry.at.nanos // 1_000_000
    common = {"kind": entry.kind, "at": str(at_ms), "tenant": entry.tenant, "id": entry.of}
    return entry.id, common | dict(entry.fields)


def spend(caller: Caller) -> None:
    caller.apply(RULES)
    caller.credit(1_000)
    caller.settle(caller.allowed(400).reservation_id, 700)
    caller.release(caller.allowed(5).reservation_id)


# what is told


def test_every_entry_is_told_as_it_stands(caller: Caller, books: Books) -> None:
    spend(caller)
    assert [as_told(entry) for entry in entries(tail(caller))] == as_written(books, caller)


def test_they_are_chosen_by_tenant_and_kind(caller: Caller) -> None:
    spend(caller)
    with Caller(caller.sidecar) as other:
        spend(other)
        found = [entry.kind for entry in entries(tail(caller, kinds=["settle", "alert", "credit"]))]
        assert found == ["credit", "settle", "alert"]
        both = {entry.tenant for entry in entries(tail(caller, tenant=""))}
        assert {caller.tenant, other.tenant} <= both


def test_a_position_goes_on_after_it(caller: Caller, books: Books) -> None:
    spend(caller)
    answers = list(tail(caller))
    assert list(tail(caller, position=answers[-1].position)) == []
    caller.credit(7, credit_id="later")
    (entry,) = entries(tail(caller, position=answers[-1].position))
    assert (entry.kind, entry.of) == ("credit", "later")


def test_a_time_to_begin_with(caller: Caller) -> None:
    spend(caller)
    time.sleep(0.05)
    since = Timestamp()
    since.GetCurrentTime()
    caller.credit(7, credit_id="later")
    assert [entry.of for entry in entries(tail(caller, since=since))] == ["later"]
    assert list(tail(caller, since=Timestamp(seconds=since.seconds + 1_000))) == []
    assert list(tail(caller, from_now={})) == []


def test_a_forged_position_is_refused(caller: Caller) -> None:
    spend(caller)
    position = next(iter(tail(caller))).position
    dice = random.Random(seed_of_run())
    for _ in range(60):
        wrong = forged(position, dice)
        if wrong not in ("", position):
            with fails(CODE.INVALID_ARGUMENT, "position: "):
                list(tail(caller, position=wrong))
            with fails(CODE.INVALID_ARGUMENT, "position: "):
                list(watch(caller, position=wrong))
    for other in ({"tenant": ""}, {"tenant": "another"}, {"kinds": ["credit"]}):
        with fails(CODE.INVALID_ARGUMENT, "position: "):
            list(tail(caller, position=position, **other))
    with fails(CODE.INVALID_ARGUMENT, "position: expected the position that came with an entry"):
        list(tail(caller, position=""))


def test_what_is_wrong_is_said(caller: Caller) -> None:
    with fails(CODE.INVALID_ARGUMENT, "tenant: "):
        list(tail(caller, tenant="A B"))
    with fails(CODE.INVALID_ARGUMENT, "kinds: expected some of reserve, settle, ", "got 'settel'"):
        list(tail(caller, kinds=["settel"]))
    with fails(CODE.INVALID_ARGUMENT, "since: expected a time from 1970 to 9999"):
        list(tail(caller, since=Timestamp(seconds=-1)))


def test_entries_that_are_gone_are_not_passed_over_in_silence(start: Start) -> None:
    with Caller(start()) as caller, books_of(caller.sidecar) as books:
        spend(caller)
        position = next(iter(tail(caller))).position
        for number in range(3):
            caller.credit(1, credit_id=f"c{number}")
        cut(books, caller.tenant, 1)
        with fails(CODE.OUT_OF_RANGE, "are gone from the store"):
            list(tail(caller, position=position))
        assert [entry.of for entry in entries(tail(caller))] == ["c2"]


# followed


@pytest.mark.contract(10)
@pytest.mark.parametrize("of_all", [False, True])
def test_under_load_nothing_is_lost_and_nothing_told_twice(
    caller: Caller, books: Books, of_all: bool
) -> None:
    """Readers come and go on, each with the position that it had."""
    caller.apply("unmatched: allow")
    stop, found = threading.Event(), list[Any]()

    def write(number: int) -> None:
        dice = random.Random(seed_of_run() + number)
        while not stop.is_set():
            reservation_id = caller.allowed(dice.randrange(9)).reservation_id
            caller.settle(reservation_id, dice.randrange(9))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    tenant, position, dice = "" if of_all else caller.tenant, "", random.Random(seed_of_run())
    last = False
    while not last:
        last = len(found) > 300
        if last:
            stop.set()
            for writer in writers:
                writer.join()
        begin = {"position": position} if position else {"since": Timestamp(seconds=1)}
        stream = tail(caller, tenant=tenant, follow=not last, **begin)
        for answer in itertools.islice(stream, None if last else dice.randrange(1, 12)):
            found += [entry for entry in answer.entries if entry.tenant == caller.tenant]
            position = answer.position
        stream.cancel()
    assert [as_told(entry) for entry in found] == as_written(books, caller)


def test_what_is_written_comes_at_once(caller: Caller) -> None:
    caller.apply(RULES)
    stream = tail(caller, follow=True, from_now={}, kinds=["credit"])
    streaming(stream)
    for number in range(3):
        began = time.monotonic()
        caller.credit(1, credit_id=f"c{number}")
        assert [entry.of for entry in next(stream).entries] == [f"c{number}"]
        assert time.monotonic() - began < 2
    stream.cancel()


def test_a_reader_who_leaves_is_gone(caller: Caller) -> None:
    """More of them one after another than may be there at once."""
    caller.apply(RULES)
    for _ in range(80):
        stream = tail(caller, follow=True)
        next(stream)
        stream.cancel()
    eventually(lambda: next(tail(caller, follow=True)).entries)


def test_only_so_many_read_at_once(start: Start) -> None:
    with Caller(start()) as caller:
        caller.apply(RULES)
        streams = [tail(caller, follow=True) for _ in range(64)]
        for stream in streams:
            next(stream)
        with fails(CODE.RESOURCE_EXHAUSTED, "64 streams are open already; end one of them"):
            next(tail(caller))
        caller.credit(1)  # other calls have their places
        streams[0].cancel()
        eventually(lambda: entries_of(caller))


def entries_of(caller: Caller) -> bool:
    try:
        return bool(list(tail(caller)))
    except grpc.RpcError:
        return False


def test_a_reader_who_does_not_read_holds_up_nobody_and_misses_nothing(start: Start) -> None:
    """More is written meanwhile than the connection takes in."""
    with Caller(start()) as caller:
        caller.apply("unmatched: allow")
        stream = tail(caller, follow=True)
        next(stream)
        reservation_ids = [caller.allowed(1, subject=long_subject()).reservation_id for _ in range(400)]
        told = list[str]()
        while len(told) < len(reservation_ids):
            told += [entry.of for entry in next(stream).entries]
        assert told == reservation_ids
        stream.cancel()


def long_subject() -> pb.Subject:
    return pb.Subject(user="u" * 250, labels={f"l{n}": "v" * 250 for n in range(16)})


@pytest.mark.parametrize("reads", [True, False])
def test_streams_end_when_the_sidecar_drains(start: Start, reads: bool) -> None:
    sidecar = start()
    with Caller(sidecar) as caller:
        caller.apply("unmatched: allow")
        for _ in range(300):
            caller.allowed(1, subject=long_subject())
        stream, events = tail(caller, follow=True), watch(caller)
        next(stream)
        if reads:
            for _ in range(2):
                next(stream)
        began = time.monotonic()
        ending = threading.Thread(target=sidecar.stop)
        ending.start()
        with fails(CODE.UNAVAILABLE, "the sidecar is draining"):
            list(events)
        ending.join()
        assert time.monotonic() - began < 20  # not the 30 s that a drain may take
        with pytest.raises(grpc.RpcError):
            list(stream)
        assert "Traceback" not in sidecar.log


# events


def test_events_are_told_as_they_happen(caller: Caller) -> None:
    caller.apply(RULES)
    stream = watch(caller)
    streaming(stream)
    caller.credit(1_000)
    reservation_id = caller.allowed(600).reservation_id
    suspend(caller, by="ann", reason="a leak")
    resume(caller, by="bob", reason="mended")
    caller.apply(f"{RULES}\ntimezone: UTC")
    found = list[Any]()
    while len(found) < 4:
        # The first policy may be of the very millisecond in which the stream began.
        found += [event for event in next(stream).events if event.policy_applied.version != 1]
    stream.cancel()
    alert, off, on, policy = found
    assert [event.WhichOneof("event") for event in found] == [
        "alert", "tenant_suspended", "tenant_resumed", "policy_applied",
    ]  # fmt: skip
    assert (alert.alert.budget, alert.alert.percent, alert.alert.used, alert.alert.limit) == (
        "daily", 50, 600, 1_000,
    )  # fmt: skip
    assert alert.alert.reservation_id == reservation_id
    assert alert.alert.window_end.seconds - alert.alert.window_start.seconds == 86_400
    assert (off.tenant_suspended.by, off.tenant_suspended.reason) == ("ann", "a leak")
    assert (on.tenant_resumed.by, on.tenant_resumed.reason) == ("bob", "mended")
    assert policy.policy_applied.version == 2
    assert {event.tenant for event in found} == {caller.tenant}
    assert len({event.id for event in found}) == 4


def test_a_grant_is_an_event_and_a_position_misses_none(caller: Caller) -> None:
    caller.apply(GRANTED)
    first = next(watch(caller, since=Timestamp(seconds=1)))
    assert first.events[0].policy_applied.version == 1
    caller.allowed(5)
    (event,) = next(watch(caller, position=first.position)).events
    granted = event.funds_granted
    assert (granted.wallet, granted.group, granted.unit) == ("user", "user=alice", pb.UNIT_NANO_USD)
    assert (granted.amount, granted.lapsed) == (10**9, 0)
    assert granted.expires_at.seconds > event.at.seconds


def streaming(stream: Any) -> None:
    """Returns when the sidecar has begun the stream."""
    time.sleep(0.3)
    assert stream.is_active()


def cut(books: Books, tenant: str, keep: int) -> None:
    """What nobody should do to a ledger."""
    log = partition_keys(partition_of(tenant, books.partitions))[4]
    books.raw.xtrim(log, maxlen=keep, approximate=False)
