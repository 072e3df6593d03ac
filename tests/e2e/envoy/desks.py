"""One tenant behind a gateway with a real sidecar: its clients, its ledger, its provider's bill."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai

from tallystick.core.consumer_keys import hash_key, make_key
from tallystick.core.usage import Usage
from tests.e2e.books import Books, books_of
from tests.e2e.caller import Caller
from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.gateways import Answer, Gateway
from tests.e2e.envoy.provider import Script, Seen
from tests.servers import SidecarProcess, http_get

PRICES = """
prices:
  models:
    big: {input: 10, cached_input: 1, output: 100}
    small: {input: 1, cached_input: 0.1, output: 10}
    claude-big: {input: 10, cached_input: 1, cache_write: 12.5, cache_write_1h: 20, output: 100}
    gemini-big: {input: 10, cached_input: 1, output: 100}
    gemini-small: {input: 1, cached_input: 0.1, output: 10}
"""
DAILY = "budgets: {daily: {per: [user], limit: 1 USD, window: day}}\n"
_numbers = itertools.count(1)


@dataclass
class Desk:
    """What a case has in its hands."""

    gateway: Gateway
    sidecar: SidecarProcess
    books: Books
    caller: Caller
    key: str
    open_clients: list[Any] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        return self.caller.tenant

    def apply(self, rules: str = DAILY, more: str = "") -> None:
        """Puts a policy in force that knows the prices and the key."""
        consumers = f'consumers: {{bot: {{key: "{hash_key(self.key)}", subject: {{user: bot}}}}}}\n'
        self.caller.apply(f"{consumers}{PRICES}{rules}{more}")

    def url(self, provider: str) -> str:
        return f"http://127.0.0.1:{self.gateway.envoy.port}/{provider}"

    def of_openai(self, script: str, *, key: str = "", **more: Any) -> openai.OpenAI:
        """The official client, told nothing but where to go."""
        client = openai.OpenAI(**self._client(script, "openai/v1", key) | more)
        self.open_clients.append(client)
        return client

    def of_openai_async(self, script: str, **more: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self._client(script, "openai/v1", "") | more)

    def of_anthropic(self, script: str, *, key: str = "", **more: Any) -> anthropic.Anthropic:
        client = anthropic.Anthropic(**self._client(script, "anthropic", key) | more)
        self.open_clients.append(client)
        return client

    def of_anthropic_async(self, script: str, **more: Any) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(**self._client(script, "anthropic", "") | more)

    def _client(self, script: str, place: str, key: str) -> dict[str, Any]:
        headers = {"x-script": script}
        return {"base_url": self.url(place), "api_key": key or self.key, "default_headers": headers}

    def script(self, script: Script | None = None) -> str:
        return self.gateway.script(script)

    def call(self, script: str, path: str, body: Any = None, method: str = "", **headers: str) -> Answer:
        """A call with the consumer's key."""
        given = {"authorization": f"Bearer {self.key}"} | headers
        return self.gateway.call(script, path, body, method, **given)

    def sent(self, script: str) -> list[Seen]:
        return self.gateway.provider.of(script)

    def entries(self, *kinds: str) -> list[dict[str, str]]:
        """The ledger's of this tenant."""
        return [e.fields for e in self.books.of_tenant(self.tenant).log if e.fields["kind"] in kinds]

    def ended(self, count: int = 1) -> list[dict[str, str]]:
        """The ends of so many calls, once they are there; no hold is left then."""
        wait(lambda: len(self.entries("settle", "release")) >= count)
        ends = self.entries("settle", "release")
        assert len(ends) == count, ends
        assert not self.held()
        return ends

    def held(self) -> list[str]:
        """The counters in which anything is."""
        counters = self.books.of_tenant(self.tenant).count
        return [name for name, value in counters.items() if name.endswith(":h") and value]

    def settled(self) -> dict[str, str]:
        """The one end, a settle."""
        (end,) = self.ended()
        assert end["kind"] == "settle", end
        return end

    def metric(self, line: str) -> float:
        """One line of /metrics; 0 if it is not there."""
        text = http_get(self.sidecar.http_port, "/metrics")[1]

        found = [each.rpartition(" ")[2] for each in text.splitlines() if each.startswith(line)]
        return float(found[0]) if found else 0.0

    def nothing_held(self) -> None:
        """No call was let in."""
        time.sleep(0.3)
        assert not self.entries("reserve", "settle", "release")


def usage_in(end: dict[str, str]) -> Usage:
    """The tokens that an end of the ledger tells of."""
    pairs = (pair.split("=") for pair in end["usage"].split(",") if pair)
    return Usage(**{name: int(tokens) for name, tokens in pairs})


def body_of(seen: Seen) -> Any:
    return json.loads(seen.body)


@contextmanager
def desk_at(gateway: Gateway, sidecar: SidecarProcess, tenant: str = "") -> Iterator[Desk]:
    """A new tenant, of this name if one is given, with a policy; at the end its books must be in order."""
    with books_of(sidecar) as books, Caller(sidecar, tenant=tenant) as caller:
        desk = Desk(gateway, sidecar, books, caller, make_key(caller.tenant))
        desk.apply()
        try:
            yield desk
        finally:
            for client in desk.open_clients:
                client.close()
        books.check()
