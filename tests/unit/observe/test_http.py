"""The operator's HTTP endpoint, over real sockets."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Mapping

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tallystick.config import ConfigError
from tallystick.observe.http import READY, HttpEndpoint
from tallystick.observe.metrics import Metrics


@contextlib.asynccontextmanager
async def served(parts: Mapping[str, str], listen: str = "127.0.0.1:0") -> AsyncIterator[httpx2.AsyncClient]:
    async def hello(_request: Request) -> Response:
        return PlainTextResponse("hello")

    endpoint = HttpEndpoint(listen, Metrics("1.2.3"), lambda: parts, [Route("/hello", hello)])
    await endpoint.start()
    host = listen.rpartition(":")[0]
    try:
        async with httpx2.AsyncClient(base_url=f"http://{host}:{endpoint.port}") as client:
            yield client
    finally:
        await endpoint.stop()


async def test_metrics_in_the_format_asked_for() -> None:
    async with served({}) as client:
        plain = await client.get("/metrics")
        assert plain.status_code == 200
        assert plain.headers["content-type"].startswith("text/plain; version=")
        assert 'tallystick_build_info{version="1.2.3"} 1.0' in plain.text
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        openmetrics = await client.get("/metrics", headers=accept)
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
        assert openmetrics.text.endswith("# EOF\n")


async def test_live() -> None:
    async with served({"store": "loading"}) as client:
        answer = await client.get("/livez")
        assert (answer.status_code, answer.json()) == (200, {"status": "live"})


async def test_ready_follows_the_parts() -> None:
    parts = {"store": "loading", "policy": READY}
    async with served(parts) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "parts": parts})
        parts["store"] = READY
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready", "parts": parts})


async def test_other_routes() -> None:
    async with served({}) as client:
        assert (await client.get("/hello")).text == "hello"
        assert (await client.get("/nothing")).status_code == 404
        assert (await client.post("/livez")).status_code == 405


async def test_signals_are_left_alone() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with served({}):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"TALLYSTICK_HTTP_LISTEN: can't listen on {listen}: "):
            await HttpEndpoint(listen, Metrics("1"), dict).start()


async def test_stop_frees_the_port_and_closes_connections() -> None:
    endpoint = HttpEndpoint("127.0.0.1:0", Metrics("1"), dict)
    await endpoint.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    await endpoint.stop()
    await endpoint.stop()  # harmless
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", endpoint.port)
    await endpoint.start()
    await endpoint.stop()


async def test_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with served({}, "[::1]:0") as client:
        assert (await client.get("/livez")).status_code == 200
