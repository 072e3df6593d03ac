"""Suspended tenants over gRPC: the kill switch, and its list."""

import random
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import ALLOW, DENY, LONG_S, Caller, fails
from tests.e2e.limits import OK, OVER, ask, descriptor
from tests.seeds import seed_of_run
from tests.servers import SidecarProcess

CODE = grpc.StatusCode
RULES = """
wallets: {org: {}}
budgets:
  daily: {limit: 1 USD, window: day, on_exhausted: alert}
prices: {models: {tiny: {input: 1, output: 1}, grand: {input: 10, output: 10}}}
downgrade: [{model: grand, to: [tiny]}]
"""
THREADS = 200


def suspend(caller: Caller, **fields: str) -> Any:
    request = apb.SuspendTenantRequest(**{"tenant": caller.tenant, **fields})
    return caller.administration.SuspendTenant(request, timeout=LONG_S)


def resume(caller: Caller, **fields: str) -> Any:
    request = apb.ResumeTenantRequest(**{"tenant": caller.tenant, **fields})
    return caller.administration.ResumeTenant(request, timeout=LONG_S)


def list_tenants(caller: Caller, **fields: Any) -> Any:
    return caller.administration.ListTenants(apb.ListTenantsRequest(**fields), timeout=LONG_S)


def test_from_the_next_call_on_nothing_is_allowed_until_it_is_resumed(caller: Caller) -> None:
    caller.apply(RULES)
    caller.credit(1_000)
    before = caller.allowed(5, reservation_id="before")
    told = suspend(caller, by="ann", reason="a leaked key")
    assert told.changed
    assert (told.suspension.by, told.suspension.reason) == ("ann", "a leaked key")
    assert told.suspension.since.seconds > 1_700_000_000
    refusal = caller.refused(5)
    assert refusal.reason == pb.REASON_TENANT_SUSPENDED
    assert refusal.message == "the tenant is suspended; an administrator can resume it"
    assert not refusal.retryable
    assert refusal.advice == pb.Advice(
        more=f"ask an administrator for: tallystick tenant resume {caller.tenant}"
    )
    again = suspend(caller, by="bob")
    assert (again.changed, again.suspension) == (False, told.suspension)
    assert caller.reserve(5, reservation_id="before") == before  # the same id, the same answer
    assert resume(caller).changed
    assert not resume(caller).changed
    caller.allowed(5)


def test_it_is_the_first_of_all_reasons_and_of_every_model(caller: Caller) -> None:
    caller.apply(RULES)
    suspend(caller)
    for model in ("grand", "tiny", "unheard-of"):
        tokens = pb.TokenEstimate(input=10, max_output=10)
        refusal = caller.refused(estimate=tokens, model=model)
        assert (refusal.reason, refusal.budget, refusal.wallet) == (pb.REASON_TENANT_SUSPENDED, "", "")
        assert not refusal.advice.model


def test_what_is_under_way_is_settled_released_charged_and_given_time(caller: Caller) -> None:
    caller.apply(RULES)
    caller.credit(1_000)
    first, second, third = (caller.allowed(10).reservation_id for _ in range(3))
    suspend(caller)
    assert caller.settle(first, 7).charged.nano_usd == 7
    assert caller.release(second).released.nano_usd == 10
    assert caller.extend(third, ttl=90).result == ALLOW
    refused = caller.extend(third, 2_000_000_000, extension_id="x")  # which could never fit, either
    assert (refused.result, refused.refusal.reason) == (DENY, pb.REASON_TENANT_SUSPENDED)
    charge = pb.ChargeRequest(
        tenant=caller.tenant, charge_id="c", subject=pb.Subject(user="alice"), cost=pb.Cost(nano_usd=3)
    )
    assert caller.budgets.Charge(charge, timeout=LONG_S).charged.nano_usd == 3
    assert caller.wallet().spent == 10
    assert caller.settle(third, 1).charged.nano_usd == 1


def test_explain_and_balance_say_so(caller: Caller) -> None:
    caller.apply(RULES)
    caller.credit(1_000)
    assert not caller.balance().suspended
    suspend(caller)
    assert caller.balance().suspended
    explained = caller.budgets.Explain(pb.ExplainRequest(call=caller.ask(5)), timeout=LONG_S)
    assert (explained.result, explained.refusal.reason) == (DENY, pb.REASON_TENANT_SUSPENDED)
    assert not any(step.binds for step in explained.steps)


def test_checks_of_rate_limits_are_refused_and_reports_are_counted(caller: Caller) -> None:
    caller.apply("budgets: {daily: {limit: 100 tokens, window: day}}")
    suspend(caller)
    over, ok = OVER, OK
    check, peek = descriptor(user="a"), descriptor(0, user="a")
    report = descriptor(7, user="a", unit="tokens", report="true")
    either = descriptor(5, user="a", unit="tokens")
    assert ask(caller, check).overall_code == over
    assert ask(caller, peek).overall_code == over
    assert ask(caller, report).overall_code == ok
    assert ask(caller, either).overall_code == over  # nobody says which it is: it counts, and it is refused
    assert caller.budget("daily").spent == 12


def test_a_batch_is_refused_one_by_one(caller: Caller) -> None:
    caller.apply(RULES)
    caller.credit(1_000)
    suspend(caller)
    batch = pb.ReserveBatchRequest(requests=[caller.ask(1) for _ in range(40)])
    items = caller.budgets.ReserveBatch(batch, timeout=LONG_S).items
    assert {item.response.refusal.reason for item in items} == {pb.REASON_TENANT_SUSPENDED}


@pytest.mark.contract(1)
def test_once_suspend_is_answered_no_call_that_begins_is_allowed(
    served: SidecarProcess, caller: Caller, books: Books
) -> None:
    caller.apply("unmatched: allow")
    suspended, stop = threading.Event(), threading.Event()
    late, counts = list[Any](), [0, 0]

    def work(number: int) -> None:
        dice = random.Random(seed_of_run() + number)
        while not stop.is_set():
            began_after = suspended.is_set()
            result = caller.reserve(dice.randrange(9)).result
            counts[result == ALLOW] += 1
            if began_after and result == ALLOW:
                late.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    eventually_allowed(counts)
    suspend(caller)
    suspended.set()
    refused = counts[0]
    while counts[0] < refused + 2 * THREADS:
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    assert late == []
    log = [entry.fields["kind"] for entry in books.of_tenant(caller.tenant).log]
    assert log.count("reserve") == counts[1]
    assert log[-1] == "suspend"


def eventually_allowed(counts: list[int]) -> None:
    pause = threading.Event()
    while counts[1] < 2 * THREADS:
        pause.wait(0.01)


def test_tenants_are_listed_in_pages(caller: Caller) -> None:
    caller.apply(RULES)
    others = [Caller(caller.sidecar, tenant=f"{caller.tenant}-{n}") for n in range(5)]
    for other in others:
        other.apply(RULES)
    suspend(caller, by="ann")
    suspend(others[3])
    found, token = list[Any](), ""
    while True:
        answer = list_tenants(caller, page_size=2, page_token=token)
        assert len(answer.tenants) <= 2
        found += answer.tenants
        token = answer.next_page_token
        if not token:
            break
    names = [tenant.name for tenant in found]
    assert names == sorted(set(names))
    assert {caller.tenant, *(other.tenant for other in others)} <= set(names)
    ours = next(tenant for tenant in found if tenant.name == caller.tenant)
    assert (ours.policy_version, ours.suspension.by) == (1, "ann")
    off = [tenant.name for tenant in list_tenants(caller, suspended=True).tenants]
    assert {caller.tenant, others[3].tenant} <= set(off)
    assert others[0].tenant not in off
    for other in others:
        other.__exit__()


def forged(token: str, dice: random.Random) -> str:
    """Another token: cut, longer, or with a character changed."""
    at = dice.randrange(len(token))
    changed: Callable[[], str] = dice.choice(
        [
            lambda: token[:at],
            lambda: token + dice.choice(["A", "=", "\n", "é", " "]),
            lambda: token[:at] + dice.choice("AbC1-_ =") + token[at + 1 :],
            lambda: token[::-1],
        ]
    )
    return changed()


def test_a_forged_page_token_is_refused(caller: Caller) -> None:
    caller.apply(RULES)
    other = Caller(caller.sidecar)
    other.apply(RULES)
    other.__exit__()
    token = list_tenants(caller, page_size=1).next_page_token
    dice = random.Random(seed_of_run())
    for _ in range(200):
        wrong = forged(token, dice)
        if wrong not in ("", token):
            with fails(CODE.INVALID_ARGUMENT, "page_token: "):
                list_tenants(caller, page_token=wrong)
    with fails(CODE.INVALID_ARGUMENT, "page_token: "):
        list_tenants(caller, page_token=token, suspended=True)  # the token of another list
    list_tenants(caller, page_token=token, page_size=7)
    with fails(CODE.INVALID_ARGUMENT, "page_token: expected at most"):
        list_tenants(caller, page_token="A" * 5_000)


@pytest.mark.parametrize("size", [-1, 1_001, 2**31 - 1])
def test_a_wrong_page_size_is_refused(caller: Caller, size: int) -> None:
    with fails(CODE.INVALID_ARGUMENT, "page_size: expected 1 to 1,000, or 0 for that many"):
        list_tenants(caller, page_size=size)


def test_what_is_wrong_is_said(caller: Caller) -> None:
    for switch in (suspend, resume):
        with fails(CODE.NOT_FOUND, f"tenant {caller.tenant} has no policy"):
            switch(caller)
        with fails(CODE.INVALID_ARGUMENT, "tenant: expected 1 to 64"):
            switch(caller, tenant="A B")
        with fails(CODE.INVALID_ARGUMENT, "by: "):
            switch(caller, by="a\tb")
        with fails(CODE.INVALID_ARGUMENT, "reason: expected at most 256 bytes"):
            switch(caller, reason="é" * 129)
