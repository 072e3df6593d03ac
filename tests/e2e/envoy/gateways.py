"""A gateway for tests: Envoy, the stand-in provider behind it, and no-op services beside it."""

import contextlib
import dataclasses
import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.envoy import EnvoyOptions, Key, Way, read_key, read_provider
from tallystick.envoy.options import Place
from tallystick.envoy.providers import Provider
from tests.e2e.envoy.adapters import Adapters
from tests.e2e.envoy.late import LateSocket
from tests.e2e.envoy.process import EnvoyProcess
from tests.e2e.envoy.provider import Script, ScriptedProvider, Seen
from tests.e2e.envoy.thread import LoopThread
from tests.servers import SidecarProcess, short_directory

KEYS = {"OPENAI_KEY": "key-of-openai", "ANTHROPIC_KEY": "key-of-anthropic"}
KEYS |= {"GEMINI_KEY": "key-of-gemini", "AZURE_KEY": "key-of-azure"}
PATIENCE_S = 30.0
"""How long a real sidecar may take: on a machine with much else to do the first decision takes seconds."""
_scripts = itertools.count(1)


@dataclass(frozen=True)
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gateway:
    """One Envoy with what is around it."""

    envoy: EnvoyProcess
    provider: ScriptedProvider
    adapters: Adapters
    thread: LoopThread
    access_log: Path

    def script(self, script: Script | None = None) -> str:
        """A name for one test's calls, and what the provider answers to them."""
        name = f"script-{next(_scripts)}"
        self.provider.scripts[name] = script or Script()
        return name

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.envoy.port, timeout=30)

    def call(self, script: str, path: str, body: Any = None, method: str = "", **headers: str) -> Answer:
        """One call; a body that is no bytes is sent as JSON."""
        with contextlib.closing(self.connect()) as connection:
            response = self.send(connection, script, path, body, method, **headers)
            return Answer(response.status, _fields(response), response.read())

    def send(
        self, connection: http.client.HTTPConnection, script: str, path: str, body: Any = None,
        method: str = "", **headers: str,
    ) -> http.client.HTTPResponse:  # fmt: skip
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        fields = {"x-script": script} | ({"content-type": "application/json"} if body is not None else {})
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if data is None else "POST"), path, data, fields)
        return connection.getresponse()

    def seen(self, script: str) -> Seen:
        """The one request that reached the provider."""
        (seen,) = self.provider.of(script)
        return seen

    def lines_of(self, script: str) -> list[dict[str, Any]]:
        """The lines that the file has of a script's calls."""
        lines = map(json.loads, self.access_log.read_text().splitlines())
        return [line for line in lines if line.get("decision", {}).get("script") == script]


def _fields(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def chunks(response: http.client.HTTPResponse) -> Iterator[tuple[float, bytes]]:
    """Parts of an answer as they come, with the time."""
    while part := response.read1(1 << 16):
        yield time.monotonic(), part


def providers_at(port: int) -> tuple[Provider, ...]:
    """One of each kind, all of them the stand-in, each with a key of its own."""
    url = f"http://127.0.0.1:{port}"
    made = [
        (read_provider(f"openai={url}"), "env:OPENAI_KEY"),
        (read_provider(f"anthropic={url}"), "env:ANTHROPIC_KEY"),
        (read_provider(f"gemini={url}"), "env:GEMINI_KEY"),
        (read_provider(f"azure={url}"), "env:AZURE_KEY"),
        (read_provider(f"own:openai={url}"), "client"),
        (read_provider(f"aws:bedrock={url}"), "env:OPENAI_KEY"),
    ]
    keyed = [dataclasses.replace(each, key=_key(source)) for each, source in made]
    return (*keyed, read_provider(f"local:compatible={url}/base"))


def _key(source: str) -> Key:
    return read_key(f"x={source}")[1]


@contextlib.contextmanager
def running(
    way: Way, provider: ScriptedProvider, thread: LoopThread, *, unix: bool = True,
    environment: dict[str, str] | None = None, sidecar: SidecarProcess | LateSocket | None = None,
    change: Callable[[dict[str, Any]], None] = lambda _: None, **options: Any,
) -> Iterator[Gateway]:  # fmt: skip
    """A gateway of the given way; `options` are those of `EnvoyOptions`, `change` that of `EnvoyProcess`.

    With a sidecar it is asked, and the services that do nothing but what a test says are not.
    """
    adapters = Adapters()
    with short_directory() as directory:
        place = Place(path=f"{directory}/sidecar.sock") if unix else None
        thread.run(adapters.start(f"unix:{directory}/sidecar.sock" if unix else "127.0.0.1:0"))
        place = place or Place("127.0.0.1", adapters.port)
        if sidecar is not None:
            place = Place(path=sidecar.socket.removeprefix("unix:"))
            options = {"decision_timeout_s": PATIENCE_S} | options
        log = directory / "access.log"
        values: dict[str, Any] = {
            "providers": providers_at(provider.port),
            "way": way,
            "sidecar": place,
            "listen": Place("127.0.0.1", 0),
            "admin": Place(path=f"{directory}/admin.sock"),
            "access_log": str(log),
        }
        envoy = EnvoyProcess(EnvoyOptions(**values | options), directory, KEYS | (environment or {}), change)
        try:
            envoy.start()
            yield Gateway(envoy, provider, adapters, thread, log)
        finally:
            envoy.stop()
            thread.run(adapters.stop())
