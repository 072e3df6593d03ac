"""The three ways: which filters stand before the router, and what each route tells them."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from tallystick.envoy.answers import USAGE, hearing_chats_out, reading_answers
from tallystick.envoy.clusters import SIDECAR
from tallystick.envoy.extension import extension, seconds, typed
from tallystick.envoy.metering import BODIES, cleaning, reading_bodies, rewriting
from tallystick.envoy.options import EnvoyOptions, Way

AUTHZ = "envoy.filters.http.ext_authz"
PROC = "envoy.filters.http.ext_proc"
RATELIMIT = "envoy.filters.http.ratelimit"
NO_TENANT = "tallystick/gateway"
"""The domain where no tenant is chosen: no tenant's name, so the sidecar's settings say it."""
TENANT = "tallystick.tenant"
"""What a route tells of whose its calls are."""

PRINCIPALS = tuple(f"connection.{name}_peer_certificate" for name in ("uri_san", "dns_san", "subject"))
"""Names in a client's certificate; the first that is there counts, as ext_authz has it."""

CALLERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
"""Headers that say who is calling, where they are there."""

CALLER = "tallystick.caller"
"""The namespace in which they are kept."""

_HEADERS = "envoy.extensions.filters.http.header_to_metadata.v3.Config"
_AUTHZ = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_AUTHZ_ROUTE = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
_PROC = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
_PROC_ROUTE = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
_RATELIMIT = "envoy.extensions.filters.http.ratelimit.v3.RateLimit"
_RATELIMIT_ROUTE = "envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute"

_READ = f"metadata.typed_filter_metadata['{USAGE}']"
_SPENT = (
    f"%TYPED_CEL('{USAGE}' in metadata.typed_filter_metadata"
    f" ? ({_READ}.total_tokens > 0u ? {_READ}.total_tokens : {_READ}.provider_total_tokens) : 0u)%"
)
"""Tokens of a call that is done; 0, which charges nothing, where no usage was read."""


def filters(options: EnvoyOptions) -> list[dict[str, Any]]:
    """Write the filters of the way that was chosen, in order, without the router."""
    return _FILTERS[options.way](options)


def filter_names(options: EnvoyOptions) -> list[str]:
    """Name those filters."""
    return [each["name"] for each in filters(options)]


def route_settings(options: EnvoyOptions, context: dict[str, str]) -> dict[str, Any]:
    """Write what a route tells the way's filter."""
    whose = {TENANT: options.tenant} if options.tenant else {}
    match options.way:
        case Way.AUTHZ:
            return {AUTHZ: typed(_AUTHZ_ROUTE, check_settings={"context_extensions": context | whose})}
        case Way.PROC:
            metadata = {f"x-tallystick-{key}": value for key, value in context.items()} | whose
            told = [{"key": key, "value": value} for key, value in metadata.items()]
            return {PROC: typed(_PROC_ROUTE, overrides={"grpc_initial_metadata": told})}
        case Way.RATELIMIT:
            return {RATELIMIT: typed(_RATELIMIT_ROUTE, rate_limits=_limits(context))}


def _authz(options: EnvoyOptions) -> list[dict[str, Any]]:
    check = extension(
        AUTHZ,
        _AUTHZ,
        grpc_service=_sidecar(options.decision_timeout_s),
        transport_api_version="V3",
        failure_mode_allow=options.fail_open,
        status_on_error={"code": "ServiceUnavailable"},
        with_request_body={
            "max_request_bytes": options.shown_body_bytes,
            "allow_partial_message": True,
            "pack_as_bytes": True,
        },
        metadata_context_namespaces=[BODIES, "envoy.filters.http.jwt_authn"],
        include_peer_certificate=True,
    )
    rewritten = rewriting(options.max_body_bytes)
    return [
        reading_bodies(), check, cleaning(), *rewritten, *reading_answers(), hearing_chats_out(),
    ]  # fmt: skip


def _proc(options: EnvoyOptions) -> list[dict[str, Any]]:
    process = extension(
        PROC,
        _PROC,
        grpc_service=_sidecar(),  # open as long as the call; `message_timeout` is for each answer
        failure_mode_allow=options.fail_open,
        status_on_error={"code": "ServiceUnavailable"},
        message_timeout=seconds(options.decision_timeout_s),
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "request_trailer_mode": "SKIP",
            "response_header_mode": "SEND",
            "response_body_mode": "STREAMED",
            "response_trailer_mode": "SKIP",
        },
        allow_mode_override=True,
        route_cache_action="RETAIN",
        mutation_rules={"allow_all_routing": True},
        metadata_options={"forwarding_namespaces": {"untyped": ["envoy.filters.http.jwt_authn"]}},
        request_attributes=["request.id", "source.address", *PRINCIPALS],
        response_attributes=["response.code_details", "upstream.request_attempt_count"],
    )
    return [process, cleaning()]


def _ratelimit(options: EnvoyOptions) -> list[dict[str, Any]]:
    limit = extension(
        RATELIMIT,
        _RATELIMIT,
        domain=options.tenant or NO_TENANT,
        timeout=seconds(options.decision_timeout_s),
        failure_mode_deny=not options.fail_open,
        status_on_error={"code": "ServiceUnavailable"},
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        rate_limit_service={
            "grpc_service": _sidecar(options.decision_timeout_s),
            "transport_api_version": "V3",
        },
    )
    return [_remembering_callers(), reading_bodies(), limit, cleaning(), *reading_answers()]


def _limits(context: dict[str, str]) -> list[dict[str, Any]]:
    """Ask for one request and a look at the tokens before the call; charge its tokens when it is done."""
    who = [
        _constant("provider", context["provider"]),
        _remembered("model", BODIES),
        *(_remembered(name, CALLER) for name in CALLERS),
    ]

    def limit(unit: str, **more: Any) -> dict[str, Any]:
        return {"actions": [*who, _constant("unit", unit)], **more}

    return [
        limit("requests"),
        limit("tokens", hits_addend={"number": 0}),
        limit("tokens", hits_addend={"format": _SPENT}, apply_on_stream_done=True),
    ]


def _constant(key: str, value: str) -> dict[str, Any]:
    return {"generic_key": {"descriptor_key": key, "descriptor_value": value}}


def _remembered(key: str, namespace: str) -> dict[str, Any]:
    found = {"key": namespace, "path": [{"key": key}]}
    return {"metadata": {"metadata_key": found, "descriptor_key": key, "skip_if_absent": True}}


def _remembering_callers() -> dict[str, Any]:
    """Write the filter that keeps who called: when a call is done, its headers have the provider's key."""
    rules = [
        {"header": name, "on_header_present": {"metadata_namespace": CALLER, "key": name, "type": "STRING"}}
        for name in CALLERS
    ]
    return extension("envoy.filters.http.header_to_metadata", _HEADERS, request_rules=rules)


def _sidecar(timeout_s: float | None = None) -> dict[str, Any]:
    limit = {} if timeout_s is None else {"timeout": seconds(timeout_s)}
    return {"envoy_grpc": {"cluster_name": SIDECAR}, **limit}


_FILTERS: MappingProxyType[Way, Callable[[EnvoyOptions], list[dict[str, Any]]]] = MappingProxyType(
    {Way.AUTHZ: _authz, Way.PROC: _proc, Way.RATELIMIT: _ratelimit}
)
