"""Who may do what, over gRPC: every method of every service, with tokens of one tenant and of another."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.ratelimit.v3 import rls_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.core.callers import Role
from tallystick.services.permissions import RULES, Scope, reach_of
from tallystick.v1 import admin_pb2, budget_pb2
from tallystick.v1 import token_pb2 as tpb
from tallystick.v1.admin_pb2_grpc import AdminServiceStub
from tallystick.v1.budget_pb2_grpc import BudgetServiceStub
from tests.e2e.caller import LONG_S, fails, new_tenant
from tests.e2e.guarded import ALL, Asker, about, admin_port, bearing, channel_to, make, revoke
from tests.servers import SidecarProcess, short_directory

DENIED, NOBODY = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
POLICY = "wallets: {org: {}}\nbudgets:\n  teams: {per: [team], limit: 5 USD, window: day}"

BUDGET = budget_pb2.DESCRIPTOR.services_by_name["BudgetService"]
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
RATE_LIMIT = rls_pb2.DESCRIPTOR.services_by_name["RateLimitService"]
METHODS = [method for service in (BUDGET, ADMIN, RATE_LIMIT) for method in service.methods]


def name_of(method: MethodDescriptor) -> str:
    return str(method.name)


every_method = pytest.mark.parametrize("method", METHODS, ids=name_of)


@pytest.fixture(scope="module", params=["native", "grpcio"])
def guarded(request: pytest.FixtureRequest) -> Iterator[SidecarProcess]:
    """A sidecar of each transport that asks for tokens."""
    with short_directory() as directory:
        process = SidecarProcess(
            directory,
            TRANSPORT=request.param,
            LISTEN="127.0.0.1:0",
            ADMIN_LISTEN="127.0.0.1:0",
            AUTH="tokens",
            ENVOY="true",
            LOG_LEVEL="debug",
            HTTP_LISTEN="127.0.0.1:0",
        )
        process.start()
        try:
            yield process
        finally:
            process.stop()


@pytest.fixture
def tenant(guarded: SidecarProcess) -> str:
    """A tenant of the test's own, with a policy."""
    name = new_tenant()
    apply(guarded, name)
    return name


def apply(sidecar: SidecarProcess, tenant: str) -> None:
    with sidecar.admin() as admin:
        admin.ApplyPolicy(admin_pb2.ApplyPolicyRequest(document=f"tenant: {tenant}\n{POLICY}"))
        admin.CreditWallet(
            admin_pb2.CreditWalletRequest(
                tenant=tenant, wallet="org", amount=10**12, unit=budget_pb2.UNIT_NANO_USD
            )
        )


@pytest.fixture
def asker(guarded: SidecarProcess) -> Iterator[Callable[..., Any]]:
    """`ask(token, method, request)`, over TCP, to whichever port carries the method."""
    with (
        channel_to(f"127.0.0.1:{guarded.port}") as data,
        channel_to(f"127.0.0.1:{admin_port(guarded)}") as control,
    ):

        def ask(token: str, method: MethodDescriptor, request: Any) -> Any:
            channel = control if method.containing_service is ADMIN else data
            return Asker(channel, token).ask(method, request)

        yield ask


def test_every_method_of_every_service_has_a_rule_and_no_rule_is_of_nothing() -> None:
    for service in (BUDGET, ADMIN):
        assert {method.name for method in service.methods} == set(RULES[service.full_name]), service.full_name
    package = {f"{BUDGET.file.package}.{name}" for name in ("BudgetService", "AdminService")}
    assert {name for name in RULES if name.startswith(f"{BUDGET.file.package}.")} == package


@every_method
def test_of_a_request_it_is_known_whose_state_it_is_about(method: MethodDescriptor) -> None:
    rule = RULES[method.containing_service.full_name][method.name]
    fields = method.input_type.fields_by_name
    if rule.scope is Scope.FIELD:
        assert reach_of(method.input_type).tenants
    elif rule.scope is Scope.ITEMS:
        assert fields["requests"].is_repeated
        assert reach_of(method.input_type).tenants == (("requests",),)
    elif rule.scope is Scope.EVERY:
        assert not reach_of(method.input_type).tenants  # it is about none, and so about all
    else:
        assert {Scope.DOCUMENT: "document", Scope.DOMAIN: "domain"}[rule.scope] in fields


@every_method
def test_a_call_of_nobody_is_refused_and_told_what_was_expected(
    guarded: SidecarProcess, asker: Callable[..., Any], method: MethodDescriptor
) -> None:
    request = about(method, "acme")
    with fails(NOBODY, "authorization: Bearer TOKEN"):
        asker("", method, request)
    with fails(NOBODY, "not known"):
        asker("tallytoken-" + "x" * 43, method, request)


@every_method
def test_a_caller_of_one_tenant_touches_no_other(
    guarded: SidecarProcess, asker: Callable[..., Any], tenant: str, method: MethodDescriptor
) -> None:
    other = new_tenant()
    apply(guarded, other)
    token = make(guarded, other)
    with guarded.admin() as admin:
        before = admin.ListBudgets(admin_pb2.ListBudgetsRequest(tenant=tenant))
        wallets = admin.ListWallets(admin_pb2.ListWalletsRequest(tenant=tenant))
    rule = RULES[method.containing_service.full_name][method.name]
    if rule.scope is Scope.ITEMS:
        request = about(method, tenant)
        request.requests.add(tenant=other)
        first, second = asker(token, method, request).items
        assert first.error.code == DENIED.value[0]
        assert f"expected {other}" in first.error.message
        assert second.error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    else:
        told = "a caller of every tenant" if rule.scope is Scope.EVERY else f"expected {other}"
        with fails(DENIED, told):
            asker(token, method, about(method, tenant))
    with guarded.admin() as admin:
        assert admin.ListBudgets(admin_pb2.ListBudgetsRequest(tenant=tenant)) == before
        assert admin.ListWallets(admin_pb2.ListWalletsRequest(tenant=tenant)) == wallets
        assert admin.GetPolicy(admin_pb2.GetPolicyRequest(tenant=tenant)).version == 1


@every_method
def test_a_method_takes_the_roles_of_its_rule_and_no_other(
    guarded: SidecarProcess, asker: Callable[..., Any], method: MethodDescriptor
) -> None:
    tenant = new_tenant()
    rule = RULES[method.containing_service.full_name][method.name]
    owner = "*" if rule.scope is Scope.EVERY else tenant
    for role in ALL:
        token = make(guarded, owner, [role], name=f"{tenant}-{role}")
        try:
            asker(token, method, about(method, tenant))
            code, text = grpc.StatusCode.OK, ""
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            code, text = error.code(), str(error.details())
        assert (code is DENIED) == (role not in rule.roles), (role, code, text)
        assert code is not NOBODY
        if code is DENIED:
            assert f"token {owner}/{tenant}-{role} has not" in text


def test_a_caller_of_every_tenant_may_name_any(
    guarded: SidecarProcess, asker: Callable[..., Any], tenant: str
) -> None:
    token = make(guarded, "*", name=tenant)
    for method in METHODS:
        try:
            asker(token, method, about(method, tenant))
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            assert error.code() not in (DENIED, NOBODY), (method.name, error.details())


def test_a_tenant_that_is_left_out_is_the_callers(
    guarded: SidecarProcess, asker: Callable[..., Any], tenant: str
) -> None:
    token = make(guarded, tenant)
    with channel_to(f"127.0.0.1:{guarded.port}") as channel:
        balance = BudgetServiceStub(channel).Balance(budget_pb2.BalanceRequest(), metadata=bearing(token))
    assert [wallet.name for wallet in balance.wallets] == ["org"]
    listed = asker(token, ADMIN.methods_by_name["ListTokens"], tpb.ListTokensRequest())
    assert {each.tenant for each in listed.tokens} == {tenant}


def test_the_data_plane_carries_no_administration(guarded: SidecarProcess) -> None:
    token = make(guarded, "*", name=new_tenant())
    for target in (f"127.0.0.1:{guarded.port}", guarded.socket):
        with channel_to(target) as channel, fails(grpc.StatusCode.UNIMPLEMENTED):
            Asker(channel, token).ask(ADMIN.methods_by_name["ListTokens"], tpb.ListTokensRequest())
    with channel_to(f"127.0.0.1:{admin_port(guarded)}") as channel, fails(grpc.StatusCode.UNIMPLEMENTED):
        Asker(channel, token).ask(BUDGET.methods_by_name["Balance"], budget_pb2.BalanceRequest())


def reserve(tenant: str, **subject: Any) -> budget_pb2.ReserveRequest:
    return budget_pb2.ReserveRequest(
        tenant=tenant, subject=budget_pb2.Subject(**subject), cost=budget_pb2.Cost(nano_usd=7)
    )


def test_a_bound_caller_can_neither_name_another_subject_nor_leave_it_out(
    guarded: SidecarProcess, tenant: str
) -> None:
    token = make(guarded, tenant, ["decide"], subject={"team": "search", "label.desk": "7"})
    md = bearing(token)
    with channel_to(guarded.socket) as channel:
        service = BudgetServiceStub(channel)
        with fails(DENIED, "subject.team", "'search'"):
            service.Reserve(reserve(tenant, team="crm"), metadata=md)
        with fails(DENIED, "subject.label.desk", "'7'"):
            service.Reserve(reserve(tenant, labels={"desk": "8"}), metadata=md)
        with fails(DENIED, "call.subject.team"):
            service.Explain(budget_pb2.ExplainRequest(call=reserve(tenant, team="crm")), metadata=md)
        for subject in ({}, {"team": "search"}):
            allowed = service.Reserve(reserve(tenant, **subject), metadata=md)
            assert [each.group for each in allowed.budgets] == ["team=search"]
        batch = budget_pb2.ReserveBatchRequest(requests=[reserve(tenant, team="crm"), reserve(tenant)])
        first, second = service.ReserveBatch(batch, metadata=md).items
        assert first.error.code == DENIED.value[0]
        assert [each.group for each in second.response.budgets] == ["team=search"]
        settle = budget_pb2.SettleRequest(
            tenant=tenant,
            reservation_id=second.response.reservation_id,
            outcome=budget_pb2.OUTCOME_COMPLETED,
        )
        assert service.Settle(settle, metadata=md).charged.nano_usd == 7
        retried = reserve(tenant, user="eve")
        retried.reservation_id = "once"
        answers = [service.Reserve(retried, metadata=md) for _ in range(2)]
        assert answers[0].tally == answers[1].tally


def test_a_bound_caller_does_not_see_the_whole_tenant(guarded: SidecarProcess, tenant: str) -> None:
    token = make(guarded, tenant, ["decide", "read"], subject={"team": "search"})
    with channel_to(f"127.0.0.1:{admin_port(guarded)}") as channel:
        service = AdminServiceStub(channel)
        for ask, request in (
            (service.ListBudgets, admin_pb2.ListBudgetsRequest(tenant=tenant)),
            (service.ListWallets, admin_pb2.ListWalletsRequest(tenant=tenant)),
            (service.GetPolicy, admin_pb2.GetPolicyRequest(tenant=tenant)),
        ):
            with fails(DENIED, "whole tenant", "team"):
                ask(request, metadata=bearing(token))


def test_an_administrator_makes_tokens_of_its_tenant_only(
    guarded: SidecarProcess, asker: Callable[..., Any], tenant: str
) -> None:
    token = make(guarded, tenant, ["admin"])
    create = ADMIN.methods_by_name["CreateToken"]
    for other in ("*", "another"):
        with fails(DENIED, f"expected {tenant}"):
            asker(token, create, tpb.CreateTokenRequest(tenant=other, name="x", roles=[tpb.ROLE_READ]))
    made = asker(token, create, tpb.CreateTokenRequest(tenant=tenant, name="x", roles=[tpb.ROLE_READ]))
    assert made.token.tenant == tenant
    with fails(grpc.StatusCode.ALREADY_EXISTS, f"{tenant}:x"):
        asker(token, create, tpb.CreateTokenRequest(tenant=tenant, name="x", roles=[tpb.ROLE_READ]))
    gone = ADMIN.methods_by_name["RevokeToken"]
    asker(token, gone, tpb.RevokeTokenRequest(tenant=tenant, name="x"))
    with fails(grpc.StatusCode.NOT_FOUND, f"{tenant}:x"):
        asker(token, gone, tpb.RevokeTokenRequest(tenant=tenant, name="x"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tenant": "A B"}, "tenant: expected 1 to 64"),
        ({"tenant": ""}, "tenant: expected 1 to 64"),
        ({"name": "a:b"}, "name: expected 1 to 64"),
        ({"roles": []}, "roles: expected one or more"),
        ({"roles": [9]}, "roles: expected one or more"),
        ({"roles": [1, 1]}, "each once"),
        ({"subject": {"planet": "x"}}, "subject: expected dimensions"),
        ({"subject": {"team": ""}}, "subject: expected a value of team"),
        ({"subject": {"team": "x" * 300}}, "subject.team"),
        ({"subject": {"team": "a"}, "roles": [3]}, "expected none with the role admin"),
        ({"expires_at": Timestamp(seconds=1)}, "expires_at: expected a time in the future"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    guarded: SidecarProcess, fields: dict[str, Any], text: str
) -> None:
    given = {"tenant": "acme", "name": "n", "roles": [1], **fields}
    with guarded.admin() as admin, fails(grpc.StatusCode.INVALID_ARGUMENT, text):
        admin.CreateToken(tpb.CreateTokenRequest(**given))


def test_a_token_expires(guarded: SidecarProcess, tenant: str) -> None:
    at = Timestamp()
    at.FromMilliseconds(int(time.time() * 1000) + 700)
    token = make(guarded, tenant, expires_at=at)
    with channel_to(guarded.socket) as channel:
        service = BudgetServiceStub(channel)
        service.Balance(budget_pb2.BalanceRequest(tenant=tenant), metadata=bearing(token))
        time.sleep(0.8)
        with fails(NOBODY, f"token {tenant}/gateway has expired"):
            service.Balance(budget_pb2.BalanceRequest(tenant=tenant), metadata=bearing(token))


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ([("authorization", "Basic YTpi")], "`Bearer TOKEN`"),
        ([("authorization", "Bearer ")], "`Bearer TOKEN`"),
        ([("authorization", "Bearer a"), ("authorization", "Bearer b")], "once"),
        ([("authorization", "Bearer tallytoken-nope")], "not known"),
        ([("x-api-key", "tallytoken-nope")], "authorization: Bearer TOKEN"),
    ],
)
def test_metadata_that_names_nobody(
    guarded: SidecarProcess, metadata: list[tuple[str, str]], text: str
) -> None:
    with channel_to(guarded.socket) as channel, fails(NOBODY, text):
        BudgetServiceStub(channel).Balance(budget_pb2.BalanceRequest(tenant="a"), metadata=metadata)


def test_the_admin_socket_is_the_operators_unless_a_token_says_less(
    guarded: SidecarProcess, tenant: str
) -> None:
    token = make(guarded, tenant, ["read"])
    with guarded.admin() as admin:
        request = admin_pb2.GetPolicyRequest(tenant=tenant)
        assert admin.GetPolicy(request, metadata=bearing(token)).version == 1
        with fails(DENIED):
            admin.GetPolicy(admin_pb2.GetPolicyRequest(tenant="other"), metadata=bearing(token))
        with fails(NOBODY):
            admin.GetPolicy(request, metadata=bearing("tallytoken-nope"))
    socket = Path(f"{guarded.directory}/admin.sock")
    assert socket.stat().st_mode & 0o777 == 0o600
    assert (guarded.directory / "tallystick.sock").stat().st_mode & 0o777 == 0o600


def test_refusals_are_counted(guarded: SidecarProcess) -> None:
    from tests.servers import http_get

    with channel_to(guarded.socket) as channel, fails(NOBODY):
        BudgetServiceStub(channel).Extend(budget_pb2.ExtendRequest(tenant="a"), timeout=LONG_S)
    _, text = http_get(guarded.http_port, "/metrics")
    assert 'method="Extend",code="UNAUTHENTICATED"' in text or (
        'code="UNAUTHENTICATED",method="Extend"' in text
    )


def test_a_revoked_token_is_refused_at_once_where_it_was_revoked(
    guarded: SidecarProcess, tenant: str
) -> None:
    token = make(guarded, tenant)
    with channel_to(guarded.socket) as channel:
        service = BudgetServiceStub(channel)
        service.Balance(budget_pb2.BalanceRequest(tenant=tenant), metadata=bearing(token))
        revoke(guarded, tenant)
        with fails(NOBODY, "not known"):
            service.Balance(budget_pb2.BalanceRequest(tenant=tenant), metadata=bearing(token))


def test_the_roles_of_the_api_are_those_of_the_table() -> None:
    names = {
        name.removeprefix("ROLE_").lower() for name in [value.name for value in tpb.Role.DESCRIPTOR.values]
    } - {"unspecified"}
    assert names == {str(role) for role in Role}


def test_the_ledger_tells_which_caller_it_was_whatever_the_request_says(
    guarded: SidecarProcess, tenant: str, asker: Callable[..., Any]
) -> None:
    methods = ADMIN.methods_by_name
    ops = make(guarded, tenant, ["admin", "read"], name="ops")
    suspend = admin_pb2.SuspendTenantRequest(tenant=tenant, by="ann", reason="a leak")
    told = asker(ops, methods["SuspendTenant"], suspend)
    assert told.suspension.by == f"ann (token {tenant}/ops)"
    asker(ops, methods["ResumeTenant"], admin_pb2.ResumeTenantRequest(tenant=tenant))
    new = tpb.CreateTokenRequest(tenant=tenant, name="new", roles=[tpb.ROLE_READ])
    asker(ops, methods["CreateToken"], new)
    asker(ops, methods["RevokeToken"], tpb.RevokeTokenRequest(tenant=tenant, name="new"))
    with guarded.admin() as admin:
        request = admin_pb2.TailLedgerRequest(tenant=tenant, kinds=["resume", "token", "revoke"])
        entries = [entry for answer in admin.TailLedger(request) for entry in answer.entries]
    found = {(entry.kind, entry.of): entry.fields["by"] for entry in entries}
    name = f"token {tenant}/ops"
    assert found == {
        ("token", "ops"): "",
        ("resume", tenant): name,
        ("token", "new"): name,
        ("revoke", "new"): name,
    }


def test_tokens_are_listed_in_pages(guarded: SidecarProcess, tenant: str) -> None:
    for name in ("c", "a", "b"):
        make(guarded, tenant, ["read"], name=name)
    names, token = list[str](), ""
    with guarded.admin() as admin:
        for _ in range(2):
            request = tpb.ListTokensRequest(tenant=tenant, page_size=2, page_token=token)
            answer = admin.ListTokens(request, timeout=LONG_S)
            names += [each.name for each in answer.tokens]
            token = answer.next_page_token
        assert (names, token) == (["a", "b", "c"], "")
        with fails(grpc.StatusCode.INVALID_ARGUMENT, "page_token: "):
            admin.ListTokens(tpb.ListTokensRequest(tenant=tenant, page_token="x"), timeout=LONG_S)
