"""A real Envoy with the HTTP rate limit filter, between a test and a stand-in for a provider."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tallystick.envoy import find_envoy
from tests.servers import START_S, free_port, short_directory

TYPES = "type.googleapis.com/envoy"
FILTERS = f"{TYPES}.extensions.filters"
TOKENS = "x-tokens"
"""The header in which the stand-in says what an answer took."""


class Provider(BaseHTTPRequestHandler):
    """Answers every request, and says how many tokens that took: what the client asks for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"{}"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header(TOKENS, self.headers.get(TOKENS, "0"))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def provider() -> Iterator[int]:
    """The port of a stand-in for a provider."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name: str, place: dict[str, Any], **more: Any) -> dict[str, Any]:
    endpoint = {"lb_endpoints": [{"endpoint": {"address": place}}]}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
        **more,
    }


def http2() -> dict[str, Any]:
    options = {
        "@type": f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        }
    }


def bootstrap(socket: Path, port: int, upstream: int, domain: str, limits: list[Any], **filter_: Any) -> Any:
    """`limits`: the `rate_limits` of the one route, as `RateLimitPerRoute` has them."""
    rate_limit = {
        "@type": f"{FILTERS}.http.ratelimit.v3.RateLimit",
        "domain": domain,
        "timeout": "2s",
        "failure_mode_deny": True,
        "rate_limit_service": {
            "grpc_service": {"envoy_grpc": {"cluster_name": "tallystick"}},
            "transport_api_version": "V3",
        },
        **filter_,
    }
    usage = {
        "@type": f"{FILTERS}.http.header_to_metadata.v3.Config",
        "response_rules": [
            {
                "header": TOKENS,
                "on_header_present": {"metadata_namespace": "usage", "key": "tokens", "type": "NUMBER"},
            }
        ],
    }
    per_route = {"@type": f"{FILTERS}.http.ratelimit.v3.RateLimitPerRoute", "rate_limits": limits}
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "provider"},
        "typed_per_filter_config": {"envoy.filters.http.ratelimit": per_route},
    }
    chain = [
        {"name": "envoy.filters.http.ratelimit", "typed_config": rate_limit},
        {"name": "envoy.filters.http.header_to_metadata", "typed_config": usage},
        {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{FILTERS}.http.router.v3.Router"}},
    ]
    manager = {
        "@type": f"{FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": chain,
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "static_resources": {
            "listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": filters}]}],
            "clusters": [
                cluster("provider", address(upstream)),
                cluster("tallystick", {"pipe": {"path": str(socket)}}, **http2()),
            ],
        }
    }


class Envoy:
    """Asked by HTTP."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and body; header names have `_` for `-`, and one that comes twice is told so."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", headers=named)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, _joined(answer.headers.items()), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _joined(error.headers.items()), error.read().decode()


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        found[name] = f"{found[name]} | {value}" if name in found else value
    return found


@contextmanager
def envoy_running(configuration: Any, port: int) -> Iterator[Envoy]:
    with short_directory() as directory:
        path = directory / "envoy.json"
        path.write_text(json.dumps(configuration))
        log = directory / "log"
        command = [str(find_envoy()), "-c", str(path), "--use-dynamic-base-id", "--concurrency", "1"]
        with log.open("wb") as output:
            process = subprocess.Popen([*command, "--log-level", "warning"], stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + START_S
            while not _answers(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield Envoy(port)
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def envoy_before(socket: Path, domain: str, limits: list[Any], **filter_: Any) -> Iterator[Envoy]:
    """An Envoy in front of a stand-in provider, whose rate limits the sidecar on `socket` answers."""
    port = free_port()
    with (
        provider() as upstream,
        envoy_running(bootstrap(socket, port, upstream, domain, limits, **filter_), port) as envoy,
    ):
        yield envoy
