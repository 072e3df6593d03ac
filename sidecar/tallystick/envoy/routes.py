"""Routes: a provider below its name, the only one also at the root."""

import json
from typing import Any

from tallystick.envoy.answers import endpoints_of
from tallystick.envoy.extension import seconds, typed
from tallystick.envoy.keys import CREDENTIAL_HEADERS
from tallystick.envoy.options import EnvoyOptions, Way
from tallystick.envoy.providers import KeySource, Kind, Provider
from tallystick.envoy.ways import filter_names, route_settings

METADATA = "tallystick"
"""The namespace of a route's metadata: provider, kind and prefix."""

_PRIVATE = ("x-forwarded-for", "x-forwarded-proto", "x-envoy-external-address", "cookie")
"""What a provider need not know of a client."""
_MUTATIONS = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
_DISABLED = "envoy.config.route.v3.FilterConfig"


def route_configuration(options: EnvoyOptions) -> dict[str, Any]:
    """Write all routes. What leads nowhere is answered by Envoy, and the sidecar is not asked."""
    routes = [route for each in options.providers for route in _routes(each, options, each.prefix)]
    if len(options.providers) == 1:
        routes += _routes(options.providers[0], options, "/")
    else:
        routes.append(_nowhere(options))
    return {"name": "providers", "virtual_hosts": [{"name": "providers", "domains": ["*"], "routes": routes}]}


def context_of(provider: Provider, prefix: str) -> dict[str, str]:
    """Say what the sidecar is told of a route. The prefix has no slash at its end."""
    return {"provider": provider.name, "kind": str(provider.kind), "prefix": prefix.rstrip("/")}


def _routes(provider: Provider, options: EnvoyOptions, prefix: str) -> list[dict[str, Any]]:
    """Write a provider's routes: its endpoints whose answers need settings, and all the rest."""
    every = _route(provider, options, prefix)
    endpoints = () if options.way is Way.PROC else endpoints_of(provider.kind)
    there = filter_names(options)
    special = [
        {
            **every,
            "match": {"prefix": prefix, "headers": [endpoint.match]},
            "typed_per_filter_config": every["typed_per_filter_config"]
            | {name: each for name, each in endpoint.settings.items() if name in there},
        }
        for endpoint in endpoints
    ]
    return [*special, every]


def _route(provider: Provider, options: EnvoyOptions, prefix: str) -> dict[str, Any]:
    context = context_of(provider, prefix)
    base = f"{provider.base_path}/"
    own_key = provider.key is not None and provider.key.source is KeySource.CLIENT
    settings = route_settings(options, context)
    if provider.kind is Kind.GEMINI and not own_key:
        mutations = {"query_parameter_mutations": [{"remove": "key"}]}
        settings["envoy.filters.http.header_mutation"] = typed(_MUTATIONS, mutations=mutations)
    return {
        "name": provider.name,
        "match": {"prefix": prefix},
        "metadata": {"filter_metadata": {METADATA: context}},
        "route": {
            "cluster": provider.cluster,
            "host_rewrite_literal": provider.authority,
            **({} if base == prefix else {"prefix_rewrite": base}),
            "timeout": "0s",  # a stream may be long; what counts is that it goes on
            "idle_timeout": seconds(options.idle_timeout_s),
        },
        # Envoy reads usage from plain bodies only.
        "request_headers_to_add": [
            {
                "header": {"key": "accept-encoding", "value": "identity"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "request_headers_to_remove": [*_PRIVATE, *(() if own_key else CREDENTIAL_HEADERS)],
        "typed_per_filter_config": settings,
    }


def _nowhere(options: EnvoyOptions) -> dict[str, Any]:
    places = ", ".join(provider.prefix for provider in options.providers)
    message = f"no provider is at this path; there are {places}"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "unknown_provider"}
    return {
        "name": "nowhere",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": json.dumps({"error": error})}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "typed_per_filter_config": {
            name: typed(_DISABLED, disabled=True) for name in filter_names(options)
        },
    }  # fmt: skip
