"""A gate on the store in memory, and requests as a proxy would show them."""

import json
from typing import Any

from tallystick.core.consumer_keys import hash_key, make_key
from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.proxied.calls import Allowed, Ending, HeldCall, ProxiedRequest, Turned
from tallystick.proxied.gate import Gate
from tallystick.proxied.identity import Identity
from tallystick.tokens import TokenCounter
from tests.unit.engine.office import Office

KEY = make_key("acme")
POLICY = f"""
consumers: {{bot: {{key: "{hash_key(KEY)}", subject: {{user: bot}}}}}}
prices:
  models:
    big: {{input: 10, output: 100}}
    small: {{input: 1, output: 10}}
    claude-x: {{input: 10, output: 100}}
    gemini-x: {{input: 10, output: 100}}
    m.x: {{input: 10, output: 100}}
budgets: {{daily: {{per: [user], limit: 1 USD, window: day}}}}
"""
TOKENS = TokenCounter(preload=False)
CHAT_PATH = "/v1/chat/completions"
CHAT = {"model": "big", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1_000}


class Counter:
    """Where proxied calls are presented. Each has a request id of its own."""

    def __init__(self) -> None:
        self.office = Office(TOKENS)
        planner = self.office.planner
        self.gate = Gate(self.office.engine, planner, Identity(planner), self.office.metrics)
        self._calls = 0

    def request(
        self, body: Any = CHAT, path: str = CHAT_PATH, kind: str = "openai", **fields: Any
    ) -> ProxiedRequest:
        self._calls += 1
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        given: dict[str, Any] = {
            "method": "POST", "body_bytes": len(data), "provider": "mine", "prefix": "/mine",
            "request_id": f"id-{self._calls}",
        }  # fmt: skip
        headers |= fields.pop("headers", {})
        return ProxiedRequest(path=path, kind=kind, body=data, headers=headers, **given | fields)

    async def allowed(self, body: Any = CHAT, path: str = CHAT_PATH, **fields: Any) -> Allowed:
        verdict = await self.gate.admit(self.request(body, path, **fields))
        assert isinstance(verdict, Allowed), verdict
        return verdict

    async def turned(self, body: Any = CHAT, path: str = CHAT_PATH, **fields: Any) -> Turned:
        verdict = await self.gate.admit(self.request(body, path, **fields))
        assert isinstance(verdict, Turned), verdict
        return verdict

    def spent(self) -> int:
        """Of the day's budget, in nano-dollars."""
        count = self.office.partition.count
        return sum(value for name, value in count.items() if name.startswith("acme:") and name.endswith(":s"))

    async def charged(self, call: HeldCall, ending: Ending) -> int:
        """What an end charges."""
        before = self.spent()
        await self.gate.end(call, ending)
        assert not self.office.held()
        return self.spent() - before


HELD = Usage(input=10, output=1_000)


def held_call(api: Api = Api.OPENAI_CHAT, held: Usage = HELD) -> HeldCall:
    return HeldCall("acme", "r", b"tally", api, "big", held)
