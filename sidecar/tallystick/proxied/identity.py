"""Who is calling over HTTP: the tenant, the consumer and the subject of a request."""

from typing import NamedTuple

from tallystick.core.consumer_keys import digest_of, is_ours, tenant_of
from tallystick.core.errors import Unauthenticated
from tallystick.core.identity import (
    Consumer,
    IdentityRules,
    claimed,
    names_caller,
    over,
    said_by_headers,
    stood_for,
)
from tallystick.core.subject import Subject
from tallystick.engine import Planner
from tallystick.engine.rules import Rules
from tallystick.proxied.credentials import (
    PLACES,
    FoundKey,
    HttpRequest,
    Route,
    find_keys,
    is_token,
    read_route,
)


class Caller(NamedTuple):
    """Who is calling."""

    tenant: str
    consumer: str
    """Its name in the policy; empty where no key told."""
    subject: Subject
    credentials: tuple[str, ...] = ()
    """Where its credentials are, which the provider must not get: headers, or `credentials.IN_QUERY`."""
    policy_version: int = 0
    """The policy that says so. A decision by another one calls for another look."""


class Identity:
    """Tells who is calling. Where neither a key of ours nor the route names a tenant, it is the default."""

    def __init__(self, planner: Planner, default_tenant: str = "") -> None:
        self._planner = planner
        self._default_tenant = default_tenant

    async def identify(self, request: HttpRequest) -> Caller:
        """Finds the caller by the policy in force within the last second.

        Raises:
            Unauthenticated: and says what was expected. No key is quoted.
            InvalidArgument: a value can't be a dimension's; names where it is.
            StoreUnavailable: and the policy is not known.
        """
        keys, route = find_keys(request), read_route(request.context)
        tenant = self._tenant(keys, route)
        rules = await self._planner.confirmed(tenant)
        if rules is None:
            raise _unknown(keys[0]) if keys else Unauthenticated("expected a tenant that has a policy")
        consumer, credentials = _consumer(rules, keys, bool(request.claims))
        subject = _subject(rules.policy.identity, request, route, consumer)
        name = consumer.name if consumer else ""
        return Caller(tenant, name, subject, credentials, rules.policy.version)

    def _tenant(self, keys: list[FoundKey], route: Route) -> str:
        """The one that the route or the key names, or the default."""
        tenant = route.tenant
        for found in keys:
            named = tenant_of(found.key)
            if named is None and is_ours(found.key):
                raise Unauthenticated(f"expected the whole key in {found.place}: tally-TENANT-SECRET")
            if named and tenant and named != tenant:
                whose = "this route's tenant" if route.tenant else "one tenant"
                raise Unauthenticated(f"expected a key of {whose} in {found.place}")
            tenant = tenant or named or ""
        tenant = tenant or self._default_tenant
        if tenant:
            return tenant
        if keys:
            raise _unknown(keys[0])
        raise Unauthenticated(f"expected a consumer's key in {PLACES}")


def _consumer(
    rules: Rules, keys: list[FoundKey], has_claims: bool
) -> tuple[Consumer | None, tuple[str, ...]]:
    """Who the keys stand for, and where the caller's credentials are."""
    taken: FoundKey | None = None
    consumer: Consumer | None = None
    credentials: tuple[str, ...] = ()
    for found in keys:
        owner = rules.consumers.get(digest_of(found.key))
        if owner is None:
            if has_claims and is_token(found):
                credentials += (found.place,)
            elif is_ours(found.key) or not rules.policy.identity.ignore_unknown_keys:
                raise _unknown(found)
            continue
        if taken is not None and taken.key != found.key:
            raise Unauthenticated(f"expected one key, got different ones in {taken.place} and {found.place}")
        if owner.disabled:
            raise Unauthenticated(f"expected a key that is in use: consumer {owner.name} is disabled")
        taken, consumer = found, owner
        credentials += (found.place,)
    return consumer, credentials


def _unknown(found: FoundKey) -> Unauthenticated:
    return Unauthenticated(f"expected the key of a consumer in {found.place}: this one is not known")


def _subject(rules: IdentityRules, request: HttpRequest, route: Route, consumer: Consumer | None) -> Subject:
    """The subject, each dimension by the first that names it: in the order of these lines.

    What the client can choose least goes first: the route, its key, what was verified of it.
    """
    subject = over(route.subject, consumer.subject) if consumer else route.subject
    if rules.claims and request.claims:
        subject = over(subject, claimed(rules, request.claims))
    if rules.headers and route.authenticated:
        subject = over(subject, said_by_headers(rules.headers, request.headers, route.authenticated))
    if rules.principals and request.principal:
        subject = over(subject, stood_for(rules, request.principal))
    if consumer is None and not names_caller(subject):
        if rules.anonymous is None:
            raise Unauthenticated(f"expected a consumer's key in {PLACES}")
        subject = over(subject, rules.anonymous)
    if rules.self_declared:
        subject = over(subject, said_by_headers(rules.self_declared, request.headers))
    return subject
