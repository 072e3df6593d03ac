"""Envoy's rate limit service, asked over gRPC: both transports, TCP and the Unix socket."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceStub

from tests.e2e.books import Books, books_of
from tests.e2e.caller import LONG_S, Caller, fails
from tests.e2e.conftest import Start
from tests.e2e.faults import stopped
from tests.e2e.limits import OK, OVER, ask, descriptor, headers

CODE = grpc.StatusCode
Unit = RateLimitResponse.RateLimit
BURSTS = "budgets: {bursts: {per: [user], limit: 3 requests, window: minute}}\n"
RULES = (
    "prices: {models: {house: {input: 1, output: 10}, gift: {free: true}}}\n"
    "budgets:\n"
    "  calls: {per: [user], limit: 9 requests, window: day}\n"
    "  tokens: {per: [user], limit: 1000 tokens, window: day}\n"
    "  spend: {per: [user], limit: 0.001 USD, window: rolling 1h}\n"
)


def spent(caller: Caller, name: str, user: str = "alice") -> int:
    return int(caller.budget(name, user=user).spent)


def test_a_request_takes_one_and_the_answer_tells_how_many_are_left(caller: Caller, books: Books) -> None:
    caller.apply(BURSTS)
    for left in (2, 1, 0):
        response = ask(caller)
        assert (response.overall_code, response.statuses[0].code) == (OK, OK)
        limit = response.statuses[0].current_limit
        assert (limit.name, limit.requests_per_unit, limit.unit) == ("bursts", 3, Unit.MINUTE)
        assert response.statuses[0].limit_remaining == left
        assert 0 < response.statuses[0].duration_until_reset.ToMilliseconds() <= 60_000
        told = headers(response)
        assert (told["x-ratelimit-limit"], told["x-ratelimit-remaining"]) == (
            '3, 3;w=60;name="bursts"',
            f"{left}",
        )
        assert 1 <= int(told["x-ratelimit-reset"]) <= 60
        assert "retry-after" not in told
    assert ask(caller, descriptor(user="bob")).overall_code == OK
    books.check()


@pytest.mark.contract(2)
def test_over_the_limit_nothing_is_taken_and_the_answer_says_when_to_come_back(
    caller: Caller, books: Books
) -> None:
    caller.apply(BURSTS)
    for _ in range(3):
        ask(caller)
    before = books.of_tenant(caller.tenant)
    response = ask(caller)
    assert (response.overall_code, response.statuses[0].code) == (OVER, OVER)
    assert response.statuses[0].limit_remaining == 0
    told = headers(response)
    assert told["x-ratelimit-remaining"] == "0"
    assert 1 <= int(told["retry-after"]) <= 60
    assert told["x-ratelimit-reset"] == told["retry-after"]
    assert b"RATE_LIMITED: budget bursts (user=alice)" in response.raw_body
    assert books.of_tenant(caller.tenant) == before


@pytest.mark.contract(1)
def test_all_descriptors_are_taken_or_none(caller: Caller, books: Books) -> None:
    caller.apply(BURSTS)
    for _ in range(3):
        ask(caller, descriptor(user="full"))
    response = ask(caller, descriptor(user="alice"), descriptor(user="full"))
    assert (response.overall_code, [each.code for each in response.statuses]) == (OVER, [OK, OVER])
    assert spent(caller, "bursts") == 0
    both = ask(caller, descriptor(user="alice"), descriptor(user="alice"))
    assert [each.limit_remaining for each in both.statuses] == [2, 1]  # each is a call of its own
    assert spent(caller, "bursts") == 2
    assert ask(caller, descriptor(user="alice"), descriptor(user="alice")).overall_code == OVER
    books.check()


@pytest.mark.contract(1)
def test_many_at_once_get_exactly_the_limit(caller: Caller, books: Books) -> None:
    caller.apply("budgets: {bursts: {limit: 70 requests, window: day}}\n")
    with ThreadPoolExecutor(200) as pool:
        codes = list(pool.map(lambda _: ask(caller).overall_code, range(200)))
    assert (codes.count(OK), codes.count(OVER)) == (70, 130)
    assert spent(caller, "bursts") == 70
    books.check()


@pytest.mark.parametrize(
    ("hits", "request_hits", "entries", "taken"),
    [
        (None, 0, {}, (1, 0, 0)),
        (2, 0, {}, (2, 0, 0)),
        (None, 2, {}, (2, 0, 0)),
        (3, 2, {}, (3, 0, 0)),  # a descriptor's own go first
        (0, 2, {}, (0, 0, 0)),
        (7, 0, {"unit": "requests"}, (7, 0, 0)),
        (7, 0, {"unit": "tokens"}, (0, 7, 0)),
        (7, 0, {"unit": "tokens", "report": "false"}, (0, 7, 0)),
        (7, 0, {"unit": "tokens", "report": "true"}, (0, 7, 0)),
        (7, 0, {"unit": "nano_usd"}, (0, 0, 7)),
        (None, 0, {"unit": "nano_usd"}, (0, 0, 1)),
        (7, 0, {"unit": "nano_usd", "model": "house"}, (0, 0, 7)),
        (7, 0, {"unit": "nano_usd", "model": "gift", "report": "false"}, (0, 0, 0)),
        (7, 0, {"unit": "nano_usd", "model": "gift", "report": "true"}, (0, 0, 0)),
        (7, 0, {"unit": "requests", "report": "true"}, (7, 0, 0)),
        (2, 0, {"generic_key": "a", "remote_address": "::1"}, (2, 0, 0)),
    ],
)
def test_hits_are_of_one_unit(
    caller: Caller, hits: int | None, request_hits: int, entries: dict[str, str], taken: tuple[int, ...]
) -> None:
    caller.apply(RULES)
    assert ask(caller, descriptor(hits, user="alice", **entries), hits=request_hits).overall_code == OK
    assert tuple(spent(caller, name) for name in ("calls", "tokens", "spend")) == taken


@pytest.mark.parametrize(("unit", "amount"), [("requests", 9), ("tokens", 1_000), ("nano_usd", 1_000_000)])
def test_a_check_and_a_peek_want_room_in_every_unit(caller: Caller, unit: str, amount: int) -> None:
    """So a call is refused when what others report has used up any budget, whatever it takes itself."""
    caller.apply(RULES)
    peek, check = descriptor(0, user="alice"), descriptor(user="alice")
    assert ask(caller, peek).overall_code == OK
    assert ask(caller, descriptor(amount, user="alice", unit=unit, report="true")).overall_code == OK
    before = spent(caller, "calls")
    for each in (peek, check):
        response = ask(caller, each)
        assert (response.overall_code, response.statuses[0].limit_remaining) == (OVER, 0)
    assert spent(caller, "calls") == before
    assert ask(caller, descriptor(user="bob")).overall_code == OK


def test_a_free_model_needs_no_money(caller: Caller) -> None:
    caller.apply(RULES + "wallets: {org: {}}\n")
    assert ask(caller, descriptor(user="alice", model="house")).overall_code == OVER
    assert ask(caller, descriptor(user="alice", model="gift")).overall_code == OK


@pytest.mark.contract(5)
def test_a_report_is_recorded_above_the_limit(caller: Caller, books: Books) -> None:
    caller.apply(RULES)
    for n in range(3):
        response = ask(caller, descriptor(700, user="alice", unit="tokens", report="true"))
        assert response.overall_code == OK
        assert response.statuses[0].limit_remaining == (300 if n == 0 else 0)
    assert spent(caller, "tokens") == 2_100
    assert ask(caller).overall_code == OVER
    books.check()


@pytest.mark.contract(5)
def test_hits_that_may_be_either_are_recorded_and_told_to_be_over(caller: Caller) -> None:
    caller.apply(RULES)
    for code, total in ((OK, 700), (OVER, 1_400)):
        assert ask(caller, descriptor(700, user="alice", unit="tokens")).overall_code == code
        assert spent(caller, "tokens") == total
    assert ask(caller, descriptor(700, user="bob", unit="tokens", report="false")).overall_code == OK
    assert ask(caller, descriptor(700, user="bob", unit="tokens", report="false")).overall_code == OVER
    assert spent(caller, "tokens", "bob") == 700


@pytest.mark.contract(5)
def test_wallets_pay_and_go_into_debt_by_a_report(caller: Caller, books: Books) -> None:
    caller.apply("wallets: {user: {per: [user]}, org: {}}\n")
    caller.credit(100, "user", user="alice")
    caller.credit(50)
    pays = {"user": "alice", "unit": "nano_usd"}
    assert ask(caller, descriptor(60, **pays, report="false")).overall_code == OK
    assert ask(caller, descriptor(51, **pays, report="false")).overall_code == OVER
    refused = ask(caller, descriptor(51, **pays))
    assert refused.overall_code == OVER
    assert b"INSUFFICIENT_FUNDS: no wallet can pay; org lacks 0.000000001 USD" in refused.raw_body
    assert not headers(refused)
    assert (caller.wallet("user").available, caller.wallet().available) == (40, -1)
    assert ask(caller, descriptor(40, **pays)).overall_code == OK
    assert ask(caller).overall_code == OVER
    books.check()


@pytest.mark.contract(1)
def test_two_checks_of_one_wallet(caller: Caller) -> None:
    caller.apply("wallets: {org: {}}\n")
    caller.credit(100)
    pays = descriptor(60, user="alice", unit="nano_usd", report="false")
    assert [each.code for each in ask(caller, pays, pays).statuses] == [OK, OVER]
    assert caller.wallet().available == 100


def test_a_refusal_tells_of_the_strictest_descriptor(caller: Caller) -> None:
    caller.apply(
        "budgets:\n  spend: {match: {team: [a]}, limit: 0.000000001 USD, window: total}\n"
        "  bursts: {match: {team: [b]}, limit: 1 requests, window: minute}\n"
    )
    ask(caller, descriptor(1, team="a", unit="nano_usd"), descriptor(team="b"))
    response = ask(caller, descriptor(team="a"), descriptor(team="b"))
    assert [each.current_limit.name for each in response.statuses] == ["spend", "bursts"]
    assert b"RATE_LIMITED" in response.raw_body
    assert headers(response)["x-ratelimit-limit"] == '1, 1;name="spend", 1;w=60;name="bursts"'
    assert not response.statuses[0].HasField("duration_until_reset")  # a total has no end


@pytest.mark.parametrize(
    ("window", "unit"),
    [
        ("1s", Unit.SECOND), ("minute", Unit.MINUTE), ("hour", Unit.HOUR), ("day", Unit.DAY),
        ("week", Unit.WEEK), ("month", Unit.MONTH), ("year", Unit.YEAR), ("rolling 1h", Unit.HOUR),
        ("90s", Unit.UNKNOWN), ("total", Unit.UNKNOWN),
    ],
)  # fmt: skip
def test_windows_have_envoys_names(caller: Caller, window: str, unit: int) -> None:
    caller.apply(f"budgets: {{all: {{limit: 9000M tokens, window: {window}}}}}\n")
    status = ask(caller).statuses[0]
    assert status.current_limit.unit == unit
    assert status.current_limit.requests_per_unit == status.limit_remaining == 2**32 - 1  # it has 32 bits


def test_entries_are_dimensions_or_labels(caller: Caller) -> None:
    caller.apply(
        "budgets:\n  mine: {match: {model: [house], label.plan: [free], label.ns_route_0: [ns/Route/0]},"
        " per: [team, label.remote_address], limit: 9 requests, window: day}\n"
    )
    entries = {
        "team": "a",
        "model": "house",
        "plan": "free",
        "ns/Route/0": "ns/Route/0",
        "remote_address": "10.0.0.7",
    }
    assert ask(caller, descriptor(**entries)).statuses[0].limit_remaining == 8
    groups = caller.list_budgets("mine").budgets
    assert [each.state.group for each in groups] == ["team=a,label.remote_address=10.0.0.7"]


@pytest.mark.parametrize(("unmatched", "code"), [("deny", OVER), ("allow", OK)])
def test_what_nothing_matches_is_as_the_policy_says(caller: Caller, unmatched: str, code: int) -> None:
    caller.apply(BURSTS + f"unmatched: {unmatched}\n")
    response = ask(caller, descriptor(team="a"), descriptor(remote_address="::1"))
    assert response.overall_code == code
    assert (b"NO_BUDGET_MATCHED" in response.raw_body) == (code == OVER)
    assert ask(caller, descriptor(team="a"), descriptor(user="alice")).overall_code == OK
    assert ask(caller, descriptor(model="m")).overall_code == code


def test_a_model_that_may_not_be_called(caller: Caller) -> None:
    caller.apply(BURSTS + "models: {deny: [house]}\n")
    response = ask(caller, descriptor(user="alice", model="house"))
    assert (response.overall_code, b"MODEL_NOT_ALLOWED" in response.raw_body) == (OVER, True)
    assert ask(caller, descriptor(9, user="alice", model="house", report="true")).overall_code == OK
    assert spent(caller, "bursts") == 9


def test_more_than_the_whole_limit(caller: Caller) -> None:
    caller.apply(BURSTS)
    response = ask(caller, descriptor(4, user="alice"))
    assert response.overall_code == OVER
    assert b"CAN_NEVER_FIT: 4 requests is more than the whole limit of budget bursts" in response.raw_body
    assert "retry-after" not in headers(response)


TWICE = RateLimitDescriptor(entries=[RateLimitDescriptor.Entry(key="k", value="v")] * 2)


@pytest.mark.parametrize(
    ("descriptors", "text"),
    [
        ([], "descriptors: expected 1 to 32"),
        ([descriptor()] * 33, "descriptors: expected 1 to 32"),
        ([descriptor(unit="euro")], "descriptors[0].unit: expected one of requests, tokens, nano_usd"),
        ([descriptor(), descriptor(report="1")], "descriptors[1].report: expected true or false"),
        ([descriptor(2**63)], "descriptors[0].hits_addend: expected at most"),
        ([descriptor(**{"a/b": "1", "a|b": "2"})], "descriptors[0].a_b: expected one entry of this label"),
        ([descriptor(**{"": "x"})], "descriptors[0].subject.labels: expected names of"),
        ([descriptor(user="x" * 257)], "descriptors[0].subject.user: expected at most"),
        ([descriptor(model="\n")], "descriptors[0].model: expected printable"),
        ([TWICE], "descriptors[0].k: expected once"),
    ],
)
def test_a_wrong_field_is_named(caller: Caller, descriptors: list[Any], text: str) -> None:
    request = RateLimitRequest(domain=caller.tenant, descriptors=descriptors)
    with fails(CODE.INVALID_ARGUMENT, text):
        RateLimitServiceStub(caller.channel).ShouldRateLimit(request, timeout=LONG_S)


def test_a_domain_that_is_no_tenants_name(caller: Caller) -> None:
    with fails(CODE.INVALID_ARGUMENT, "domain: expected a tenant's name"):
        ask(caller, domain="default/gateway/http")


@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_settings_fill_in_what_envoy_gateway_cannot_say(start: Start, transport: str) -> None:
    """Its domains are paths, and its descriptors have no entries of our own."""
    sidecar = start(TRANSPORT=transport, ENVOY="true", RATE_LIMIT_TENANT="acme", RATE_LIMIT_UNIT="tokens")
    with Caller(sidecar, tenant="acme") as caller:
        caller.apply(
            "budgets:\n  tokens: {per: [label.rule-0-match-0], limit: 1000 tokens, window: hour}\n"
            "  calls: {limit: 9 requests, window: day}\n"
        )
        user: dict[str, str] = {"rule-0-match-0": "alice"}
        for hits, code in ((0, OK), (900, OK), (0, OK), (900, OVER), (0, OVER)):
            response = ask(caller, descriptor(hits, **user), domain="default/gateway/http")
            assert response.overall_code == code, hits
        listed = caller.list_budgets().budgets
        assert {each.state.name: each.state.spent for each in listed} == {"tokens": 1_800, "calls": 0}
        assert ask(caller, descriptor(plan="free"), domain="default/gateway/http").overall_code == OK
        assert caller.budget("calls").spent == 1  # without hits it is one request


def test_without_the_setting_there_is_no_such_service(start: Start) -> None:
    with Caller(start(), tenant="acme") as caller, fails(CODE.UNIMPLEMENTED):
        ask(caller)


@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_a_restart_refills_nothing_and_a_store_that_is_away_is_an_error(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, ENVOY="true")
    with Caller(sidecar, tenant="acme") as caller:
        caller.apply("budgets: {bursts: {limit: 3 requests, window: day}}\n")
        assert [ask(caller).overall_code for _ in range(4)] == [OK, OK, OK, OVER]
    sidecar.kill()
    sidecar.start()
    with Caller(sidecar, tenant="acme") as caller, books_of(sidecar) as books:
        assert ask(caller).overall_code == OVER
        books.check()
        with stopped(books.pid), fails(CODE.UNAVAILABLE):
            ask(caller)


@pytest.mark.contract(4)
@pytest.mark.parametrize("transport", ["native", "grpcio"])
def test_lost_connections_to_the_store_count_nothing_twice(start: Start, transport: str) -> None:
    sidecar = start(TRANSPORT=transport, ENVOY="true")
    with Caller(sidecar, tenant="acme") as caller, books_of(sidecar) as books, ThreadPoolExecutor(8) as pool:
        caller.apply(
            "budgets: {calls: {limit: 1M requests, window: day}, tokens: {limit: 1M tokens, window: day}}"
        )
        report = descriptor(3, user="alice", unit="tokens", report="true")
        for _ in range(10):
            answers = [pool.submit(ask, caller, descriptor(user="alice"), report) for _ in range(40)]
            answers[4].result()
            books.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert {answer.result().overall_code for answer in answers} == {OK}
        assert (spent(caller, "calls"), spent(caller, "tokens")) == (400, 1_200)
        books.check()
