"""The gate that proxied calls pass: who calls, what it may cost, whether there is room, and its end."""

import asyncio
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from tallystick.core import errors
from tallystick.core.decision import Decision
from tallystick.core.policy import OnOutgrown
from tallystick.core.reasons import Reason
from tallystick.core.usage import Usage
from tallystick.engine import Engine, Planner
from tallystick.engine.calls import ProviderRequest, ReserveCall
from tallystick.observe.metrics import Metrics
from tallystick.providers import Api
from tallystick.providers.refusals import problem_of
from tallystick.providers.routes import Route, RouteKind, route_of
from tallystick.proxied import changes
from tallystick.proxied.calls import Allowed, Ending, HeldCall, Passed, ProxiedRequest, Turned
from tallystick.proxied.closing import Closing
from tallystick.proxied.credentials import IN_QUERY, HttpRequest, without_key
from tallystick.proxied.identity import Caller, Identity
from tallystick.proxied.turning import UNMETERED, UNMETERED_ROUTE, failed, refused, turned

RESERVATION, MODEL = "x-tallystick-reservation", "x-tallystick-model"
"""Headers for the client: the id that the ledger has, and the model in place of the one asked for."""
FREE, LET_THROUGH = "free", "unmetered"
SECOND = "-2"
"""Follows the id of a call that had to be reserved once more, for another caller than it seemed."""

_COMPATIBLE = "compatible"
_PROVIDERS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "azure": "azure",
    "bedrock": "aws",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, and what its path and the proxy's configuration say of it."""

    request: ProxiedRequest
    route: Route
    provider: str
    """Whose prices and words."""

    @property
    def shape(self) -> str | Api:
        """In whose words to refuse it."""
        return self.route.api or self.provider

    @property
    def api(self) -> Api:
        """Of a metered call."""
        assert self.route.api is not None
        return self.route.api


class Gate:
    """Decides of proxied calls, and settles them; the same for every way that a proxy asks."""

    def __init__(self, engine: Engine, planner: Planner, identity: Identity, metrics: Metrics) -> None:
        self._engine = engine
        self._planner = planner
        self._identity = identity
        self._metrics = metrics
        self._closing = Closing(engine, metrics)

    async def admit(self, request: ProxiedRequest) -> Allowed | Passed | Turned:
        """Say whether a call may be sent, and how. Whatever its caller has to be told is a `Turned`."""
        route = route_of(request.method, request.path)
        asked = _Asked(request, route, _provider(request, route))
        verdict: Allowed | Passed | Turned
        try:
            caller = await self._identify(request)
            metered = route.kind is RouteKind.METERED
            verdict = await self._decide(asked, caller) if metered else self._pass(asked, caller)
        except errors.TallystickError as error:
            verdict = failed(asked.shape, error)
        self._count(verdict)
        return verdict

    async def end(self, call: HeldCall, ending: Ending) -> None:
        """Charge a call's end, or give back what was held.

        While the store is away it is tried again for two minutes; whatever else goes wrong is logged and
        counted, and never raised.
        """
        await self._closing.end(call, ending)

    def give_back(self, tenant: str, reservation_id: str) -> None:
        """Release, in the background, a call whose proxy was gone before it heard the verdict."""
        self._engine.give_back(tenant, reservation_id)

    async def keep(self, call: HeldCall, so_far: Ending) -> bool:
        """Give the hold of a call that goes on its time anew, and more if it has outgrown it.

        False if it is to be cut: there is no room for more, and the policy wants it so. What goes wrong is
        logged.
        """
        if await self._closing.keep(call, so_far):
            return True
        rules = self._planner.known(call.tenant)
        return rules is None or rules.policy.on_outgrown is not OnOutgrown.CUT

    async def _identify(self, request: ProxiedRequest) -> Caller:
        return await self._identity.identify(
            HttpRequest(
                request.method,
                request.path,
                request.headers,
                request.claims,
                request.principal,
                request.context,
            )
        )

    def _pass(self, asked: _Asked, caller: Caller) -> Passed | Turned:
        """What nobody meters."""
        request, free = asked.request, asked.route.kind is RouteKind.FREE
        if not free:
            rules = self._planner.known(caller.tenant)
            if rules is None or not rules.policy.routes.let_through(request.path):
                return turned(asked.shape, UNMETERED, UNMETERED_ROUTE)
        path = _without_key(request, "", caller)
        return Passed(FREE if free else LET_THROUGH, _headers_of(caller), path)

    async def _decide(self, asked: _Asked, caller: Caller) -> Allowed | Turned:
        request, named = asked.request, asked.route.model
        changes.check_readable(request)
        patch = self._wish(asked, caller.tenant)
        decision = await self._reserve(asked, caller)
        if decision.plan and decision.plan.policy_version != caller.policy_version:
            caller, decision = await self._look_again(asked, caller, decision)
        if not decision.allowed:
            return refused(asked.api, decision)
        path = ""
        if decision.downgrade is not None:
            if named:
                path = changes.with_model(request.path, named, decision.model)
                why_not = "" if path else "the path can't be given another model"
            else:
                patch["model"] = decision.model
                why_not = changes.check_replaceable(request)
            if why_not:
                return await self._unchangeable(asked.api, caller.tenant, decision, why_not)
        return _allowed(asked, caller, decision, patch, path)

    async def _reserve(self, asked: _Asked, caller: Caller, again: str = "") -> Decision:
        request = asked.request
        body_bytes = max(request.body_bytes, len(request.body))
        said = f"{request.method} {request.path} {body_bytes}"  # the id alone tells a retry, in truth
        call = ReserveCall(
            tenant=caller.tenant,
            reservation_id=f"e-{request.request_id}{again}" if request.request_id else "",
            content=blake2b(said.encode(), digest_size=12).hexdigest(),
            subject=caller.subject,
            model=asked.route.model,
            provider=asked.provider,
            estimate=ProviderRequest(asked.api, request.body, body_bytes, request.read),
        )
        try:
            decision = await self._engine.tickets.reserve(call)
        except asyncio.CancelledError:
            if call.reservation_id:  # else the engine does it
                self.give_back(call.tenant, call.reservation_id)
            raise
        refusal = decision.refusal
        self._metrics.decision(decision.result, refusal.reason.name if refusal else "").inc()
        return decision

    async def _look_again(self, asked: _Asked, caller: Caller, decision: Decision) -> tuple[Caller, Decision]:
        """The policy changed between the two: who calls may have, too. Once is enough."""
        try:
            now = await self._identify(asked.request)
        except errors.TallystickError:
            await self._give_back(caller.tenant, decision)
            raise
        if (now.tenant, now.subject) == (caller.tenant, caller.subject):
            return now, decision
        await self._give_back(caller.tenant, decision)
        return now, await self._reserve(asked, now, SECOND)

    async def _unchangeable(self, api: Api, tenant: str, decision: Decision, why_not: str) -> Turned:
        """A call that another model would have room for, which it can't be given."""
        await self._give_back(tenant, decision)
        assert decision.downgrade is not None
        reason = decision.downgrade.reason or Reason.BUDGET_EXHAUSTED
        text = f"{decision.downgrade.message}; {decision.model} would fit, but {why_not}"
        return turned(api, problem_of(reason, text, None), reason.name)

    async def _give_back(self, tenant: str, decision: Decision) -> None:
        if decision.allowed:
            await self._engine.release(tenant, decision.reservation_id)

    def _wish(self, asked: _Asked, tenant: str) -> dict[str, Any]:
        """The patch that asks a stream for its usage."""
        if not changes.asks_for_usage(asked.api):
            return {}
        rules = self._planner.known(tenant)
        if rules and asked.request.provider in rules.policy.routes.without_usage:
            return {}
        wish = changes.usage_wish(asked.request)
        return {} if wish is None else {"stream_options": wish}

    def _count(self, verdict: Allowed | Passed | Turned) -> None:
        match verdict:
            case Allowed():
                self._metrics.proxied_call("allowed", "").inc()
            case Passed(why=why):
                self._metrics.proxied_call("passed", why).inc()
            case Turned(reason=reason):
                self._metrics.proxied_call("turned", reason).inc()


def _provider(request: ProxiedRequest, route: Route) -> str:
    """As the proxy's configuration says, else the path."""
    if request.kind == _COMPATIBLE:
        return request.provider
    return _PROVIDERS.get(request.kind, route.provider)


def _allowed(asked: _Asked, caller: Caller, decision: Decision, patch: dict[str, Any], path: str) -> Allowed:
    held = decision.estimated or Usage()
    call = HeldCall(caller.tenant, decision.reservation_id, decision.tally, asked.api, decision.model, held)
    headers = [(RESERVATION, decision.reservation_id)]
    if decision.downgrade is not None:
        headers.append((MODEL, decision.model))
    path = _without_key(asked.request, path, caller)
    return Allowed(call, patch, path, _headers_of(caller), tuple(headers))


def _headers_of(caller: Caller) -> tuple[str, ...]:
    return tuple(place for place in caller.credentials if place != IN_QUERY)


def _without_key(request: ProxiedRequest, path: str, caller: Caller) -> str:
    """The path to send, with the prefix; empty where it is the one that came."""
    if IN_QUERY in caller.credentials:
        path = without_key(path or request.path)
    return request.prefix + path if path else ""
