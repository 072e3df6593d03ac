"""Upstream clusters: the sidecar, and each provider."""

from typing import Any

from tallystick.envoy.extension import extension, typed
from tallystick.envoy.keys import key_filters
from tallystick.envoy.options import EnvoyOptions, Place
from tallystick.envoy.providers import Provider

SIDECAR = "tallystick"
UNLIMITED = 1_000_000
"""In place of a limit: every open stream is a request of a cluster, and 1,024 are allowed by default."""

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_CODEC = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"


def address_of(place: Place) -> dict[str, Any]:
    """Write where something listens."""
    if place.path:
        return {"pipe": {"path": place.path}}
    return {"socket_address": {"address": place.host, "port_value": place.port}}


def sidecar_cluster(options: EnvoyOptions) -> dict[str, Any]:
    """Write the sidecar's cluster.

    Without a panic threshold of 0 a sidecar that drains would still be asked, being the only one.
    """
    place = options.sidecar
    http2 = {"connection_keepalive": {"interval": "30s", "timeout": "5s"}}
    return {
        **_cluster(SIDECAR, place, "" if place.path or place.is_address else "STRICT_DNS"),
        "connect_timeout": "1s",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {},
            }
        ],
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: typed(
                _HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": http2}
            )
        },
    }  # fmt: skip


def provider_cluster(provider: Provider, options: EnvoyOptions) -> dict[str, Any]:
    """Write a provider's cluster: TLS with the certificate checked, or plain for one nearby."""
    place = Place(provider.host, provider.port)
    auto: dict[str, Any] = {"auto_config": {}}
    plain: dict[str, Any] = {"explicit_http_config": {"http_protocol_options": {}}}
    filters = key_filters(provider)
    http: dict[str, Any] = typed(_HTTP_OPTIONS, **(auto if provider.tls else plain))
    if filters:
        http["http_filters"] = [*filters, extension("envoy.filters.http.upstream_codec", _CODEC)]
    return {
        # A provider's name has many addresses that come and go; connections outlive them.
        **_cluster(provider.cluster, place, "" if place.is_address else "LOGICAL_DNS"),
        "connect_timeout": "10s",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: http},
        **({"transport_socket": _tls(provider, options.ca_bundle)} if provider.tls else {}),
    }


def _cluster(name: str, place: Place, dns: str) -> dict[str, Any]:
    """Write what all clusters have; `dns` is how a name is looked up, empty for an address."""
    looked_up = {"type": dns, "dns_lookup_family": "V4_PREFERRED"} if dns else {"type": "STATIC"}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), UNLIMITED)
    endpoint = {"endpoint": {"address": address_of(place)}}
    return {
        "name": name,
        **looked_up,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [limits]},
    }


def _tls(provider: Provider, ca_bundle: str) -> dict[str, Any]:
    san = {"san_type": "IP_ADDRESS" if provider.is_address else "DNS", "matcher": {"exact": provider.host}}
    trust = {"trusted_ca": {"filename": ca_bundle}, "match_typed_subject_alt_names": [san]}
    return extension(
        "envoy.transport_sockets.tls",
        _TLS,
        sni=None if provider.is_address else provider.host,
        common_tls_context={
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "validation_context": trust,
        },
    )
