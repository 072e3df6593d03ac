"""Way proc with a real sidecar, on both transports: what only passes through it here."""

import asyncio
import concurrent.futures
import contextlib
import gzip
import http.client
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tallystick.core.usage import Usage
from tallystick.envoy import Way
from tests.e2e.envoy import answers
from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.answers import CHAT, chat_chunks
from tests.e2e.envoy.cases import ASK, CHAT_PATH, CHAT_USED, SAY, charged
from tests.e2e.envoy.desks import Desk, body_of, desk_at, usage_in
from tests.e2e.envoy.gateways import Gateway, running
from tests.e2e.envoy.provider import JSON, SSE, Script, ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.seeds import seed_of_run
from tests.servers import SidecarProcess, short_directory

MIB = 1 << 20
STREAM = ASK | {"stream": True, "stream_options": {"include_usage": True}}
CHAT_JSON = Script((json.dumps(CHAT).encode(),))
RICH = "budgets: {daily: {per: [user], limit: 1000 USD, window: day}}\n"
Start = Callable[..., Desk]


@pytest.fixture(scope="module", params=["native", "grpcio"])
def sidecar(request: pytest.FixtureRequest) -> Iterator[SidecarProcess]:
    with short_directory() as directory:
        process = SidecarProcess(directory, ENVOY="true", HTTP_LISTEN="127.0.0.1:0", TRANSPORT=request.param)
        process.start()
        try:
            yield process
        finally:
            code = process.stop()
    assert code == 0


@pytest.fixture(scope="module")
def gateway(
    sidecar: SidecarProcess, scripted: ScriptedProvider, loop_thread: LoopThread
) -> Iterator[Gateway]:
    with running(Way.PROC, scripted, loop_thread, sidecar=sidecar) as gateway:
        yield gateway


@pytest.fixture
def desk(gateway: Gateway, sidecar: SidecarProcess) -> Iterator[Desk]:
    with desk_at(gateway, sidecar) as desk:
        yield desk


@pytest.fixture
def start(scripted: ScriptedProvider, loop_thread: LoopThread) -> Iterator[Start]:
    """Starts a gateway and a sidecar of the test's own: `start(fail_open=…, **settings)`."""
    with contextlib.ExitStack() as ending:

        def start(*, fail_open: bool = False, **settings: str) -> Desk:
            directory = ending.enter_context(short_directory())
            process = SidecarProcess(directory, ENVOY="true", **settings)
            process.start()
            ending.callback(process.stop)
            gateway = ending.enter_context(
                running(Way.PROC, scripted, loop_thread, sidecar=process, fail_open=fail_open)
            )
            return ending.enter_context(desk_at(gateway, process))

        yield start


def memory(sidecar: SidecarProcess, name: str = "VmRSS") -> int:
    """Bytes that are resident; `VmHWM`: at most so far."""
    lines = Path(f"/proc/{sidecar.pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def forget_peak(sidecar: SidecarProcess) -> None:
    Path(f"/proc/{sidecar.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def streaming(desk: Desk, script: str, body: Any = STREAM) -> Iterator[http.client.HTTPResponse]:
    with contextlib.closing(desk.gateway.connect()) as connection:
        fields = {"authorization": f"Bearer {desk.key}"}
        yield desk.gateway.send(connection, script, CHAT_PATH, body, **fields)


def test_an_answer_in_single_bytes(desk: Desk) -> None:
    whole = b"".join(chat_chunks(2))
    script = desk.script(Script([bytes([byte]) for byte in whole], content_type=SSE, delay_s=0.001))
    assert desk.call(script, CHAT_PATH, STREAM).body == whole
    charged(desk, CHAT_USED)


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_compresses_all_the_same(desk: Desk, stream: bool) -> None:
    body = gzip.compress(b"".join(chat_chunks(3)) if stream else json.dumps(CHAT).encode())
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    kind = SSE if stream else JSON
    packed = Script(parts, content_type=kind, headers=[("content-encoding", "gzip")], delay_s=0.001)
    script = desk.script(packed)
    assert desk.call(script, CHAT_PATH, STREAM if stream else ASK, accept_encoding="gzip").body == body
    charged(desk, CHAT_USED)
    assert desk.sent(script)[0].headers["accept-encoding"] == "identity"


def test_bedrocks_event_stream(desk: Desk) -> None:
    whole = answers.CONVERSE_FRAMES
    parts = [whole[at : at + 11] for at in range(0, len(whole), 11)]
    script = desk.script(Script(parts, content_type="application/vnd.amazon.eventstream", delay_s=0.001))
    body = {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}
    assert desk.call(script, "/aws/model/claude-big/converse-stream", body).body == whole
    assert usage_in(desk.settled())[:2] == (5, 1)


def test_an_answer_of_many_megabytes_in_bounded_memory(desk: Desk, sidecar: SidecarProcess) -> None:
    text = {
        "index": 0,
        "message": {"role": "assistant", "content": "x" * (20 * MIB)},
        "finish_reason": "stop",
    }
    body = json.dumps(CHAT | {"choices": [text]}).encode()
    before = memory(sidecar)
    forget_peak(sidecar)
    assert desk.call(desk.script(Script((body,))), CHAT_PATH, ASK).body == body
    charged(desk, CHAT_USED)
    first = memory(sidecar, "VmHWM")
    for _ in range(5):
        assert len(desk.call(desk.script(Script((body,))), CHAT_PATH, ASK).body) == len(body)
    desk.ended(6)
    assert memory(sidecar, "VmHWM") - first < 5 * len(body)  # nothing of one stays for the next
    assert memory(sidecar, "VmHWM") - before < 20 * len(
        body
    )  # on a busy machine it comes faster than it is read


def test_a_stream_of_many_megabytes_is_not_kept(desk: Desk, sidecar: SidecarProcess) -> None:
    desk.apply(RICH)
    piece = b"".join(chat_chunks(3000, usage=False)[:3000])
    grew = []
    for pieces in (20, 160):
        before = memory(sidecar)
        forget_peak(sidecar)
        script = desk.script(Script([piece] * pieces + list(chat_chunks(1)), content_type=SSE))
        assert len(desk.call(script, CHAT_PATH, STREAM).body) > pieces * len(piece)
        grew.append(memory(sidecar, "VmHWM") - before)
    assert [usage_in(end) for end in desk.ended(2)] == [CHAT_USED] * 2
    assert 140 * len(piece) > 70 * MIB
    assert grew[1] < 48 * MIB  # on a busy machine it comes faster than it is read


@pytest.mark.parametrize("size", [17, 31])
def test_a_request_longer_than_can_be_counted_is_scaled(desk: Desk, size: int) -> None:
    desk.apply(RICH)
    words = "the quick brown fox jumps over the lazy dog " * (size * MIB // 44)
    body = {"messages": [{"role": "user", "content": words}], "model": "big", "max_completion_tokens": 7}
    script = desk.script(CHAT_JSON)
    assert desk.call(script, CHAT_PATH, body).status == 200
    charged(desk, CHAT_USED)
    (reserved,) = desk.entries("reserve")
    assert size * MIB / 5.5 < int(reserved["tokens"]) < size * MIB / 3.5
    assert len(desk.sent(script)[0].body) > (size - 1) * MIB


def test_a_request_in_chunks_is_changed_too(desk: Desk) -> None:
    script = desk.script(Script(chat_chunks(2), content_type=SSE))
    data = json.dumps(ASK | {"stream": True}).encode()
    with contextlib.closing(desk.gateway.connect()) as connection:
        headers = {"x-script": script, "content-type": JSON, "authorization": f"Bearer {desk.key}"}
        pieces = (data[at : at + 10] for at in range(0, len(data), 10))
        connection.request("POST", CHAT_PATH, pieces, headers, encode_chunked=True)
        assert connection.getresponse().read()
    charged(desk, CHAT_USED)
    (seen,) = desk.sent(script)
    assert body_of(seen) == STREAM
    assert "transfer-encoding" not in seen.headers


def test_all_but_what_is_changed_is_sent_to_the_byte(desk: Desk) -> None:
    script = desk.script(Script(chat_chunks(2), content_type=SSE))
    odd = b'{"stream":true,"seed":9007199254740993, "model" : "big", "max_completion_tokens":9,"messages":[]}'
    assert desk.call(script, CHAT_PATH, odd).status == 200
    desk.settled()
    wished = odd.replace(b"true", b'true, "stream_options": {"include_usage": true}')
    assert desk.sent(script)[0].body == wished


def test_the_first_event_is_there_before_the_second_is_made(desk: Desk) -> None:
    script = desk.script(Script(chat_chunks(3), content_type=SSE, delay_s=0.5))
    with streaming(desk, script) as response:
        first = response.read1(1 << 16)
        (seen,) = desk.sent(script)
        assert (first, len(seen.written)) == (chat_chunks(3)[0], 1)
        assert response.read()
    charged(desk, CHAT_USED)


def test_a_provider_that_is_not_there_costs_nothing(sidecar: SidecarProcess, loop_thread: LoopThread) -> None:
    away = ScriptedProvider()
    loop_thread.run(away.start())
    loop_thread.run(away.stop())
    with (
        running(Way.PROC, away, loop_thread, sidecar=sidecar) as gateway,
        desk_at(gateway, sidecar) as desk,
    ):
        assert desk.call(desk.script(), CHAT_PATH, ASK).status == 503
        (end,) = desk.ended()
        assert end["kind"] == "release"


def test_what_costs_nothing_is_not_looked_at(desk: Desk) -> None:
    script = desk.script(Script([b"[]"] * 50, delay_s=0.02))
    with contextlib.closing(desk.gateway.connect()) as connection:
        key = f"Bearer {desk.key}"
        response = desk.gateway.send(connection, script, "/openai/v1/models", authorization=key)
        assert response.read1(1 << 16)
        assert desk.metric("tallystick_streams_open") == 0  # Envoy goes on without us
        assert response.read()
    desk.nothing_held()


def test_two_hundred_streams_at_once_to_the_token(desk: Desk) -> None:
    desk.apply(RICH)
    told = [
        {"prompt_tokens": 100 + n, "completion_tokens": n, "total_tokens": 100 + 2 * n} for n in range(200)
    ]

    def one(usage: dict[str, int]) -> None:
        last = answers.events(
            CHAT | {"object": "chat.completion.chunk", "choices": [], "usage": usage}, "[DONE]"
        )
        parts = [*chat_chunks(5, usage=False)[:5], *last]
        script = desk.script(Script(parts, content_type=SSE, delay_s=0.05))
        assert desk.call(script, CHAT_PATH, STREAM).body == b"".join(parts)

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        list(pool.map(one, told))
    used = [usage_in(end) for end in desk.ended(200)]
    assert sorted((each.total_input, each.output) for each in used) == [(100 + n, n) for n in range(200)]
    assert desk.metric("tallystick_streams_open") == 0


def test_whatever_comes_however_it_is_cut_the_ledger_has_the_providers_bill(desk: Desk) -> None:
    desk.apply(RICH)
    random, bill = Random(seed_of_run()), []
    for _ in range(120):
        given, output = random.randrange(1, 5_000), random.randrange(1, 3_000)
        path, body, kind = random.choice(ANSWERED)(given, output)
        fields: list[tuple[str, str]] = []
        if random.random() < 0.3:
            body, fields = gzip.compress(body), [("content-encoding", "gzip")]
        cuts = sorted(random.sample(range(1, len(body)), random.randrange(min(12, len(body) - 1))))
        parts = [body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)])]
        status = 200 if random.random() < 0.9 else random.choice([400, 429, 500, 529])
        if status != 200:
            parts, kind, fields = [b'{"error": {"message": "no"}}'], JSON, []
        script = Script(parts, status=status, content_type=kind, headers=fields, delay_s=0.001)
        ask = SAY if "messages" in path else ASK
        asked = ask | {"stream": kind == SSE}
        assert desk.call(desk.script(script), path, asked).status == status
        bill.append((given, output) if status == 200 else (0, 0))
    used = [usage_in(end) if end["usage"] else Usage() for end in desk.ended(len(bill))]
    assert sorted((each.total_input, each.output) for each in used) == sorted(bill)
    assert not [end for end in desk.entries("settle") if end["estimated"] == "1"]


def _chat(given: int, output: int) -> tuple[str, bytes, str]:
    usage = {"prompt_tokens": given, "completion_tokens": output, "total_tokens": given + output}
    return CHAT_PATH, json.dumps(CHAT | {"usage": usage}).encode(), JSON


def _chat_stream(given: int, output: int) -> tuple[str, bytes, str]:
    _, whole, _ = _chat(given, output)
    last = answers.events(json.loads(whole) | {"object": "chat.completion.chunk", "choices": []}, "[DONE]")
    return CHAT_PATH, b"".join([*chat_chunks(4, usage=False)[:4], *last]), SSE


def _message(given: int, output: int) -> tuple[str, bytes, str]:
    usage = {"input_tokens": 1, "cache_read_input_tokens": given - 1, "output_tokens": output}
    return "/anthropic/v1/messages", json.dumps(answers.MESSAGE | {"usage": usage}).encode(), JSON


def _message_stream(given: int, output: int) -> tuple[str, bytes, str]:
    path, whole, _ = _message(given, output)
    usage = json.loads(whole)["usage"] | {"output_tokens": 0}
    start = {"type": "message_start", "message": answers.MESSAGE | {"content": [], "usage": usage}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "yes"}}
    delta = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": output}}
    return path, b"".join(answers.events(start, text, delta, {"type": "message_stop"}, named=True)), SSE


ANSWERED = (_chat, _chat_stream, _message, _message_stream)
"""Answers with so many tokens in and out: path, body and type."""


def test_more_streams_are_open_than_a_cluster_has_by_default(desk: Desk) -> None:
    desk.apply(RICH)
    count = 1_100
    first, *rest = chat_chunks(1)
    script = desk.script(Script((first, b"".join(rest)), content_type=SSE, delay_s=8))

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", desk.gateway.envoy.port)
        body = json.dumps(STREAM)
        fields = (f"x-script: {script}", f"content-type: {JSON}", f"authorization: Bearer {desk.key}")
        head = (f"POST {CHAT_PATH} HTTP/1.1", "host: x", *fields, f"content-length: {len(body)}")
        writer.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())
        answer = await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        return answer

    async def every() -> list[bytes]:
        return await asyncio.gather(*(one() for _ in range(count)))

    open_at_once = 0.0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, every())
        while not running.done():
            open_at_once = max(open_at_once, desk.metric("tallystick_streams_open"))
            time.sleep(0.1)
        replies = running.result()
    assert open_at_once > 1_024
    assert {reply[:15] for reply in replies} == {b"HTTP/1.1 200 OK"}
    assert {usage_in(end) for end in desk.ended(count)} == {CHAT_USED}


def test_memory_stays_flat_over_two_thousand_streams(desk: Desk, sidecar: SidecarProcess) -> None:
    desk.apply(RICH)
    script = desk.script(Script(chat_chunks(2), content_type=SSE))

    def calls(count: int) -> None:
        with contextlib.closing(desk.gateway.connect()) as connection:
            for _ in range(count):
                key = f"Bearer {desk.key}"
                assert desk.gateway.send(connection, script, CHAT_PATH, STREAM, authorization=key).read()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(calls, [50] * 8))
        before = memory(sidecar)
        list(pool.map(calls, [250] * 8))
    desk.ended(2_400)
    assert memory(sidecar) - before < 16 * MIB


def test_a_sidecar_that_is_killed_in_mid_stream(start: Start) -> None:
    desk = start(fail_open=True)
    parts = chat_chunks(10)
    script = desk.script(Script(parts, content_type=SSE, delay_s=0.1))
    with streaming(desk, script) as response:
        first = response.read1(1 << 16)
        desk.sidecar.kill()
        assert first + response.read() == b"".join(parts)
    desk.sidecar.start()
    assert not desk.entries("settle")
    desk.books.shift_clock(desk.tenant, 3_600_000)
    wait(lambda: desk.entries("expire"))
    (reserved,), (expired,) = desk.entries("reserve"), desk.entries("expire")
    assert expired["nano"] == reserved["nano"]


def test_a_drain_lets_streams_finish_and_lets_none_begin(start: Start) -> None:
    desk = start()
    parts = chat_chunks(20)
    script = desk.script(Script(parts, content_type=SSE, delay_s=0.1))
    with streaming(desk, script) as response:
        first = response.read1(1 << 16)
        desk.sidecar.signal(signal.SIGTERM)
        wait(lambda: "draining" in desk.sidecar.log)
        late = desk.script(CHAT_JSON)
        assert desk.call(late, CHAT_PATH, ASK).status == 503
        assert first + response.read() == b"".join(parts)
    assert desk.sidecar.exit_code() == 0
    assert not desk.sent(late)
    desk.sidecar.start()
    charged(desk, CHAT_USED)


def test_a_stream_that_outlasts_the_drain_goes_on_as_held(start: Start) -> None:
    desk = start(DRAIN_TIMEOUT="1s")
    parts = chat_chunks(30)
    script = desk.script(Script(parts, content_type=SSE, delay_s=0.1))
    with streaming(desk, script) as response:
        first = response.read1(1 << 16)
        began = time.monotonic()
        desk.sidecar.signal(signal.SIGTERM)
        assert desk.sidecar.exit_code() == 0
        assert 1 <= time.monotonic() - began < 2.5
        assert first + response.read() == b"".join(parts)
    desk.sidecar.start()
    (reserved,) = desk.entries("reserve")
    end = desk.settled()
    assert (end["outcome"], end["nano"], end["estimated"]) == ("UNKNOWN", reserved["nano"], "1")


def test_an_end_waits_for_the_store_and_the_client_does_not(start: Start) -> None:
    desk = start()
    parts = chat_chunks(4)
    with streaming(desk, desk.script(Script(parts, content_type=SSE, delay_s=0.1))) as response:
        first = response.read1(1 << 16)
        store = desk.books.pid
        os.kill(store, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert first + response.read() == b"".join(parts)
            assert time.monotonic() - began < 1.5  # it gives up a store after two seconds
            time.sleep(2.5)
        finally:
            os.kill(store, signal.SIGCONT)
    charged(desk, CHAT_USED)


def test_a_client_that_leaves_during_the_decision_holds_nothing(start: Start) -> None:
    """Its store is stopped, so the decision waits; the client does not."""
    desk = start()
    desk.call(desk.script(CHAT_JSON), CHAT_PATH, ASK)
    desk.settled()
    store = desk.books.pid
    os.kill(store, signal.SIGSTOP)
    try:
        connection = desk.gateway.connect()
        headers = {"content-type": JSON, "authorization": f"Bearer {desk.key}"}
        connection.request("POST", CHAT_PATH, json.dumps(ASK), headers)
        time.sleep(0.2)
        connection.close()
        time.sleep(0.2)
    finally:
        os.kill(store, signal.SIGCONT)
    wait(lambda: desk.entries("release"))
    assert len(desk.entries("reserve")) == 2
