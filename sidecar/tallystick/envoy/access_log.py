"""Access logs: the entries that settle, over gRPC, and a file of the same to replay."""

from types import MappingProxyType
from typing import Any

from tallystick.envoy.answers import ANSWER, USAGE
from tallystick.envoy.clusters import SIDECAR
from tallystick.envoy.extension import extension, seconds
from tallystick.envoy.options import EnvoyOptions, Way

LOG_NAME = "tallystick"
KEPT_BYTES = 2 << 20
"""How much each of Envoy's workers keeps while the sidecar is away. It is sent in one message, and gRPC
servers take 4 MiB."""
RESPONSE_HEADERS = ("content-type", "content-encoding")
"""Headers of answers that entries carry; they tell why no usage was read."""

_GRPC = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
_FILE = "envoy.extensions.access_loggers.file.v3.FileAccessLog"

FIELDS = MappingProxyType(
    {
        "type": "%ACCESS_LOG_TYPE%",
        "start": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "duration_ms": "%DURATION%",
        "first_byte_ms": "%RESPONSE_DURATION%",
        "stream_id": "%STREAM_ID%",
        "provider": "%ROUTE_NAME%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "code": "%RESPONSE_CODE%",
        "code_details": "%RESPONSE_CODE_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "request_bytes": "%BYTES_RECEIVED%",
        "response_bytes": "%BYTES_SENT%",
        "content_type": "%RESP(CONTENT-TYPE)%",
        "content_encoding": "%RESP(CONTENT-ENCODING)%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "decision": "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%",
        "body": "%DYNAMIC_METADATA(envoy.filters.http.json_to_metadata)%",
        "answer": f"%DYNAMIC_METADATA({ANSWER})%",
        "usage": f"%TYPED_CEL(metadata.typed_filter_metadata['{USAGE}'])%",
    }
)
"""A line of the file: all that a settle needs, and neither a prompt nor a key."""


def access_logs(options: EnvoyOptions) -> list[dict[str, Any]]:
    """Write the logs that were asked for."""
    logs = []
    if options.way is Way.AUTHZ:
        logs.append(_over_grpc(options))
    if options.access_log:
        logs.append(_to_file(options.access_log))
    return logs


def _over_grpc(options: EnvoyOptions) -> dict[str, Any]:
    return extension(
        "envoy.access_loggers.http_grpc",
        _GRPC,
        common_config={
            "log_name": LOG_NAME,
            "grpc_service": {"envoy_grpc": {"cluster_name": SIDECAR}},
            "transport_api_version": "V3",
            "buffer_flush_interval": seconds(options.log_flush_interval_s),
            "buffer_size_bytes": KEPT_BYTES,
        },
        additional_response_headers_to_log=list(RESPONSE_HEADERS),
    )


def _to_file(path: str) -> dict[str, Any]:
    return {
        **extension(
            "envoy.access_loggers.file",
            _FILE,
            path=path,
            log_format={"json_format": dict(FIELDS), "omit_empty_values": True},
        ),
        "filter": {"log_type_filter": {"types": ["DownstreamEnd"]}},
    }
