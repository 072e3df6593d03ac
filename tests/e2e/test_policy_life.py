"""The life of a policy, over gRPC and on two sidecars of one store."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import grpc
import pytest
from redis import Redis

from tallystick.store.keys import partition_keys, partition_of
from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1 import policy_pb2 as ppb
from tests.e2e.caller import LONG_S, Caller, fails, new_tenant
from tests.e2e.test_two_sidecars import Pair
from tests.servers import http_get

LIMIT = "budgets:\n  daily: {{per: [user], limit: {} USD, window: day}}\n"
CENT, DIME = LIMIT.format("0.01"), LIMIT.format("0.1")
NANO_PER_CENT = 10_000_000


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with ExitStack() as ending:
        yield Pair(ending, HTTP_LISTEN="127.0.0.1:0")


@pytest.fixture
def two(pair: Pair) -> Iterator[tuple[Caller, Caller]]:
    tenant = new_tenant()
    with Caller(pair.sidecars[0], tenant=tenant) as one, Caller(pair.sidecars[1], tenant=tenant) as other:
        yield one, other


def of(user: str) -> pb.Subject:
    return pb.Subject(user=user)


def apply(caller: Caller, rules: str, **fields: Any) -> Any:
    request = apb.ApplyPolicyRequest(document=f"tenant: {caller.tenant}\n{rules}", **fields)
    return caller.administration.ApplyPolicy(request, timeout=LONG_S)


def history(caller: Caller, **fields: Any) -> Any:
    request = ppb.GetPolicyHistoryRequest(tenant=caller.tenant, **fields)
    return caller.administration.GetPolicyHistory(request, timeout=LONG_S)


def rollback(caller: Caller, **fields: Any) -> Any:
    request = ppb.RollbackPolicyRequest(tenant=caller.tenant, **fields)
    return caller.administration.RollbackPolicy(request, timeout=LONG_S)


def shown(caller: Caller, version: int = 0) -> Any:
    request = apb.GetPolicyRequest(tenant=caller.tenant, version=version)
    return caller.administration.GetPolicy(request, timeout=LONG_S)


def differences(answer: Any) -> list[tuple[str, str, str]]:
    kinds = ppb.DifferenceKind
    return [(kinds.Name(d.kind).rpartition("_")[2], d.path, d.text) for d in answer.differences]


def test_a_dry_run_tells_what_changes_and_who_is_over_and_changes_nothing(two: tuple[Caller, Caller]) -> None:
    one, other = two
    first = apply(one, CENT, dry_run=True)
    assert (first.tenant, first.version, first.changed) == (one.tenant, 0, True)
    assert differences(first) == [("NEW", "budgets.daily", "0.01 USD for each user, window day")]
    with fails(grpc.StatusCode.NOT_FOUND):
        shown(one)
    apply(one, DIME)
    one.allowed(4 * NANO_PER_CENT, subject=of("alice"), reservation_id="a")
    one.settle("a", 3 * NANO_PER_CENT)
    other.allowed(2 * NANO_PER_CENT, subject=of("alice"))
    other.allowed(2 * NANO_PER_CENT, subject=of("bob"))
    one.allowed(1 * NANO_PER_CENT, subject=of("carol"))  # just as much as there will be
    before = one.balance(user="alice")
    found = apply(one, CENT, dry_run=True, expected_version=1)
    assert (found.version, found.changed, found.more_over) == (1, True, False)
    assert differences(found) == [("TIGHTER", "budgets.daily.limit", "0.01 USD instead of 0.10 USD")]
    assert [(each.budget, each.group, each.spent, each.held, each.limit) for each in found.over] == [
        ("daily", "user=alice", 3 * NANO_PER_CENT, 2 * NANO_PER_CENT, NANO_PER_CENT),
        ("daily", "user=bob", 0, 2 * NANO_PER_CENT, NANO_PER_CENT),
    ]
    assert {each.unit for each in found.over} == {pb.UNIT_NANO_USD}
    for caller in two:
        assert caller.balance(user="alice") == before
    assert shown(one).version == 1
    same = apply(one, f"# the same in other words\n{DIME}", dry_run=True)
    assert (differences(same), same.changed, list(same.over)) == ([], True, [])
    assert not apply(one, DIME, dry_run=True, expected_version=7).changed


def test_a_window_that_changes_counts_anew_so_nobody_is_over(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, DIME)
    one.allowed(4 * NANO_PER_CENT)
    found = apply(one, CENT.replace("day", "week"), dry_run=True)
    assert [path for _, path, _ in differences(found)] == ["budgets.daily.limit", "budgets.daily.window"]
    assert not found.over


def test_of_those_who_would_be_over_a_hundred_are_told(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, DIME)
    users = [f"u{number:03}" for number in range(101)]
    asks = [one.ask(2 * NANO_PER_CENT, subject=of(user)) for user in users]
    calls = [one.budgets.Reserve.future(ask, timeout=LONG_S) for ask in asks]
    assert all(call.result().result == pb.RESULT_ALLOW for call in calls)
    found = apply(one, CENT, dry_run=True)
    assert [each.group for each in found.over] == [f"user={user}" for user in users[:100]]
    assert found.more_over


def test_an_expected_version_that_is_not_in_force_is_told_with_the_one_that_is(
    two: tuple[Caller, Caller],
) -> None:
    one, other = two
    apply(one, CENT, expected_version=0)
    for dry_run in (False, True):
        with fails(grpc.StatusCode.ABORTED, "version 1 is in force, not 7"):
            apply(other, DIME, expected_version=7, dry_run=dry_run)
    with fails(grpc.StatusCode.ABORTED, "version 1 is in force, not 7"):
        rollback(other, expected_version=7)
    assert apply(other, DIME, expected_version=1).version == 2


def test_versions_are_kept_shown_and_gone_back_to(two: tuple[Caller, Caller]) -> None:
    one, other = two
    with fails(grpc.StatusCode.NOT_FOUND, f"tenant {one.tenant} has no policy"):
        history(one)
    apply(one, CENT, by="ann", comment="a first one")
    with fails(grpc.StatusCode.NOT_FOUND, "has no policy before version 1"):
        rollback(one)
    apply(other, DIME, by="bob")
    back = rollback(other, by="ann", comment="too loose")
    assert (back.version, back.rolled_back_to, back.changed) == (3, 1, True)
    assert one.refused(2 * NANO_PER_CENT).reason == pb.REASON_CAN_NEVER_FIT  # from the next call on
    versions = history(one).versions
    assert [(v.version, v.by, v.comment, v.rolled_back_to) for v in versions] == [
        (3, "ann", "too loose", 1),
        (2, "bob", "", 0),
        (1, "ann", "a first one", 0),
    ]
    times = [v.at.ToMilliseconds() for v in versions]
    assert times == sorted(times, reverse=True)
    assert times[-1] > 0
    assert shown(one, 2).document == f"tenant: {one.tenant}\n{DIME}"
    assert shown(one).document == shown(one, 1).document
    again = rollback(one)
    assert (again.version, again.rolled_back_to) == (4, 2)  # where it was
    assert not rollback(one, to_version=4).changed
    for caller in (one, other):
        with fails(grpc.StatusCode.NOT_FOUND, "version 9 of the policy"):
            rollback(caller, to_version=9)
        with fails(grpc.StatusCode.NOT_FOUND, "version 9 of the policy"):
            shown(caller, 9)


def test_history_comes_in_pages_that_any_sidecar_gives(two: tuple[Caller, Caller]) -> None:
    one, other = two
    for number in range(1, 6):
        apply(one, LIMIT.format(number))
    first = history(one, page_size=2)
    following = history(other, page_size=2, page_token=first.next_page_token)
    last = history(one, page_size=2, page_token=following.next_page_token)
    found = [v.version for page in (first, following, last) for v in page.versions]
    assert (found, last.next_page_token) == ([5, 4, 3, 2, 1], "")
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "page_token"):
        history(one, page_token="x")


def test_the_ledger_tells_who_went_back_to_what_and_events_do_too(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, CENT, by="ann")
    apply(one, DIME)
    rollback(one, by="bob", comment="why")
    request = apb.TailLedgerRequest(tenant=one.tenant, kinds=["policy"])
    entries = [e for answer in one.administration.TailLedger(request, timeout=LONG_S) for e in answer.entries]
    assert [(e.of, e.fields["by"], e.fields["comment"], e.fields["back_to"]) for e in entries] == [
        ("1", "ann", "", ""), ("2", "", "", ""), ("3", "bob", "why", "1"),
    ]  # fmt: skip
    stream = one.administration.WatchEvents(
        apb.WatchEventsRequest(tenant=one.tenant, since=entries[0].at), timeout=LONG_S
    )
    told: list[Any] = []
    while len(told) < 3:
        told += [event.policy_applied for event in next(stream).events]
    stream.cancel()
    assert told[2] == apb.PolicyApplied(version=3, by="bob", comment="why", rolled_back_to=1)


@pytest.mark.parametrize("field", ["by", "comment"])
def test_what_is_said_of_a_policy_is_text_of_a_bounded_length(two: tuple[Caller, Caller], field: str) -> None:
    one, _ = two
    apply(one, CENT)
    calls: list[Callable[..., Any]] = [partial(apply, one, DIME), partial(rollback, one)]
    for call in calls:
        for bad in ("x" * 257, "a\tb"):
            with fails(grpc.StatusCode.INVALID_ARGUMENT, field):
                call(**{field: bad})
    assert shown(one).version == 1


@pytest.mark.contract(14)
def test_a_new_policy_holds_from_the_next_call_on_both_sidecars_without_a_restart(
    two: tuple[Caller, Caller],
) -> None:
    one, other = two
    apply(one, DIME)
    for caller in two:
        caller.allowed(NANO_PER_CENT, subject=of("x"))  # with plans that they remember
    for number, caller in enumerate((one, other, one, other)):
        limit = number + 3
        apply(caller, LIMIT.format(f"0.0{limit}"))
        for each in two:
            (state,) = each.balance(user="x").budgets
            assert (state.limit, state.held) == (limit * NANO_PER_CENT, 2 * NANO_PER_CENT)
            assert each.refused((limit + 1) * NANO_PER_CENT).reason == pb.REASON_CAN_NEVER_FIT


BAD = {
    "of a newer release": "tenant: {}\nhoroscopes: {{}}\n",
    "of another tenant": "tenant: other\nunmatched: allow\n",
    "no YAML at all": "tenant: {} [\n",
}


def write_by_hand(pair: Pair, tenant: str, version: int, document: str) -> None:
    """Puts a document in force as no sidecar of this release would."""
    with Redis(unix_socket_path=pair.store.address.path) as raw:
        partitions = int(raw.hget(partition_keys(0)[0], "partitions") or 0)
        keys = partition_keys(partition_of(tenant, partitions))
        raw.hset(keys[5], f"{tenant}:{version}", document)
        raw.hset(keys[0], f"policy:{tenant}", version)


@pytest.fixture
def unreadable(pair: Pair) -> Callable[[], list[float]]:
    def values() -> list[float]:
        found = []
        for sidecar in pair.sidecars:
            text = http_get(sidecar.http_port, "/metrics")[1]
            (value,) = re.findall(r"^tallystick_policies_unreadable (\S+)$", text, re.MULTILINE)
            found.append(float(value))
        return found

    return values


@pytest.mark.contract(14)
@pytest.mark.parametrize("kind", BAD)
def test_a_policy_that_is_bad_in_the_store_never_takes_effect(
    pair: Pair, two: tuple[Caller, Caller], unreadable: Callable[[], list[float]], kind: str
) -> None:
    one, other = two
    assert unreadable() == [0, 0]
    apply(one, DIME)
    other.allowed(NANO_PER_CENT, subject=of("x"))  # it knows version 1; the other one learns of 2 at once
    apply(one, CENT)
    write_by_hand(pair, one.tenant, 3, BAD[kind].format(one.tenant))
    for caller in two:
        (state,) = caller.balance(user="x").budgets
        assert (state.limit, state.held) == (NANO_PER_CENT, NANO_PER_CENT)
        assert caller.balance().policy_version == 3
        caller.allowed(NANO_PER_CENT, subject=of(f"of {caller.target}"))
        assert caller.refused(2 * NANO_PER_CENT).reason == pb.REASON_CAN_NEVER_FIT
    assert unreadable() == [1, 1]
    for sidecar in pair.sidecars:
        said = [line for line in sidecar.log.splitlines() if one.tenant in line and "can't be read" in line]
        assert len(said) == 1
        assert "version 3" in said[0]
        assert "version 2 stays" in said[0]
    found = apply(one, DIME, dry_run=True)  # compared with what decides
    assert differences(found) == [("LOOSER", "budgets.daily.limit", "0.10 USD instead of 0.01 USD")]
    assert apply(one, DIME).version == 4
    for caller in two:
        assert caller.balance(user="x").budgets[0].limit == 10 * NANO_PER_CENT
    assert unreadable() == [0, 0]


def test_where_no_version_can_be_read_nothing_is_decided(pair: Pair, two: tuple[Caller, Caller]) -> None:
    one, other = two
    write_by_hand(pair, one.tenant, 1, "horoscopes: {}\n")
    for caller in two:
        with fails(grpc.StatusCode.UNAVAILABLE, "can be read by this release"):
            caller.reserve(1)
    apply(other, CENT)
    one.allowed(1)
