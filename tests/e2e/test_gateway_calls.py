"""Calls through `tallystick gateway` by the official SDKs, with nothing changed but base_url and key."""

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tallystick.demo.books import Bill, read_ledger
from tallystick.demo.provider import StandIn
from tallystick.store.address import StoreAddress
from tallystick.store.embedded import EmbeddedValkey
from tests.e2e.envoy.thread import LoopThread
from tests.e2e.faults import eventually
from tests.e2e.own_gateway import OwnGateway
from tests.servers import short_directory

HELLO: Any = {"role": "user", "content": "Hello there."}


class Desk:
    """A gateway with a stand-in provider behind it, which has a bill of its own."""

    def __init__(self, gateway: OwnGateway, provider: StandIn) -> None:
        self.gateway = gateway
        self.provider = provider

    def openai(self, key: str = "") -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway.url}/openai/v1", api_key=key or self.gateway.key)

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=f"{self.gateway.url}/anthropic", api_key=self.gateway.key)

    def ledger(self) -> Bill:
        """What the ledger charged; a call's end comes a moment after the call."""
        address = StoreAddress(path=str(EmbeddedValkey(self.gateway.directory).socket_path))
        return asyncio.run(read_ledger(address)).bill

    def agree(self) -> None:
        """The provider's bill and the ledger's, to the nano-dollar."""
        deadline = time.monotonic() + 10
        while (found := self.ledger()) != self.provider.bill:
            assert time.monotonic() < deadline, (found, self.provider.bill)
            time.sleep(0.05)


@pytest.fixture
def desk() -> Iterator[Desk]:
    thread, provider = LoopThread(), StandIn()
    try:
        thread.run(provider.__aenter__())
        with short_directory() as directory:
            gateway = OwnGateway(directory, provider.url)
            gateway.start()
            try:
                yield Desk(gateway, provider)
            finally:
                gateway.stop()
                thread.run(provider.__aexit__(None, None, None))
    finally:
        thread.stop()


def test_programs_are_under_budget_by_their_base_url(desk: Desk) -> None:
    with desk.openai() as client:
        answer = client.chat.completions.create(
            model="demo-large", messages=[HELLO], max_completion_tokens=100
        )
        assert answer.choices[0].message.content
        ask: dict[str, Any] = {"model": "demo-large", "messages": [HELLO], "max_completion_tokens": 100}
        with client.chat.completions.create(**ask, stream=True) as chunks:
            assert [chunk for chunk in chunks if chunk.choices]
    with desk.anthropic() as claude:
        said = claude.messages.create(model="demo-voice", messages=[HELLO], max_tokens=100)
        assert said.usage.output_tokens
        with claude.messages.stream(model="demo-voice", messages=[HELLO], max_tokens=100) as stream:
            assert stream.get_final_message().usage.output_tokens
    assert {model: calls for model, (calls, _) in desk.provider.bill.items()} == {
        "demo-large": 2,
        "demo-voice": 2,
    }
    desk.agree()


def test_who_has_no_key_of_ours_is_refused_before_the_provider(desk: Desk) -> None:
    for key in ("sk-of-the-company-0123456789", "tally-acme-" + "a" * 43):
        with desk.openai(key) as client, pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model="demo-large", messages=[HELLO])
    assert not desk.provider.served


def test_a_stream_outlives_the_word_to_stop(desk: Desk) -> None:
    ask: dict[str, Any] = {"model": "demo-large", "messages": [HELLO], "max_completion_tokens": 4000}
    client = desk.openai()
    with client, client.chat.completions.create(**ask, stream=True) as chunks:
        assert next(chunks)
        port = int(desk.gateway.url.rpartition(":")[2])
        stopping = threading.Thread(target=desk.gateway.stop)
        stopping.start()
        time.sleep(1.5)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        finish = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]
    assert finish == "stop"
    stopping.join()
    assert desk.gateway.stop() == 0
    (served,) = desk.provider.served.values()
    assert served.output_tokens >= 2000, "it lasted longer than the draining of the listener"
    desk.gateway.start()
    desk.agree()


def test_what_ended_while_the_sidecar_was_away_is_settled_after_the_next_start(desk: Desk) -> None:
    gateway, client = desk.gateway, desk.openai()
    ask: dict[str, Any] = {"model": "demo-large", "messages": [HELLO], "max_completion_tokens": 800}
    with client, client.chat.completions.create(**ask, stream=True) as chunks:
        assert next(chunks)
        os.kill(gateway.pid, signal.SIGSTOP)
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    gateway.kill()
    gateway.start()
    desk.agree()
    eventually(lambda: "the access log of earlier runs was replayed: 1 lines, 1 calls settled" in gateway.log)
    assert "DownstreamEnd" in gateway.file("access.log.1")
    assert not (gateway.directory / "access.log.unsettled").exists()


def test_a_stream_that_is_cut_by_the_sidecars_death_is_charged_what_passed(desk: Desk) -> None:
    gateway, client = desk.gateway, desk.openai()
    ask: dict[str, Any] = {"model": "demo-large", "messages": [HELLO], "max_completion_tokens": 4000}
    with client, client.chat.completions.create(**ask, stream=True) as chunks:
        for _ in range(20):
            next(chunks)
        gateway.kill()
        with pytest.raises((openai.APIError, httpx2.TransportError)):
            list(chunks)
    gateway.start()
    eventually(lambda: "demo-large" in desk.ledger())
    (served,) = desk.provider.served.values()
    calls, charged = desk.ledger()["demo-large"]
    whole = 4000 * 75_000
    assert calls == 1
    assert 0.5 * served.nano_usd < charged < whole, "neither nothing nor the whole hold"


def test_a_replay_that_is_interrupted_is_done_at_the_next_start(desk: Desk) -> None:
    gateway = desk.gateway
    gateway.stop()
    unsettled, current = gateway.directory / "access.log.unsettled", gateway.directory / "access.log"
    unsettled.write_text('{"type": "DownstreamEnd", "number": 1}\n')
    current.write_text('{"type": "DownstreamEnd", "number": 2}\n')
    gateway.start()
    eventually(lambda: "replayed: 2 lines, 0 calls settled" in gateway.log)
    assert [json.loads(line)["number"] for line in gateway.file("access.log.1").splitlines()] == [1, 2]
    assert not unsettled.exists()
