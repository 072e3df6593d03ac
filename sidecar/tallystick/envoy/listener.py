"""The listener that clients meet."""

from typing import Any

from tallystick.envoy.access_log import access_logs
from tallystick.envoy.clusters import address_of
from tallystick.envoy.extension import extension, seconds
from tallystick.envoy.options import EnvoyOptions, Way
from tallystick.envoy.routes import route_configuration
from tallystick.envoy.ways import filters

_NOBODY = {"address_prefix": "255.255.255.255", "prefix_len": 32}
"""Without a range, private addresses and the loopback would be trusted."""

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_TLS = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def listener(options: EnvoyOptions) -> dict[str, Any]:
    """Write the listener: TLS if there is a certificate, and room for the largest body."""
    chain: dict[str, Any] = {
        "filters": [extension("envoy.filters.network.http_connection_manager", _MANAGER, **_http(options))]
    }
    if options.tls_cert:
        chain["transport_socket"] = _tls(options)
    return {
        "name": "clients",
        "address": address_of(options.listen),
        "per_connection_buffer_limit_bytes": options.max_body_bytes,
        "filter_chains": [chain],
    }


def _http(options: EnvoyOptions) -> dict[str, Any]:
    logs = access_logs(options)
    periodic = {"access_log_flush_interval": seconds(options.progress_interval_s)}
    return {
        "stat_prefix": "clients",
        "route_config": route_configuration(options),
        # Clients are strangers, also on a private network: what only Envoy may say (x-envoy-retry-on,
        # x-request-id) is not taken from them.
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [_NOBODY]},
        "normalize_path": True,
        "merge_slashes": True,
        "http2_protocol_options": {"initial_stream_window_size": options.max_body_bytes},
        "common_http_protocol_options": {"idle_timeout": "3600s"},
        "request_headers_timeout": "10s",
        "stream_idle_timeout": seconds(options.idle_timeout_s),
        "access_log": logs,
        **({"access_log_options": periodic} if options.way is Way.AUTHZ else {}),
        "http_filters": [
            *filters(options),
            extension("envoy.filters.http.router", _ROUTER, suppress_envoy_headers=True),
        ],
    }


def _tls(options: EnvoyOptions) -> dict[str, Any]:
    certificate = {
        "certificate_chain": {"filename": options.tls_cert},
        "private_key": {"filename": options.tls_key},
    }
    context: dict[str, Any] = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [certificate],
    }
    if options.tls_client_ca:
        context["validation_context"] = {"trusted_ca": {"filename": options.tls_client_ca}}
    return extension(
        "envoy.transport_sockets.tls",
        _TLS,
        common_tls_context=context,
        require_client_certificate=bool(options.tls_client_ca),
    )
