"""Whatever comes in: the field is named, nothing is written, and nothing secret is logged."""

import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tallystick.services.boundary import MOST_CHARACTERS
from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import LONG_S, Caller, fails
from tests.servers import SidecarProcess

CODE = grpc.StatusCode
SECRET = "the-password-is-swordfish"
BIG = 2**63 - 1
RULES = """
wallets: {org: {}}
prices: {models: {m: {input: 1, output: 10}, big: {input: 1000000, output: 1000000}}}
budgets:
  all: {per: [user], limit: 1000 USD, window: total}
"""


@pytest.fixture
def asker(served: SidecarProcess) -> Any:
    with Caller(served) as caller:
        caller.apply(RULES)
        caller.credit(10**12)
        yield caller


Ask = Callable[[Caller], object]


def reserve(**fields: Any) -> Ask:
    return lambda caller: caller.reserve(**fields)


def raw_reserve(**fields: Any) -> Ask:
    return lambda caller: caller.send(pb.ReserveRequest(tenant=caller.tenant, **fields))


def settle(**fields: Any) -> Ask:
    return lambda caller: caller.settle(**{"reservation_id": "x"} | fields)


def subject(**fields: Any) -> Ask:
    return reserve(nano_usd=1, subject=pb.Subject(**fields))


def tokens(given: int, output: int, model: str = "m") -> Ask:
    return reserve(model=model, estimate=pb.TokenEstimate(input=given, max_output=output))


def body(content: bytes, api: int = 1) -> Ask:
    request = pb.ProviderRequest(body=content)
    request.api = api  # type: ignore[assignment]
    return reserve(request=request)


def credit(**fields: Any) -> Ask:
    given: dict[str, Any] = {"wallet": "org", "amount": 1, "unit": pb.UNIT_NANO_USD, **fields}
    return lambda c: c.administration.CreditWallet(
        apb.CreditWalletRequest(tenant=c.tenant, **given), timeout=LONG_S
    )


def apply(rules: str) -> Ask:
    return lambda caller: caller.apply(rules)


def chat(**fields: Any) -> bytes:
    message = {"role": "user", "content": SECRET}
    return json.dumps({"model": "m", "messages": [message], "max_tokens": 5} | fields).encode()


LONG = "x" * 10_240
NAMED: list[tuple[str, Ask]] = [
    ("tenant", reserve(tenant="")),
    ("tenant", reserve(tenant="Acme")),
    ("tenant", reserve(tenant="a:b")),
    ("tenant", reserve(tenant="a" * 65)),
    ("tenant", reserve(tenant=LONG)),
    ("tenant", reserve(tenant="acme\n")),
    ("tenant", lambda c: c.settle("x", tenant="\x00")),
    ("tenant", lambda c: c.budgets.Balance(pb.BalanceRequest(), timeout=LONG_S)),
    ("tenant", lambda c: c.administration.GetPolicy(apb.GetPolicyRequest(), timeout=LONG_S)),
    ("tenant", lambda c: c.administration.ListWallets(apb.ListWalletsRequest(), timeout=LONG_S)),
    ("tenant", lambda c: c.administration.ListBudgets(apb.ListBudgetsRequest(), timeout=LONG_S)),
    ("reservation_id", reserve(reservation_id="x" * 129)),
    ("reservation_id", reserve(reservation_id="é" * 65)),
    ("reservation_id", reserve(reservation_id="a\tb")),
    ("reservation_id", reserve(reservation_id="a\x7f")),
    ("reservation_id", reserve(reservation_id="a\u202eb")),
    ("reservation_id", settle(reservation_id="")),
    ("reservation_id", settle(reservation_id=LONG)),
    ("reservation_id", lambda c: c.release("")),
    ("reservation_id", lambda c: c.extend("")),
    ("model", reserve(nano_usd=1, model=LONG)),
    ("model", reserve(nano_usd=1, model="a\nb")),
    ("model", tokens(1, 1, model="")),
    ("provider", reserve(nano_usd=1, provider=LONG)),
    ("subject.user", subject(user=LONG)),
    ("subject.team", subject(team="a\x00b")),
    ("subject.prompt", subject(prompt="\x1b[31m")),
    ("subject.labels", subject(labels={f"l{n}": "" for n in range(100)})),
    ("subject.labels", subject(labels={"UPPER": "x"})),
    ("subject.labels", subject(labels={"": "x"})),
    ("subject.labels", subject(labels={LONG: "x"})),
    ("subject.labels[a]", subject(labels={"a": LONG})),
    ("cost.nano_usd", reserve(nano_usd=-1)),
    ("cost.tokens", reserve(tokens=-(2**63))),
    ("tokens", tokens(-1, 1)),
    ("tokens", tokens(1, -1)),
    ("estimate", tokens(BIG, 1, model="big")),
    ("estimate", tokens(BIG, BIG)),
    ("estimate", raw_reserve()),
    ("estimate", raw_reserve(model="m", subject=pb.Subject(user="alice"))),
    ("ttl", reserve(nano_usd=1, ttl=0.5)),
    ("ttl", reserve(nano_usd=1, ttl=-5)),
    ("ttl", reserve(nano_usd=1, ttl=86_401)),
    ("ttl", raw_reserve(cost=pb.Cost(nano_usd=1), ttl=Duration())),
    ("ttl", raw_reserve(cost=pb.Cost(nano_usd=1), ttl=Duration(seconds=2**62))),
    ("ttl", lambda c: c.extend("x", ttl=0.1)),
    ("request.api", body(chat(), api=0)),
    ("request.api", body(chat(), api=99)),
    ("request.body", body(b"")),
    ("request.body", body(b"{" + SECRET.encode())),
    ("request.body", body(b'{"model": "m", "messages": NaN}')),
    ("request.body", body(b'{"model": "m", "model": "n"}')),
    ("request.body", body(b"\xff\xfe" + SECRET.encode())),
    ("request.body", body(b"[" * 100_000)),
    ("request.body", body(b"[]")),
    ("request.body", body(b"\x00" * 10 * 2**20)),
    ("request.body", body(b" " * (16 * 2**20 + 1))),
    ("request.body", body(chat(padding="x" * 20 * 2**20))),
    ("request.body.messages", body(chat(messages=SECRET))),
    ("request.body.max_tokens", body(chat(max_tokens="NaN"))),
    ("request.body.max_tokens", body(chat(max_tokens=-5))),
    ("request.body", body(chat(max_tokens=float("inf")))),
    ("request.body.model", body(chat(model=""))),
    ("outcome", settle(outcome=0)),
    ("outcome", settle(outcome=99)),
    ("outcome", settle(outcome=-1)),
    ("outcome", settle(outcome=pb.OUTCOME_NOT_DISPATCHED, nano_usd=5)),
    ("cost.nano_usd", settle(cost=pb.Cost(nano_usd=-5))),
    ("usage.input", settle(usage=pb.Usage(input=-1))),
    ("usage.reasoning", settle(usage=pb.Usage(output=1, reasoning=2))),
    ("usage", settle(usage=pb.Usage(input=BIG, output=BIG))),
    ("provider_usage", settle(provider_usage=b"NaN")),
    ("provider_usage", settle(provider_usage=b'{"prompt_tokens": "many"}')),
    ("provider_usage", settle(provider_usage=b'{"prompt_tokens": 1e99}')),
    ("provider_usage", settle(provider_usage=b'"' + SECRET.encode() + b'"')),
    ("tally", settle(tally=SECRET.encode())),
    ("tally", settle(tally=b"\x01" * 70_000)),
    ("extension_id", lambda c: c.extend("x", 5)),
    ("extension_id", lambda c: c.extend("x", 5, extension_id="a\nb")),
    ("more.nano_usd", lambda c: c.extend("x", -5, extension_id="e")),
    ("wallet", credit(wallet="none")),
    ("wallet", credit(wallet=LONG)),
    ("group", credit(group={"user": "alice"})),
    ("amount", credit(amount=0)),
    ("amount", credit(amount=-1)),
    ("unit", credit(unit=pb.UNIT_TOKENS)),
    ("unit", credit(unit=99)),
    ("credit_id", credit(credit_id="x" * 129)),
    ("reason", credit(reason="a\x00")),
    ("line 2", apply("wallets: {org: {frequency: 3}}")),
    ("line 2", apply("limits: {}")),
    ("line 3", apply("budgets:\n  a: {limit: NaN USD, window: day}")),
    ("line 3", apply("budgets:\n  a: {limit: -1 USD, window: day}")),
    ("line 3", apply("budgets:\n  a: {limit: 9223372037 USD, window: day}")),
    ("line", apply("a: &a [*a]")),
    ("line", apply("[" * 5_000)),
]


@pytest.mark.parametrize(("field", "ask"), NAMED, ids=[f"{n}-{f}" for n, (f, _) in enumerate(NAMED)])
def test_a_wrong_field_is_named_and_nothing_is_written(
    asker: Caller, books: Books, field: str, ask: Ask
) -> None:
    before, keys = books.of_tenant(asker.tenant), books.raw.dbsize()
    began = time.monotonic()
    with fails(CODE.INVALID_ARGUMENT, field):
        ask(asker)
    assert time.monotonic() - began < 10
    assert books.of_tenant(asker.tenant) == before
    assert books.raw.dbsize() == keys


@pytest.mark.parametrize("ask", [ask for _, ask in NAMED], ids=[str(n) for n in range(len(NAMED))])
def test_no_refusal_quotes_what_may_be_secret(asker: Caller, ask: Ask) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask(asker)
    assert isinstance(caught.value, grpc.Call)
    details = caught.value.details() or ""
    assert SECRET not in details
    assert "Traceback" not in details
    assert len(details) <= MOST_CHARACTERS + 1


def test_what_is_strange_but_right_gets_a_decision(asker: Caller) -> None:
    strange: list[dict[str, Any]] = [
        {"subject": pb.Subject()},
        {"subject": pb.Subject(user="' OR 1=1 --", team="%:,={}\\", session="é日本" * 28)},
        {"reservation_id": "a:b:r:c%$ {}"},
        {"reservation_id": "日本" * 21},
        {"nano_usd": BIG, "tokens": BIG},
        {"ttl": 86_400},
        {"model": "NaN", "provider": "Infinity"},
        {"subject": pb.Subject(labels={f"l{n}": "v" * 256 for n in range(16)})},
    ]
    for fields in strange:
        decision = asker.reserve(**{"nano_usd": 5} | fields)
        assert decision.result in (pb.RESULT_ALLOW, pb.RESULT_DENY)
        if decision.tally:
            assert asker.settle(decision.reservation_id, 3, tally=decision.tally).charged.nano_usd == 3
    assert asker.refused(BIG, BIG).reason == pb.REASON_CAN_NEVER_FIT


def test_a_body_of_ten_megabytes_gets_a_decision_and_others_go_on_meanwhile(asker: Caller) -> None:
    asker.allowed(1)
    large = pb.ProviderRequest(
        api=pb.ProviderRequest.API_OPENAI_CHAT, body=chat(user="lorem ipsum " * 870_000)
    )
    assert len(large.body) > 10 * 10**6
    call = asker.budgets.Reserve.future(asker.ask(request=large), timeout=LONG_S)
    slowest = 0.0
    while not call.done():
        began = time.monotonic()
        asker.allowed(1)
        slowest = max(slowest, time.monotonic() - began)
    assert call.result().result == pb.RESULT_ALLOW
    assert slowest < 5


def test_nothing_secret_is_in_the_log(asker: Caller, served: SidecarProcess) -> None:
    estimate = pb.ProviderRequest(api=pb.ProviderRequest.API_OPENAI_CHAT, body=chat())
    decision = asker.allowed(request=estimate, reservation_id="seen-in-the-log")
    asker.settle("seen-in-the-log", provider_usage=b'{"prompt_tokens": 3}', tally=decision.tally)
    for _, ask in NAMED:
        with pytest.raises(grpc.RpcError):
            ask(asker)
    log = served.log
    assert "seen-in-the-log" in log
    assert SECRET not in log
    assert decision.tally[1:17].hex() not in log
    assert repr(decision.tally[1:17])[2:-1] not in log
    assert (served.directory / "tally.key").read_text() not in log
    assert "unexpected error" not in log
