"""The HTTP endpoint of an operator: /metrics, /livez and /readyz."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tallystick.config import PREFIX, ConfigError
from tallystick.observe.metrics import Metrics
from tallystick.setting_types import split_address

READY = "ready"
"""What `ready` says of a part that is, alone or before what is to be known of it; anything else says
what it waits for."""
ALONE = f"{READY}: it is away, and calls are decided without it"
"""What it says of a store in whose place the budgets' own rules serve."""
_CLOSE_S = 2
"""How many seconds open requests may take to finish at `stop`."""


class _Server(uvicorn.Server):
    """A server that leaves the process's signals alone, and tells when it listens."""

    def __init__(self, config: uvicorn.Config, up: asyncio.Event) -> None:
        super().__init__(config)
        self._up = up

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()


class HttpEndpoint:
    """Serves on `listen` (`host:port`, port 0 for a free one) within the running event loop.

    `ready` names each part of the sidecar with `READY` or with what it waits for.
    `routes` are served beside the endpoint's own.
    """

    def __init__(
        self,
        listen: str,
        metrics: Metrics,
        ready: Callable[[], Mapping[str, str]],
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._listen = listen
        self._metrics = metrics
        self._ready = ready
        self._app = Starlette(
            routes=[
                Route("/metrics", self._serve_metrics),
                Route("/livez", self._serve_livez),
                Route("/readyz", self._serve_readyz),
                *routes,
            ]
        )
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before `start`."""
        return self._port

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            ConfigError: the address can't be had.

        """
        listener, up = _bound(self._listen), asyncio.Event()
        try:
            config = uvicorn.Config(
                self._app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_CLOSE_S,
            )
            self._server = _Server(config, up)
            self._serving = asyncio.create_task(self._server.serve([listener]), name="http endpoint")
            self._serving.add_done_callback(lambda _: up.set())
            await up.wait()
            if self._serving.done():
                await self._serving  # raises what ended it
        except BaseException:
            await self.stop()
            listener.close()
            raise
        self._port = listener.getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close what is open, within a few seconds."""
        server, serving = self._server, self._serving
        self._server = self._serving = None
        if server is not None and serving is not None:
            server.should_exit = True
            await serving

    async def _serve_metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._metrics.registry), headers={"content-type": content_type})

    async def _serve_livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def _serve_readyz(self, _request: Request) -> Response:
        parts = dict(self._ready())
        ready = all(state.startswith(READY) for state in parts.values())
        return JSONResponse(
            {"status": READY if ready else "not ready", "parts": parts}, status_code=200 if ready else 503
        )


def _bound(listen: str) -> socket.socket:
    host, port = split_address(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address, family=family)
    except OSError as error:
        raise ConfigError(f"{PREFIX}HTTP_LISTEN: can't listen on {listen}: {error.strerror}") from error
