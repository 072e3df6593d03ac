"""Shadow policies over gRPC, on two sidecars of one store: decided beside the live one, never enforced."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tallystick.v1 import policy_pb2 as ppb
from tests.e2e.books import books_of
from tests.e2e.caller import LONG_S, Caller, fails, new_tenant
from tests.e2e.test_policy_life import apply, of
from tests.e2e.test_two_sidecars import Pair
from tests.servers import http_get

DAILY = "budgets:\n  daily: {{per: [user], limit: {} USD, window: day}}\n"
CENT = 10_000_000
WIDE, NARROW = DAILY.format("0.10"), DAILY.format("0.03")
VERDICT = ppb.ShadowVerdict


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with ExitStack() as ending:
        yield Pair(ending, HTTP_LISTEN="127.0.0.1:0")


@pytest.fixture
def two(pair: Pair) -> Iterator[tuple[Caller, Caller]]:
    tenant = new_tenant()
    with Caller(pair.sidecars[0], tenant=tenant) as one, Caller(pair.sidecars[1], tenant=tenant) as other:
        yield one, other


def shadow(caller: Caller, rules: str, **fields: Any) -> Any:
    return apply(caller, rules, shadow=True, **fields)


def clear(caller: Caller, **fields: Any) -> bool:
    request = ppb.ClearShadowRequest(tenant=caller.tenant, **fields)
    return bool(caller.administration.ClearShadow(request, timeout=LONG_S).changed)


def report(caller: Caller, **fields: Any) -> Any:
    request = ppb.ListShadowDifferencesRequest(tenant=caller.tenant, **fields)
    return caller.administration.ListShadowDifferences(request, timeout=LONG_S)


def once(found: Callable[[], Any]) -> Any:
    """What is found as soon as anything is: shadows are decided after the answer."""
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        if value := found():
            return value
    raise AssertionError("it never came")


def decided(caller: Caller, number: int) -> Any:
    """The report, once it tells of so many calls."""
    return once(lambda: found if (found := report(caller)).decided >= number else None)


def counts(found: Any) -> list[tuple[str, str, str, int]]:
    return [
        (
            VERDICT.Name(c.verdict).removeprefix("SHADOW_VERDICT_"),
            pb.Reason.Name(c.reason).removeprefix("REASON_"),
            c.budget,
            c.count,
        )
        for c in found.counts
    ]


def differing(found: Any) -> int:
    return sum(each.count for each in found.counts)


def test_a_shadow_that_is_tighter_refuses_by_what_it_would_have_spent_and_nobody_is_told(
    pair: Pair, two: tuple[Caller, Caller]
) -> None:
    one, _ = two
    apply(one, WIDE)
    assert shadow(one, NARROW, by="ann").version == 1
    for number in range(4):
        one.allowed(CENT, reservation_id=f"r{number}")
        one.settle(f"r{number}", 2 * CENT if number == 0 else CENT)
    found = decided(one, 4)
    assert counts(found) == [("WOULD_DENY", "BUDGET_EXHAUSTED", "daily", 2)]  # 2 + 1 cents were its limit
    newest, before = found.differences
    assert (newest.reservation_id, before.reservation_id) == ("r3", "r2")
    assert (newest.live.allowed, newest.shadow.allowed, newest.subject) == (True, False, "user=alice")
    assert (newest.shadow.reason, newest.shadow.budget) == (pb.REASON_BUDGET_EXHAUSTED, "daily")
    assert newest.cost.nano_usd == CENT
    (state,) = one.balance().budgets
    assert (state.limit, state.spent, state.held) == (10 * CENT, 5 * CENT, 0)
    text = http_get(pair.sidecars[0].http_port, "/metrics")[1]
    pattern = r'^tallystick_shadow_decisions_total{reason="BUDGET_EXHAUSTED",verdict="would_deny"} 2.0$'
    assert re.search(pattern, text, re.MULTILINE)
    with books_of(pair.store) as books:
        books.check()


def test_a_shadow_that_is_looser_counts_what_only_it_allows_as_it_was_held(
    two: tuple[Caller, Caller],
) -> None:
    one, _ = two
    apply(one, NARROW)
    shadow(one, DAILY.format("0.05"))
    one.allowed(2 * CENT)
    for _ in range(3):
        one.refused(2 * CENT)
    found = decided(one, 4)
    assert counts(found) == [("WOULD_ALLOW", "BUDGET_EXHAUSTED", "daily", 1)]  # then it is full, too
    assert found.differences[0].live.budget == "daily"


def test_other_models_and_other_reasons_are_told(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    models = "prices: {models: {grand: {input: 10, output: 10}, tiny: {input: 1, output: 1}}}\n"
    apply(one, models + WIDE)
    downgrade = "downgrade: [{model: grand, to: [tiny]}]\nmodels: {deny: [tiny-*]}\n"
    exhausted = DAILY.format("0.001").replace("window: day", "window: day, on_exhausted: downgrade")
    shadow(one, models + exhausted + downgrade)
    one.allowed(model="grand", estimate=pb.TokenEstimate(input=50, max_output=10))
    decided(one, 1)
    assert not report(one).counts
    one.allowed(model="grand", estimate=pb.TokenEstimate(input=50, max_output=10))
    found = decided(one, 2)
    assert counts(found) == [("OTHER_MODEL", "UNSPECIFIED", "", 1)]
    assert (found.differences[0].live.model, found.differences[0].shadow.model) == ("grand", "tiny")
    one.refused(model="tiny-2", estimate=pb.TokenEstimate(input=10, max_output=10))
    assert counts(decided(one, 3))[1] == ("OTHER_REASON", "MODEL_NOT_ALLOWED", "", 1)


def test_what_one_sidecar_reserves_the_other_settles_for_the_shadow_too(two: tuple[Caller, Caller]) -> None:
    one, other = two
    apply(one, WIDE)
    shadow(one, NARROW)
    once(lambda: _knows(other))
    for number in range(3):
        one.allowed(3 * CENT, reservation_id=f"r{number}", subject=of(f"u{number}"))
        decided(one, number + 1)
        other.release(f"r{number}")
    once(lambda: not _held(one, "u2", CENT * 3))


def _knows(caller: Caller) -> bool:
    """Whether this sidecar decides by the shadow by now."""
    caller.reserve(1, subject=of("probe"))
    return bool(report(caller).decided)


def _held(caller: Caller, user: str, nano_usd: int) -> bool:
    """Whether the shadow has no room for as much again: it is asked by a call of that user."""
    before = report(caller)
    caller.allowed(nano_usd, subject=of(user), reservation_id=f"again-{before.decided}")
    found = decided(caller, before.decided + 1)
    caller.release(f"again-{before.decided}")
    return differing(found) > differing(before)


def test_retries_are_no_calls_of_their_own(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, WIDE)
    shadow(one, NARROW)
    one.allowed(4 * CENT, reservation_id="a")
    one.allowed(4 * CENT, reservation_id="a")
    one.allowed(CENT, reservation_id="b")
    assert counts(decided(one, 2)) == [("WOULD_DENY", "CAN_NEVER_FIT", "daily", 1)]
    assert report(one).decided == 2


def test_wallets_of_a_shadow_begin_as_the_live_ones_and_get_what_these_get(
    two: tuple[Caller, Caller],
) -> None:
    one, _ = two
    wallets = "wallets: {org: {}}\n"
    apply(one, wallets)
    one.credit(2 * CENT)
    shadow(one, wallets + DAILY.format(1))
    one.allowed(2 * CENT, reservation_id="a")
    assert not decided(one, 1).counts
    assert one.refused(1).reason == pb.REASON_INSUFFICIENT_FUNDS
    assert not decided(one, 2).counts  # neither has funds
    one.credit(CENT)
    one.allowed(CENT, reservation_id="b")
    assert counts(decided(one, 3)) in ([], [("WOULD_DENY", "INSUFFICIENT_FUNDS", "", 1)])
    once(lambda: not _short(one))


def _short(caller: Caller) -> bool:
    before = report(caller)
    caller.credit(CENT)
    caller.allowed(1)
    found = decided(caller, before.decided + 1)
    return differing(found) > differing(before)


def test_a_shadow_is_shown_replaced_and_cleared_and_a_new_one_counts_from_0(
    two: tuple[Caller, Caller],
) -> None:
    one, other = two
    with fails(grpc.StatusCode.NOT_FOUND, "has no policy"):
        shadow(one, NARROW)
    apply(one, WIDE)
    for call in (report, lambda caller: _shown(caller)):
        with fails(grpc.StatusCode.NOT_FOUND, f"tenant {one.tenant} has no shadow policy"):
            call(one)
    assert not clear(one)
    with fails(grpc.StatusCode.ABORTED, "version 0 of the shadow is in force, not 1"):
        shadow(one, NARROW, expected_version=1)
    applied = shadow(one, NARROW, expected_version=0)
    assert (applied.tenant, applied.version, applied.changed) == (one.tenant, 1, True)
    assert not shadow(other, NARROW).changed
    one.allowed(3 * CENT, reservation_id="a")
    decided(one, 1)
    assert shadow(other, DAILY.format("0.035")).version == 2  # goes on with what was counted
    assert (_shown(one).version, _shown(one, 1).document) == (2, f"tenant: {one.tenant}\n{NARROW}")
    one.allowed(CENT)
    assert counts(decided(one, 2)) == [("WOULD_DENY", "BUDGET_EXHAUSTED", "daily", 1)]
    assert clear(other, by="bob", comment="seen enough")
    with fails(grpc.StatusCode.NOT_FOUND):
        report(one)
    assert shadow(one, NARROW).version == 1
    one.allowed(3 * CENT)
    found = decided(one, 1)
    assert (found.version, found.decided, list(found.counts)) == (1, 1, [])
    live = one.administration.GetPolicy(apb.GetPolicyRequest(tenant=one.tenant), timeout=LONG_S)
    assert (live.version, live.document) == (1, f"tenant: {one.tenant}\n{WIDE}")


def _shown(caller: Caller, version: int = 0) -> Any:
    request = apb.GetPolicyRequest(tenant=caller.tenant, version=version, shadow=True)
    return caller.administration.GetPolicy(request, timeout=LONG_S)


def test_nobody_else_sees_the_namespace(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, WIDE.replace("window: day", "window: day, alerts: [1]"))
    shadow(one, NARROW.replace("window: day", "window: day, alerts: [1]"), by="ann", comment="a trial")
    one.allowed(CENT, reservation_id="a")
    decided(one, 1)
    clear(one, by="bob")
    tenants = one.administration.ListTenants(apb.ListTenantsRequest(), timeout=LONG_S).tenants
    assert one.tenant in {each.name for each in tenants}
    assert not [each.name for each in tenants if "!" in each.name]
    entries = [
        entry
        for request in (apb.TailLedgerRequest(), apb.TailLedgerRequest(tenant=one.tenant))
        for answer in one.administration.TailLedger(request, timeout=LONG_S)
        for entry in answer.entries
    ]
    assert not [entry for entry in entries if "!" in entry.tenant]
    own = [entry for entry in entries if entry.tenant == one.tenant]
    assert sum(entry.kind == "alert" for entry in own) == 2  # the live one's, seen twice
    told = [entry.fields for entry in own if entry.kind == "shadow"][:2]
    assert [(each["by"], each["comment"], bool(each["namespace"])) for each in told] == [
        ("ann", "a trial", True), ("bob", "", False),
    ]  # fmt: skip
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "tenant"):
        one.budgets.Reserve(pb.ReserveRequest(tenant=f"{one.tenant}!1", cost=pb.Cost(nano_usd=1)))


def test_a_bad_shadow_changes_nothing(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, WIDE)
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "line 2, column 1"):
        shadow(one, "wallet: {}\n")
    with fails(grpc.StatusCode.INVALID_ARGUMENT, "dry_run"):
        shadow(one, NARROW, dry_run=True)
    with fails(grpc.StatusCode.NOT_FOUND):
        report(one)


def test_differences_come_in_pages(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, WIDE)
    shadow(one, NARROW)
    for number in range(5):
        one.allowed(4 * CENT, reservation_id=f"r{number}", subject=of(f"u{number}"))
        decided(one, number + 1)
    first = report(one, page_size=3)
    rest = report(one, page_size=3, page_token=first.next_page_token)
    found = [each.reservation_id for each in (*first.differences, *rest.differences)]
    assert found == ["r4", "r3", "r2", "r1", "r0"]
    assert not rest.next_page_token


def test_a_suspended_tenant_is_no_difference(two: tuple[Caller, Caller]) -> None:
    one, _ = two
    apply(one, WIDE)
    shadow(one, NARROW)
    one.administration.SuspendTenant(apb.SuspendTenantRequest(tenant=one.tenant), timeout=LONG_S)
    one.refused(1)
    one.administration.ResumeTenant(apb.ResumeTenantRequest(tenant=one.tenant), timeout=LONG_S)
    one.allowed(1)
    assert not decided(one, 1).counts
    assert report(one).decided == 1
