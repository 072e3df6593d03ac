"""Who may call which method: one table, and what it makes of a caller and a request.

A method that is not in the table is not served where callers are asked for. Of a request the
descriptor tells where its tenants and subjects are, at whatever depth.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message

from tallystick.core.callers import EVERY_TENANT, Caller, Role
from tallystick.core.errors import PermissionDenied
from tallystick.core.subject import LABEL_PREFIX, MAX_VALUE_BYTES
from tallystick.policyfile import load_policy

SUBJECT = "tallystick.v1.Subject"


OPERATOR = Caller("the operator", EVERY_TENANT, frozenset(Role))
"""Who can open the admin socket, which only its owner can, and brings no token."""


class Scope(Enum):
    """Where a request says whose state it is about."""

    FIELD = "in its fields `tenant`"
    ITEMS = "in each of its `requests`, which is judged and answered by itself"
    DOCUMENT = "in the policy `document`"
    DOMAIN = "in the `domain` of a rate limit request"
    EVERY = "anywhere: it takes a caller of every tenant"


class Rule(NamedTuple):
    """Who may call a method."""

    roles: frozenset[Role]
    """Any of them; none: anybody, unasked."""
    scope: Scope = Scope.FIELD
    by_id: bool = False
    """About a reservation, whose subject is known: a bound caller may call it without one."""


_DECIDE, _READ, _ADMIN = (frozenset({role}) for role in Role)
OPEN = Rule(frozenset())

RULES: dict[str, dict[str, Rule]] = {
    "tallystick.v1.BudgetService": {
        "Reserve": Rule(_DECIDE),
        "Settle": Rule(_DECIDE, by_id=True),
        "Release": Rule(_DECIDE, by_id=True),
        "Extend": Rule(_DECIDE, by_id=True),
        "Charge": Rule(_DECIDE),
        "Balance": Rule(_DECIDE | _READ),
        "Explain": Rule(_DECIDE | _READ),
        "ReserveBatch": Rule(_DECIDE, Scope.ITEMS),
        "SettleBatch": Rule(_DECIDE, Scope.ITEMS, by_id=True),
    },
    "tallystick.v1.AdminService": {
        "ApplyPolicy": Rule(_ADMIN, Scope.DOCUMENT),
        "GetPolicy": Rule(_READ | _ADMIN),
        "GetPolicyHistory": Rule(_READ | _ADMIN),
        "RollbackPolicy": Rule(_ADMIN),
        "ClearShadow": Rule(_ADMIN),
        "ListShadowDifferences": Rule(_READ | _ADMIN),
        "CreditWallet": Rule(_ADMIN),
        "DebitWallet": Rule(_ADMIN),
        "AllocateFunds": Rule(_ADMIN),
        "ReclaimFunds": Rule(_ADMIN),
        "ListWallets": Rule(_READ | _ADMIN),
        "ListBudgets": Rule(_READ | _ADMIN),
        "SuspendTenant": Rule(_ADMIN),
        "ResumeTenant": Rule(_ADMIN),
        "ListTenants": Rule(_READ | _ADMIN, Scope.EVERY),
        "GetStore": Rule(_READ | _ADMIN, Scope.EVERY),
        "ThawPartition": Rule(_ADMIN, Scope.EVERY),
        "ListTickets": Rule(_READ | _ADMIN),
        "GetTicket": Rule(_READ | _ADMIN),
        "ApproveTicket": Rule(_ADMIN),
        "RejectTicket": Rule(_ADMIN),
        "ListHolds": Rule(_READ | _ADMIN),
        "ResolveHold": Rule(_ADMIN),
        "TailLedger": Rule(_READ | _ADMIN),
        "WatchEvents": Rule(_READ | _ADMIN),
        "CreateToken": Rule(_ADMIN),
        "ListTokens": Rule(_ADMIN),
        "RevokeToken": Rule(_ADMIN),
    },
    # Envoy's own services find the tenant out by themselves, from routes and consumers' keys.
    "envoy.service.auth.v3.Authorization": {"Check": Rule(_DECIDE, Scope.EVERY)},
    "envoy.service.ext_proc.v3.ExternalProcessor": {"Process": Rule(_DECIDE, Scope.EVERY)},
    "envoy.service.accesslog.v3.AccessLogService": {"StreamAccessLogs": Rule(_DECIDE, Scope.EVERY)},
    "envoy.service.ratelimit.v3.RateLimitService": {"ShouldRateLimit": Rule(_DECIDE, Scope.DOMAIN)},
    # Probes have no token, and what these tell is no secret.
    "grpc.health.v1.Health": {"Check": OPEN, "Watch": OPEN, "List": OPEN},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": OPEN},
}

_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Who makes this call; None where nobody is asked."""

Judge = Callable[[Caller, Any], None]
"""Confines a request to what its caller may touch, or raises PermissionDenied."""


class Reach(NamedTuple):
    """The ways to the messages with a `tenant`, and to the subjects, of a request."""

    tenants: tuple[tuple[str, ...], ...]
    subjects: tuple[tuple[str, ...], ...]


def judge_of(service: str, method: str) -> Judge | None:
    """What judges the calls of a method; None where anybody may call it.

    Raises:
        KeyError: it has no rule.
    """
    rule = RULES[service][method]
    if not rule.roles:
        return None
    asked = Default().FindMethodByName(f"{service}.{method}").input_type
    wanted = " or ".join(sorted(rule.roles))
    confine = _of_scope(rule, reach_of(asked), method)

    def judge(caller: Caller, request: Any) -> None:
        if rule.roles.isdisjoint(caller.roles):
            raise PermissionDenied(f"{method} takes the role {wanted}, which {caller.name} has not")
        confine(caller, request)

    return judge


def _of_scope(rule: Rule, reach: Reach, method: str) -> Judge:
    def every(caller: Caller, _request: Any) -> None:
        if caller.tenant != EVERY_TENANT:
            raise PermissionDenied(f"{method} takes a caller of every tenant, which {caller.name} is not")
        _not_bound(caller, method)

    def document(caller: Caller, request: Any) -> None:
        if caller.tenant != EVERY_TENANT:
            _same_tenant(caller, "tenant", load_policy(request.document).tenant)

    def domain(caller: Caller, request: Any) -> None:
        _same_tenant(caller, "domain", request.domain)
        _not_bound(caller, method)

    def field(caller: Caller, request: Any) -> None:
        confine(caller, request, reach)
        if caller.bound and not (reach.subjects or rule.by_id):
            _not_bound(caller, method)

    def items(_caller: Caller, _request: Any) -> None:
        """See `judge_item`."""

    return {
        Scope.FIELD: field,
        Scope.ITEMS: items,
        Scope.DOCUMENT: document,
        Scope.DOMAIN: domain,
        Scope.EVERY: every,
    }[rule.scope]


def set_caller(caller: Caller) -> None:
    """Tells the rest of this call who makes it."""
    _caller.set(caller)


def current_caller() -> Caller | None:
    """Who makes this call; None where nobody is asked, and everything is allowed."""
    return _caller.get()


def signed(said: str) -> str:
    """Who does what goes into the ledger: as the request says, and the caller where somebody is one."""
    caller = _caller.get()
    if caller is None or caller is OPERATOR or said == caller.name:
        return said
    return f"{said} ({caller.name})"[:MAX_VALUE_BYTES] if said else caller.name


def judge_item(request: Any) -> None:
    """Confines one request of a batch. Raises PermissionDenied."""
    caller = _caller.get()
    if caller is not None:
        confine(caller, request, reach_of(request.DESCRIPTOR))


def confine(caller: Caller, request: Any, reach: Reach) -> None:
    """Gives a request the caller's tenant and subject where it says none; refuses another one.

    Raises:
        PermissionDenied: names the field, and what was expected.
    """
    own = caller.tenant
    if own != EVERY_TENANT:
        for path in reach.tenants:
            for holder in _holders(request, path) if path else (request,):
                if holder.tenant != own:
                    if holder.tenant:
                        _same_tenant(caller, ".".join((*path, "tenant")), holder.tenant)
                    holder.tenant = own
    if caller.bound:
        for path in reach.subjects:
            for subject in (request.subject,) if path == ("subject",) else _holders(request, path):
                _bind(caller, path, subject)


def _bind(caller: Caller, path: tuple[str, ...], subject: Any) -> None:
    for name, value in caller.bound:
        label = name[len(LABEL_PREFIX) :] if name.startswith(LABEL_PREFIX) else ""
        said = subject.labels.get(label, "") if label else getattr(subject, name)
        if said == value:
            continue
        if said:
            place = ".".join((*path, name))
            raise PermissionDenied(f"{place}: expected {value!r}, to which {caller.name} is bound")
        if label:
            subject.labels[label] = value
        else:
            setattr(subject, name, value)


def _same_tenant(caller: Caller, place: str, tenant: str) -> None:
    if not caller.may_touch(tenant):
        raise PermissionDenied(f"{place}: expected {caller.tenant}, the only one of {caller.name}")


def _not_bound(caller: Caller, method: str) -> None:
    if caller.bound:
        names = ", ".join(name for name, _ in caller.bound)
        raise PermissionDenied(f"{method} is about a whole tenant, and {caller.name} is bound to one {names}")


def _holders(message: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield message
        return
    value = getattr(message, path[0])
    for each in (value,) if isinstance(value, Message) else value:
        yield from _holders(each, path[1:])


@cache
def reach_of(descriptor: Descriptor) -> Reach:
    """Where the tenants and subjects of a message are, its parts' parts included."""
    tenants: list[tuple[str, ...]] = []
    subjects: list[tuple[str, ...]] = []

    def walk(message: Descriptor, path: tuple[str, ...], above: tuple[str, ...]) -> None:
        for field in message.fields:
            below, part = (*path, field.name), field.message_type
            if field.name == "tenant" and field.type == FieldDescriptor.TYPE_STRING:
                tenants.append(path)
            elif part is not None and part.full_name == SUBJECT:
                subjects.append(below)
            elif part is not None and part.full_name not in above:
                walk(part, below, (*above, part.full_name))

    walk(descriptor, (), (descriptor.full_name,))
    return Reach(tuple(tenants), tuple(subjects))
