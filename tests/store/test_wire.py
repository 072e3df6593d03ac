"""The wire against real servers: whatever happens, each caller gets its own answer or an error."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest
from redis import Redis

from tallystick.core.errors import StoreUnavailable
from tallystick.store.address import StoreAddress
from tallystick.store.connection import MOST_UNSENT_BYTES
from tallystick.store.resp import encode
from tallystick.store.wire import Wire
from tests.servers import StoreServer, until

PATIENCE_S = 30.0
"""For what has to happen, but has no time by which it must."""


@contextlib.asynccontextmanager
async def wire_to(address: StoreAddress, timeout_s: float = 5.0, **more: Any) -> AsyncIterator[Wire]:
    wire = Wire(address, timeout_s, **more)
    wire.start()
    try:
        yield wire
    finally:
        await wire.close()
        await asyncio.sleep(0)  # an aborted transport closes in the next tick


@contextlib.contextmanager
def raw(server: StoreServer) -> Iterator[Redis]:
    with Redis(unix_socket_path=server.address.path) as client:
        yield client


def question(n: int) -> tuple[bytes, object]:
    """A command of one of several kinds, and its own answer."""
    kinds: list[tuple[list[bytes | str | int], object]] = [
        (["ECHO", n], b"%d" % n),
        (["EVAL", "return {ARGV[1], {1, ARGV[1]}}", 0, n], [b"%d" % n, [1, b"%d" % n]]),
        (["EVAL", "return redis.error_reply('MINE ' .. ARGV[1])", 0, n], f"MINE {n}"),
        (["HGET", f"none{n}", "f"], None),
        (["ECHO", f"{n:>5000}"], b"%5000d" % n),
    ]
    command, answer = kinds[n % len(kinds)]
    return encode(command), answer


def same(reply: object, answer: object) -> bool:
    return str(reply) == answer if isinstance(reply, hiredis.ReplyError) else reply == answer


async def test_replies_stay_in_step_whatever_callers_are_cancelled(
    store_server: StoreServer, dice: random.Random
) -> None:
    async with wire_to(store_server.address) as wire:
        tasks: list[tuple[asyncio.Task[object], object]] = []
        for n in range(10_000):
            message, answer = question(n)
            tasks.append((asyncio.create_task(wire.run(message)), answer))
            if dice.random() < 0.2:
                await asyncio.sleep(0)
            if dice.random() < 0.02:
                await asyncio.sleep(0.0005)
            for _ in range(dice.choice([0, 0, 0, 1, 2])):
                tasks[-dice.randrange(1, min(50, len(tasks)) + 1)][0].cancel()
        replies = await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        outcomes = list(zip(replies, (answer for _, answer in tasks), strict=True))
        answered = [
            (reply, answer) for reply, answer in outcomes if not isinstance(reply, asyncio.CancelledError)
        ]
        assert all(same(reply, answer) for reply, answer in answered)
        assert 1_000 < len(answered) < 9_900
        assert wire.reconnects == 0
        assert await wire.run(encode(["ECHO", "end"])) == b"end"


async def test_commands_of_one_tick_leave_in_few_writes(store_server: StoreServer) -> None:
    async with wire_to(store_server.address) as wire:
        await wire.connected()
        connection = wire._connection
        assert connection is not None
        transport, writes = connection._transport, []

        class Watched:
            def write(self, data: bytes) -> None:
                writes.append(data)
                assert transport is not None
                transport.write(data)

            def __getattr__(self, name: str) -> object:
                return getattr(transport, name)

        connection._transport = Watched()  # type: ignore[assignment]
        command = encode(["ECHO", "0123456789"])
        replies = await asyncio.gather(*(wire.run(command) for _ in range(1_000)))
        assert replies == [b"0123456789"] * 1_000
        at_once = -(-MOST_UNSENT_BYTES // len(command))
        assert [data.count(b"ECHO") for data in writes] == [at_once] * (1_000 // at_once) + [1_000 % at_once]


async def test_a_command_whose_connection_breaks_is_asked_once_more(
    store_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is up all the time, so nobody hears of it."""
    monkeypatch.setattr("tallystick.store.wire.GRACE_S", PATIENCE_S)  # this machine may be slow
    async with wire_to(store_server.address) as wire:
        with raw(store_server) as admin:
            for _ in range(20):
                await wire.connected()
                tasks = [asyncio.create_task(wire.run(encode(["ECHO", n]))) for n in range(200)]
                await asyncio.sleep(0)  # they are written at the end of this tick
                admin.client_kill_filter(_type="normal", skipme=True)
                assert await asyncio.gather(*tasks) == [b"%d" % n for n in range(200)]
        await until(lambda: wire.up)
        assert wire.reconnects >= 1


async def test_a_connection_killed_again_and_again_leaves_nobody_waiting(
    store_server: StoreServer, dice: random.Random
) -> None:
    async with wire_to(store_server.address) as wire:
        with raw(store_server) as admin:
            tasks = []
            for n in range(5_000):
                tasks.append((asyncio.create_task(wire.run(question(n)[0])), question(n)[1]))
                if dice.random() < 0.05:
                    await asyncio.sleep(0)
                if dice.random() < 0.01:
                    admin.client_kill_filter(_type="normal", skipme=True)
                    await asyncio.sleep(0.001)
            replies = await asyncio.wait_for(
                asyncio.gather(*(task for task, _ in tasks), return_exceptions=True), PATIENCE_S
            )
        wrong = [
            reply
            for reply, (_, answer) in zip(replies, tasks, strict=True)
            if not isinstance(reply, StoreUnavailable) and not same(reply, answer)
        ]
        assert wrong == []
        await until(lambda: wire.up)
        assert await wire.run(encode(["ECHO", "end"])) == b"end"


async def test_a_server_killed_in_mid_load_is_found_again_when_it_is_back(own_server: StoreServer) -> None:
    seen: list[bool] = []
    async with wire_to(own_server.address, on_change=seen.append) as wire:
        await wire.connected()
        tasks = [asyncio.create_task(wire.run(question(n)[0])) for n in range(2_000)]
        await asyncio.sleep(0.002)
        own_server.kill()
        replies = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
        for n, reply in enumerate(replies):
            assert isinstance(reply, StoreUnavailable) or same(reply, question(n)[1])
        with pytest.raises(StoreUnavailable, match="can't be reached"):
            await wire.run(encode(["PING"]))
        assert not wire.up
        own_server.start()
        await asyncio.wait_for(wire.connected(), PATIENCE_S)
        assert await wire.run(encode(["ECHO", "back"])) == b"back"
    assert seen == [True, False, True]


async def test_a_silent_server_is_given_up_and_found_again(own_server: StoreServer) -> None:
    async with wire_to(own_server.address, timeout_s=0.3) as wire:
        await wire.connected()
        os.kill(own_server.pid, signal.SIGSTOP)
        tasks = [asyncio.create_task(wire.run(encode(["ECHO", n]))) for n in range(100)]
        replies = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
        assert all(isinstance(reply, StoreUnavailable) for reply in replies)
        await asyncio.sleep(1.5)  # it is tried again, several times
        with pytest.raises(StoreUnavailable):
            await wire.run(encode(["PING"]))
        os.kill(own_server.pid, signal.SIGCONT)
        await asyncio.wait_for(wire.connected(), PATIENCE_S)
        assert await wire.run(encode(["ECHO", "back"])) == b"back"
        with raw(own_server) as admin:  # and no attempt has left its connection behind
            await until(lambda: len(admin.client_list(_type="normal")) == 2)


async def test_a_slow_answer_is_waited_for_while_others_come(store_server: StoreServer) -> None:
    """What counts as silence is that nothing is answered, not that something takes long."""
    async with wire_to(store_server.address, timeout_s=0.4) as wire:
        with raw(store_server) as admin:
            await wire.connected()
            slow = asyncio.create_task(wire.run(encode(["ECHO", "first"])))
            for _ in range(4):
                admin.client_pause(200)
                assert await wire.run(encode(["ECHO", "x"])) == b"x"
            assert await slow == b"first"
            assert wire.reconnects == 0


async def test_nobody_waits_for_a_server_that_is_not_there(directory: Path) -> None:
    async with wire_to(StoreAddress(path=str(directory / "none"))) as wire:
        with pytest.raises(StoreUnavailable, match="can't be reached"):
            await wire.run(encode(["PING"]))
        with pytest.raises(StoreUnavailable, match="can't be reached"):
            await wire.run(encode(["PING"]))
        assert not wire.up


async def test_a_closed_wire_answers_no_more(store_server: StoreServer) -> None:
    async with wire_to(store_server.address) as wire:
        await wire.connected()
        waiting = asyncio.create_task(wire.run(encode(["BLPOP", "nothing", 0])))
        await asyncio.sleep(0.01)
        await wire.close()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(waiting, PATIENCE_S)


# --- addresses: users, databases, TLS --------------------------------------------------------------


def with_options(server: StoreServer, **options: Any) -> StoreAddress:
    return StoreAddress(path=server.address.path, **options)


async def test_passwords_and_users(own_server: StoreServer) -> None:
    with raw(own_server) as admin:
        admin.acl_setuser("sidecar", enabled=True, passwords=["+pass word"], keys=["*"], categories=["+@all"])
        admin.config_set("requirepass", "s3cret")
        for right in ({"password": "s3cret"}, {"username": "sidecar", "password": "pass word"}):
            async with wire_to(with_options(own_server, **right)) as wire:
                assert await wire.run(encode(["ECHO", "in"])) == b"in"
        wrong: list[dict[str, str]] = [
            {},
            {"password": "other"},
            {"username": "sidecar", "password": "s3cret"},
        ]
        for options in wrong:
            async with wire_to(with_options(own_server, **options)) as wire:
                with pytest.raises(StoreUnavailable) as refused:
                    await wire.run(encode(["PING"]))
                assert "s3cret" not in str(refused.value)


async def test_the_right_password_is_taken_as_soon_as_it_is_right(own_server: StoreServer) -> None:
    with raw(own_server) as admin:
        admin.config_set("requirepass", "old")
        async with wire_to(with_options(own_server, password="new")) as wire:
            with pytest.raises(StoreUnavailable):
                await wire.run(encode(["PING"]))
            admin.config_set("requirepass", "new")
            await asyncio.wait_for(wire.connected(), PATIENCE_S)
            assert await wire.run(encode(["ECHO", "in"])) == b"in"


async def test_databases_are_kept_apart(own_server: StoreServer) -> None:
    async with (
        wire_to(with_options(own_server, database=3)) as third,
        wire_to(own_server.address) as zeroth,
        wire_to(with_options(own_server, database=99)) as none,
    ):
        await third.run(encode(["SET", "k", "3"]))
        assert await zeroth.run(encode(["GET", "k"])) is None
        assert await third.run(encode(["GET", "k"])) == b"3"
        with pytest.raises(StoreUnavailable):
            await none.run(encode(["PING"]))
